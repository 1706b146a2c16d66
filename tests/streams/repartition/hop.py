"""Source partitions, the log that their records are moved to and what reads that, in memory: to be
driven step by step, and killed between any two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from freshet.audit.kept import Record
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch
from freshet.streams.operators.task import Append, Task
from freshet.streams.repartition.intake import MovedIntakeTask
from freshet.streams.repartition.task import RepartitionPlan, RepartitionTask
from tests.streams.toy_events import Sent, batch, batch_of

TO = "app.by_id.landings"
Row = tuple[Any, ...]


def saved(task: Task) -> dict[str, Any]:
    return load(save({k: np.ascontiguousarray(v) for k, v in task.dump(True).items()}))


class Hop:
    """`sources` are the records of each source partition, with the ticks that are told between
    them; their offsets are their places. All of it is moved to so many `partitions`."""

    def __init__(
        self, plan: IntakePlan, sources: Sequence[Sequence[Sent]], partitions: int
    ) -> None:
        self.plan = plan
        self.sources = sources
        self.partitions = partitions
        self.moved: list[list[tuple[bytes, int]]] = [[] for _ in range(partitions)]
        self.outputs: list[list[Append]] = [[] for _ in range(partitions)]
        self._movers = [self._mover(p) for p in range(len(sources))]
        self._takers = [self._taker(p) for p in range(partitions)]
        self._read = [0] * len(sources)
        self._taken = [0] * partitions
        self._kept_movers = [(0, saved(task)) for task in self._movers]
        self._kept_takers = [(0, saved(task)) for task in self._takers]

    def _mover(self, partition: int) -> RepartitionTask:
        return RepartitionTask(RepartitionPlan(self.plan, TO, self.partitions), partition)

    def _taker(self, partition: int) -> MovedIntakeTask:
        return MovedIntakeTask(self.plan, partition, self.partitions)

    @property
    def takers(self) -> list[MovedIntakeTask]:
        return self._takers

    def move(self, source: int, count: int) -> None:
        """The next records of a source partition, as one batch, or the next tick."""
        log = self.sources[source]
        at = self._read[source]
        if at >= len(log):
            return
        task = self._movers[source]
        if log[at].tick is not None:
            out = task.tick(log[at].tick, len(self.sources))
            self._read[source] = at + 1
        else:
            end = at
            while end < min(len(log), at + count) and log[end].tick is None:
                end += 1
            out = task.apply(batch(log[at:end], at, partition=source))
            self._read[source] = end
        for append in out.appends:
            self.moved[append.partition] += [(value, append.time_ms) for value in append.values]

    def take(self, partition: int, count: int) -> None:
        """The next records of the log that they are moved to, as one batch."""
        first = self._taken[partition]
        records = self.moved[partition][first : first + count]
        if not records:
            return
        self._taken[partition] += len(records)
        found = self._takers[partition].apply(self.batch(partition, first, len(records)))
        self.outputs[partition] += found.appends

    def batch(self, partition: int, first: int, count: int) -> Batch:
        records = self.moved[partition][first : first + count]
        values = [value for value, _ in records]
        times = [time for _, time in records]
        offsets = range(first, first + len(records))
        return batch_of(values, offsets, times, TO, partition)

    def save(self) -> None:
        """Checkpoints of all."""
        self._kept_movers = [(at, saved(t)) for at, t in zip(self._read, self._movers)]
        self._kept_takers = [(at, saved(t)) for at, t in zip(self._taken, self._takers)]

    def kill_mover(self, source: int) -> None:
        """It goes on from its checkpoint, and has written what came after once already."""
        self._read[source], state = self._kept_movers[source]
        self._movers[source] = self._mover(source)
        self._movers[source].load(state, [])

    def kill_taker(self, partition: int) -> None:
        self._taken[partition], state = self._kept_takers[partition]
        self._takers[partition] = self._taker(partition)
        self._takers[partition].load(state, [])

    def finish(self) -> None:
        for source, log in enumerate(self.sources):
            while self._read[source] < len(log):
                self.move(source, len(log))
        for partition in range(self.partitions):
            self.take(partition, len(self.moved[partition]))

    def source_records(self) -> dict[int, list[Record]]:
        return {
            p: [Record(i, sent.time, sent.value) for i, sent in enumerate(log) if sent.tick is None]
            for p, log in enumerate(self.sources)
        }

    def moved_records(self, partition: int) -> Iterator[Record | int]:
        """The records there by their sources, once each, and the ticks that all sources have told,
        in the order of the log."""
        last: dict[int, int] = {}
        ticks: dict[int, int] = {}
        told = blocks.NO_TICK
        for at, (value, _) in enumerate(self.moved[partition]):
            block = blocks.decode(value)
            rows = [] if block.rows is None else block.rows.to_pylist()
            for row in rows:
                source = (block.partition, row["_offset"])
                if source[1] > last.get(source[0], -1):
                    last[source[0]] = source[1]
                    yield Record(at, row["time"], row["value"] or b"", source=source)
            if block.tick != blocks.NO_TICK:
                ticks[block.partition] = max(block.tick, ticks.get(block.partition, block.tick))
                if len(ticks) == len(self.sources) and min(ticks.values()) > told:
                    told = min(ticks.values())
                    yield told


def once(appends: Sequence[Append]) -> dict[tuple[str, int], list[Row]]:
    """What stands in each log for a reader that passes over what it has had: rows in order, without
    their places in the log that was read, and ticks."""
    out: dict[tuple[str, int], list[Row]] = {}
    last: dict[tuple[str, int, int], tuple[int, int]] = {}
    told: dict[tuple[str, int], int] = {}
    for append in appends:
        log = (append.topic, append.partition)
        mine = out.setdefault(log, [])
        for value in append.values:
            block = blocks.decode(value)
            origin = (*log, block.partition)
            rows = [] if block.rows is None else block.rows.to_pylist()
            for row in rows:
                place = (row.pop("_offset"), row.pop("_index"))
                if append.topic == "dead":
                    # It names the source, as a letter does: the same one may be written twice.
                    row = {**row, "partition": block.partition, "offset": place[0]}
                    if tuple(row.values()) not in mine:
                        mine.append(tuple(row.values()))
                elif place > last.get(origin, (-1, -1)):
                    last[origin] = place
                    mine.append(tuple(row.values()))
            if block.tick > told.get(log, blocks.NO_TICK):
                told[log] = block.tick
                mine.append(("tick", block.tick))
    return {log: rows for log, rows in out.items() if rows}
