"""The operator loop: one process of a role, any number of tasks, these steps in order:

poll → apply (decode … route, or fold, or join) → tick (intake) → write rows → append and flush →
checkpoint → commit → report

While the store is away, or the role is held by a switch, it reads nothing: memory stays bounded,
and nothing is lost.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from polars.exceptions import PanicException

from freshet.schemas.errors import ComponentError, SnapshotError, StoreError
from freshet.schemas.sizes import READ_BYTES
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import messages
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.control.channels import Channels, Follower, send
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.log.contract import Batch, Log, TopicPartition, joined
from freshet.streams.operators.assignment import Assignment
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.crashes import Crashes
from freshet.streams.operators.dead_letters import letters
from freshet.streams.operators.task import Append, Outputs, Task, Ticking
from freshet.streams.operators.ticks import Pace, Ticker
from freshet.streams.outages import Outages
from freshet.streams.vitals.vitals import Vitals

log = structlog.get_logger()

MAX_RECORDS = 20_000
IDLE_SECONDS = 0.5
CHECKPOINT_SECONDS = 5.0
STATUS_SECONDS = 1.0
RETRY_SECONDS = 0.5
LISTEN_SECONDS = 0.2
ROWS_SECONDS = 1.0  # how long a store that lost rows may go unnoticed where nothing comes
ENVIRONMENT = (ComponentError, SnapshotError, OSError, MemoryError)  # no record's fault
WAITS = "this role waits and reads nothing; its rows are written once the store is back"


@dataclass(frozen=True)
class Orders:
    """What may be asked of an operator while it runs. `declared` is the freshness of the app's
    topics, by name; `held` says whether it rests; `gather_seconds` how long it may wait for a
    fuller batch; `origin_of` names a log in dead letters, which go to the log `dead`; by `pace` it
    tells its tasks the time (None: they hear of it from their log); `kept_as` says under which name
    a task keeps its checkpoints."""

    declared: Mapping[str, Freshness] = field(default_factory=dict)
    held: Callable[[], bool] = lambda: False
    gather_seconds: Callable[[Mapping[str, Freshness]], float] = lambda current: 0.0
    origin_of: Callable[[str], str] = str
    dead: str = "dead"
    pace: Pace | None = None
    kept_as: Callable[[str], str] = str


@dataclass
class _Turn:
    """What was applied and is not yet written, appended and told."""

    tasks: dict[TopicPartition, Task] = field(default_factory=dict)
    appends: list[Append] = field(default_factory=list)
    told: list[messages.Message] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.appends or self.told)


class Operator:
    """Runs the tasks of the partitions that the log gives it, until `stop` is set.

    `make_task` builds the task of a partition; checkpoints live under `checkpoints_url`; everything
    that other roles should know goes to `channels`.
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
        vitals: Vitals | None = None,
        orders: Orders | None = None,
    ) -> None:
        self.role = role
        self.vitals = vitals or Vitals(
            role, f"{instance or role}/{uuid.uuid4().hex[:8]}", Outages()
        )
        self.instance, self._outages = self.vitals.instance, self.vitals.outages
        self._log, self._make_task = log_, make_task
        self._url, self._channels, self._now_ms = checkpoints_url, channels, app_clock_ms
        self._orders = orders or Orders()
        self._live = LiveSettings(self._orders.declared)
        self._ticker = None if self._orders.pace is None else Ticker(self._orders.pace, log_.bounds)
        self._given: dict[TopicPartition, Assignment] = {}
        self._reported: dict[str, int] = {}
        self._checkpointed_at = self._status_at = time.monotonic()
        self._listened_at = 0.0
        self._records = 0
        self._turn, self._crashes = _Turn(), Crashes()
        self._gathered: list[Batch] = []
        self._mute: set[str] = set()  # tasks whose figures failed, which was logged
        self._resting = False
        self._idle = False  # whether the turn before had nothing to do
        self._writer = log_.writer()
        self._control = Follower(log_, channels.control)
        self._reader = log_.reader(topics, group or role, self._assign, self._revoke, self._lose)

    def run(self, stop: threading.Event) -> None:
        """Loop until stopped; then finish the step, checkpoint and close."""
        try:
            while not stop.is_set():
                self.step(IDLE_SECONDS)
            self.checkpoint()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the log; state that was not checkpointed is computed again."""
        self._reader.close()
        self._control.close()
        self._writer.close()

    def step(self, max_wait_seconds: float) -> bool:
        """One turn of the loop; whether anything was read, or the time told."""
        wait_seconds = self._hear_the_time(max_wait_seconds)
        self._listen()
        self._take_on()  # now, not after the next wait for records
        self._rest(bool(self._turn) or self._orders.held())
        batches = self._gather(min(wait_seconds, RETRY_SECONDS) if self._resting else wait_seconds)
        for batch in batches:
            self._apply(batch)
        ticked = self._tick()
        self._look_after_rows()
        if self._turn:
            self._finish()
        self._take_on()
        if time.monotonic() - self._checkpointed_at >= CHECKPOINT_SECONDS:
            self.checkpoint()
        self._report()
        self._idle = not batches and not ticked
        return not self._idle

    def tasks(self) -> list[Task]:
        """Of the partitions that it has now."""
        return [given.task for given in self._given.values()]

    def finished(self) -> list[int]:
        """The newest tick up to which each of its tasks has taken all input."""
        return [task.finished for task in self.tasks()]

    def _gather(self, max_wait_seconds: float) -> list[Batch]:
        """Records as soon as there are any, then more of them until the batch wait is over, a tick
        may be told or there are many: else every event would become a block of its own. A replay
        waits for what comes of them, not for more."""
        self._gathered = self._reader.poll(MAX_RECORDS, max_wait_seconds)
        if self._resting:
            return self._put_back()
        wait = (
            self._orders.gather_seconds(self._live.all())
            if self._gathered and not self._paced
            else 0.0
        )
        deadline = time.monotonic() + wait
        while wait and not self._may_tick():
            room = MAX_RECORDS - sum(map(len, self._gathered))
            left = deadline - time.monotonic()
            # Few records may be many bytes: what is taken at once must fit into memory, with all
            # that is made of it.
            if room <= 0 or left <= 0 or sum(map(_bytes_of, self._gathered)) >= READ_BYTES:
                break
            # what is gathered may shrink meanwhile, by a rebalance
            more = self._reader.poll(room, left)
            self._gathered = [*self._gathered, *more]
        gathered, self._gathered = joined(self._gathered), []
        return gathered

    def _hear_the_time(self, max_wait_seconds: float) -> float:
        """Find out whether a tick is due, and where partitions end then; how long records may be
        waited for after that.

        In a replay nothing comes once all is read, until its clock moves: so that is waited for
        instead.
        """
        if self._ticker is None:
            return max_wait_seconds
        if self._paced:
            has_work = not self._idle or self._ticker.waits
            self._hear(0.0 if has_work else max_wait_seconds)
        self._aim(self._ticker)
        if self._may_tick() or (self._paced and not self._ticker.waits):
            return 0.0
        return min(max_wait_seconds, self._ticker.pace.seconds_left())

    def _aim(self, ticker: Ticker) -> None:
        ticker.aim({key: given.task.finished for key, given in self._given.items()})

    @property
    def _paced(self) -> bool:
        return self._ticker is not None and self._ticker.pace.by_messages

    def _may_tick(self) -> bool:
        return self._ticker is not None and bool(self._ticker.reached(self._reader.position))

    def _tick(self) -> bool:
        """Tell the time to tasks that have all which their partition held then; whether to any."""
        if self._ticker is None or self._resting:
            return False
        self._aim(self._ticker)  # partitions that came meanwhile, too
        reached = self._ticker.reached(self._reader.position)
        for key, goal in reached.items():
            self._ticker.done(key)
            task = self._given[key].task
            if isinstance(task, Ticking):
                out = task.tick(goal.tick, goal.partitions)
                self._turn.appends += out.appends
                self._turn.tasks[key] = task
        return bool(reached)

    def _put_back(self) -> list[Batch]:
        """Records of partitions that came while it rests are read later."""
        if self._gathered:
            self._reader.pause(list(self._given))
        for batch in self._gathered:
            self._reader.seek(batch.topic, batch.partition, int(batch.offsets[0]))
        self._gathered = []
        return []

    def _apply(self, batch: Batch) -> None:
        """Give a batch to its task. One that crashes is built anew, and reads from its checkpoint
        once more.

        What follows a skipped record is read once that is behind a checkpoint: whoever started from
        before it might get over it, and must not have told of later ones.
        """
        key, end = (batch.topic, batch.partition), int(batch.offsets[-1]) + 1
        given, appends, told = self._given[key], [], []
        for piece, skip in self._crashes.pieces(batch):
            try:
                out = self._skip(piece) if skip else given.task.apply(piece)
            except ENVIRONMENT:
                raise
            except (Exception, PanicException) as error:
                self._crashes.note(piece, error)
                self._again(key)
                return
            appends += out.appends
            told += out.messages
            if skip:
                end = int(piece.offsets[-1]) + 1
                self._reader.seek(*key, end)
                self._checkpointed_at = float("-inf")
                break
        self._turn.tasks[key] = given.task
        self._turn.appends += appends
        self._turn.told += told
        given.next = end
        self._records += int(np.searchsorted(batch.offsets, end))

    def _skip(self, piece: Batch) -> Outputs:
        """Settle a record that crashed its task too often: a dead letter, and whatever the task
        must know of it."""
        origin, error = self._orders.origin_of(piece.topic), self._crashes.error(piece)
        values = letters(piece, np.zeros(1, np.int64), origin, ["crash"], [None], [error])
        task = self._given[piece.topic, piece.partition].task
        try:
            out = task.skip(piece)
        except Exception as fault:
            where = f"record {int(piece.offsets[0])} of {piece.topic}"
            raise ComponentError(
                task.name, f"cannot even skip {where}: {fault}", "See the log."
            ) from fault
        letter = Append(self._orders.dead, 0, values, int(piece.times[0]))
        return Outputs([*out.appends, letter], out.messages)

    def _again(self, key: TopicPartition) -> None:
        self._turn.tasks.pop(key, None)
        start = self._assign([key])
        self._reader.seek(*key, start[key])

    def _finish(self) -> None:
        """Write rows, append and flush, tell. While the store is away nothing of it is done, and
        all of it kept."""
        turn = self._turn
        if self._write_rows():
            self._append(turn.appends)
            self._tell(turn.told)
            self._turn = _Turn()

    def _look_after_rows(self) -> None:
        """Tasks that had nothing to write for a while do all the same: the store may have lost
        their rows."""
        before = time.monotonic() - ROWS_SECONDS
        for key, given in self._given.items():
            if given.written_at < before:
                self._turn.tasks[key] = given.task

    def _write_rows(self) -> bool:
        try:
            for key, task in self._turn.tasks.items():
                task.write()
                self._given[key].written_at = time.monotonic()
        except StoreError as error:
            self._outages.begin(error, WAITS)
            return False
        self._outages.over("store")
        return True

    def _append(self, appends: Sequence[Append]) -> None:
        for a in appends:
            self._writer.append(a.topic, a.partition, a.values, a.time_ms)
        if appends:
            self._writer.flush()

    def _rest(self, resting: bool) -> None:
        """Read nothing, or go on. Partitions that came meanwhile rest, too."""
        if resting or self._resting:
            self._reader.pause(list(self._given), resting)
        self._resting = resting

    def checkpoint(self) -> None:
        """Save the state of every task that moved, then commit offsets for lag tools."""
        for key, given in self._given.items():
            self._save(key, given)
        self._reader.commit(
            {key: given.saved for key, given in self._given.items() if given.saved is not None}
        )
        if not self._turn:  # else nothing was saved
            self._checkpointed_at = time.monotonic()

    def _save(self, key: TopicPartition, given: Assignment, again: bool = False) -> None:
        """Nothing while something is not written or appended yet."""
        if not self._turn and given.save(again):
            self._crashes.passed(key, given.position)

    def _listen(self) -> None:
        """Hear of live settings."""
        if time.monotonic() - self._listened_at < LISTEN_SECONDS:
            return
        self._hear(0.0)

    def _hear(self, max_wait_seconds: float) -> None:
        """Take in what was said on the control log."""
        found = self._control.poll(max_wait_seconds)
        self._listened_at = time.monotonic()
        for m in found:
            if self._ticker is not None:
                self._ticker.pace.note(m)
            if self._live.note(m):
                for given in self._given.values():
                    given.untold = given.untold or (0, 0)

    def _take_on(self) -> None:
        """Tell tasks what is set, each at a checkpoint, which records it."""
        if self._turn:
            return
        for key, given in self._given.items():
            if given.tell(self._live.all(), self._reader.position(*key), self._control.position):
                self._save(key, given, again=True)

    def _report(self) -> None:
        """Progress when it changed, with the rows and records it stands for safe; figures once a
        second.

        A task that was resumed reports, too, before anything new came: whoever made its checkpoint
        may have ended before it could, and a replay waits for it.
        """
        told: list[messages.Message] = []
        if not self._turn:
            ticks = {t.name: t.finished for t in self.tasks() if t.finished != NO_TICK}
            news = {k: v for k, v in ticks.items() if self._reported.get(k) != v}
            if news:
                told.append(messages.Progress(self.role, self.instance, news))
                self._reported |= news
        if time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._status_at = time.monotonic()
            told.append(self._status())
        self._tell(told)

    def _status(self) -> messages.Status:
        facts: dict[str, Any] = {t.name: self._facts(t) for t in self.tasks()}
        return self.vitals.status({**facts, "records": self._records, "held": self._orders.held()})

    def _facts(self, task: Task) -> dict[str, Any]:
        """Figures are for the eye: where they fail, the work goes on."""
        try:
            return task.facts()
        except Exception as error:
            if task.name not in self._mute:
                self._mute.add(task.name)
                log.error("a task has no figures", task=task.name, exc_info=error)
            return {}

    def _tell(self, told: Sequence[messages.Message]) -> None:
        if told:
            send(self._writer, self._channels, told, self._now_ms())

    def _assign(self, gained: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Build each task, load its newest checkpoint and start where that ends."""
        said = self._log.bounds(self._channels.control).spans[0][1]
        for topic, partition in gained:
            bounds, task = self._log.bounds(topic), self._make_task(topic, partition)
            first, end = bounds.spans[partition]
            kept_as = self._orders.kept_as(task.name)
            checkpoints = Checkpoints(self._url, kept_as, bounds.identity, self._outages)
            self._given[topic, partition] = Assignment.begun(task, checkpoints, first, (end, said))
        fresh = {key: self._given[key] for key in gained}
        # Written before they report: the store may have lost their rows meanwhile, and is told
        # where there are none.
        self._turn.tasks |= {key: given.task for key, given in fresh.items()}
        return {key: given.start for key, given in fresh.items()}

    def _revoke(self, going: Sequence[TopicPartition]) -> None:
        for key in going:
            if key in self._given:
                self._save(key, self._given[key])
        self._lose(going)

    def _lose(self, gone: Sequence[TopicPartition]) -> None:
        for key in gone:
            self._given.pop(key, None)
            self._turn.tasks.pop(key, None)
            self._crashes.forget(key)
            if self._ticker is not None:
                self._ticker.done(key)
        self._gathered = [b for b in self._gathered if (b.topic, b.partition) not in gone]


def _bytes_of(batch: Batch) -> int:
    return len(batch.data)
