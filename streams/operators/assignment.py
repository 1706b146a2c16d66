"""A partition that an operator was given: its task, where that stands in the log, and its
checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from freshet.schemas.topics.topic import Freshness
from freshet.streams.log.contract import Batch
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import Recording, Task

log = structlog.get_logger()


class Since(NamedTuple):
    """Offsets of a partition's own log and of the control log."""

    read: int
    heard: int


AT_ONCE = Since(0, 0)


@dataclass
class Assignment:
    """`start` is where it began to read, `next` the offset after what was applied (None: nothing
    yet), `saved` that of its newest checkpoint, `written_at` when its rows were last written
    (monotonic, seconds).

    `settings_pending` is set while the task may not know what is set for its topics: where both
    logs must have got to before it is told. It, or whoever had the partition before, may have told
    of what its log held when it was assigned, under the settings of the checkpoint; and what it is
    told must not be out of date. `held` is where its log ended when it was assigned.
    """

    task: Task
    checkpoints: Checkpoints
    start: int
    settings_pending: Since | None
    held: int
    next: int | None = None
    saved: int | None = None
    written_at: float = float("-inf")  # never, so it is due

    @classmethod
    def resumed(
        cls, task: Task, checkpoints: Checkpoints, first: int, settings_pending: Since
    ) -> Assignment:
        """From its newest checkpoint, or from offset `first` where there is none."""
        found = checkpoints.load()
        if found is None:
            return cls(task, checkpoints, first, settings_pending, settings_pending.read)
        offset, base, deltas = found
        task.load(base, deltas)
        log.info("resumed", task=task.name, offset=offset)
        held = settings_pending.read
        return cls(task, checkpoints, offset, settings_pending, held, offset, offset)

    @property
    def position(self) -> int:
        """The offset of the record that comes next."""
        return self.start if self.next is None else self.next

    def save(self, changed: bool = False) -> bool:
        """A checkpoint, if the task has moved since the last one, or something else `changed` it;
        whether there is one now."""
        if self.next is None or (self.saved == self.next and not changed):
            return False
        # A delta holds what records did; what else changed it may have changed anything.
        full = changed or self.checkpoints.wants_full
        state = self.task.dump(full)
        if state:
            self.checkpoints.save(self.next, state, full, changed)
            self.saved = self.next
        return bool(state)

    def configure(self, settings: Mapping[str, Freshness], now: Since) -> bool:
        """Take on what is set now, once that may be: `now` is how far its own log was read, records
        or not, and how far the control log. Whether it changed the task, which is then to be
        saved."""
        pending = self.settings_pending
        if pending is None or now.read < pending.read or now.heard < pending.heard:
            return False
        self.settings_pending = None
        at = self.position
        if not self.task.configure(settings, at):
            return False
        log.info("settings taken on", task=self.task.name, offset=at)
        self.next = at
        return True

    def turn(self, read: int) -> bool:
        """Let the task forget what it may; whether it did, and is to be saved. Its own log was
        `read` so far: not before all is that it held when it was assigned, since whoever had the
        partition before may have got so far without."""
        if read < self.held or not isinstance(self.task, Recording):
            return False
        at = self.position
        if not self.task.turn(at):
            return False
        self.next = at
        return True

    def vouch(self, batch: Batch, bound_ms: int | None) -> None:
        """Have the task bound the times of records that come next by the clock (None: they need no
        bound), and save it before it takes them, if anything hangs on that."""
        if bound_ms is None or not isinstance(self.task, Recording):
            return
        # What it was told is the time, too, of a clock that may have been another process's.
        now_ms = max(bound_ms, self.task.finished)
        if self.task.doubts(batch, now_ms):
            self.task.vouch(batch, now_ms)
            self.next = self.position
            self.save(changed=True)
