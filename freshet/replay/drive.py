"""A replay from its start to its report: starts the app's roles, takes them through every step,
shows how it goes, and tells in the end what came of it."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from freshet.app import App
from freshet.processes.runtime import Runtime
from freshet.replay import report as reports
from freshet.replay.client import ScoringClient
from freshet.replay.live_view import LiveView, summary
from freshet.replay.replayer import Replayer, Stopped, published
from freshet.replay.report_types import ReplayReport, RequestReport
from freshet.replay.steps import Step, Steps
from freshet.schemas.durations import milliseconds
from freshet.schemas.whole_files import write_whole
from freshet.schemas.wire import messages
from freshet.serving.status import status as wire
from freshet.settings import Settings

SHOW_SECONDS = 0.5
# Enough that nobody waits for a learner at each step; not so many that all wait for it at once.
AHEAD = 8
ASK_ROWS = 1_000  # in one request, of the 4,096 that a scorer takes


@dataclass(frozen=True, slots=True)
class Replay:
    """What is replayed: an app, its file, where it runs, and how it is reported: into the file
    `report`, of each model over the labels after the first `after`, `again` beside what could have
    answered otherwise (see `freshet.replay.report.Judged`). `keep`: go on serving afterwards."""

    app: App
    app_path: str
    settings: Settings
    report: Path
    after: int = 0
    again: bool = False
    keep: bool = False


@dataclass
class _Tally:
    """What only a replay sees: lags when asked, and counts of messages by model."""

    feature_lags: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    steps: int = 0

    def note(self, m: messages.Message) -> None:
        model = getattr(m, "model", "")
        of_model = self.counts.setdefault(model, Counter())
        of_model[type(m).__name__] += 1
        if isinstance(m, messages.Verdict):
            of_model["approved" if m.approved else "refused"] += 1


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts of a replay that goes on."""

    replay: Replay
    steps: Steps
    runtime: Runtime
    replayer: Replayer
    clients: dict[str, ScoringClient]
    tally: _Tally
    stop: threading.Event


def run(replay: Replay, steps: Callable[[], Steps], console: Console) -> int:
    """Replay to the end; the exit code: 0 only if every ledger agrees and no request failed, 130 if
    stopped. `steps` are made once it can be stopped."""
    started = time.monotonic()
    with _stoppable() as stop, ExitStack() as stack:
        made = steps()
        given = replay.settings.model_copy(update={"replay": True})
        runtime = stack.enter_context(Runtime(replay.app, replay.app_path, given))
        with console.status("starting the roles …"):
            scorer = runtime.address("serve")
            page = runtime.address("status")
        console.print(f"status page  {page}", highlight=False)
        for model in replay.app.models:
            console.print(f"scorer       {scorer}/v2/models/{model.name}", highlight=False)
        console.print()
        tally = _Tally()
        replayer = Replayer(replay.app, runtime.log, _snapshots_every_ms(replay), tally.note, stop)
        replayer.go_ahead(AHEAD)
        stack.callback(replayer.close)
        clients = {m.name: ScoringClient([scorer], m.name, m.on.events) for m in replay.app.models}
        for client in clients.values():
            stack.callback(client.close)
        running = _Running(replay, made, runtime, replayer, clients, tally, stop)
        try:
            _go(running, LiveView(console, page), page)
        except Stopped:
            console.print("stopped; the run's folder keeps what was done", highlight=False)
            return 130
        with console.status("recomputing the ledger from the log …"):
            told = _report(running, time.monotonic() - started)
        write_whole(replay.report, json.dumps(told, indent=1).encode())
        summary(told, console)
        console.print(f"report       {replay.report}", highlight=False)
        if replay.keep:
            console.print(
                f"still serving: scorer {scorer}, status page {page}; Ctrl-C ends it",
                highlight=False,
            )
            stop.wait()
    return told["exit_code"]


def _snapshots_every_ms(replay: Replay) -> dict[str, int]:
    given = replay.settings.snapshot_every
    found = {}
    for model in replay.app.models:
        found[model.name] = model.label.topic.freshness.ms("snapshot_every")
        if given:
            found[model.name] = milliseconds(given)
    return found


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


