"""The operator loop: one process of a role, any number of tasks, the steps of DESIGN in order.

poll → apply (decode … route, or fold, or join) → write rows → append and flush → checkpoint → commit → report
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil
import structlog

from schemas import messages
from schemas.blocks import NO_TICK
from schemas.errors import StoreError
from streams.checkpoints import Checkpoints
from streams.follower import Channels, send
from streams.log import Batch, Log, TopicPartition
from streams.task import Append, Task

log = structlog.get_logger()


def own_facts() -> dict[str, float]:
    """What every role tells of its own process."""
    memory = psutil.Process().memory_info().rss
    return {"memory_mb": round(memory / 1e6, 1), "cpu_seconds": round(time.process_time(), 2)}


MAX_RECORDS = 20_000
IDLE_SECONDS = 0.5
CHECKPOINT_SECONDS = 5.0
STATUS_SECONDS = 1.0
RETRY_SECONDS = 0.5


class Operator:
    """Runs the tasks of the partitions that the log gives it, until `stop` is set.

    `make_task` builds the task of a partition; checkpoints live under `checkpoints_url`; everything that other roles
    should know goes to `channels`.
    """

    def __init__(
        self,
        role: str,
        log_: Log,
        topics: Sequence[str],
        make_task: Callable[[str, int], Task],
        checkpoints_url: str,
        channels: Channels,
        app_clock_ms: Callable[[], int],
        group: str | None = None,
        instance: str | None = None,
    ) -> None:
        self.role, self.instance = role, f"{instance or role}/{uuid.uuid4().hex[:8]}"
        self._log, self._topics, self._make_task = log_, topics, make_task
        self._url, self._channels, self._now_ms = checkpoints_url, channels, app_clock_ms
        self._tasks: dict[TopicPartition, Task] = {}
        self._checkpoints: dict[TopicPartition, Checkpoints] = {}
        self._next: dict[TopicPartition, int] = {}
        self._saved: dict[TopicPartition, int] = {}
        self._reported: dict[str, int] = {}
        self._checkpointed_at = self._status_at = time.monotonic()
        self._records = 0
        self._stop = threading.Event()
        self._writer = log_.writer()
        self._reader = log_.reader(topics, group or role, self._assign, self._revoke, self._lose)

    def run(self, stop: threading.Event) -> None:
        """Loop until stopped; then finish the step, checkpoint and close."""
        self._stop = stop
        try:
            while not stop.is_set():
                self.step(IDLE_SECONDS)
            self.checkpoint()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the log; state that was not checkpointed is computed again."""
        self._reader.close()
        self._writer.close()

    def step(self, max_wait_seconds: float) -> bool:
        """One turn of the loop; whether anything was read."""
        batches = self._reader.poll(MAX_RECORDS, max_wait_seconds)
        if batches:
            self._apply(batches)
        if time.monotonic() - self._checkpointed_at >= CHECKPOINT_SECONDS:
            self.checkpoint()
        self._report()
        return bool(batches)

    def finished(self) -> list[int]:
        """The newest tick up to which each of its tasks has taken all input."""
        return [task.finished for task in self._tasks.values()]

    def _apply(self, batches: list[Batch]) -> None:
        appends: list[Append] = []
        told: list[messages.Message] = []
        for batch in batches:
            key = (batch.topic, batch.partition)
            out = self._tasks[key].apply(batch)
            appends += out.appends
            told += out.messages
            self._next[key] = int(batch.offsets[-1]) + 1
            self._records += len(batch)
        for batch in batches:
            self._write(self._tasks[batch.topic, batch.partition])
        for a in appends:
            self._writer.append(a.topic, a.partition, a.values, a.time_ms)
        if appends:
            self._writer.flush()
        self._tell(told)

    def _write(self, task: Task) -> None:
        """Rows to the store. While it is away nothing is read, so memory stays bounded, and nothing is lost."""
        while True:
            try:
                task.write()
                return
            except StoreError as error:
                log.error("store is away; this role waits, and reads nothing meanwhile", error=str(error))
                if self._stop.wait(RETRY_SECONDS):
                    raise

    def checkpoint(self) -> None:
        """Save the state of every task that moved, then commit offsets for lag tools."""
        for key, task in self._tasks.items():
            self._save(key, task)
        self._reader.commit(self._saved)
        self._checkpointed_at = time.monotonic()

    def _save(self, key: TopicPartition, task: Task) -> None:
        at = self._next.get(key)
        if at is None or self._saved.get(key) == at:
            return
        store = self._checkpoints[key]
        full = store.wants_full
        state = task.dump(full)
        if state:
            store.save(at, state, full)
            self._saved[key] = at

    def _report(self) -> None:
        """Progress when it changed, with the rows and records it stands for safe; figures once a second.

        A task that was resumed reports, too, before anything new came: whoever made its checkpoint may have ended before it
        could, and a replay waits for it.
        """
        ticks = {t.name: t.finished for t in self._tasks.values() if t.finished != NO_TICK}
        news = {k: v for k, v in ticks.items() if self._reported.get(k) != v}
        told: list[messages.Message] = []
        if news:
            told.append(messages.Progress(self.role, self.instance, news))
            self._reported |= news
        if time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._status_at = time.monotonic()
            told.append(self._status())
        self._tell(told)

    def _status(self) -> messages.Status:
        facts: dict[str, Any] = {t.name: t.facts() for t in self._tasks.values()}
        facts["records"] = self._records
        facts |= own_facts()
        return messages.Status(self.role, self.instance, os.getpid(), time.time_ns() // 1_000_000, facts)

    def _tell(self, told: Sequence[messages.Message]) -> None:
        if told:
            send(self._writer, self._channels, told, self._now_ms())

    def _assign(self, gained: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Build each task, load its newest checkpoint and start where that ends."""
        start = {}
        for topic, partition in gained:
            task = self._make_task(topic, partition)
            bounds = self._log.bounds(topic)
            store = Checkpoints(self._url, task.name, bounds.identity)
            found = store.load()
            key = (topic, partition)
            if found is not None:
                offset, base, deltas = found
                task.load(base, deltas)
                self._write(task)  # before it reports: the store may have lost its rows meanwhile
                start[key] = self._next[key] = self._saved[key] = offset
                log.info("resumed", task=task.name, offset=offset)
            else:
                start[key] = bounds.spans[partition][0]
            self._tasks[key], self._checkpoints[key] = task, store
        return start

    def _revoke(self, going: Sequence[TopicPartition]) -> None:
        for key in going:
            if key in self._tasks:
                self._save(key, self._tasks[key])
        self._lose(going)

    def _lose(self, gone: Sequence[TopicPartition]) -> None:
        for key in gone:
            for table in (self._tasks, self._checkpoints, self._next, self._saved):
                table.pop(key, None)
