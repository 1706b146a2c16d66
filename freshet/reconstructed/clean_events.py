"""What a view would have been given: the clean events of its topics, settled once more by the
definitions of now, each with when its record was appended."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

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
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.task import Outputs

FOR_EVER_MS = 1 << 62  # all is known


class Piece(NamedTuple):
    """Rows that intake would have appended to the log `to`, of one source partition of a topic;
    `reached` int64 `[n]` is the latest append time (ms) in that up to each row's record."""

    to: str
    topic: str
    partition: int
    rows: pa.RecordBatch
    reached: npt.NDArray[np.int64]


class Routed:
    """The rows of an app's topics, of those logs alone that are wanted. The app need never have
    run: its topics are read where those of the same names in the `run` are. Of each partition at
    `most` so many records are read, the oldest; `known_ms` is up to when those tell all."""

    def __init__(self, run: OpenedRun, app: App, most: int | None = None) -> None:
        self._run = run
        self._app = app
        self._most = most
        self.known_ms = FOR_EVER_MS

    def pieces(self, topic: Topic, wanted: Collection[str]) -> Iterator[Piece]:
        """In the order of each source partition, one partition after the other.

        Raises:
            RequestError: the run has no such topic.
        """
        recorded = self._recorded_as(topic)
        log = self._run.app.log_of(recorded.name)
        url = self._run.settings.checkpoints_url
        earlier = known_schemas.earlier_of(url, log, topic)
        plan = intake_plan(self._app, topic, earlier)
        routes = tuple(route for route in plan.clean if route.to in wanted)
        labels = tuple(route for route in plan.labels if route.to in wanted)
        plan = replace(
            plan,
            clean=routes,
            labels=labels,
            statistics=None,
            fates=None,
            excluded=of_views(self._app).get(topic.name),
        )
        for partition in sorted(self._run.log.bounds(log).spans):
            task = OnceMore(
                plan,
                partition,
                self._taken_on(recorded, topic, log, partition),
            )
            reached = np.int64(blocks.NO_TICK)
            first = start(
                self._run.log,
                url,
                recorded,
                log,
                partition,
            )
            with PartitionSpans(self._run.log, log, partition, list(topic.headers.values())) as at:
                begin = max(first, at.first)
                end = at.after
                if self._most is not None:
                    end = min(end, begin + self._most)
                for batch in at.read(begin, end):
                    for settled in task.settle(batch):
                        yield from _pieces(
                            task,
                            settled,
                            reached,
                            partition,
                        )
                    reached = max(reached, batch.times.max())
                if end < at.after:
                    self.known_ms = min(self.known_ms, int(reached))

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


def _pieces(
    once_more: OnceMore, settled: Settled, before: np.int64, partition: int
) -> Iterator[Piece]:
    out = Outputs()
    once_more.task.route(settled, out)
    offsets = settled.batch.offsets
    reached = np.maximum(np.maximum.accumulate(settled.batch.times), before)
    for append in out.appends:
        for value in append.values:
            block = blocks.decode(value)
            if block.rows is not None:
                places = np.searchsorted(offsets, block.rows.column("_offset").to_numpy())
                yield Piece(
                    append.topic,
                    block.origin,
                    partition,
                    block.rows,
                    reached[places],
                )


def in_order(pieces: list[Piece]) -> npt.NDArray[np.intp]:
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
