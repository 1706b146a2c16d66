"""A view's features, compiled to the layout of its rows and to the tables that drive the
kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.aggregates import (
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
    inputs_of,
    windows_of,
)
from freshet.features.keeping import bounds_of, keep_of
from freshet.features.rows.layout import (
    BLOCK_HEADER,
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
    TAIL,
    VALUES,
)
from freshet.features.rows.rings import TILES_A_WINDOW, Ring, rings_of, tile_of
from freshet.features.rows.tile_kernels import BOUNDS
from freshet.features.sketches.layout import HISTOGRAM
from freshet.features.sketches.plan import (
    Sketch,
    SketchPlan,
    compiled,
    sketch_of,
    words_of_tile,
)
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.sizes import RECORD_BYTES

I64 = npt.NDArray[np.int64]
LAYOUT = 2  # raise it whenever the same features come to other bytes
WORD = 8
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
# How many words a state takes: its sum, weight and time; or its value and time, or several of them.
_STATE_WORDS = {DECAYED: 3, LAST: 2, LAST_WHOLE: 2, FIRST: 2, FIRST_WHOLE: 2, RECENT: 2}
_COUNTS = (VALUES, ROWS)
Column = tuple[int, int]  # kind and field (-1: the events themselves)
State = tuple[int, int, float]  # kind, field and half-life (ms)
Stateful = Last | LastDistinct | First | DecayedMean | DecayedTotal | TimeSince
READ_WORDS = 7  # of the line in `RowPlan.reads` that says how a feature is read


class Room(NamedTuple):
    """What a row may come to: numbers and values as `gather` finds them, and words in a block."""

    numbers: int
    values: int
    words: int


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """The layout of a view's rows (`features/rows/layout.py` draws it) and the kernels' tables.

    `names` are the features, `fields` the names of their inputs, in order of declaration. `wholes`
    are the features that are whole numbers to the last digit, each with the word of a row that
    holds it; `frequent_wholes` those that are a most frequent one. `digest` is 16 hex digits that
    change with anything that changes rows or values.

    `shape` says the word at which a row's tail begins, the words of an event in it, the first and
    the last ring (exclusive), and the first and the last sketch; `ring_table` and `columns` are as
    `Rings` has them, `tail_fields` the fields of an event in the tail, `tail_codes` those of which
    it has the codes (`coded`: of which anything has them; `exact`: those that are whole numbers or
    texts), `states` and `half_lives` as `Steps` has them; `reads` int64 `[features, READ_WORDS]`
    says of each feature what it is, its word or column, a second column, its tiles and its ring,
    and tiles and ring of what a ratio is divided by; `read_params` its half-life, prior and weight,
    or how often the time of a rate goes into its window. `keep_ms` is for how long a row is kept
    (0: for ever), `keeps` what kernels compare, as `features/keeping.py` has it.
    """

    names: tuple[str, ...]
    fields: tuple[str, ...]
    rings: tuple[Ring, ...]
    digest: str
    room: Room
    shape: I64
    ring_table: I64
    columns: I64
    tail_fields: I64
    tail_codes: I64
    coded: Collection[int]
    exact: Collection[int]
    sketches: SketchPlan
    states: I64
    half_lives: npt.NDArray[np.float64]
    reads: I64
    read_params: npt.NDArray[np.float64]
    wholes: Mapping[str, int]
    frequent_wholes: Sequence[str]
    keep_ms: int
    keeps: I64

    @staticmethod
    def compile(
        features: Mapping[str, Aggregate],
        tile_ms: int | None,
        integers: Collection[str] = (),
        keep_ms: int = 0,
        max_age_ms: int = 0,
    ) -> RowPlan:
        """`tile_ms` is the width of all tiles (None: each window has tiles of its own), `integers`
        are the inputs that are declared as whole numbers or texts, `keep_ms` and `max_age_ms` as
        the view declares them (0: it does not).

        Raises `DefinitionError` for a window that is not a whole number of tiles, or of too many.
        """
        inputs = [own.name for feature in features.values() for own in inputs_of(feature)]
        fields = tuple(dict.fromkeys(inputs))
        exact = frozenset(fields.index(name) for name in fields if name in integers)
        rings = rings_of(features, tile_ms)
        columns = [_columns_of(ring, features, fields, tile_ms) for ring in rings]
        sketches = _sketches(features, fields, tile_ms)
        kept = sketches.values()
        coded = sorted({one.field for one, _ in kept if one.kind != HISTOGRAM})
        numbers = {one.field for one, _ in kept if one.kind == HISTOGRAM}
        tail_fields = _tail_fields(columns, numbers)
        recent = _recent(features, fields)
        states = _states(features, fields, exact, recent)
        front = HEADER + sum(_state_words(state, recent) for state in states)
        event_words = 0
        if rings or sketches:
            event_words = 1 + len(tail_fields) + len(coded)
        table = _ring_table(rings, columns)
        state_lines = []
        for state, at in states.items():
            kind, field, _ = state
            state_lines.append((kind, field, at, recent.get(state, 1)))
        sketch_plan = _sketch_plan(sketches, tail_fields, coded)
        reader = _Reader(
            fields,
            exact,
            rings,
            columns,
            states,
            tile_ms,
            sketches,
            list(sketch_plan.tiles),
        )
        reads = [reader.line(name, one) for name, one in features.items()]
        lines = [line for line, _ in reads]
        params = [of_line for _, of_line in reads]
        half_lives = [half_life for _, _, half_life in states]
        wholes: dict[str, int] = {}
        frequent = []
        for name, line in zip(features, lines):
            if line[0] in (F_LAST_WHOLE, F_RECENT_WHOLE):
                wholes[name] = line[1]
            elif line[0] == F_FREQUENT_WHOLE:
                frequent.append(name)
        kept_ms = keep_of(features, keep_ms, max_age_ms)
        return RowPlan(
            names=tuple(features),
            fields=fields,
            rings=rings,
            digest=_digest(features, tile_ms, [*wholes, *frequent], keep_ms),
            room=_room(front, event_words, table, sketch_plan),
            shape=np.array(
                [front, event_words, 0, len(rings), 0, len(sketch_plan.tiles)], np.int64
            ),
            ring_table=table,
            columns=_column_table(columns, tail_fields),
            tail_fields=np.array(tail_fields, np.int64),
            tail_codes=np.array(coded, np.int64),
            coded=frozenset(coded).union(field for _, field, _ in recent),
            exact=exact,
            sketches=sketch_plan,
            states=np.array(state_lines, np.int64).reshape(-1, 4),
            half_lives=np.array(half_lives, np.float64),
            reads=np.array(lines, np.int64).reshape(-1, READ_WORDS),
            read_params=np.array(params, np.float64).reshape(-1, 3),
            wholes=wholes,
            frequent_wholes=frequent,
            keep_ms=kept_ms,
            keeps=np.array(bounds_of(kept_ms), np.int64),
        )

    @property
    def whole_names(self) -> tuple[str, ...]:
        """The features that are whole numbers to the last digit, or codes."""
        return (*self.wholes, *self.frequent_wholes)

    @property
    def takes_codes(self) -> bool:
        """Whether it asks for every digit of whole numbers, or for the codes of values."""
        return bool(self.wholes) or bool(self.coded)

    @property
    def spans(self) -> tuple[Ring, ...]:
        """The tiles of all windows: its rings, and those of its sketches."""
        kept = (Ring(one.width_ms, tiles) for one, tiles in self.sketches.tiles.items())
        return (*self.rings, *kept)

    def since(self, as_of_ms: int) -> int:
        """From when on (ms) events are in any window as of a time; the time itself where there is
        none."""
        return min((ring.since(as_of_ms) for ring in self.spans), default=as_of_ms)

    def bytes_of(self, events: int) -> int:
        """How many bytes a row of so few events has that they are all in its tail."""
        return WORD * int(self.shape[0] + events * self.shape[1])

    @property
    def most_bytes(self) -> int:
        """How many bytes a row may have: its tail is full, and so is every ring."""
        return WORD * (self.room.words - BLOCK_HEADER)


def _digest(
    features: Mapping[str, Aggregate],
    tile_ms: int | None,
    wholes: Collection[str],
    keep_ms: int,
) -> str:
    tile = f"1/{TILES_A_WINDOW}"
    if tile_ms is not None:
        tile = str(tile_ms)
    declared = "\x1f".join(f"{name}={feature}" for name, feature in features.items())
    text = f"{LAYOUT} {tile} {declared}"
    if wholes:
        text += f"\x1fwhole {','.join(wholes)}"
    # Only where it is declared: all others are what they always were.
    if keep_ms:
        text += f"\x1fkeep {keep_ms}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _field(feature: Window | Stateful | Distribution, fields: tuple[str, ...]) -> int:
    # A count of all events is of the events themselves: -1 is of no field.
    if feature.input is None:
        return -1
    return fields.index(feature.input.name)


def _columns_read(window: Window) -> tuple[int, ...]:
    """The columns of a tile that a window reads."""
    # Of a count with a condition only some events have a value.
    if window.kind in ("count", "rate") and window.input is not None:
        return (VALUES,)
    return _COLUMNS[window.kind]


def _columns_of(
    ring: Ring, features: Mapping[str, Aggregate], fields: tuple[str, ...], tile_ms: int | None
) -> list[Column]:
    """The columns of a ring's tiles, each once: float64 ones first, then counts. The two of a
    variance are found together, and stay so."""
    found: dict[Column, None] = {}
    for name, feature in features.items():
        for window in windows_of(feature):
            if tile_of(name, window, tile_ms).width_ms != ring.width_ms:
                continue
            for kind in _columns_read(window):
                found[kind, _field(window, fields)] = None
    return sorted(found, key=lambda column: column[0] in _COUNTS)


def _sketches(
    features: Mapping[str, Aggregate], fields: tuple[str, ...], tile_ms: int | None
) -> dict[str, tuple[Sketch, int]]:
    """The sketch of each feature that has one, and how many of its tiles the feature is of."""
    out = {}
    for name, feature in features.items():
        if not isinstance(feature, Distribution):
            continue
        own = tile_of(name, feature, tile_ms)
        sketch = sketch_of(feature, _field(feature, fields), own.width_ms)
        most = WORD * own.tiles * words_of_tile(sketch)
        if most > RECORD_BYTES:
            raise DefinitionError(
                f"feature {name}: {own.tiles} tiles of {text_of(own.width_ms)}",
                f"may come to {most:,} bytes a row, more than {RECORD_BYTES:,}",
                "Set a longer tile, a larger error, or a smaller exact.",
            )
        out[name] = sketch, own.tiles
    return out


def _sketch_plan(
    sketches: Mapping[str, tuple[Sketch, int]], tail_fields: Sequence[int], coded: Sequence[int]
) -> SketchPlan:
    """Each sketch once, with the tiles of the longest window that is read of it."""
    longest: dict[Sketch, int] = {}
    for sketch, tiles in sketches.values():
        longest[sketch] = max(tiles, longest.get(sketch, 0))
    # Word 0 of an event is its time.
    number_at = {field: at for at, field in enumerate(tail_fields, 1)}
    code_at = {field: at for at, field in enumerate(coded, 1 + len(tail_fields))}
    return compiled(dict(sorted(longest.items())), number_at, code_at, TAIL)


def _tail_fields(columns: Sequence[Sequence[Column]], more: Collection[int]) -> list[int]:
    """The fields whose numbers any window is of."""
    used = {field for of_ring in columns for _, field in of_ring}.union(more)
    return sorted(used - {-1})


def _ring_table(rings: Sequence[Ring], columns: Sequence[Sequence[Column]]) -> I64:
    lines = []
    first = 0
    for ring, own in zip(rings, columns):
        counts = sum(kind in _COUNTS for kind, _ in own)
        bitmap = -(-ring.tiles // 64)
        lines.append((ring.width_ms, ring.tiles, bitmap, first, len(own) - counts, counts))
        first += len(own)
    return np.array(lines, np.int64).reshape(-1, 6)


def _column_table(columns: Sequence[Sequence[Column]], tail_fields: Sequence[int]) -> I64:
    # Word 0 of an event is its time, which stands for the event itself.
    word_of = {field: at for at, field in enumerate(tail_fields, 1)} | {-1: 0}
    lines = []
    for of_ring in columns:
        for kind, field in of_ring:
            counts = 0
            if kind in (SQUARES, CENTRE):
                counts = of_ring.index((VALUES, field))
            lines.append((kind, word_of[field], counts))
    return np.array(lines, np.int64).reshape(-1, 3)


def _room(front: int, event_words: int, table: I64, sketches: SketchPlan) -> Room:
    """The most that a row comes to. While its tail goes into tiles, both are there."""
    numbers = BOUNDS + 2 * (len(table) + 1)
    values = 0
    words = BLOCK_HEADER + front + TAIL * event_words
    # The time in front of all tiles.
    if event_words:
        words += 1
    words += sketches.room.words
    for _, of_ring, bitmap, _, floats, counts in table.tolist():
        gathered = of_ring + TAIL
        numbers += gathered
        values += gathered * (floats + counts)
        words += bitmap + of_ring * floats + (of_ring * counts + 1) // 2
    return Room(numbers, values, words)


def _recent(features: Mapping[str, Aggregate], fields: tuple[str, ...]) -> dict[State, int]:
    """The states of the newest different values, and how many each keeps: as many as any feature
    asks for."""
    most: dict[State, int] = {}
    for feature in features.values():
        if isinstance(feature, LastDistinct):
            state = _state(feature, fields, ())
            most[state] = max(feature.nth, most.get(state, 0))
    return most


def _state_words(state: State, recent: Mapping[State, int]) -> int:
    return _STATE_WORDS[state[0]] * recent.get(state, 1)


def _states(
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
        state = _state(feature, fields, exact)
        if state in out:
            continue
        out[state] = at
        at += _state_words(state, recent)
    return out


def _state(feature: Stateful, fields: tuple[str, ...], exact: Collection[int]) -> State:
    field = _field(feature, fields)
    if isinstance(feature, DecayedMean | DecayedTotal):
        return DECAYED, field, float(feature.half_life_ms)
    if isinstance(feature, LastDistinct):
        return RECENT, field, 0.0
    # When a condition was last true is the time of a last value.
    kind = FIRST if isinstance(feature, First) else LAST
    if field in exact:
        kind = {FIRST: FIRST_WHOLE, LAST: LAST_WHOLE}[kind]
    return kind, field, 0.0


Line = tuple[tuple[int, ...], tuple[float, float, float]]
_NOTHING = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Reader:
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
        wanted = [(kind, _field(window, self.fields)) for kind in _columns_read(window)]
        at = [self.columns[ring].index(column) for column in wanted]
        return (own.tiles, ring), at[0], at[-1]

    def _state(self, feature: Stateful) -> Line:
        state = _state(feature, self.fields, self.exact)
        at = self.states[state]
        half_life = state[2]
        if isinstance(feature, LastDistinct):
            kind = F_RECENT
            if state[1] in self.exact:
                kind = F_RECENT_WHOLE
            over = float(feature.over_ms)
            return _line(kind, at + 2 * (feature.nth - 1)), (over, *_NOTHING[1:])
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
