"""`freshet plan`: what a changed file means for a run; `freshet apply`: that it is carried out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.cli.option_groups import grouped
from freshet.streams.aside import apart, behind
from freshet.terminal import say, terminal

if TYPE_CHECKING:
    from freshet.app import App
    from freshet.settings import Settings

NOTHING = 0
CHANGES = 2
ERROR = 1


def plan(
    app: Annotated[str, typer.Argument(help="the Python file that declares the app")],
    run_dir: Annotated[
        str | None, typer.Option(help="folder of the run that it would go on in, or its URL")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-out", help="file to write the plan to, for run --plan")
    ] = None,
) -> None:
    """Compare an app's file with what runs, and say what is made anew, from when on, and how long
    that takes. Ends with 0 where nothing has changed, with 2 where something has, with 1 where that
    cannot be told. Starts nothing."""
    from freshet.app import load
    from freshet.planning.of_run import planned
    from freshet.planning.plan import encoded
    from freshet.planning.shown import lines
    from freshet.settings import settings
    from freshet.versions.excluded import as_run

    with _errors_are_1():
        given = settings(run_dir=run_dir)
        made = planned(as_run(load(app), given), given)
        if out is not None:
            out.write_bytes(encoded(made))
    if as_json:
        say(encoded(made).decode())
    else:
        for line in lines(made):
            terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(CHANGES if made.changes else NOTHING)


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
    # Requests must not notice that a plan is made: it takes more of a processor than all processes
    # of a version take to start; a third of that is what it imports.
    apart()
    if not behind(_told, app, given, plan, to_do):
        raise SystemExit(ERROR)
    if not to_do.wait:
        raise SystemExit(NOTHING)
    from freshet.applying.following import follow

    raise SystemExit(follow(given, as_json))


def _told(app: str | None, given: Settings, file: Path | None, to_do: ToDo) -> bool:
    """Have the run know what it is asked for; whether it is."""
    from freshet.applying import asking

    given = asking.as_run(given)
    if to_do.abort:
        asking.take_back(given)
    elif to_do.revert:
        asking.ask_back(given)
    else:
        assert app is not None
        return _asked(app, given, file, to_do.yes)
    return True


def _asked(app: str, given: Settings, file: Path | None, yes: bool) -> bool:
    """Ask for the change, once it is agreed to."""
    from freshet.app import load
    from freshet.applying import asking
    from freshet.planning.of_run import planned
    from freshet.planning.plan import refuse_moved
    from freshet.planning.shown import lines
    from freshet.versions.excluded import as_run

    loaded = as_run(load(app), given)
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
        raise SystemExit(NOTHING)
    asking.ask(loaded, app, given)
    return True


def change_what_runs(app: str, given: Settings, plan: Path | None, yes: bool) -> None:
    """`freshet run` beside a run that goes on: where the file is another one than what runs, as
    `freshet apply` does; ends the process then. Returns where it is none: that is refused."""
    from freshet.app import load
    from freshet.applying import asking
    from freshet.applying.following import follow
    from freshet.applying.restarting import goes_on_otherwise
    from freshet.versions.excluded import as_run

    # Nobody has agreed to it who cannot be asked.
    if not (yes or plan is not None or sys.stdin.isatty()):
        return
    if not goes_on_otherwise(as_run(load(app), given), app, given):
        return
    given = asking.as_run(given)
    if not behind(_asked, app, given, plan, yes):
        raise SystemExit(ERROR)
    raise SystemExit(follow(given, as_json=False))


def first_what_ran(
    file: str, app: App, given: Settings, yes: bool
) -> tuple[str, App, Callable[[], None] | None]:
    """What `freshet run` starts of a file that nobody runs: where it is declared otherwise than
    what ran here last, that first, and beside it the new version is built then. Says why, where it
    starts at once."""
    from freshet.app import load
    from freshet.applying import restarting
    from freshet.declared import definitions
    from freshet.versions.excluded import as_run

    before = definitions.read(given.checkpoints_url) if not given.is_shared else None
    if before is None or not definitions.changes(before, app):
        return file, app, None
    because = "nobody was asked (--yes builds it beside what ran before, which answers meanwhile)"
    if yes or sys.stdin.isatty():
        because = restarting.why_at_once(app, file, given)
    if because:
        say(f"what is declared now starts at once: {because}")
        return file, app, None
    say("what ran before answers until what is declared now is built beside it")
    first = restarting.active_file(given)
    return first, as_run(load(first), given), restarting.building(app, file, given, say)


def refuse_out_of_reach(given: Settings) -> None:
    """Before anything is read of a folder that machines share.

    Raises:
        DefinitionError: others cannot share the run's log.
        ObjectStoreError: the store of objects does not answer, or refuses it.
    """
    from freshet.runs import folder
    from freshet.streams.object_probe import probe

    if given.is_shared:
        folder.refuse_unshared(given)
        probe(given.shared_url)


def agreed(app: App, given: Settings, file: Path | None, yes: bool) -> bool:
    """Whether a run may go on with what is declared now. A plan in a `file` must still hold; where
    somebody can be asked who has not said `yes` before, they are shown what comes of it.

    Raises:
        DefinitionError: the plan holds no more.
        ObjectStoreError: the store of objects does not answer, or refuses it.
    """
    from freshet.declared import definitions
    from freshet.planning.of_run import planned
    from freshet.planning.plan import refuse_moved
    from freshet.planning.shown import lines

    if file is not None:
        refuse_moved(file, planned(app, given))
        return True
    if yes or not sys.stdin.isatty():
        return True
    before = definitions.read(given.checkpoints_url)
    if before is None or not definitions.changes(before, app):
        return True
    for line in lines(planned(app, given)):
        terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)
    return typer.confirm("go on with that")


@contextlib.contextmanager
def _errors_are_1() -> Iterator[None]:
    """2 says that there are changes."""
    from freshet.schemas.errors import FreshetError
    from freshet.terminal import complain

    try:
        yield
    except FreshetError as error:
        complain(f"error: {error}")
        raise SystemExit(ERROR) from error
