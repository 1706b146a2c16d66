"""The operator loop: one process of a role, any number of tasks, these steps in order:

1 poll · 2 decode · 3 drop what was had before · 4 validate · 5 deduplicate · 6 filter · 7 impute ·
8 apply · 9 write rows · 10 append and flush · 11 checkpoint · 12 commit

Steps 2 to 8 are the task's, which needs some of them. The order is what makes a restart anywhere
harmless: rows are written before anybody is told of their events, outputs are flushed before a
checkpoint says that they are made, and a group's offsets follow the checkpoints.

While the store is away, or the role is held by a switch, it reads nothing: memory stays bounded,
and nothing is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from polars.exceptions import PanicException

from freshet.schemas.errors import (
    ComponentError,
    SnapshotError,
    StoreError,
)
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire.messages import Message
from freshet.streams.control.channels import Channels, send
from freshet.streams.garbage import leave_alone
from freshet.streams.log.contract import (
    Batch,
    Log,
    TopicPartition,
)
from freshet.streams.operators.assignment import (
    AT_ONCE,
    Assignment,
    Since,
)
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.crashes import Crashes
from freshet.streams.operators.dead_letters import letters, letters_of_rows
from freshet.streams.operators.listener import LISTEN_SECONDS, Listener
from freshet.streams.operators.reading import MAX_RECORDS, Reading, Waiting
from freshet.streams.operators.report import STATUS_SECONDS, Reporter
from freshet.streams.operators.task import (
    Append,
    Outputs,
    Task,
)
from freshet.streams.operators.ticks import (
    Pace,
    Ticker,
    Untimed,
)
from freshet.streams.operators.turn import Turn, append_all
from freshet.streams.outages import Outages
from freshet.streams.vitals.vitals import Vitals

# These are no record's fault: the role waits, or ends and is started again.
ENVIRONMENT = (ComponentError, SnapshotError, OSError, MemoryError)
# After so many turns of work all is loaded that stays: with the first batch kernels, later what is
# seldom needed.
SETTLED = (1, 100)
WAITS = "this role waits and reads nothing; its rows are written once the store is back"


def first_retained(topic: str) -> Mapping[int, int]:
    """Every partition begins at its first record."""
    return {}


@dataclass(frozen=True)
class Job:
    """What an operator is there for: the tasks that `make_task` builds, one for each partition of
    `topics` that it is given as a member of `group` (the role's name where there is none).

    `declared` is the freshness of the app's topics, by name; `origin_of` names a log in dead
    letters, which go to the log `dead`; by `pace` it tells its tasks the time (`Untimed`: they hear
    of it from their log); `kept_as` says under which name a task keeps its checkpoints, `starts` at
    which offsets partitions of a log begin without one (what it leaves out: at the first record).
    `headers` are those that records of a log are read with.
    """

    role: str
    topics: Sequence[str]
    make_task: Callable[[str, int], Task]
    group: str | None = None
    declared: Mapping[str, Freshness] = field(default_factory=dict)
    origin_of: Callable[[str], str] = str
    dead: str = "dead"
    pace: Pace = field(default_factory=Untimed)
    kept_as: Callable[[str], str] = str
    starts: Callable[[str], Mapping[int, int]] = first_retained
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where it works: its log, the app's logs of messages, where checkpoints lie, and the app's
    clock (ms), by which messages are stamped."""

    log: Log
    channels: Channels
    checkpoints_url: str
    now_ms: Callable[[], int]
    vitals: Vitals | None = None


@dataclass(frozen=True)
class Steering:
    """What may be asked of it while it runs: whether it is `held`, and for how many seconds it
    may wait for a fuller batch under the settings that hold now."""

    held: Callable[[], bool] = lambda: False
    gather_seconds: Callable[[Mapping[str, Freshness]], float] = lambda settings: 0.0


@dataclass(frozen=True)
class Rhythm:
    """How often it does what it does now and then, by the clock `wall` (seconds)."""

    checkpoint_seconds: float = 5.0  # what is read again after a kill
    status_seconds: float = STATUS_SECONDS
    listen_seconds: float = LISTEN_SECONDS
    rows_seconds: float = 1.0  # how long a store that lost rows may go unnoticed in a quiet view
    retry_seconds: float = 0.5  # between two tries to write rows
    idle_seconds: float = 0.5  # how long a stop may go unnoticed where nothing comes
    max_records: int = MAX_RECORDS
    wall: Callable[[], float] = time.monotonic


class Operator:
    """Does a job at a place until it is stopped."""

    def __init__(
        self,
        job: Job,
        place: Place,
        steering: Steering | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        rhythm = rhythm or Rhythm()
        instance = f"{job.role}/{uuid.uuid4().hex[:8]}"
        self.vitals = place.vitals or Vitals(job.role, instance, Outages())
        self._outages = self.vitals.outages
        self._job = job
        self._place = place
        self._steering = steering or Steering()
        self._rhythm = rhythm
        self._assigned: dict[TopicPartition, Assignment] = {}
        self._turn = Turn()
        self._crashes = Crashes()
        self._checkpointed_at = rhythm.wall()
        self._must_checkpoint = False
        self._records = 0
        self._resting = False
        self._idle = False  # whether the turn before had nothing to do
        self._has_heard = False  # since tasks were told what is set
        self._writer = place.log.writer()
        self._listener = Listener(
            place.log,
            place.channels.control,
            job.declared,
            job.pace,
            rhythm.wall,
            rhythm.listen_seconds,
        )
        self._ticker = Ticker(job.pace, place.log.bounds)
        self._reporter = Reporter(self.vitals, rhythm.wall, rhythm.status_seconds)
        self._reader = place.log.reader(
            job.topics,
            job.group or job.role,
            self._assign,
            self._revoke,
            self._lose,
            headers=job.headers,
        )
        self._reading = Reading(self._reader, rhythm.max_records)
        self._waiting = Waiting(self._reader, self._outages, rhythm.wall, rhythm.retry_seconds)

    @property
    def role(self) -> str:
        return self._job.role

    def run(self, stop: threading.Event) -> None:
        """Loop until stopped; then finish the step, checkpoint and close."""
        worked = 0
        try:
            while not stop.is_set():
                if self.step(self._rhythm.idle_seconds):
                    worked += 1
                    if worked in SETTLED:
                        leave_alone()
            self.checkpoint()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the log; state that was not checkpointed is computed again."""
        self._reader.close()
        self._listener.close()
        self._writer.close()

    def step(self, max_wait_seconds: float) -> bool:
        """One turn of the loop; whether anything was read, or the time told."""
        # Before records are read: where partitions end now must be known to tell what came since.
        wait_seconds = self._hear_the_time(max_wait_seconds)
        if self._listener.due:
            self._hear(0.0)
        if self._has_heard:
            self._configure()  # now, not after the next wait for records
        self._rest()
        batches = self._poll(wait_seconds)  # step 1
        for batch in batches:
            self._apply(batch)  # steps 2 to 8
        ticked = self._tick()
        self._look_after_rows()
        if self._turn and self._write_rows():  # step 9
            self._append()  # step 10
        # Once more: what was not written yet may have kept it from being taken on above.
        self._configure()
        if self._must_checkpoint or self._since_checkpoint() >= self._rhythm.checkpoint_seconds:
            self.checkpoint()  # steps 11 and 12
        self._report()
        self._idle = not batches and not ticked
        return not self._idle

    def tasks(self) -> list[Task]:
        """Of the partitions that it has now."""
        return [assigned.task for assigned in self._assigned.values()]

    def finished(self) -> list[int]:
        """The newest tick up to which each of its tasks has taken all input."""
        return [task.finished for task in self.tasks()]

    def checkpoint(self) -> None:
        """Save the state of every task that moved, then commit offsets for lag tools."""
        for key, assigned in self._assigned.items():
            self._save(key, assigned)
        saved = {key: assigned.saved for key, assigned in self._assigned.items()}
        self._reader.commit({key: offset for key, offset in saved.items() if offset is not None})
        # Else nothing was saved, and it is as urgent as before.
        if not self._turn:
            self._checkpointed_at = self._rhythm.wall()
            self._must_checkpoint = False

    # ---------------------------------------------------------------- what is heard beside records

    def _hear_the_time(self, max_wait_seconds: float) -> float:
        """Find out whether a tick is due, and where partitions end then; how long records may be
        waited for after that.

        In a replay nothing comes once all is read, until its clock moves: so that is waited for
        instead.
        """
        # Nobody knows yet whether there are records: they are waited for.
        by_messages = self._job.pace.by_messages and bool(self._assigned)
        has_work = not self._idle or self._ticker.waits
        if by_messages and not has_work:
            self._hear(max_wait_seconds)
        self._aim()
        if self._may_tick() or (by_messages and not self._ticker.waits):
            return 0.0
        return min(max_wait_seconds, self._job.pace.seconds_left())

    def _hear(self, max_wait_seconds: float) -> None:
        """Take in what was said on the control log."""
        self._has_heard = True
        if self._listener.hear(max_wait_seconds):
            for assigned in self._assigned.values():
                assigned.settings_pending = assigned.settings_pending or AT_ONCE

    def _configure(self) -> None:
        """Tell tasks what is set, and let them forget, each at a checkpoint, which records it."""
        if self._turn:
            return
        self._has_heard = False
        settings = self._listener.settings
        bound_ms = self._job.pace.bound_ms()
        for key, assigned in self._assigned.items():
            read = self._reader.position(*key)
            since = Since(read, self._listener.position)
            is_configured = assigned.configure(settings, since, self._listener.holds)
            is_turned = assigned.turn(read, bound_ms)
            is_settled = assigned.settle()
            if is_configured or is_turned or is_settled:
                self._save(key, assigned, changed=True)

    # ------------------------------------------------------------------------------- records, ticks

    def _rest(self) -> None:
        """Read nothing while something is unwritten, or the role is held; else go on."""
        self._resting = bool(self._turn) or self._steering.held()
        self._reading.rest(self._resting, list(self._assigned))
        if not self._resting:
            self._waiting.go_on()

    def _poll(self, max_wait_seconds: float) -> list[Batch]:
        if self._resting:
            max_wait_seconds = min(max_wait_seconds, self._rhythm.retry_seconds)
        return self._reading.gather(max_wait_seconds, self._more_seconds, self._may_tick)

    def _more_seconds(self) -> float:
        """A replay waits for what comes of records, not for more of them."""
        if self._job.pace.by_messages:
            return 0.0
        return self._steering.gather_seconds(self._listener.settings)

    def _apply(self, batch: Batch) -> None:
        """Give a batch to its task. One that crashes is built anew, and reads from its checkpoint
        once more.

        What follows a skipped record is read once that is behind a checkpoint: whoever started from
        before it might get over it, and must not have told of later ones.
        """
        key = (batch.topic, batch.partition)
        assigned = self._assigned[key]
        batch = self._within_reach(key, batch)
        if not len(batch) or not self._waiting.may_apply(key, batch, assigned.preparing):
            return
        end = int(batch.offsets[-1]) + 1
        # Part of the turn only once all pieces are through: a task that crashes leaves nothing.
        made = Outputs()
        assigned.vouch(batch, self._job.pace.bound_ms())
        for piece, is_skipped in self._crashes.pieces(batch):
            try:
                out = self._skip(piece) if is_skipped else assigned.task.apply(piece)
            # No record's fault: the next one would fare no better, and none is buried for it.
            except ENVIRONMENT:
                raise
            # Polars panics by an exception that Python does not count among `Exception`.
            except (Exception, PanicException) as error:
                self._crashes.note(piece, error)
                self._begin_again(key)
                return
            made.appends.extend(out.appends)
            made.messages.extend(out.messages)
            if is_skipped:
                end = int(piece.offsets[-1]) + 1
                self._reader.seek(*key, end)
                self._must_checkpoint = True
                break
        self._turn.add(key, assigned.task, made)
        assigned.next = end
        self._records += int(np.searchsorted(batch.offsets, end))

    def _within_reach(self, key: TopicPartition, batch: Batch) -> Batch:
        """What may be applied now. What may not is read once more after a checkpoint."""
        found = self._assigned[key].within_reach(batch)
        if len(found) < len(batch):
            self._reader.seek(*key, int(batch.offsets[len(found)]))
            self._must_checkpoint = True
        return found

    def _skip(self, piece: Batch) -> Outputs:
        """Settle a record that crashed its task too often: a dead letter, and whatever the task
        must know of it."""
        origin = self._job.origin_of(piece.topic)
        error = self._crashes.error(piece)
        values = letters(piece, np.zeros(1, np.int64), origin, ["crash"], [None], [error])
        task = self._assigned[piece.topic, piece.partition].task
        try:
            out = task.skip(piece)
        except Exception as fault:
            where = f"record {int(piece.offsets[0])} of {piece.topic}"
            raise ComponentError(
                task.name, f"cannot even skip {where}: {fault}", "See the log."
            ) from fault
        letter = Append(self._job.dead, 0, values, int(piece.times[0]))
        return Outputs([*out.appends, letter], out.messages)

    def _begin_again(self, key: TopicPartition) -> None:
        """Build the task of a partition anew, from its checkpoint."""
        self._turn.drop(key)
        start = self._assign([key])
        self._reader.seek(*key, start[key])

    def _aim(self) -> None:
        self._ticker.aim({key: a.task.finished for key, a in self._assigned.items()})

    def _may_tick(self) -> bool:
        return self._ticker.waits and bool(self._ticker.reached(self._reader.position))

    def _tick(self) -> bool:
        """Tell the time to tasks that have all which their partition held then; whether to any."""
        if self._resting:
            return False
        self._aim()  # partitions that came meanwhile, too
        reached = self._ticker.reached(self._reader.position)
        for key, goal in reached.items():
            self._ticker.done(key)
            assigned = self._assigned[key]
            if assigned.ticking is not None:
                out = assigned.ticking.tick(goal.tick, goal.partitions)
                self._turn.add(key, assigned.task, out)
        return bool(reached)

    # ----------------------------------------------------------------- rows, outputs, checkpoints

    def _look_after_rows(self) -> None:
        """Tasks that had nothing to write for a while do all the same: the store may have lost
        their rows."""
        before = self._rhythm.wall() - self._rhythm.rows_seconds
        for key, assigned in self._assigned.items():
            if assigned.written_at < before:
                self._turn.tasks[key] = assigned.task

    def _write_rows(self) -> bool:
        """Whether all rows of the turn are written. While the store is away nothing of the turn is
        done, and all of it kept."""
        try:
            for key, task in self._turn.tasks.items():
                task.write()
                assigned = self._assigned[key]
                assigned.written_at = self._rhythm.wall()
                self._bury_rows(key, assigned)
        except StoreError as error:
            self._outages.begin(error, WAITS)
            return False
        self._outages.over("store")
        return True

    def _bury_rows(self, key: TopicPartition, assigned: Assignment) -> None:
        """Rows that the store refuses are dead letters, and hold nothing up."""
        if assigned.refusable is None:
            return
        refused = assigned.refusable.refused_rows()
        if refused:
            topic, partition = key
            values = letters_of_rows(refused, self._job.origin_of(topic), partition)
            self._turn.appends.append(Append(self._job.dead, 0, values, self._place.now_ms()))

    def _append(self) -> None:
        """Append what the turn made, and flush; then tell of it."""
        # Flushed before anything is told of it: nobody may hear of what can still be lost.
        append_all(self._writer, self._turn.appends)
        self._tell(self._turn.messages)
        self._turn = Turn()

    def _since_checkpoint(self) -> float:
        return self._rhythm.wall() - self._checkpointed_at

    def _save(self, key: TopicPartition, assigned: Assignment, changed: bool = False) -> None:
        """Nothing while something is not written or appended yet."""
        if not self._turn and assigned.save(changed):
            self._crashes.passed(key, assigned.position)

    def _report(self) -> None:
        """Progress when it changed, with the rows and records it stands for safe; figures now and
        then."""
        tasks = self.tasks()
        progress = [] if self._turn else self._reporter.progress(tasks)
        own = {"records": self._records, "held": self._steering.held()}
        self._tell([*progress, *self._reporter.status(tasks, own)])

    def _tell(self, messages: Sequence[Message]) -> None:
        if messages:
            send(self._writer, self._place.channels, messages, self._place.now_ms())

    # ------------------------------------------------------------- partitions that come and go

    def _assign(self, gained: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Build each task, load its newest checkpoint and start where that ends."""
        heard = self._listener.end()
        for topic, partition in gained:
            bounds = self._place.log.bounds(topic)
            task = self._job.make_task(topic, partition)
            first, end = bounds.spans[partition]
            first = self._job.starts(topic).get(partition, first)
            url = self._place.checkpoints_url
            kept_as = self._job.kept_as(task.name)
            checkpoints = Checkpoints(url, kept_as, bounds.identity, self._outages)
            pending = Since(end, heard)
            self._assigned[topic, partition] = Assignment.resumed(task, checkpoints, first, pending)
        for key in gained:
            # Written before they report: the store may have lost their rows meanwhile, and is told
            # where there are none.
            self._turn.tasks[key] = self._assigned[key].task
        return {key: self._assigned[key].start for key in gained}

    def _revoke(self, going: Sequence[TopicPartition]) -> None:
        """They go to another member, which waits: what is done is saved for it."""
        for key in going:
            if key in self._assigned:
                self._save(key, self._assigned[key])
        self._lose(going)

    def _lose(self, gone: Sequence[TopicPartition]) -> None:
        """They are another member's by now, so nothing of them may be written or saved."""
        for key in gone:
            self._assigned.pop(key, None)
            self._turn.drop(key)
            self._crashes.forget(key)
            self._ticker.done(key)
        self._reading.forget(gone)
        self._waiting.forget(gone)
