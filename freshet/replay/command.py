"""`freshet replay`: files of old data through an app, in the data's own time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from freshet.app import App
from freshet.datafiles.files import DataError, data_files
from freshet.figures import count, moment
from freshet.replay.drive import Replay
from freshet.replay.drive import run as run_replay
from freshet.replay.sorting import SortedEvents
from freshet.replay.steps import DataSteps, Span, gather, usual_step_ms
from freshet.runs import folder
from freshet.schemas.durations import EARLIEST_MS, milliseconds, text_of
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.settings import Settings
from freshet.streams import objects
from freshet.streams.clock import wall_now_ms

DEFAULT_DIR = Path(".freshet/replay")
ANOTHER_PLACE = "Name another with --run-dir, or leave it out."
SHORTEST_STEP_MS = 1_000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """As on the command line: `since` and `until` are moments (ISO 8601, UTC), empty: all there is;
    `step` is a duration, empty: by the span of the data."""

    since: str = ""
    until: str = ""
    step: str = ""
    keep: bool = False
    report: Path = Path("replay-report.json")


def run(
    app: App,
    app_path: str,
    data: Sequence[str],
    given: Settings,
    options: ReplayOptions,
    console: Console,
) -> int:
    """Replay the files to their end; the exit code is 0 only if the ledger agrees and no request
    failed, 130 if stopped.

    Raises:
        FreshetError: an option cannot be meant, a file cannot be read, the folder is in use or
            holds another run.
    """
    # Names of files and options first: a slip in one of them empties no folder.
    files = data_files(app, data)
    span = _span(options)
    chosen_step_ms = _step_ms(options.step)
    _take_folder(given)
    now_ms = wall_now_ms()
    with ExitStack() as stack:

        def steps() -> DataSteps:
            sorted_events = stack.enter_context(SortedEvents(given.local_path / "replay"))
            with console.status("reading the data …"):
                # What is later than now is no old data: intake calls it far in the future.
                found = gather(app, files, span, now_ms, sorted_events)
            if found.first_ms is None or found.last_ms is None:
                raise DataError("data", "holds no row in that span", "Give other files or times.")
            step_ms = chosen_step_ms or usual_step_ms(found.first_ms, found.last_ms)
            _tell(found.rows, found.outside, console)
            console.print(
                f"time         {moment(found.first_ms)} to {moment(found.last_ms)} UTC, "
                f"in steps of {text_of(step_ms)}",
                highlight=False,
            )
            ends = found.first_ms, found.last_ms
            drain_ms = _drain_ms(app, found.last_ms, now_ms)
            return DataSteps(app, sorted_events, ends, step_ms, drain_ms)

        replay = Replay(app, app_path, given, options.report, keep=options.keep)
        return run_replay(replay, steps, console)


def _tell(rows: dict[str, int], outside: int, console: Console) -> None:
    told = ", ".join(f"{name} {count(n)}" for name, n in rows.items())
    left_out = f" ({count(outside)} outside --from and --until)" if outside else ""
    console.print(f"rows         {told}{left_out}", highlight=False)


def _span(options: ReplayOptions) -> Span:
    first = _moment("--from", options.since) if options.since else EARLIEST_MS
    # Any time has an end.
    end = _moment("--until", options.until) if options.until else 1 << 62
    if first >= end:
        raise DefinitionError(
            f"--until {options.until}", "is not after --from", "Give the later moment to --until."
        )
    return Span(first, end)


def _moment(option: str, text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise DefinitionError(
            f"{option} {text!r}",
            "is no moment",
            "Write one as ISO 8601, such as 1996-05-07 or 1996-05-07T12:30.",
        ) from error
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


def _step_ms(text: str) -> int | None:
    if not text:
        return None
    found = milliseconds(text, "--step")
    if found < SHORTEST_STEP_MS:
        raise DefinitionError(
            f"--step {text}", "is shorter than a second", "Take a second, or more."
        )
    return found


def _take_folder(given: Settings) -> None:
    """The usual folder is made new; another one is for this replay alone: time does not go back in
    a run."""
    folder.refuse_unshared(given)
    run_dir = given.local_path
    if given.is_shared and objects.anything_at(given.shared_url):
        raise ComponentError(
            f"run at {given.run_dir}", "is there already, and a replay begins anew", ANOTHER_PLACE
        )
    if run_dir == DEFAULT_DIR:
        folder.empty(run_dir)
    elif run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise ComponentError(
            f"run folder {run_dir}",
            "is not empty, and a replay begins anew",
            ANOTHER_PLACE,
        )
    folder.take(given)


def _drain_ms(app: App, last_ms: int, now_ms: int) -> int:
    """How far time goes on after the last event, so that what has no label expires; but not beyond
    now: who goes on live from here would wait for it."""
    waits = [m.label.topic.freshness.ms("label_wait") for m in app.models]
    return max(0, min(max(waits, default=0) + 1, now_ms - last_ms))
