"""The replayer: owns the paced clock, and moves it on when everybody has finished the step.

Each step: ask the scorer about the step's events as of its start (again and again while it says
that its store is away: what it would answer without is not what it answers in another replay); wait
until those answers are logged; publish the step's events, then say the tick on the control log,
which intake writes into its outputs once it has read as far; wait until every view has reported the
tick; where snapshots are due, also until every join and trainer has, each snapshot has been judged
and every scorer has swapped. So a replay goes as fast as the pipeline can, and two replays see the
same. Where the clock stands is said with the next step's tick: it is for the eye.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from freshet.app import App
from freshet.roles.plans import task_names
from freshet.schemas.errors import ComponentError
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import (
    Clock,
    Logged,
    Message,
    Progress,
    Settled,
    Status,
    Swapped,
    Tick,
)
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import Follower, send
from freshet.streams.control.orders import OrderBook
from freshet.streams.log.contract import Log
from freshet.streams.outages import Outages

PATIENCE_SECONDS = 60.0
# while somebody says that a server is away, and that it waits for it
OUTAGE_PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.05
VIEW = "view:"  # how names of their tasks begin


class Stopped(Exception):
    """The user asked to stop."""


class ReplayError(ComponentError):
    """The replay made no progress for a minute; the text names whom it waited for."""

    component = "replay"


class NotYet(ComponentError):
    """A scorer puts a question off: it is to be asked again."""

    component = "replay"


@dataclass(frozen=True, slots=True)
class Published:
    """Records of a topic's partition (`topic` is the log's full name): `(append time ms, values)`
    in order."""

    topic: str
    runs: list[tuple[int, list[bytes]]]
    partition: int = 0


class Events(Protocol):
    """Records of a topic in publication order, such as `freshet.demo.flights.schedule.Records`."""

    def split(self, partitions: int) -> Sequence[Events]:
        """By partition, as freshet partitions events."""
        ...

    def runs(self) -> Iterable[tuple[int, list[bytes]]]:
        """Records that share an append time (ms), together."""
        ...

    def __len__(self) -> int: ...


def published(app: App, events: Mapping[str, Events]) -> list[Published]:
    """Records by topic name, as they go to the partitions of the app's logs."""
    return [
        Published(app.log_of(topic), list(part.runs()), p)
        for topic, records in events.items()
        for p, part in enumerate(records.split(app.topic(topic).partitions))
        if len(part)
    ]


class Ask(Protocol):
    """Ask the scorers; returns the sequence up to which answers must be logged, by scorer instance
    (`name/start`), or by instance and model, with a space between."""

    def __call__(self) -> dict[str, int]:
        """Raises `NotYet` where a scorer waits for its store; it is called again then."""
        ...


@dataclass
class Facts:
    """What the app's messages have said so far."""

    ticks: dict[str, int] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    swapped: dict[str, dict[str, Swapped]] = field(default_factory=dict)
    status: dict[str, Status] = field(default_factory=dict)
    of_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    scorers: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    orders: OrderBook = field(default_factory=OrderBook)

    def note(self, m: Message) -> None:
        self.counts[type(m).__name__] = self.counts.get(type(m).__name__, 0) + 1
        match m:
            case Progress():
                for name, tick in m.ticks.items():
                    # A task that was started again tells earlier ticks once more.
                    self.ticks[name] = max(tick, self.ticks.get(name, tick))
            case Logged():
                for key in (m.instance, f"{m.instance} {m.model}"):
                    self.logged[key] = max(m.sequence, self.logged.get(key, -1))
                self.scorers[_name(m.instance)] = m.instance
            case Settled():
                if not self.orders.take(m):  # scorers set it aside, too, and will not swap
                    self.settled[m.model] = m
            case Swapped():
                self.swapped.setdefault(m.model, {})[_name(m.instance)] = m
            case Status():
                self.status[m.instance] = m
                self.of_tasks |= {k: v for k, v in m.facts.items() if isinstance(v, dict)}
                (self.held.add if m.facts.get("held") else self.held.discard)(_name(m.instance))
                if m.role == "serve":
                    self.scorers[_name(m.instance)] = m.instance
            case _:
                pass


