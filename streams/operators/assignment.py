"""A partition that an operator was given: its task, where that stands in the log, and its
checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from freshet.schemas.models.spans import Span
from freshet.schemas.parted_arrays import PartedArrays
from freshet.schemas.topics.topic import Freshness
from freshet.streams.log.contract import Batch
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import (
    Claiming,
    Filing,
    Holdable,
    Preparing,
    Recording,
    Refusable,
    Returnable,
    Settling,
    Task,
    Ticking,
)

log = structlog.get_logger()
# Offsets that a recording task gets ahead of its checkpoint, at most: what 100,000 events a second
# bring between two checkpoints of the usual rhythm, so that these are not made to be more.
REACH = 1 << 19


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
    told must not be out of date. `held` is how far whoever had it before may have got: to the end
    of its log when it was assigned, and of a recording task no further than `REACH`. `recording` is
    the task as one that records what it takes on, if it does, `preparing` as one that needs to be
    prepared, `filing` as one that may keep files, `settling` as one that may have to be saved by
    itself, `ticking` as one that is told the time, `refusable` as one of whose rows some may be
    refused, `returnable` as one of whose earlier checkpoints some are kept, and `holdable` as one
    whose learning may be held.
    """

    task: Task
    checkpoints: Checkpoints
    start: int
    settings_pending: Since | None
    held: int
    next: int | None = None
    saved: int | None = None
    written_at: float = float("-inf")  # never, so it is due
    recording: Recording | None = field(init=False)
    preparing: Preparing | None = field(init=False)
    filing: Filing | None = field(init=False)
    settling: Settling | None = field(init=False)
    ticking: Ticking | None = field(init=False)
    refusable: Refusable | None = field(init=False)
    returnable: Returnable | None = field(init=False)
    holdable: Holdable | None = field(init=False)

    def __post_init__(self) -> None:
        # Once: what a protocol asks of a task costs more to find out than a batch's look-ups.
        self.recording = None
        if isinstance(self.task, Recording):
            self.recording = self.task
        self.preparing = None
        if isinstance(self.task, Preparing):
            self.preparing = self.task
        self.filing = None
        if isinstance(self.task, Filing):
            self.filing = self.task
        self.settling = None
        if isinstance(self.task, Settling):
            self.settling = self.task
        self.ticking = None
        if isinstance(self.task, Ticking):
            self.ticking = self.task
        self.refusable = None
        if isinstance(self.task, Refusable):
            self.refusable = self.task
        self.holdable = None
        if isinstance(self.task, Holdable):
            self.holdable = self.task
        self.returnable = None
        if isinstance(self.task, Returnable):
            self.returnable = self.task
            self.checkpoints.climb(self.returnable.earlier_bytes)

    @classmethod
    def resumed(
        cls, task: Task, checkpoints: Checkpoints, first: int, settings_pending: Since
    ) -> Assignment:
        """From its newest checkpoint, or from offset `first` where there is none."""
        if isinstance(task, Claiming):
            # Before it is loaded: what others save from now on counts no more.
            checkpoints.claim()
            task.claimed(checkpoints.is_last)
        folder = None
        if isinstance(task, Filing):
            folder = task.folder
        found = checkpoints.load(folder)
        end = settings_pending.read
        if found is None:
            held = min(end, first + REACH)
            return cls(task, checkpoints, first, settings_pending, held)
        offset, base, deltas = found
        task.load(base, deltas)
        log.info("resumed", task=task.name, offset=offset)
        held = min(end, offset + REACH)
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
        # A delta holds what records did; what else changed it may have changed anything, but for a
        # recording task. Nor does an object follow one of the same offset.
        follows = self.recording is not None and self.saved != self.next
        full = self.checkpoints.wants_full or (changed and not follows)
        files: Sequence[Path] = ()
        state: PartedArrays
        full = full or (self.filing is not None and self.filing.wants_full)
        clock_ms = None
        if self.returnable is not None:
            # Each holds everything: none has to stay for others, but as one to go back to.
            full = True
            clock_ms = self.task.finished
        if self.filing is not None and full:
            state = self.filing.dump_in_parts()
            files = self.filing.files()
        else:
            state = self.task.dump(full)
        if state:
            self.checkpoints.save(self.next, state, full, changed, files, clock_ms)
            self.saved = self.next
        return bool(state)

    def within_reach(self, batch: Batch) -> Batch:
        """The records of a batch that may be applied before the next checkpoint. Of a recording
        task whoever goes on from the last one is to know how far this one can have got without
        another."""
        if self.recording is None:
            return batch
        saved = max(self.start, self.saved or 0)
        if int(batch.offsets[-1]) < saved + REACH:
            return batch
        taken = int(np.searchsorted(batch.offsets, saved + REACH))
        found = batch.rows(0, taken)
        # A gap in the log: the checkpoint is as of what comes after it.
        if not len(found):
            self.next = int(batch.offsets[0])
        return found

    def configure(
        self,
        settings: Mapping[str, Freshness],
        now: Since,
        holds: Mapping[str, Sequence[Span]] | None = None,
    ) -> bool:
        """Take on what is set now, once that may be: `now` is how far its own log was read, records
        or not, and how far the control log. Whether it changed the task, which is then to be
        saved."""
        pending = self.settings_pending
        if pending is None or now.read < pending.read or now.heard < pending.heard:
            return False
        self.settings_pending = None
        at = self.position
        is_changed = self.task.configure(settings, at)
        if self.holdable is not None and holds is not None:
            is_changed |= self.holdable.hold(holds)
        if not is_changed:
            return False
        log.info("settings taken on", task=self.task.name, offset=at)
        self.next = at
        return True

    def turn(self, read: int, bound_ms: int | None) -> bool:
        """Let the task forget what it may; whether it did, and is to be saved. Its own log was
        `read` so far: not before all is that it held when it was assigned, since whoever had the
        partition before may have got so far without. `bound_ms` as in `vouch`."""
        if read < self.held or self.recording is None:
            return False
        at = self.position
        if not self.recording.turn(at, bound_ms):
            return False
        self.next = at
        return True

    def settle(self) -> bool:
        """Whether the task has something to save by itself."""
        if self.settling is None or not self.settling.settles():
            return False
        self.next = self.position
        return True

    def vouch(self, batch: Batch, bound_ms: int | None) -> None:
        """Have the task bound the times of records that come next by the clock (None: they need no
        bound), and save it before it takes them, if anything hangs on that."""
        if bound_ms is None or self.recording is None:
            return
        # What it was told is the time, too, of a clock that may have been another process's.
        now_ms = max(bound_ms, self.task.finished)
        if self.recording.doubts(batch, now_ms):
            self.recording.vouch(batch, now_ms)
            self.next = self.position
            self.save(changed=True)
