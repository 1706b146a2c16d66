"""A partition that an operator was given: its task, where that stands in the log, and its
checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from freshet.schemas.topics.topic import Freshness
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import Task

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
    told must not be out of date.
    """

    task: Task
    checkpoints: Checkpoints
    start: int
    settings_pending: Since | None
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
            return cls(task, checkpoints, first, settings_pending)
        offset, base, deltas = found
        task.load(base, deltas)
        log.info("resumed", task=task.name, offset=offset)
        return cls(task, checkpoints, offset, settings_pending, offset, offset)

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