class Replayer:
    """Publishes steps and waits for the app to finish each. `now_ms` is the paced clock. Snapshots
    are due every `snapshot_every_ms`, which models may have each of its own. Setting `stop` ends a
    wait with `Stopped`."""

    def __init__(
        self,
        app: App,
        log: Log,
        snapshot_every_ms: int | Mapping[str, int],
        on_turn: Callable[[Message], None] | None = None,
        stop: threading.Event | None = None,
        outages: Outages | None = None,
    ) -> None:
        self._app = app
        if isinstance(snapshot_every_ms, int):
            snapshot_every_ms = {m.name: snapshot_every_ms for m in app.models}
        self._every = snapshot_every_ms
        self._writer = log.writer()
        self._follower = Follower(log, *app.channels)
        self._tasks = sorted(task_names(app))
        self._on_message = on_turn
        self._stop = stop or threading.Event()
        self._outages = outages or Outages()
        self.facts = Facts()
        self.now_ms = 0
        self._finished: list[Message] = []  # the clock of the step before, not told yet
        self._first_tick: int | None = None
        # Of the newest steps: what all have to finish by the time that views finish the last one.
        self._ends: deque[int] = deque(maxlen=1)

    def go_ahead(self, steps: int) -> None:
        """Wait for joins and trainers once they are so many steps behind, or a snapshot is due:
        nothing that is asked hangs on them until then, and several steps at once cost them little
        more than one. To be called before the first step."""
        # Before the first there is nothing to be finished.
        self._ends = deque([NO_TICK] * steps, maxlen=steps + 1)

    def step(self, start_ms: int, end_ms: int, ask: Ask, events: Iterable[Published]) -> None:
        """Ask, publish a step, and wait until all have finished it."""
        self._ask(ask)
        for part in events:
            for time_ms, values in part.runs:
                self._writer.append(part.topic, part.partition, values, time_ms)
        self._writer.flush()
        # Only now, since intake takes all that stands in a partition by then for the step's.
        self.now_ms = end_ms
        # Together: whoever follows the control log is woken once a step.
        self.tell(*self._finished, Tick(end_ms))
        due = self._snapshots_due(start_ms, end_ms)
        self._ends.append(end_ms)
        behind_ms = self._ends[0]
        # What is cut is of all that was learned by then.
        if due:
            behind_ms = end_ms
        self._wait(lambda: self._not_finished(end_ms, behind_ms))
        if due:
            # In this order: swaps are held against what was settled.
            self._wait(lambda: self._not_settled(due, end_ms))
            self._wait(self._not_swapped)
        self._finished = [Clock(end_ms, False)]

    def _ask(self, ask: Ask) -> None:
        """Ask until all answers are logged; again where a scorer was replaced before it had logged
        them (the first logged answer to an id wins, so asking again is harmless)."""
        while not self._logged(self._answers(ask)):
            pass

    def _answers(self, ask: Ask) -> dict[str, int]:
        """What was asked, once the scorers answer."""
        found: dict[str, int] = {}

        def missing() -> list[str]:
            try:
                found.update(ask())
            except NotYet as put_off:
                return [str(put_off)]
            return []

        self._wait(missing)
        return found

    def _logged(self, asked: dict[str, int]) -> bool:
        """Wait for these answers in the log; False once their scorer was replaced and they are not
        there."""
        # Who answers is who lives, also where its own word is still on the way.
        self.facts.scorers.update({_name(i): _instance(i) for i in asked})
        self._wait(lambda: [] if self._replaced(asked) else self._not_logged(asked))
        return not self._not_logged(asked)

    def _replaced(self, asked: dict[str, int]) -> bool:
        scorers = self.facts.scorers
        return any(scorers.get(_name(i), _instance(i)) != _instance(i) for i in asked)

    def tell(self, *told: Message) -> None:
        """Say something on the log of messages where it belongs."""
        send(self._writer, self._app.channels, told, self.now_ms)

    def end(self, now_ms: int) -> None:
        """Say that the clock stands there, and goes no further."""
        self._finished = []
        self.tell(Clock(now_ms, True))

    def drained(self) -> None:
        """Take in what has been said meanwhile."""
        self._listen(0.0)

    def close(self) -> None:
        self._follower.close()
        self._writer.close()

    def _awaited(self) -> list[str]:
        """Tasks but those of trainers that a switch holds."""
        held = tuple(
            f"train:{name.removeprefix('train.')}:"
            for name in self.facts.held
            if name.startswith("train.")
        )
        return [t for t in self._tasks if not t.startswith(held)] if held else self._tasks

    def _not_finished(self, end_ms: int, behind_ms: int) -> list[str]:
        """Views that have not come to the step's end, and other tasks that have not come so far."""
        ticks = self.facts.ticks
        wanted = {True: end_ms, False: behind_ms}
        return [
            task
            for task in self._awaited()
            if ticks.get(task, NO_TICK) < wanted[task.startswith(VIEW)]
        ]

    def _snapshots_due(self, start_ms: int, end_ms: int) -> list[str]:
        """Of which models: trainers count from the first tick they see."""
        if self._first_tick is None:
            self._first_tick = end_ms
            return []
        return [name for name, every in self._every.items() if end_ms // every > start_ms // every]

    def _not_logged(self, asked: dict[str, int]) -> list[str]:
        return [
            f"predictions of {i}"
            for i, last in asked.items()
            # Sequences begin at 0.
            if self.facts.logged.get(i, -1) < last
        ]

    def _not_settled(self, due: Iterable[str], tick: int) -> list[str]:
        if self.facts.held:  # a held trainer cuts nothing, a held release decides nothing
            return []
        late = [
            name for name in due if (s := self.facts.settled.get(name)) is None or s.tick < tick
        ]
        return [f"release of {name}" for name in late]

    def _not_swapped(self) -> list[str]:
        waiting = []
        for model in (m.name for m in self._app.models):
            settled = self.facts.settled.get(model)
            if settled is None or settled.number is None:
                continue
            for instance, swapped in self.facts.swapped.get(model, {"a scorer": None}).items():
                if swapped is None or (swapped.lineage, swapped.number) != (
                    settled.lineage,
                    settled.number,
                ):
                    waiting.append(f"swap of {model} in {instance}")
        return waiting

    def _wait(self, missing: Callable[[], list[str]]) -> None:
        """Until nothing is missing; the patience starts again whenever anything moves, and when an
        outage is over."""
        since = time.monotonic()
        before = None
        away_at = since
        while waiting := missing():
            if self._stop.is_set():
                raise Stopped
            moved = self._listen(POLL_SECONDS)
            # Messages alone are no progress: roles say once a second that they are there.
            if moved and waiting != before:
                since = time.monotonic()
                before = waiting
            now = time.monotonic()
            if self._outage():
                away_at = now
            patience = OUTAGE_PATIENCE_SECONDS if away_at == now else PATIENCE_SECONDS
            if now - (since if away_at == now else max(since, away_at)) > patience:
                raise ReplayError(
                    f"at {self.now_ms}",
                    f"no progress for {patience:.0f} s; it waits for {', '.join(waiting)}",
                    "Look at the logs of these roles in the run's folder.",
                    waiting=waiting,
                )

    def told(self, tick: int) -> None:
        """Wait until joins and trainers have told their figures as of a tick: they do so about once
        a second."""
        tasks = [t for t in self._awaited() if t.startswith(("join:", "train:"))]
        self._wait(lambda: [f"figures of {t}" for t in tasks if not self._has_told(t, tick)])

    def _has_told(self, task: str, tick: int) -> bool:
        told = self.facts.of_tasks.get(task)
        return told is not None and int(told.get("finished", NO_TICK)) >= tick

    def _outage(self) -> bool:
        """Whether a server is away, as far as is known here: of the log, or of the store as roles
        tell it."""
        now_ms = wall_now_ms()
        # What was told a minute ago may be over: its teller is silent since.
        told = [s for s in self.facts.status.values() if now_ms - s.at < 1000 * PATIENCE_SECONDS]
        return bool(self._outages.current()) or any(s.facts.get("outages") for s in told)

    def _listen(self, max_wait_seconds: float) -> bool:
        found: list[Any] = self._follower.poll(max_wait_seconds)
        for m in found:
            self.facts.note(m)
            if self._on_message is not None:
                self._on_message(m)
        return bool(found)


def _instance(asked: str) -> str:
    """The scorer instance of a key that `Ask` returns."""
    return asked.split(" ", 1)[0]


def _name(instance: str) -> str:
    """A role's lasting name: its instance less what tells its starts apart."""
    return instance.split("/", 1)[0]
