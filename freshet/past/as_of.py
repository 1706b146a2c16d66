"""What a join knew at an earlier moment: its outcomes log once more, without anything that was
appended after that.

A question is of its own moment. A label is of when its event was appended to its topic: where it
stood in a batch of intake, or how late that wrote it on, decides nothing. So whatever is appended
later, and wherever it came to stand among the rest, changes no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from freshet.audit.kept import taken_on
from freshet.learners.model import Model
from freshet.past.own_logs import Told, blocks_in
from freshet.roles.plans import join_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.durations import text_of
from freshet.schemas.models.layout import Layout, stamps_of
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK, Block
from freshet.schemas.wire.outcomes import fixed_of
from freshet.streams.join.task import JoinTask
from freshet.streams.log.contract import Batch
from freshet.streams.log.errors import NoSuchTopic
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.checkpoints import Checkpoints, kept_as
from freshet.streams.operators.task import from_json

Place = tuple[int, int]


def joined_as_of(run: OpenedRun, model: Model, as_of_ms: int) -> Iterator[Told]:
    """The blocks of the examples log as they would be if nothing had been appended after a moment:
    by the kernels of the join."""
    plan = join_plan(run.app, model)
    task = JoinTask(plan, 0)
    # Records of people, who do not say when they were sent.
    redriven = 0
    # A run of an earlier version has no such log.
    with suppress(NoSuchTopic):
        redriven = run.log.since(run.app.redriven_log, as_of_ms + 1)[0]
    known = _Known(
        Layout((), (), stamps_of(model.task)),
        as_of_ms,
        ends(run, model.label.topic, as_of_ms),
        redriven,
    )
    log = run.app.outcomes_log_of(model)
    changes = _changed_waits(run, model)
    with PartitionSpans(run.log, log) as outcomes:
        for batch in outcomes.read(outcomes.first, outcomes.after):
            for told in blocks_in(batch):
                while changes and told.offset >= changes[0][0]:
                    at, wait_ms = changes.pop(0)
                    declared = model.label.topic.freshness
                    changed = replace(declared, label_wait=text_of(wait_ms))
                    task.configure({plan.label_topic: changed}, at)
                block = known.of(told.block)
                if block is not None:
                    yield from _applied(task, told.offset, block)


def _applied(task: JoinTask, offset: int, block: Block) -> Iterator[Told]:
    value = np.frombuffer(blocks.encode(block), np.uint8)
    whole = np.array([len(value)])
    start = np.zeros(1, np.int64)
    # When its record was appended says nothing here: nobody keeps what is made of it.
    made = task.apply(Batch("", 0, value, start, whole, np.array([offset]), start))
    for append in made.appends:
        for emitted in append.values:
            yield Told(offset, blocks.decode(emitted))


@dataclass(frozen=True)
class _Known:
    """What of an outcomes log was known at `as_of_ms`: of labels those that stand before the `ends`
    of their partitions, or of the log of letters that were sent again."""

    layout: Layout
    as_of_ms: int
    ends: Mapping[int, Place]
    end_of_redriven: int

    def of(self, block: Block) -> Block | None:
        """What was known of a block; None where that is nothing."""
        rows = block.rows
        if rows is not None:
            rows = self._rows(block, rows)
        tick = block.tick
        if tick > self.as_of_ms:
            tick = NO_TICK
        if rows is None and tick == NO_TICK:
            return None
        return replace(block, rows=rows, tick=tick)

    def _rows(self, block: Block, rows: pa.RecordBatch) -> pa.RecordBatch | None:
        if block.kind == blocks.PREDICTIONS:
            is_known = fixed_of(rows, self.layout)["asked_at"] <= self.as_of_ms
        else:
            offset, index = self.ends.get(block.partition, (0, 0))
            if block.origin.startswith(blocks.SENT_AGAIN):
                # Of when it was sent again: nobody knew of it before.
                offset, index = self.end_of_redriven, 0
            offsets = rows.column("_offset").to_numpy()
            indices = rows.column("_index").to_numpy()
            is_known = (offsets < offset) | ((offsets == offset) & (indices < index))
        if is_known.all():
            return rows
        known = rows.take(pa.array(np.flatnonzero(is_known)))
        return known.replace_schema_metadata(rows.schema.metadata) if len(known) else None


def ends(run: OpenedRun, topic: Topic, as_of_ms: int) -> dict[int, Place]:
    """By partition of the log in which a topic's events are settled, the place (offset, and index
    in that) of the first event that was appended after a moment."""
    log = run.app.settled_log_of(topic)
    return {
        partition: _end(run, topic, partition, first, as_of_ms)
        for partition, first in run.log.since(log, as_of_ms + 1).items()
    }


def _end(run: OpenedRun, topic: Topic, partition: int, first: int, as_of_ms: int) -> Place:
    log = run.app.settled_log_of(topic)
    url = run.settings.checkpoints_url
    # Of records that were moved the times were bounded before that.
    vouched = [] if topic.by_id else taken_on(run.log, url, topic, log, partition).vouched
    with PartitionSpans(run.log, log, partition) as spans:
        for batch in spans.read(first, spans.after):
            if topic.by_id:
                for offset, block in blocks_in(batch):
                    later = _later_rows(block, as_of_ms)
                    if len(later):
                        return offset, int(later[0])
                continue
            times = batch.times.copy()
            # A record that said a time to come was taken to be of when it was read.
            for begin, until, latest in vouched:
                inside = (batch.offsets >= begin) & (batch.offsets < until)
                times[inside] = np.minimum(times[inside], latest)
            later = np.flatnonzero(times > as_of_ms)
            if len(later):
                return int(batch.offsets[later[0]]), 0
        return spans.after, 0


def _later_rows(block: Block, as_of_ms: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    if block.rows is None:
        return np.empty(0, np.intp)
    return np.flatnonzero(block.rows.column("time").to_numpy() > as_of_ms)


def _changed_waits(run: OpenedRun, model: Model) -> list[tuple[int, int]]:
    """From which offsets on how long the join waited for labels (ms), where that was changed."""
    log = run.app.outcomes_log_of(model)
    task = kept_as(f"join:{model.name}:0", model.digest)
    identity = run.log.bounds(log).identity
    found = Checkpoints(run.settings.checkpoints_url, task, identity).load()
    if found is None:
        return []
    _, base, deltas = found
    newest = deltas[-1] if deltas else base
    changes = from_json(newest["settings"]) if "settings" in newest else []
    return [(at, wait_ms) for at, name, wait_ms in changes or [] if name == "label_wait"]