def _go(running: _Running, view: LiveView, page: str) -> None:
    """Every step, and a look at the status now and then."""
    replayer = running.replayer
    stop = running.stop
    replayer.tell(messages.Span(running.steps.start_ms, running.steps.end_ms))
    done = threading.Event()
    shown = threading.Thread(target=_show, args=(view, page, stop, done), daemon=True)
    shown.start()
    end = running.steps.start_ms
    try:
        for step in running.steps:
            if stop.is_set():
                raise Stopped
            _take(running, step)
            end = step.end_ms
        replayer.end(end)
        replayer.told(end)
    finally:
        done.set()
        shown.join(5.0)


def _take(running: _Running, step: Step) -> None:
    app = running.replay.app
    tally = running.tally
    asked = partial(_ask, running, step)
    running.replayer.step(step.start_ms, step.end_ms, asked, published(app, step.events))
    if tally.steps and any(any(columns.values()) for columns in step.asked.values()):
        _note_lags(running.replayer, tally, step)
    tally.steps += 1


def _ask(running: _Running, step: Step) -> dict[str, int]:
    """Every model about the step's events of its topic, as of the step's start; nothing if there
    are none."""
    logged: dict[str, int] = {}
    for model in running.replay.app.models:
        columns = step.asked.get(model.on.name, {})
        rows = max(map(len, columns.values()), default=0)
        for first in range(0, rows, ASK_ROWS):
            part = {name: values[first : first + ASK_ROWS] for name, values in columns.items()}
            told = running.clients[model.name].ask(part, step.start_ms)
            # Each model's predictions are numbered by themselves.
            logged |= {f"{instance} {model.name}": last for instance, last in told.items()}
    return logged


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
            # The page may be starting again: what is drawn stays until it answers.
            except (httpx.HTTPError, ValueError):
                continue


def _report(running: _Running, wall_seconds: float) -> ReplayReport:
    replay = running.replay
    runtime = running.runtime
    tally = running.tally
    app = replay.app
    checkpoints = runtime.settings.checkpoints_url
    topics = {}
    for topic in app.topics:
        name = topic.name
        topics[name] = reports.topic_report(app, runtime.log, checkpoints, name)
    running.replayer.drained()
    facts = running.replayer.facts
    children = runtime.supervisor.facts()
    restarts = {name: c["restarts"] for name, c in children.items()}
    requests = _requests(running)
    models = {}
    for model in app.models:
        counts = tally.counts.get(model.name, Counter())
        judged = reports.Judged(facts, counts, replay.after, replay.again)
        models[model.name] = reports.model_report(app, runtime.log, model, judged)
    why = reports.verdict(topics, requests, restarts.get("serve", 0))
    return ReplayReport(
        app=app.name,
        app_from_ms=running.steps.start_ms,
        app_to_ms=running.steps.end_ms,
        steps=tally.steps,
        wall_seconds=round(wall_seconds, 1),
        topics=topics,
        ledger_agrees=all(t["ledger_agrees"] for t in topics.values()),
        views={v: reports.quantiles(np.array(lags)) for v, lags in tally.feature_lags.items()},
        models=models,
        requests=requests,
        peak_memory_mb={name: round(c["peak_bytes"] / 1e6, 1) for name, c in children.items()},
        restarts=restarts,
        verdict=why,
        exit_code=0 if not why else 1,
    )


def _requests(running: _Running) -> RequestReport:
    clients = running.clients.values()
    statuses = running.replayer.facts.status.values()
    served = [status for status in statuses if status.role == "serve"]
    told: dict[str, Any] = {}
    if served:
        newest = max(served, key=lambda status: status.at)
        told = newest.facts["requests"]
    return RequestReport(
        attempts=sum(c.attempts for c in clients),
        answered=sum(c.answered for c in clients),
        refused=sum(c.refused for c in clients),
        # Somebody else may have asked, too.
        failed=max(
            sum(c.failed for c in clients),
            sum(int(status.facts["requests"]["failed"]) for status in served),
        ),
        broken=sum(c.broken for c in clients),
        rows=sum(c.rows for c in clients),
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
