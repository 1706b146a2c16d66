"""`freshet backtest`: any definition over a run's past."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from freshet.app import App, load
from freshet.backtest.course import Course, course_of
from freshet.backtest.lines import Compared, compared
from freshet.backtest.page import page_of
from freshet.backtest.prequential import answered
from freshet.backtest.text import as_json, show_lines
from freshet.datasets.command import write_file
from freshet.datasets.recorded_run import RecordedRun, model_of, open_run
from freshet.figures import count, duration
from freshet.learners.model import Model
from freshet.past.examples import IN_PART
from freshet.past.moments import ms_of
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import RequestError
from freshet.terminal import marked

SUCH_AS = "such as 5m,1h,6h,1d,7d"
# No question is of before, or of after.
ALWAYS = -(1 << 62)
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Wanted:
    """As on the command line: moments are ISO 8601, empty: none; `every` are durations, separated
    by commas; no model is the file's only one."""

    app_file: str
    model: str = ""
    since: str = ""
    until: str = ""
    every: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """Where what is found goes: a table on the console, or JSON on standard output; and a `page`,
    if one is named."""

    console: Console
    page: Path | None
    as_json: bool


def run_backtest(run_dir: str, wanted: Wanted, shown: Shown) -> None:
    """Compute it and show it.

    Raises:
        FreshetError: the run, the file, the model, a moment or an interval is none; nothing can be
            compared; or the page cannot be written.
    """
    # First: what follows may take minutes.
    every = _intervals(wanted.every)
    since_ms = ms_of("--from", wanted.since) if wanted.since else ALWAYS
    until_ms = ms_of("--to", wanted.until) if wanted.until else NEVER
    page = shown.page
    if page is not None and page.suffix != ".html":
        raise RequestError(
            f"file {page}", "does not end in .html", "The page is HTML: name one such file."
        )
    app = load(wanted.app_file)
    model = model_of(app, wanted.model or None)
    started = time.monotonic()
    with open_run(run_dir) as run:
        examples, made_of = _examples(run, app, model, wanted)
    if not shown.as_json:
        begun = marked("{} questions. {}", count(len(examples)), made_of)
        shown.console.print(begun, highlight=False)
    course = course_of(examples, model.vectors, model.batch)
    answers = {}
    for spec in model.learners:
        own = model.vectors_of(spec)
        answers[model.lineage(spec)] = answered(
            spec.make(own),
            course.read_by(own, model.vectors),
            [milliseconds(name) for name in every],
        )
    found = compared(
        course,
        answers,
        every,
        since_ms,
        until_ms,
    )
    _refuse_nothing(found, course, every)
    if page is not None:
        write_file(page, memoryview(page_of(found, model.name, made_of).encode()))
    if shown.as_json:
        print(json.dumps(as_json(found)))
        return
    shown.console.print()
    show_lines(found, shown.console)
    pace = _pace(course, time.monotonic() - started)
    shown.console.print(marked("{}", pace), highlight=False)
    if page is not None:
        shown.console.print(marked("the page: {}", str(page)), highlight=False)


def _intervals(text: str) -> list[str]:
    """Each once, the shortest first."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise RequestError(
            f"--snapshot-every {text!r}", "names no interval", f"Name some, {SUCH_AS}."
        )
    by_length = {milliseconds(name, "--snapshot-every"): name for name in names}
    if min(by_length) <= 0:
        raise RequestError(
            f"--snapshot-every {by_length[min(by_length)]}",
            "is no time at all",
            f"Name intervals, {SUCH_AS}.",
        )
    return [by_length[length] for length in sorted(by_length)]


def _examples(
    run: RecordedRun, app: App, model: Model, wanted: Wanted
) -> tuple[pl.DataFrame, str]:  # fmt: skip
    """What there is to learn and to answer, up to the end that is wanted; and of what it is made.
    What was asked before the beginning is learned from all the same, as a run would have."""
    until = wanted.until or None
    known = {own.name: own for own in run.app.models}.get(model.name)
    if known is not None and _was_served(model, known):
        served = run.examples(model.name, until=until)
        if not (served["vector"] == IN_PART).any():
            return served, "Vectors are those that were served."
    examples = run.reconstructed(wanted.app_file, model.name, until=until)
    return examples, (
        f"The run did not log all that {model.name} reads as the file declares it: its vectors are "
        "reconstructed, as of each question."
    )


def _was_served(model: Model, known: Model) -> bool:
    """Whether the model of the run is asked with all that this one reads."""
    is_alike = known.digest == model.digest
    return is_alike and not model.vectors.lacking(known.vectors)


def _refuse_nothing(found: Compared, course: Course, every: list[str]) -> None:
    if found.questions:
        return
    labelled = int(np.isfinite(course.label).sum())
    if not labelled:
        raise RequestError(
            "backtest",
            f"{count(len(course))} questions have no label to be learned or scored",
            "Name another run with --run-dir, or wait until labels came.",
        )
    raise RequestError(
        "backtest",
        f"{count(labelled)} questions have a label, but none between --from and --to was asked "
        f"after the first snapshot of {every[-1]}",
        "Name a longer span, or shorter intervals with --snapshot-every.",
    )


def _pace(course: Course, seconds: float) -> str:
    lived_ms = int(course.asked_ms[-1] - course.asked_ms[0])
    times = lived_ms / 1000 / max(seconds, 1e-3)
    return f"{duration(lived_ms)} of the app's time in {seconds:.1f} s, {times:,.0f} × as fast"
