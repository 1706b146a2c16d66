"""Of which columns, states and sketches of a row features are read: the lines of the tables that
drive `finish`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from freshet.features.aggregates import (
    GIVES_A_VALUE,
    Age,
    Aggregate,
    DecayedMean,
    DecayedTotal,
    Distribution,
    First,
    Last,
    LastDistinct,
    MostFrequent,
    Quantile,
    Ratio,
    TimeSince,
    Window,
)
from freshet.features.rows.layout import (
    CENTRE,
    DECAYED,
    F_AGE,
    F_DECAYED,
    F_DECAYED_COUNT,
    F_DECAYED_SUM,
    F_DEVIATION,
    F_DISTINCT,
    F_FREQUENT,
    F_FREQUENT_WHOLE,
    F_LAST,
    F_LAST_WHOLE,
    F_MAX,
    F_MEAN,
    F_MIN,
    F_QUANTILE,
    F_RATE,
    F_RATIO,
    F_RECENT,
    F_RECENT_WHOLE,
    F_SINCE,
    F_TOTAL,
    F_VARIANCE,
    FIRST,
    FIRST_WHOLE,
    HEADER,
    LAST,
    LAST_WHOLE,
    MAX,
    MIN,
    RECENT,
    ROWS,
    SQUARES,
    SUM,
    VALUES,
)
from freshet.features.rows.rings import Ring, tile_of
from freshet.features.sketches.plan import Sketch
from freshet.features.texts.plan import RecentList

_COLUMNS = {
    "count": (ROWS,),
    "rate": (ROWS,),
    "sum": (SUM,),
    "mean": (VALUES, SUM),
    "min": (MIN,),
    "max": (MAX,),
    "variance": (SQUARES, CENTRE, VALUES),
    "deviation": (SQUARES, CENTRE, VALUES),
}
_READS = {
    "count": F_TOTAL,
    "rate": F_RATE,
    "sum": F_TOTAL,
    "mean": F_MEAN,
    "min": F_MIN,
    "max": F_MAX,
    "variance": F_VARIANCE,
    "deviation": F_DEVIATION,
    "decayed_sum": F_DECAYED_SUM,
    "decayed_count": F_DECAYED_COUNT,
}
Column = tuple[int, int]  # kind and field (-1: the events themselves)
State = tuple[int, int, float]  # kind, field and half-life (ms)
Stateful = Last | LastDistinct | First | DecayedMean | DecayedTotal | TimeSince
# How many words a state takes: its sum, weight and time; or its value and time, or several of them.
_STATE_WORDS = {DECAYED: 3, LAST: 2, LAST_WHOLE: 2, FIRST: 2, FIRST_WHOLE: 2, RECENT: 2}
READ_WORDS = 7  # of the line in `RowPlan.reads` that says how a feature is read

Line = tuple[tuple[int, ...], tuple[float, float, float]]
_NOTHING = (0.0, 0.0, 0.0)


def field_of(feature: Window | Stateful | Distribution, fields: tuple[str, ...]) -> int:
    # A count of all events is of the events themselves: -1 is of no field.
    if feature.input is None:
        return -1
    return fields.index(feature.input.name)


def columns_read(window: Window) -> tuple[int, ...]:
    """The columns of a tile that a window reads."""
    # Of a count with a condition only some events have a value.
    if window.kind in ("count", "rate") and window.input is not None:
        return (VALUES,)
    return _COLUMNS[window.kind]


def state_of(feature: Stateful, fields: tuple[str, ...], exact: Collection[int]) -> State:
    field = field_of(feature, fields)
    if isinstance(feature, DecayedMean | DecayedTotal):
        return DECAYED, field, float(feature.half_life_ms)
    if isinstance(feature, LastDistinct):
        return RECENT, field, 0.0
    # When a condition was last true is the time of a last value.
    kind = FIRST if isinstance(feature, First) else LAST
    if field in exact:
        kind = {FIRST: FIRST_WHOLE, LAST: LAST_WHOLE}[kind]
    return kind, field, 0.0


def recent_of(features: Mapping[str, Aggregate], fields: tuple[str, ...]) -> dict[State, int]:
    """The states of the newest different values, and how many each keeps: as many as any feature
    asks for."""
    most: dict[State, int] = {}
    for feature in features.values():
        if isinstance(feature, LastDistinct):
            state = state_of(feature, fields, ())
            most[state] = max(feature.depth, most.get(state, 0))
    return most


def words_of_state(state: State, recent: Mapping[State, int]) -> int:
    return _STATE_WORDS[state[0]] * recent.get(state, 1)


def states_of(
    features: Mapping[str, Aggregate],
    fields: tuple[str, ...],
    exact: Collection[int],
    recent: Mapping[State, int],
) -> dict[State, int]:
    """The word at which each state starts; `exact` are the fields of whole numbers."""
    out: dict[State, int] = {}
    at = HEADER
    for feature in features.values():
        if isinstance(feature, Window | Ratio | Distribution | Age):
            continue
        state = state_of(feature, fields, exact)
        if state in out:
            continue
        out[state] = at
        at += words_of_state(state, recent)
    return out


def open_fields_of(
    features: Mapping[str, Aggregate], fields: tuple[str, ...], open_texts: Collection[str]
) -> tuple[int, ...]:
    """The fields of which a row needs the texts."""
    found = set()
    for feature in features.values():
        if isinstance(feature, GIVES_A_VALUE) and feature.input.name in open_texts:
            found.add(fields.index(feature.input.name))
    return tuple(sorted(found))


def lists_of(
    features: Mapping[str, Aggregate], lines: Sequence[tuple[int, ...]]
) -> dict[str, RecentList]:
    """The features that are several values."""
    found = {}
    for (name, feature), line in zip(features.items(), lines):
        if isinstance(feature, LastDistinct) and feature.n is not None:
            is_whole = line[0] == F_RECENT_WHOLE
            found[name] = RecentList(line[1], feature.n, feature.over_ms, is_whole)
    return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Writes the lines of the finish tables."""

    fields: tuple[str, ...]
    exact: Collection[int]
    rings: Sequence[Ring]
    columns: Sequence[Sequence[Column]]
    states: Mapping[State, int]
    tile_ms: int | None
    sketches: Mapping[str, tuple[Sketch, int]]
    sketch_order: Sequence[Sketch]

    def line(self, name: str, feature: Aggregate) -> Line:
        if isinstance(feature, Age):
            return _line(F_AGE, 0), _NOTHING
        if isinstance(feature, Ratio):
            above, first, _ = self._window(name, feature.above)
            below, second, _ = self._window(name, feature.below)
            return (F_RATIO, first, second, *above, *below), _NOTHING
        if isinstance(feature, Window):
            own, first, second = self._window(name, feature)
            params = _NOTHING
            if feature.kind == "rate":
                params = (feature.over_ms / feature.per_ms, *_NOTHING[1:])
            return (_READS[feature.kind], first, second, *own, 0, 0), params
        if isinstance(feature, Distribution):
            return self._sketch(name, feature)
        return self._state(feature)

    def _sketch(self, name: str, feature: Distribution) -> Line:
        sketch, tiles = self.sketches[name]
        own = (tiles, self.sketch_order.index(sketch))
        if isinstance(feature, Quantile):
            return (F_QUANTILE, 0, 0, *own, 0, 0), (float(feature.share), *_NOTHING[1:])
        kind = F_DISTINCT
        if isinstance(feature, MostFrequent):
            kind = F_FREQUENT
            if sketch.field in self.exact:
                kind = F_FREQUENT_WHOLE
        return (kind, 0, 0, *own, 0, 0), _NOTHING

    def _window(self, name: str, window: Window) -> tuple[tuple[int, int], int, int]:
        """Its tiles and ring, and its first and its last column."""
        own = tile_of(name, window, self.tile_ms)
        ring = [ring.width_ms for ring in self.rings].index(own.width_ms)
        wanted = [(kind, field_of(window, self.fields)) for kind in columns_read(window)]
        at = [self.columns[ring].index(column) for column in wanted]
        return (own.tiles, ring), at[0], at[-1]

    def _state(self, feature: Stateful) -> Line:
        state = state_of(feature, self.fields, self.exact)
        at = self.states[state]
        half_life = state[2]
        if isinstance(feature, LastDistinct):
            kind = F_RECENT
            if state[1] in self.exact:
                kind = F_RECENT_WHOLE
            over = float(feature.over_ms)
            # Of several values the newest one.
            place = feature.nth or 1
            return _line(kind, at + 2 * (place - 1)), (over, *_NOTHING[1:])
        if isinstance(feature, TimeSince):
            return _line(F_SINCE, at), _NOTHING
        if isinstance(feature, DecayedTotal):
            return _line(_READS[feature.kind], at), (half_life, 0.0, 0.0)
        if isinstance(feature, DecayedMean):
            # A prior of weight 0 is none.
            prior = _NOTHING[1:]
            if feature.prior is not None:
                prior = (
                    float(feature.prior),
                    float(feature.weight),
                )
            return _line(F_DECAYED, at), (half_life, *prior)
        # A first value is kept, and so read, as a last one is.
        kind = F_LAST
        if state[0] in (LAST_WHOLE, FIRST_WHOLE):
            kind = F_LAST_WHOLE
        return _line(kind, at), _NOTHING


def _line(kind: int, word: int) -> tuple[int, ...]:
    """Of what is read of a row's words alone."""
    return (kind, word, *[0] * (READ_WORDS - 2))
