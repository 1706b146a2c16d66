"""Statistics of a topic as intake keeps them: sketches of all that one partition brought since a
first record, by hour of event time, source and field.

Such a *piece* ends with the hour of append time, or where there is no room for one more cell; both
follow from the records alone, so whoever reads the partition again comes to the same pieces. One
that is not at its end yet is told now and then all the same, for nobody shall wait an hour for
figures: what is told later of the same first record stands in its place. As each time the whole
piece is told, and stays in the log, the times between grow: so an hour costs at most four pieces.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import TEXTS, Field
from freshet.schemas.sizes import BLOCK_BYTES
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.operators.task import Arrays, as_json, from_json
from freshet.streams.sketches import cells
from freshet.streams.sketches import sketch_kernels as kernels
from freshet.streams.sketches.sketch import packed

I64 = npt.NDArray[np.int64]
# Where an event is: the offset of its record, and its place in that. One record may be many events,
# of which some end a piece and the others begin the next.
Place = tuple[int, int]
NOWHERE: Place = (-1, 0)
_MINUTE_MS = 60_000
# Into an hour. The first is soon: then the hour before is judged.
TELL_AT_MS = (5 * _MINUTE_MS, 15 * _MINUTE_MS, 30 * _MINUTE_MS)
# A piece that was never told is not left for the next of those.
FIRST_EVERY_MS = 5 * _MINUTE_MS
# Of more fields it is only counted how often they are there.
MOST_SKETCHED = 100
_PREFIX = "sketches."
_NO_HOUR = -(1 << 62)
_KINDS = {
    "string": kernels.TEXT,
    "enum": kernels.TEXT,
    "boolean": kernels.WHOLE,
    "int": kernels.WHOLE,
    "long": kernels.WHOLE,
    "float": kernels.FLOATING,
    "double": kernels.FLOATING,
}


def kind_of(topic: Topic, field: Field) -> int:
    """How a field's values are counted. Ids and times are other ones in every event, and sources
    have cells of their own."""
    of_its_own = (topic.event_id, topic.source, topic.time and topic.time.field)
    if field.name in of_its_own or field.logical is not None:
        return kernels.PRESENCE
    return _KINDS.get(field.type, kernels.PRESENCE)


class Placed(NamedTuple):
    """Where rows stand: in the log of that name, at `offsets` (int64 `[n]`), as which event of the
    record there (`indices` int32 `[n]`)."""

    log: str
    offsets: I64
    indices: npt.NDArray[np.int32]


class _Row(NamedTuple):
    """One sketch. `source` is None of the rest."""

    hour: int
    source: str | None
    field: str
    sketch: bytes


class TopicSketches:
    """The piece of one partition that is not at its end yet."""

    def __init__(self, topic: Topic, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._fields = topic.events.fields
        kinds = [kind_of(topic, field) for field in self._fields[:MOST_SKETCHED]]
        kinds += [kernels.PRESENCE] * (len(self._fields) - len(kinds))
        self._kinds = kinds
        self._kind_codes = frozen(np.array(kinds, np.int64))
        self._symbols, self._first_symbols = _symbols(self._fields)
        self._spare = cells.spare_sketch()
        self._cells = cells.empty_cells(len(kinds), kinds.count(kernels.TEXT))
        self._sources = cells.empty_sources()
        self._log = ""  # in which the places are
        self._first = NOWHERE  # of the piece's first event, if it has any
        self._through = NOWHERE  # after its last one
        self._hour = _NO_HOUR  # of append time
        self._tick_told = 0
        self._through_told = NOWHERE

    def take(
        self,
        columns: Columns,
        applied: I64,
        times: I64,
        placed: Placed,
        appended: I64,
    ) -> list[bytes]:
        """Count the `applied` rows (indices, rising), which have event times, places and append
        times (ms); blocks of the pieces that ended before the last of them."""
        found: list[bytes] = []
        if not len(applied):
            return found
        self._log = placed.log
        edges = self._edges(appended)
        named = self._named(columns)
        at = 0
        for end in [*edges, len(applied)]:
            if end > at:
                found += self._count(columns, named, (applied, times, placed), (at, end))
            # None of the log's first record: nothing was there before it.
            if end < len(applied) and self._first != NOWHERE:
                found += self._ended()
            at = end
        return found

    def _edges(self, appended: I64) -> list[int]:
        """The rows with which a new hour of append time begins."""
        if int(appended.max()) // HOUR_MS <= self._hour:
            return []
        # The newest hour so far: records that were stamped before others end nothing.
        reached = np.maximum.accumulate(np.maximum(appended // HOUR_MS, self._hour))
        edges: list[int] = np.flatnonzero(np.diff(reached, prepend=self._hour)).tolist()
        self._hour = int(reached[-1])
        return edges

    def tell(self, now_ms: int, partitions: int, by_strides: bool = False) -> list[bytes]:
        """The time, every so often: blocks of what is known by now, if that is more than was told
        before, and a tick that says so. A partition that is quiet tells a tick alone once an hour;
        one whose clock goes `by_strides` tells what it knows as often: its next hour is near."""
        has_more = self._through != self._through_told
        if not self._is_due(now_ms, has_more and not by_strides):
            return []
        self._tick_told = now_ms
        found = []
        if has_more:
            self._through_told = self._through
            found = self._blocks(False)
        tick = Block(blocks.STATISTICS, self._topic.name, self._partition, None, now_ms, partitions)
        return [*found, blocks.encode(tick)]

    def _is_due(self, now_ms: int, has_more: bool) -> bool:
        hour, turn = _turn(now_ms)
        hour_told, turn_told = _turn(self._tick_told)
        if not has_more:
            return hour > hour_told
        if self._through_told == NOWHERE and hour == hour_told:
            # Not with the hour's first event: what there is to tell is worth little then.
            since = max(self._tick_told, self._hour * HOUR_MS)
            return now_ms // FIRST_EVERY_MS > since // FIRST_EVERY_MS
        return (hour, turn) > (hour_told, turn_told)

    def _named(self, columns: Columns) -> kernels.Named:
        source = self._topic.source
        if source is None:
            return _frozen(Texts.missing(columns.n))
        if columns.schema[source].type in TEXTS:
            return kernels.Named(*columns.frozen_text(source))
        return _frozen(columns.key(source))

    def _count(
        self,
        columns: Columns,
        named: kernels.Named,
        rows: tuple[I64, I64, Placed],
        span: tuple[int, int],
    ) -> list[bytes]:
        found: list[bytes] = []
        at, end = span
        every, every_time, (_, offsets, indices) = rows
        applied = frozen(every[:end])
        times = frozen(every_time[:end])
        values = self._values(columns)
        by_source = (named, self._sources)
        while True:
            after = int(
                kernels.count(
                    values,
                    applied,
                    times,
                    by_source,
                    self._cells,
                    at,
                    self._spare,
                )
            )
            if after > at:
                if self._first == NOWHERE:
                    self._first = (int(offsets[at]), int(indices[at]))
                self._through = (int(offsets[after - 1]), int(indices[after - 1]) + 1)
            if after == end:
                return found
            found += self._ended()
            at = after

    def _values(self, columns: Columns) -> kernels.Values:
        return kernels.Values(
            frozen(columns.data),
            frozen(columns.words),
            frozen(columns.valid),
            self._kind_codes,
            self._symbols,
            self._first_symbols,
        )

    def _ended(self) -> list[bytes]:
        """Blocks of the whole piece, and a new one."""
        found = self._blocks(True)
        self._clear()
        return found

    def _clear(self) -> None:
        cells.clear(self._cells, self._sources)
        self._first = NOWHERE
        self._through = NOWHERE
        self._through_told = NOWHERE

    def _blocks(self, is_ended: bool) -> list[bytes]:
        """The piece in as many records as its size asks for."""
        rows = [row for cell in range(cells.used(self._cells)) for row in self._rows_of(cell)]
        parts = _parts(rows, len(self._log))
        found = []
        for at, part in enumerate(parts):
            batch = self._batch(part, (at, len(parts)), is_ended)
            block = Block(blocks.STATISTICS, self._topic.name, self._partition, batch)
            found.append(blocks.encode(block, compressed=True))
        return found

    def _batch(self, rows: list[_Row], part: tuple[int, int], is_ended: bool) -> pa.RecordBatch:
        hours, sources, fields, sketches = zip(*rows)
        at, parts = part
        every = np.ones(len(rows), np.int64)
        return pa.RecordBatch.from_pydict(
            {
                "log": pa.array([self._log] * len(rows)),
                "first": pa.array(every * self._first[0]),
                "first_index": pa.array(every * self._first[1]),
                "through": pa.array(every * self._through[0]),
                "through_index": pa.array(every * self._through[1]),
                "ended": pa.array(every * is_ended),
                "part": pa.array(every * at),
                "parts": pa.array(every * parts),
                "hour": pa.array(hours, pa.int64()),
                "source": pa.array(sources, pa.string()),
                "field": pa.array(fields, pa.string()),
                "sketch": pa.array(sketches, pa.binary()),
            }
        )

    def _rows_of(self, cell: int) -> list[_Row]:
        hour = int(self._cells.hours[cell])
        source = cells.source_name(self._sources, int(self._cells.places[cell]))
        found = []
        text_at = 0
        for at, (field, kind) in enumerate(zip(self._fields, self._kinds)):
            sketch = cells.sketch_of(self._cells, cell, at, kind, text_at)
            found.append(_Row(hour, source, field.name, packed(sketch)))
            text_at += kind == kernels.TEXT
        return found

    def dump(self) -> Arrays:
        """What is used of the piece."""
        at = [*self._first, *self._through, self._hour, self._tick_told]
        state = {
            **cells.dumped(self._cells, self._sources),
            "declared": as_json(self._declared()),
            "log": as_json(self._log),
            "at": np.array(at),
        }
        return {_PREFIX + name: array for name, array in state.items()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """A piece of a topic that was declared otherwise is left out: its figures are of other
        fields."""
        declared = state.get(_PREFIX + "declared")
        if declared is None or from_json(declared) != self._declared():
            return
        found = {
            name.removeprefix(_PREFIX): array
            for name, array in state.items()
            if name.startswith(_PREFIX)
        }
        cells.restore(self._cells, self._sources, found)
        self._log = from_json(found["log"])
        *ends, self._hour, self._tick_told = found["at"].tolist()
        self._first = (ends[0], ends[1])
        self._through = (ends[2], ends[3])
        self._through_told = NOWHERE

    def _declared(self) -> list[Any]:
        fields = [[field.name, kind] for field, kind in zip(self._fields, self._kinds)]
        return [fields, self._topic.source]


def _turn(now_ms: int) -> tuple[int, int]:
    """An hour that begins with its first turn, and how many turns of it there were."""
    hour, into = divmod(now_ms - TELL_AT_MS[0], HOUR_MS)
    return hour, bisect_right(TELL_AT_MS, into + TELL_AT_MS[0])


def _parts(rows: list[_Row], more: int) -> list[list[_Row]]:
    """Rows, each of which takes so many bytes `more`, cut into parts of about as many bytes as a
    block may have."""
    found: list[list[_Row]] = [[]]
    size = 0
    for row in rows:
        # Beside its sketch: numbers, names and what Arrow takes.
        own = len(row.sketch) + len(row.field) + 2 * kernels.SOURCE_BYTES + more
        if size + own > BLOCK_BYTES and found[-1]:
            found.append([])
            size = 0
        found[-1].append(row)
        size += own
    return found


def _symbols(fields: Sequence[Field]) -> tuple[tuple[npt.NDArray[Any], ...], I64]:
    """Symbols of all enums as texts (data, start, end), and where those of each field begin (-1: it
    has none)."""
    first = np.full(len(fields), -1)
    known: list[str] = []
    for at, field in enumerate(fields):
        if field.type == "enum":
            first[at] = len(known)
            known += field.symbols
    texts = Texts.of(known)
    return (frozen(texts.data), frozen(texts.start), frozen(texts.end)), frozen(first)


def _frozen(texts: Texts) -> kernels.Named:
    return kernels.Named(
        frozen(texts.data), frozen(texts.start), frozen(texts.end), frozen(texts.valid)
    )
