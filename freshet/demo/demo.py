"""The demo: 2013's flights from New York, replayed on the paced clock through the whole of
freshet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from freshet.app import App
from freshet.demo.flights.schedule import Schedule
from freshet.learners.model import Model
from freshet.replay.drive import Replay
from freshet.replay.drive import run as run_replay
from freshet.replay.steps import Step
from freshet.runs import folder
from freshet.schemas.durations import HOUR_MS, milliseconds
from freshet.settings import Settings

BRIEF_LABELS = 5_000
LONG_LABELS = 20_000
LONG_DAYS = 120


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`days` of 2013 in steps of `step`; `snapshot_every` empty: 3 h, and 6 h beyond 120 days."""

    days: int = 59
    step: str = "15m"
    seed: int = 0
    snapshot_every: str = ""
    keep: bool = False
    report: Path = Path("demo-report.json")

    @property
    def every(self) -> str:
        return self.snapshot_every or ("3h" if self.days <= LONG_DAYS else "6h")


class FlightSteps:
    """The schedule of the flights, as steps of a replay."""

    def __init__(self, schedule: Schedule, on: str) -> None:
        self._schedule = schedule
        self._on = on
        self.start_ms = schedule.start_ms
        self.end_ms = schedule.start_ms + len(schedule) * schedule.step_ms

    def __iter__(self) -> Iterator[Step]:
        for step in self._schedule:
            yield Step(step.start_ms, step.end_ms, {self._on: step.queries}, step.events)


def run(app: App, app_path: str, given: Settings, options: DemoOptions, console: Console) -> int:
    """Run the demo to its end; its exit code: 0 only if the ledger agrees and no request failed,
    130 if stopped."""
    (model,) = app.models

    def steps() -> FlightSteps:
        folder.empty(given.local_path)
        with console.status("reading the flights of 2013 …"):
            step_ms = milliseconds(options.step, "step")
            drain_ms = _drain_ms(model)
            schedule = Schedule(options.days, step_ms, options.seed, drain_ms=drain_ms)
        return FlightSteps(schedule, model.on.name)

    replay = Replay(
        app,
        app_path,
        given.model_copy(update={"snapshot_every": options.every}),
        options.report,
        after=BRIEF_LABELS if options.days <= LONG_DAYS else LONG_LABELS,
        again=True,
        keep=options.keep,
    )
    return run_replay(replay, steps, console)


def _drain_ms(model: Model) -> int:
    """After the last event, until nothing is pending."""
    return model.label.topic.freshness.ms("label_wait") + HOUR_MS
