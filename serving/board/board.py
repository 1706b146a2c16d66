"""The board: everything that roles say, and how good what was served was, gathered into one
`Status`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.schemas.topics.readers import DEDUP, INTAKE, intakes
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import messages
from freshet.serving.board.label_figures import conflict_figures, label_figures
from freshet.serving.board.model import ModelBoard
from freshet.serving.board.outage_figures import outage_figures
from freshet.serving.board.roll_call import RollCall
from freshet.serving.board.stages import Stage, oldest, slowest
from freshet.serving.board.task_facts import TaskFacts
from freshet.serving.board.topic import TopicBoard
from freshet.serving.board.view_figures import past_columns, view_figures
from freshet.serving.inputs.figures import missing_inputs
from freshet.serving.status import status as s
from freshet.serving.status.archived import archive_figures
from freshet.serving.status.history import History, Swap
from freshet.serving.status.promises import promises
from freshet.serving.status.reports_file import KeptReports, Swaps
from freshet.serving.values.served_file import KeptServed
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.extent import Mark
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.control.orders import OrderBook
from freshet.streams.control.switches import NAMES, Switches
from freshet.streams.log.contract import Batch
from freshet.streams.outages import Outage

CHANGES = 200  # of settings that are told, the newest


class _Beside(NamedTuple):
    """What a status says that no message told, as of `at_ms`."""

    own_outages: Sequence[Outage]
    switches: Switches
    children: Mapping[str, Mapping[str, Any]]
    at_ms: int


class Board:
    """Fed by one thread with messages and examples; `status` may be called from any.

    What only the process itself knows is asked of attributes: the `switches`, the outages of its
    `own_outages`, the `alerts` that a status raises, the `statistics` of a topic's values,
    whether a role `belongs` to the app (by its lasting name), and what was known of answers
    and of reports before (`served_before`, `reports_before`)."""

    def __init__(
        self,
        app: str,
        topics: Sequence[Topic],
        views: Sequence[View],
        models: Sequence[Model],
        history: History,
        paced: bool = True,
    ) -> None:
        self._app = app
        self._views = views
        self._history = history
        self._paced = paced
        self._topics = [TopicBoard(t) for t in topics]
        self._intakes: dict[str, str] = {}
        for name, own in intakes(topics).items():
            self._intakes |= dict.fromkeys((topic.name for topic in own), name)
        self._models = {m.name: ModelBoard(m) for m in models}
        self._settings = LiveSettings({t.name: t.freshness for t in topics})
        self._changes: list[s.SettingChange] = []
        self._tasks = TaskFacts()
        # Asked anew each time: `belongs` is set only after this board is made.
        self._roll = RollCall(lambda name: self.belongs(name))
        self._orders = OrderBook()
        self._clock: messages.Clock | None = None
        self._span: tuple[int | None, int | None] = None, None
        self._started = time.monotonic()
        self._raised: list[s.Alert] = []
        self._lock = threading.Lock()
        self._catching_up = False
        self.belongs: Callable[[str], bool] = lambda name: True
        self.children: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
        self.switches: Callable[[], Switches] = Switches
        self.applying: Callable[[], str] = str
        self.own_outages: Callable[[], list[Outage]] = list
        self.alerts: Callable[[s.Status], list[s.Alert]] = lambda status: []
        none = s.StatisticsFigures()
        self.statistics: Callable[[str], s.StatisticsFigures] = lambda topic: none
        self.served_before: Mapping[str, KeptServed] = {}
        self.reports_before: KeptReports | None = None
        self._reports: tuple[str, int] | None = None  # the log's identity, and up to where
        self._held: Sequence[Mark] = ()
        # Of models that are not declared: another version of the app, which is to go on with what
        # is known here, may declare them.
        self._other_swaps: dict[str, Swaps] = {}

    def note(self, m: messages.Message) -> None:
        """One message of the control or reports log, in order."""
        with self._lock:
            self._note(m)

    def take(
        self, found: Sequence[messages.Message], reports_at: int, held: Sequence[Mark] = ()
    ) -> None:
        """Messages of both logs, each in its order; the log of reports is read up to there then,
        and `held` so much."""
        # At once: whoever asks what is known must not get some of them without the position.
        with self._lock:
            for m in found:
                self._note(m)
            if self._reports is not None:
                identity, _ = self._reports
                self._reports = (identity, reports_at)
                self._held = list(held)

    def begin_reports(self, identity: str, span: tuple[int, int]) -> int:
        """The log of reports, of that identity, which holds that, is read from now on: from which
        offset. What was known before counts if it is of the same log."""
        start, after = span
        kept = self.reports_before
        with self._lock:
            # A log that ends earlier is one that was put back: it will hold others there.
            if kept is not None and kept.identity == identity and kept.position <= after:
                self._restore(kept)
                start = max(start, kept.position)
            self._reports = (identity, start)
        return start

    def reports(self) -> KeptReports | None:
        """What `begin_reports` goes on with; None before that was called. By any thread."""
        with self._lock:
            if self._reports is None:
                return None
            identity, position = self._reports
            tasks, ticks = self._tasks.kept()
            newest, gone = self._roll.kept()
            own = {name: model.swaps for name, model in self._models.items()}
            return KeptReports(
                identity=identity,
                position=position,
                clock=self._clock,
                span=self._span,
                tasks=tasks,
                ticks=ticks,
                newest=newest,
                gone=gone,
                swaps=self._other_swaps | own,
                held=list(self._held),
            )

    def held(self) -> Sequence[Mark]:
        """What is known of the bytes that the log of reports held before, once it begins."""
        with self._lock:
            return list(self._held)

    def _restore(self, kept: KeptReports) -> None:
        self._held = kept.held
        self._clock = kept.clock
        self._span = kept.span
        self._tasks.restore(kept.tasks, kept.ticks)
        self._roll.restore(kept.newest, kept.gone)
        for name, swaps in kept.swaps.items():
            if name in self._models:
                self._models[name].swaps = swaps
            else:
                self._other_swaps[name] = swaps

    def _note(self, m: messages.Message) -> None:
        match m:
            case messages.Clock():
                self._clock = m
                # Until a span is told, the first moment of the clock counts as the start.
                self._span = m.now if self._span[0] is None else self._span[0], self._span[1]
            case messages.Span():
                self._span = m.start, m.end
            case messages.Progress():
                self._tasks.note(m)
            case messages.Status():
                # Newer ones replace older ones, so one from a clock that is ahead counts as of now.
                told = msgspec.structs.replace(m, at=min(m.at, wall_now_ms()))
                self._tasks.note(told)
                self._roll.note(told)
            case messages.Setting():
                if self._settings.note(m):
                    change = s.SettingChange(
                        topic=m.topic, key=m.key, value=m.value, by=m.by, at_ms=m.at
                    )
                    # A new list: a status that was handed out still holds the one before.
                    self._changes = [*self._changes[1 - CHANGES :], change]
            case messages.Cut() | messages.Verdict() | messages.Settled() | messages.Swapped():
                if m.model in self._models and self._counts(m):
                    self._models[m.model].note(m)
                if isinstance(m, messages.Swapped):
                    self._note_swap(m)
            case _:
                pass

    def _note_swap(self, m: messages.Swapped) -> None:
        if m.model in self._models:
            self._history.swap(Swap(m.tick, m.model, m.lineage, m.number))
        else:
            self._other_swaps[m.model] = self._other_swaps.get(m.model, Swaps()).and_(m)

    def _counts(self, m: messages.Message) -> bool:
        """Orders that scorers set aside change nothing here either."""
        return not (isinstance(m, messages.Settled) and self._orders.take(m))

    def compete(self, model: Model) -> None:
        """Lineages of a model were started: they are shown, too."""
        with self._lock:
            self._models[model.name].compete(model)

    def learn_outcomes(self, model: str, batch: Batch) -> None:
        """Blocks of a model's examples log: how good were the answers that clients got?"""
        self._models[model].learn(batch)

    def begin_outcomes(self, model: str, identity: str) -> int:
        """A model's examples log, of that identity, is read from now on: from which offset, 0 from
        what it has first."""
        return self._models[model].quality.begin(identity, self.served_before.get(model))

    def served(self) -> dict[str, KeptServed]:
        """What is known of the answers of models, to be saved."""
        found = {name: model.quality.kept() for name, model in self._models.items()}
        return {name: kept for name, kept in found.items() if kept is not None}

    def observe(self, catching_up: bool = False) -> s.Status:
        """Once a second: sample rates, reckon what is dear, raise alerts. The status now, also
        taken into the history.

        While it is `catching_up` with what was said before it listened, figures are those of some
        moment before: they raise no alert, and are no history."""
        for model in self._models.values():
            # Without the lock: it is dear, and what it finds is put in place by one assignment.
            model.quality.reckon()
        with self._lock:
            self._catching_up = catching_up
            if not catching_up:
                self._roll.begin(wall_now_ms())
            self._roll.look(wall_now_ms())
            for topic in self._topics:
                topic.sample(self._told("intake", topic.topic.name), time.monotonic())
        status = self.status()
        if catching_up:
            return status
        self._history.observe(status)
        self._raised = self.alerts(status)
        return msgspec.structs.replace(status, alerts=self._raised)

    def status(self) -> s.Status:
        """As of now; rates, quality of what was served and alerts as of the last `observe`."""
        # Without the lock, for which messages wait: some of it is read from the disk.
        beside = _Beside(self.own_outages(), self.switches(), self.children(), wall_now_ms())
        with self._lock:
            status = self._status(beside)
        return msgspec.structs.replace(status, promises=promises(status), applying=self.applying())

    def _status(self, beside: _Beside) -> s.Status:
        at_ms = beside.at_ms
        now = self._now(at_ms)
        own = [("control", outage) for outage in beside.own_outages]
        topics = [self._topic(t, now) for t in self._topics]
        return s.Status(
            app=self._app,
            at_ms=at_ms,
            catching_up=self._catching_up,
            clock=self._clock_figures(now),
            events_per_second=sum(t.per_second for t in topics),
            topics=topics,
            views=[self._view(v, now) for v in self._views],
            models=[self._model(b, topics, now, at_ms) for b in self._models.values()],
            archive=archive_figures(
                {name: self._told("archive", name) for name in self._tasks.names("archive")}
            ),
            requests=self._roll.requests(at_ms),
            roles=self._roll.figures(beside.children, at_ms),
            outages=outage_figures([*self._roll.outages(at_ms), *own]),
            alerts=self._raised,
            switches=[_switch(name, beside.switches) for name in NAMES],
            changes=self._changes,
        )

    def _now(self, at_ms: int) -> int | None:
        """The app's clock: the replayer's, or the wall."""
        if not self._paced:
            return at_ms
        return self._clock.now if self._clock else None

    def _clock_figures(self, now: int | None) -> s.Clock:
        done = self._clock is not None and self._clock.done
        state: s.RunState = "starting" if now is None else "ended" if done else "running"
        start, end = self._span
        wall = time.monotonic() - self._started
        return s.Clock(
            state=state,
            paced=self._paced,
            app_ms=now,
            start_ms=start,
            end_ms=end,
            wall_seconds=wall,
        )

    def _told(self, kind: str, name: str) -> list[Mapping[str, Any]]:
        return [told.facts for told in self._tasks.of(kind, name)]

    def _topic(self, board: TopicBoard, now: int | None) -> s.TopicFigures:
        name = board.topic.name
        lag = _behind(now, self._tasks.finished("intake", name, board.topic.partitions))
        # Of those that only bring records together: where they began, and what they cannot read.
        told = [*self._told("intake", name), *self._told("repartition", name)]
        figures = board.figures(told, self._settings.of(name), lag)
        return msgspec.structs.replace(figures, statistics=self.statistics(name))

    def _view(self, view: View, now: int | None) -> s.ViewFigures:
        own = self._tasks.finished("view", view.name, view.partitions)
        # Of several topics the one that is farthest behind keeps the rows.
        intake = min(map(self._intake_of, view.topics), key=lambda stages: oldest(stages[-1]))
        behind = slowest(now, [*intake, Stage("view", own)])
        told = self._told("view", view.name)
        settings = {topic.name: self._settings.of(topic.name) for topic in view.topics}
        past = next((each.facts for each in self._tasks.of("hydrate", view.name)), None)
        return view_figures(view, told, settings, _behind(now, own), behind, past)

    def _intake_of(self, topic: Topic) -> list[Stage]:
        """One stage, or two where records are first brought together by their ids."""
        name = self._intakes.get(topic.name, INTAKE)
        settled = self._tasks.finished("intake", topic.name, topic.partitions)
        if not topic.by_id:
            return [Stage(name, settled)]
        moved = self._tasks.finished("repartition", topic.name, topic.partitions)
        return [Stage(name, moved), Stage(DEDUP, settled)]

    def _model(
        self, board: ModelBoard, topics: Sequence[s.TopicFigures], now: int | None, at_ms: int
    ) -> s.ModelFigures:
        told = {
            x: found[0]
            for x in board.lineages
            if (found := self._tasks.of("train", f"{board.model.name}.{x}"))
        }
        facts = {lineage: t.facts for lineage, t in told.items()}
        states = {lineage: self._roll.state(t.instance, at_ms) for lineage, t in told.items()}
        topic = board.model.label.topic
        settings = self._settings.of(topic.name)
        intake = self._intake_of(topic)
        reached = {
            "join": self._tasks.finished("join", board.model.name),
            "train": self._tasks.finished("train", f"{board.model.name}.{board.champion}"),
        }
        behind = board.behind(now, settings.ms("snapshot_every"), intake, reached)
        figures = board.figures(now, settings.ms("model_slo"), facts, states, behind)
        joined = self._told("join", board.model.name)
        by_name = {topic.name: topic for topic in topics}
        return msgspec.structs.replace(
            figures,
            labels=label_figures(joined, self._told("intake", topic.name), board.model.name),
            conflicts=conflict_figures(joined),
            missing=missing_inputs(board.model, self._views, by_name, facts.values()),
            missing_inputs=board.model.missing_inputs,
            past=past_columns(self._told("columns", board.model.name)),
        )


def _behind(now: int | None, tick: int | None) -> int | None:
    return None if now is None or tick is None else max(0, now - tick)


def _switch(name: str, switches: Switches) -> s.SwitchFigures:
    x = getattr(switches, name)
    return s.SwitchFigures(name=name, on=x.on, by=x.by, at_ms=x.at)
