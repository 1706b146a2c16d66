"""The demo: 2013's flights from New York, replayed on the paced clock through the whole of
freshet."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from freshet.app import App
from freshet.demo import report as reports
from freshet.demo.client import ScoringClient
from freshet.demo.flights.schedule import Schedule, Step
from freshet.demo.live_view import LiveView, summary
from freshet.demo.report_types import DemoReport, RequestReport
from freshet.learners.model import Model
from freshet.processes.runtime import Runtime
from freshet.replay.replayer import Replayer, Stopped, published
from freshet.runs.lock import RunLock
from freshet.schemas.durations import HOUR_MS, milliseconds
from freshet.schemas.errors import ComponentError
from freshet.schemas.whole_files import write_whole
from freshet.schemas.wire import messages
from freshet.serving.status import status as wire
from freshet.settings import Settings

SHOW_SECONDS = 0.5
BRIEF_LABELS, LONG_LABELS, LONG_DAYS = 5_000, 20_000, 120


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


@dataclass
class _Tally:
    """What only the demo sees: lags when asked, and counts of messages."""

    feature_lags: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, m: messages.Message) -> None:
        self.counts[type(m).__name__] += 1
        if isinstance(m, messages.Verdict):
            self.counts["approved" if m.approved else "refused"] += 1


def run(
    app: App, app_path: str, model: Model, given: Settings, options: DemoOptions, console: Console
) -> int:
    """Run the demo to its end; its exit code: 0 only if the ledger agrees and no request failed,
    130 if stopped."""
    started = time.monotonic()
    with _stoppable() as stop, ExitStack() as stack:
        _empty(given.run_dir)
        with console.status("reading the flights of 2013 …"):
            schedule = Schedule(
                options.days,
                milliseconds(options.step, "step"),
                options.seed,
                drain_ms=_drain_ms(model),
            )
        given = given.model_copy(update={"replay": True, "snapshot_every": options.every})
        runtime = stack.enter_context(Runtime(app, app_path, given))
        with console.status("starting the roles …"):
            scorer, page = runtime.address("serve"), runtime.address("status")
        console.print(
            f"status page  {page}\nscorer       {scorer}/v2/models/{model.name}\n", highlight=False
        )
        tally = _Tally()
        replayer = Replayer(app, runtime.log, milliseconds(options.every), tally.note, stop)
        client = ScoringClient([scorer], model.name, model.on.events)
        try:
            _replay(app, schedule, replayer, client, tally, LiveView(console, page), page, stop)
        except Stopped:
            console.print("stopped; the run's folder keeps what was done", highlight=False)
            return 130
        with console.status("recomputing the ledger from the log …"):
            told = _report(
                app,
                model,
                runtime,
                schedule,
                replayer,
                client,
                tally,
                options,
                time.monotonic() - started,
            )
        write_whole(options.report, json.dumps(told, indent=1).encode())
        summary(told, console)
        if options.keep:
            console.print(
                f"still serving: scorer {scorer}, status page {page}; Ctrl-C ends it",
                highlight=False,
            )
            stop.wait()
        client.close()
        replayer.close()
    return told["exit_code"]


def _empty(folder: Path) -> None:
    """Make a run's folder new.

    Raises:
        LogError: another run holds it.
        ComponentError: it holds something, and is no run's folder.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "run.lock").exists():
        raise ComponentError(
            f"folder {folder}",
            "is not empty, and not of a run",
            "Name another with --run-dir, or empty it yourself.",
        )
    with RunLock(folder):
        for found in folder.iterdir():
            if found.is_dir():
                shutil.rmtree(found)
            elif found.name != "run.lock":
                found.unlink()


