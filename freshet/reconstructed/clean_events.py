"""What a view would have been given: the clean events of its topics, settled once more by the
definitions of now, each with when its record was appended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.app import App
from freshet.audit.kept import NOTHING, TakenOn, start, taken_on
from freshet.declared.exclusions import of_views
from freshet.past.once_more import OnceMore
from freshet.roles.plans import intake_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.intake import known_schemas
from freshet.streams.intake.task import Settled
from freshet.streams.log.contract import Batch
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.task import Outputs

I64 = npt.NDArray[np.int64]
# Nothing is appended later.
END_MS = (1 << 63) - 1


class Piece(NamedTuple):
    """Rows that intake would have appended to the log `to`, of one source partition of a topic;
    `reached` int64 `[n]` is the latest append time (ms) in that up to each row's record."""

    to: str
    topic: str
    partition: int
    rows: pa.RecordBatch
    reached: npt.NDArray[np.int64]


class Part(NamedTuple):
    """Offsets of one partition, from `begin` on."""

    spans: PartitionSpans
    begin: int
    after: int


class CleanStream:
    """The clean events of one partition of a topic, from its start on: up to one moment after the
    other. To be closed."""

    def __init__(
        self,
        part: Part,
        once_more: OnceMore,
        origin: str,
    ) -> None:
        spans = part.spans
        self.name = f"{spans.topic}:{spans.partition}"
        self._spans = spans
        self._after = part.after
        self._once_more = once_more
        self._origin = origin
        self._reached = np.int64(blocks.NO_TICK)
        self._begin(part.begin)

    def _begin(self, at: int) -> None:
        self._at = at
        self._batches = self._spans.read(at, self._after)
        self._next: Batch | None = None  # read, and not settled

    @property
    def settled(self) -> int:
        """The offset after what was settled."""
        return self._at

    @property
    def left(self) -> int:
        """Offsets that were not settled."""
        return max(0, self._after - self._at)

    def horizon(self) -> int | None:
        """The moment before which all is read that was appended, without reading on; None where
        all is."""
        if not self._have_next():
            return None
        assert self._next is not None
        return int(self._reach(self._next)[-1]) + 1

    def until(self, moment_ms: int) -> Iterator[Piece]:
        """What comes of the records that were appended before a moment."""
        while self._have_next():
            batch = self._next
            assert batch is not None
            reached = self._reach(batch)
            count = int(np.searchsorted(reached, moment_ms))
            self._next = None
            if count < len(batch):
                self._next = batch.rows(count, len(batch))
            if count:
                yield from self._settled(batch.rows(0, count), reached[:count])
            if self._next is not None:
                return

    def _have_next(self) -> bool:
        while self._next is None or not len(self._next):
            self._next = next(self._batches, None)
            if self._next is None:
                return False
        return True

    def _reach(self, batch: Batch) -> I64:
        """The latest append time up to each record."""
        return np.maximum(np.maximum.accumulate(batch.times), self._reached)

    def _settled(self, batch: Batch, reached: I64) -> Iterator[Piece]:
        for settled in self._once_more.settle(batch):
            yield from self._pieces(settled, batch.offsets, reached)
        self._at = int(batch.offsets[-1]) + 1
        self._reached = reached[-1]

    def _pieces(self, settled: Settled, offsets: I64, reached: I64) -> Iterator[Piece]:
        out = Outputs()
        self._once_more.task.route(settled, out)
        for append in out.appends:
            for value in append.values:
                rows = blocks.decode(value).rows
                if rows is None:
                    continue
                places = np.searchsorted(offsets, rows.column("_offset").to_numpy())
                yield Piece(
                    append.topic,
                    self._origin,
                    self._spans.partition,
                    rows,
                    reached[places],
                )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Where it is, and what it goes on by; what was read and not settled is read again."""
        return {**self._once_more.dump(), "_place": np.array([self._at, self._reached])}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        at, self._reached = state["_place"]
        self._once_more.load(state, int(at))
        self._begin(int(at))

    def close(self) -> None:
        self._spans.__exit__(None, None, None)


class Routed:
    """The rows of an app's topics, of those logs alone that are wanted. The app need never have
    run: its topics are read where those of the same names in the `run` are. Of each partition at
    `most` so many records are read, the oldest; `known_ms` is up to when those tell all."""

    def __init__(self, run: OpenedRun, app: App, most: int | None = None) -> None:
        self._run = run
        self._app = app
        self._most = most
        self.known_ms = END_MS

    def pieces(self, topic: Topic, wanted: Collection[str]) -> Iterator[Piece]:
        """In the order of each source partition, one partition after the other.

        Raises:
            RequestError: the run has no such topic.
        """
        for stream in self.streams(topic, wanted):
            with closing(stream):
                yield from stream.until(END_MS)

    def streams(self, topic: Topic, wanted: Collection[str]) -> list[CleanStream]:
        """Each source partition of a topic, before its first record.

        Raises:
            RequestError: the run has no such topic.
        """
        recorded = self._recorded_as(topic)
        log = self._run.app.log_of(recorded.name)
        url = self._run.settings.checkpoints_url
        earlier = known_schemas.earlier_of(url, log, topic)
        plan = intake_plan(self._app, topic, earlier)
        plan = replace(
            plan,
            clean=tuple(route for route in plan.clean if route.to in wanted),
            labels=tuple(route for route in plan.labels if route.to in wanted),
            statistics=None,
            fates=None,
            excluded=of_views(self._app).get(topic.name),
        )
        found = []
        for partition in sorted(self._run.log.bounds(log).spans):
            taken = self._taken_on(recorded, topic, log, partition)
            first = start(self._run.log, url, recorded, log, partition)
            names = list(topic.headers.values())
            spans = PartitionSpans(self._run.log, log, partition, names)
            once_more = OnceMore(plan, partition, taken)
            found.append(CleanStream(self._part(spans, first), once_more, plan.appends_as))
        return found

    def _part(self, spans: PartitionSpans, first: int) -> Part:
        begin = max(first, spans.first)
        after = spans.after
        if self._most is not None and begin + self._most < after:
            after = begin + self._most
            self.known_ms = min(self.known_ms, _appended_ms(spans, after - 1))
        return Part(spans, begin, after)

    def _recorded_as(self, topic: Topic) -> Topic:
        known = {recorded.name: recorded for recorded in self._run.app.topics}
        if topic.name not in known:
            raise RequestError(
                f"topic {topic.name!r}",
                f"is none of the run's app {self._run.app.name}",
                f"Its topics are {', '.join(known)}.",
            )
        return known[topic.name]

    def _taken_on(self, recorded: Topic, topic: Topic, log: str, partition: int) -> TakenOn:
        # Of a topic that is declared otherwise nothing was recorded, and by id it was of another
        # log.
        if recorded.digest != topic.digest or topic.by_id:
            return NOTHING
        return taken_on(
            self._run.log,
            self._run.settings.checkpoints_url,
            recorded,
            log,
            partition,
        )


def _appended_ms(spans: PartitionSpans, offset: int) -> int:
    """When the record at an offset was appended, or the next one that there is."""
    for batch in spans.read(offset, spans.after):
        if len(batch):
            return int(batch.times[0])
    return END_MS


def in_order(pieces: Sequence[Piece]) -> npt.NDArray[np.intp]:
    """The order of the rows of all pieces: by when they were appended; those of one source
    partition as they stand there."""
    reached = np.concatenate([np.empty(0, np.int64), *(piece.reached for piece in pieces)])
    offsets = [piece.rows.column("_offset").to_numpy() for piece in pieces]
    indices = [piece.rows.column("_index").to_numpy() for piece in pieces]
    sources: Mapping[tuple[str, int], int] = {
        source: at
        for at, source in enumerate(dict.fromkeys((p.topic, p.partition) for p in pieces))
    }
    source = [
        np.full(piece.rows.num_rows, sources[piece.topic, piece.partition]) for piece in pieces
    ]
    if not pieces:
        return np.empty(0, np.intp)
    return np.lexsort(
        (np.concatenate(indices), np.concatenate(offsets), np.concatenate(source), reached)
    )
