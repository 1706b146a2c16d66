"""`freshet apply`: change an app while it runs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.cli.option_groups import grouped
from freshet.terminal import say, terminal

if TYPE_CHECKING:
    from freshet.settings import Settings
    from freshet.versions.progress import Applying

LOOK_SECONDS = 0.2
DONE = 0
NOT_AGREED = 1
FAILS = 1


@dataclass(frozen=True, slots=True)
class ToDo:
    """What is done instead of a change, and how."""

    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False
    revert: Annotated[
        bool, typer.Option("--revert", help="go back to the version that ran before")
    ] = False
    abort: Annotated[
        bool, typer.Option("--abort", help="take back what is being applied, and all it made")
    ] = False
    wait: Annotated[bool, typer.Option(help="tell how far it is until it is done")] = True


@grouped
def apply(
    app: Annotated[
        str | None, typer.Argument(help="the Python file that declares the app, changed")
    ] = None,
    run_dir: Annotated[str | None, typer.Option(help="folder of the run that goes on")] = None,
    *,
    to_do: ToDo,
    plan: Annotated[
        Path | None, typer.Option(help="file of freshet plan --out; refused where it holds no more")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="how far it is, as lines of JSON")
    ] = False,
) -> None:
    """Change an app while it runs: what is new is built beside it, and answers from one moment on.
    Says how far it is until then; it goes on where this command is interrupted."""
    from freshet.schemas.errors import DefinitionError
    from freshet.settings import settings

    given = settings(run_dir=run_dir)
    if sum((app is not None, to_do.revert, to_do.abort)) != 1:
        raise DefinitionError(
            "apply",
            "is told of no one thing to do",
            "Name the changed file of the app, or write --revert, or --abort.",
        )
    from freshet.applying import asking

    if to_do.abort:
        asking.take_back(given)
    elif to_do.revert:
        asking.ask_back(given)
    elif app is not None and not _asked(app, given, plan, to_do.yes):
        raise SystemExit(NOT_AGREED)
    if not to_do.wait:
        raise SystemExit(DONE)
    raise SystemExit(_follow(given, as_json))


def _asked(app: str, given: Settings, file: Path | None, yes: bool) -> bool:
    """Ask for the change, once it is agreed to."""
    from freshet.app import load
    from freshet.applying import asking
    from freshet.planning.of_run import planned
    from freshet.planning.plan import refuse_moved
    from freshet.planning.shown import lines

    loaded = load(app)
    asking.refuse_where_nothing_runs(given)
    made = planned(loaded, given)
    if file is not None:
        refuse_moved(file, made)
    if file is None and not yes:
        for line in lines(made):
            terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)
        if sys.stdin.isatty() and not typer.confirm("go on with that"):
            return False
    if not made.changes and asking.is_what_runs(loaded, app, given):
        terminal(None).print("everything goes on as it is declared")
        raise SystemExit(DONE)
    asking.ask(loaded, app, given)
    return True


def _follow(given: Settings, as_json: bool) -> int:
    """Tell how far it is, until it is done or does not come on."""
    from freshet.applying import asking

    told = ""
    while True:
        now = asking.how_far(given)
        if now is None:
            break
        line = _as_json(now) if as_json else _line(now)
        if line != told:
            told = line
            _print(line, as_json)
        if now.state == "failing":
            if not as_json:
                _print("freshet apply --abort takes it back", as_json)
            return FAILS
        time.sleep(LOOK_SECONDS)
    active = asking.active(given)
    _print(f'{{"runs":{active}}}' if as_json else f"version {active} runs", as_json)
    return DONE


def _print(line: str, as_json: bool) -> None:
    if as_json:
        say(line)
    else:
        terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)


def _as_json(now: Applying) -> str:
    import msgspec

    return msgspec.json.encode(now).decode()


def _line(now: Applying) -> str:
    from freshet.versions.shown import sentence

    return sentence(now)