def _drain_ms(model: Model) -> int:
    """After the last event, until nothing is pending."""
    return model.label.topic.freshness.ms("label_wait") + HOUR_MS


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _replay(
    app: App, schedule: Schedule, replayer: Replayer, client: ScoringClient, tally: _Tally, view: LiveView, page: str,
    stop: threading.Event,
) -> None:  # fmt: skip
    """Every step, and a look at the status now and then."""
    end = schedule.start_ms + len(schedule) * schedule.step_ms
    replayer.tell(messages.Span(schedule.start_ms, end))
    shown = threading.Thread(
        target=_show, args=(view, page, stop, done := threading.Event()), daemon=True
    )
    shown.start()
    try:
        for n, step in enumerate(schedule):
            if stop.is_set():
                raise Stopped
            replayer.step(
                step.start_ms, step.end_ms, partial(_ask, client, step), published(app, step.events)
            )
            if step.queries and n:
                _note_lags(replayer, tally, step)
        replayer.tell(messages.Clock(end, True))
    finally:
        done.set()
        shown.join(5.0)


def _ask(client: ScoringClient, step: Step) -> dict[str, int]:
    """The step's departures, as of its start; nothing if there are none."""
    return client.ask(step.queries, step.start_ms) if any(step.queries.values()) else {}


def _note_lags(replayer: Replayer, tally: _Tally, step: Step) -> None:
    """How far each view was behind when the next step's questions come."""
    for name, tick in replayer.facts.ticks.items():
        if name.startswith("view:"):
            tally.feature_lags.setdefault(name.split(":")[1], []).append(max(0, step.end_ms - tick))


def _show(view: LiveView, page: str, stop: threading.Event, done: threading.Event) -> None:
    """Draw the status that the page shows."""
    with httpx.Client(base_url=page, timeout=2.0) as http, view:
        while not (done.wait(SHOW_SECONDS) or stop.is_set()):
            try:
                view.update(wire.decode(http.get("/status.json").content))
            except (httpx.HTTPError, ValueError):
                continue


def _report(
    app: App, model: Model, runtime: Runtime, schedule: Schedule, replayer: Replayer, client: ScoringClient, tally: _Tally,
    options: DemoOptions, wall_seconds: float,
) -> DemoReport:  # fmt: skip
    topics = {
        t.name: reports.topic_report(app, runtime.log, runtime.settings.checkpoints_url, t.name)
        for t in app.topics
    }
    replayer.drained()
    facts = replayer.facts
    served = [s for s in facts.status.values() if s.role == "serve"]
    told: dict[str, Any] = max(served, key=lambda s: s.at).facts["requests"] if served else {}
    requests = RequestReport(
        attempts=client.attempts,
        answered=client.answered,
        refused=client.refused,
        # Somebody else may have asked, too.
        failed=max(client.failed, sum(int(s.facts["requests"]["failed"]) for s in served)),
        broken=client.broken,
        rows=client.rows,
        latency_ms={
            "p50": told.get("p50_ms"),
            "p99": told.get("p99_ms"),
            "max": told.get("max_ms"),
        },
        latency_near_swaps_ms={
            "p50": told.get("p50_swap_ms"),
            "p99": told.get("p99_swap_ms"),
            "max": told.get("max_swap_ms"),
        },
    )
    children = runtime.supervisor.facts()
    after = BRIEF_LABELS if options.days <= LONG_DAYS else LONG_LABELS
    restarts = {name: c["restarts"] for name, c in children.items()}
    why = reports.verdict(topics, requests, restarts.get("serve", 0))
    return DemoReport(
        app=app.name,
        app_from_ms=schedule.start_ms,
        app_to_ms=schedule.start_ms + len(schedule) * schedule.step_ms,
        steps=len(schedule),
        wall_seconds=round(wall_seconds, 1),
        topics=topics,
        ledger_agrees=all(t["ledger_agrees"] for t in topics.values()),
        views={v: reports.quantiles(np.array(lags)) for v, lags in tally.feature_lags.items()},
        models={
            model.name: reports.model_report(
                app, runtime.log, model, facts, after, tally.counts["Swapped"], tally.counts
            )
        },
        requests=requests,
        peak_memory_mb={name: round(c["peak_bytes"] / 1e6, 1) for name, c in children.items()},
        restarts=restarts,
        verdict=why,
        exit_code=0 if not why else 1,
    )
