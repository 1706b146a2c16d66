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
    Aggregate,
    Distribution,
    inputs_of,
    windows_of,
)
from freshet.features.keeping import bounds_of, keep_of
from freshet.features.rows.layout import (
    BLOCK_HEADER,
    CENTRE,
    F_FREQUENT_WHOLE,
    F_LAST_WHOLE,
    F_RECENT_WHOLE,
    FIRST_WHOLE,
    HEADER,
    LAST_WHOLE,
    RECENT,
    ROWS,
    SQUARES,
    TAIL,
    VALUES,
)
from freshet.features.rows.reads import (
    READ_WORDS,
    Column,
    Reader,
    columns_read,
    field_of,
    lists_of,
    open_fields_of,
    recent_of,
    states_of,
    words_of_state,
)
from freshet.features.rows.rings import TILES_A_WINDOW, Ring, rings_of, tile_of
from freshet.features.rows.tile_kernels import BOUNDS
from freshet.features.sketches.layout import FREQUENT, HISTOGRAM
from freshet.features.sketches.plan import (
    Sketch,
    SketchPlan,
    compiled,
    sketch_of,
    words_of_tile,
)
from freshet.features.texts.layout import LONGEST
from freshet.features.texts.plan import RecentList, TextPlan, most_texts, text_plan
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.sizes import RECORD_BYTES

I64 = npt.NDArray[np.int64]
LAYOUT = 2  # raise it whenever the same features come to other bytes
WORD = 8
# The longest text behind a row, with its length.
TEXT_WORDS = 1 + LONGEST // WORD
_COUNTS = (VALUES, ROWS)


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
    or how often the time of a rate goes into its window. `texts` says which codes are of texts that
    lie behind a row (None: none are), `lists` which features are several values. `keep_ms` is for
    how long a row is kept (0: for ever), `keeps` what kernels compare, as `features/keeping.py` has
    it.
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
    texts: TextPlan | None
    lists: Mapping[str, RecentList]
    keep_ms: int
    keeps: I64

    @staticmethod
    def compile(
        features: Mapping[str, Aggregate],
        tile_ms: int | None,
        integers: Collection[str] = (),
        keep_ms: int = 0,
        max_age_ms: int = 0,
        open_texts: Collection[str] = (),
    ) -> RowPlan:
        """`tile_ms` is the width of all tiles (None: each window has tiles of its own), `integers`
        are the inputs that are declared as whole numbers or texts, `keep_ms` and `max_age_ms` as
        the view declares them (0: it does not). `open_texts` are those of the inputs that may be
        any text: rows have them with their codes, where a feature's value is one of them.

        Raises `DefinitionError` for a window that is not a whole number of tiles, or of too many.
        """
        inputs = [own.name for feature in features.values() for own in inputs_of(feature)]
        fields = tuple(dict.fromkeys(inputs))
        exact = frozenset(fields.index(name) for name in fields if name in integers)
        rings = rings_of(features, tile_ms)
        columns = [_columns_of(ring, features, fields, tile_ms) for ring in rings]
        open_fields = open_fields_of(features, fields, open_texts)
        sketches = _sketches(features, fields, tile_ms, open_fields)
        kept = sketches.values()
        coded = sorted({one.field for one, _ in kept if one.kind != HISTOGRAM})
        numbers = {one.field for one, _ in kept if one.kind == HISTOGRAM}
        tail_fields = _tail_fields(columns, numbers)
        recent = recent_of(features, fields)
        states = states_of(features, fields, exact, recent)
        front = HEADER + sum(words_of_state(state, recent) for state in states)
        event_words = 0
        if rings or sketches:
            event_words = 1 + len(tail_fields) + len(coded)
        table = _ring_table(rings, columns)
        state_lines = []
        for state, at in states.items():
            kind, field, _ = state
            state_lines.append((kind, field, at, recent.get(state, 1)))
        sketch_plan = _sketch_plan(sketches, tail_fields, coded)
        reader = Reader(
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
        texts = None
        if open_fields:
            kept_values = [
                (field, at, most)
                for kind, field, at, most in state_lines
                if kind in (LAST_WHOLE, FIRST_WHOLE, RECENT)
            ]
            texts = text_plan(features, fields, open_fields, kept_values, sketch_plan)
        kept_ms = keep_of(features, keep_ms, max_age_ms)
        return RowPlan(
            names=tuple(features),
            fields=fields,
            rings=rings,
            digest=_digest(features, tile_ms, [*wholes, *frequent], keep_ms, texts),
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
            texts=texts,
            lists=lists_of(features, lines),
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
        """How many bytes a row of so few events has that they are all in its tail; without texts,
        which are as long as they are."""
        # What it says of its texts, be there any or none.
        more = int(self.texts is not None)
        return WORD * int(self.shape[0] + events * self.shape[1] + more)

    @property
    def most_bytes(self) -> int:
        """How many bytes a row may have: its tail is full, so is every ring, and no text is
        shorter than it may be."""
        words = self.room.words - BLOCK_HEADER
        if self.texts is not None:
            words += 1 + most_texts(self.texts, self.sketches, TAIL) * TEXT_WORDS
        return WORD * words


def _digest(
    features: Mapping[str, Aggregate],
    tile_ms: int | None,
    wholes: Collection[str],
    keep_ms: int,
    texts: TextPlan | None,
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
    if texts is not None:
        text += f"\x1ftexts {','.join(texts.names)} {LONGEST}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
            for kind in columns_read(window):
                found[kind, field_of(window, fields)] = None
    return sorted(found, key=lambda column: column[0] in _COUNTS)


def _sketches(
    features: Mapping[str, Aggregate],
    fields: tuple[str, ...],
    tile_ms: int | None,
    open_fields: Collection[int],
) -> dict[str, tuple[Sketch, int]]:
    """The sketch of each feature that has one, and how many of its tiles the feature is of."""
    out = {}
    for name, feature in features.items():
        if not isinstance(feature, Distribution):
            continue
        own = tile_of(name, feature, tile_ms)
        sketch = sketch_of(feature, field_of(feature, fields), own.width_ms)
        words = words_of_tile(sketch)
        if sketch.kind == FREQUENT and sketch.field in open_fields:
            words += sketch.most * TEXT_WORDS
        most = WORD * own.tiles * words
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
