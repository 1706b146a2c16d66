"""A partition that an operator was given: its task, where that stands in the log, and its
checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from freshet.schemas.topics.topic import Freshness
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import Task

log = structlog.get_logger()


@dataclass
class Assignment:
    """`start` is where it began to read, `next` the offset after what was applied (None: nothing
    yet), `saved` that of its newest checkpoint, `written_at` when its rows were last written
    (monotonic, seconds).

    `untold` is set while the task may not know what is set for its topics: the offsets of its own
    log and of the control log from which on it may be told. It, or whoever had the partition
    before, may have told of what its log held when it was assigned, under the settings of the
    checkpoint; and what it is told must not be out of date.
    """

    task: Task
    checkpoints: Checkpoints
    start: int
    untold: tuple[int, int] | None
    next: int | None = None
    saved: int | None = None
    written_at: float = float("-inf")

    @classmethod
    def begun(
        cls, task: Task, checkpoints: Checkpoints, first: int, untold: tuple[int, int]
    ) -> Assignment:
        """From its newest checkpoint, or from offset `first` where there is none."""
        found = checkpoints.load()
        if found is None:
            return cls(task, checkpoints, first, untold)
        offset, base, deltas = found
        task.load(base, deltas)
        log.info("resumed", task=task.name, offset=offset)
        return cls(task, checkpoints, offset, untold, offset, offset)

    @property
    def position(self) -> int:
        """The offset of the record that comes next."""
        return self.start if self.next is None else self.next

    def save(self, again: bool = False) -> bool:
        """A checkpoint, if the task has moved since the last one, or something else changed it
        (`again`); whether there is one now."""
        if self.next is None or (self.saved == self.next and not again):
            return False
        full = again or self.checkpoints.wants_full
        state = self.task.dump(full)
        if state:
            self.checkpoints.save(self.next, state, full, again)
            self.saved = self.next
        return bool(state)

    def tell(self, settings: Mapping[str, Freshness], read: int, heard: int) -> bool:
        """Take on what is set now, once that may be: `read` is how far its own log was read,
        records or not, and `heard` how far the control log. Whether it changed the task, which is
        then to be saved."""
        if self.untold is None or read < self.untold[0] or heard < self.untold[1]:
            return False
        self.untold, at = None, self.position
        if not self.task.configure(settings, at):
            return False
        log.info("settings taken on", task=self.task.name, offset=at)
        self.next = at
        return True
