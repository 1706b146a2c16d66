"""Records of a source partition to the partitions of their ids, in a log of freshet's own: the hop
of a topic with `dedup_by="topic"`.

Nothing is settled here. What has no id that can be read goes to the partition that its source
partition's number says, and becomes a dead letter there.

It is here that time enters, as in intake: a tick follows all that the source partition held then,
in every partition. And a record's append time is bounded here, by the clock of who reads it first;
in the log that is written it is a fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import OK, REASONS
from freshet.schemas.events.decode import decode
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.admission.vouched import Vouched, latest_ms
from freshet.streams.intake import tombstones
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch
from freshet.streams.operators.task import Append, Outputs
from freshet.streams.repartition.records import rows_of

I64 = npt.NDArray[np.int64]
CRASH = REASONS.index("crash")


@dataclass(frozen=True)
class RepartitionPlan:
    """The records of a topic, `intake` of which is as it would be without a hop, go to the log `to`
    of so many `partitions`."""

    intake: IntakePlan
    to: str
    partitions: int


class RepartitionTask:
    """Of one source partition; see `freshet.streams.operators.task.Task`. `start` is its first
    offset, where it was decided not to be that of the first record."""

    def __init__(self, plan: RepartitionPlan, partition: int, start: int | None = None) -> None:
        topic = plan.intake.topic
        self.name = f"repartition:{topic.name}:{partition}"
        self._plan = plan
        self._partition = partition
        self._start = start
        self._erases = topic.tombstone == "delete"
        self._vouched = Vouched()
        self._tick = blocks.NO_TICK

    @property
    def finished(self) -> int:
        return self._tick

    def prepare(self, batch: Batch) -> None:
        """The schemas that its records were written by."""
        if self._plan.intake.writers is not None:
            self._plan.intake.writers.prepare(batch)

    def apply(self, batch: Batch) -> Outputs:
        out = Outputs()
        if not len(batch):
            return out
        batch = self._vouched.bounded(batch)
        self._move(batch, self._partitions_of(batch), out)
        return out

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        """The time goes to every partition: whoever reads one waits for all source partitions."""
        out = Outputs()
        # Told once more after a restart: the log has it already.
        if now_ms <= self._tick:
            return out
        self._tick = now_ms
        value = blocks.encode(self._block(None, now_ms, partitions))
        for to in range(self._plan.partitions):
            out.appends.append(Append(self._plan.to, to, [value], now_ms))
        return out

    def write(self) -> None:
        """It writes to no store."""

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """What settings decide is decided where records are settled."""
        return False

    def doubts(self, batch: Batch, now_ms: int) -> bool:
        return bool((self._vouched.bounded(batch).times > latest_ms(now_ms)).any())

    def vouch(self, batch: Batch, now_ms: int) -> None:
        self._vouched.note(batch, now_ms)

    def turn(self, at: int, bound_ms: int | None) -> bool:
        """It remembers no ids."""
        return False

    def skip(self, batch: Batch) -> Outputs:
        """The record is moved without a look into it, as one that is refused."""
        out = Outputs()
        batch = self._vouched.bounded(batch)
        refused = np.full(len(batch), CRASH, np.uint8)
        self._move(batch, self._anywhere(batch), out, refused)
        return out

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        return {"tick": np.array([self._tick]), **self._vouched.dump()}

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        state = deltas[-1] if deltas else base
        self._tick = int(state["tick"][0])
        self._vouched.load(state)

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"finished": self._tick}
        if self._start is not None:
            found["start"] = [self._partition, self._start]
        return found

    def _partitions_of(self, batch: Batch) -> I64:
        """Where each record goes."""
        where = self._anywhere(batch)
        # No need to know an id of which there is one partition only.
        if self._plan.partitions == 1:
            return where
        intake = self._plan.intake
        codec = intake.codec
        if intake.writers is not None:
            codec = intake.writers.codec
        columns = decode(batch.data, batch.start, batch.end, codec)
        assert intake.topic.event_id is not None
        ids = columns.key(intake.topic.event_id)
        rows = np.flatnonzero(ids.valid & (columns.reason == OK))
        where[rows] = ids.take(rows).partitions(self._plan.partitions)
        if self._erases and batch.nulls is not None:
            self._place_tombstones(batch, where)
        return where

    def _place_tombstones(self, batch: Batch, where: I64) -> None:
        """To the partition of their key, which is the id of the events whose rows they erase: so
        they keep their order."""
        topic = self._plan.intake.topic
        assert topic.event_id is not None
        null = tombstones.rows_of(batch)
        keys = tombstones.texts_of(batch, null, topic.events[topic.event_id].key_kind)
        named = np.flatnonzero(keys.valid)
        where[null[named]] = keys.take(named).partitions(self._plan.partitions)

    def _anywhere(self, batch: Batch) -> I64:
        """Where records go that have no id: the same partition, whoever reads them."""
        return np.full(len(batch), self._partition % self._plan.partitions)

    def _move(
        self,
        batch: Batch,
        where: I64,
        out: Outputs,
        refused: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        rows = rows_of(batch, refused)
        time_ms = int(batch.times[-1])
        for to in np.unique(where).tolist():
            mine = rows
            if self._plan.partitions > 1:
                mine = rows.take(pa.array(np.flatnonzero(where == to)))
            values = blocks.encode_parts(self._block(mine))
            out.appends.append(Append(self._plan.to, to, values, time_ms))

    def _block(
        self, rows: pa.RecordBatch | None, tick: int = blocks.NO_TICK, partitions: int = 1
    ) -> Block:
        name = self._plan.intake.topic.name
        return Block(blocks.RECORDS, name, self._partition, rows, tick, partitions)
