"""`freshet plan`: what a changed file means for a run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

    with _errors_are_1():
        made = planned(load(app), settings(run_dir=run_dir))
        if out is not None:
            out.write_bytes(encoded(made))
    if as_json:
        say(encoded(made).decode())
    else:
        for line in lines(made):
            terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(CHANGES if made.changes else NOTHING)


def agreed(app: App, given: Settings, file: Path | None, yes: bool) -> bool:
    """Whether a run may go on with what is declared now. A plan in a `file` must still hold; where
    somebody can be asked who has not said `yes` before, they are shown what comes of it.

    Raises:
        DefinitionError: the plan holds no more, or others cannot share the run's log.
        ObjectStoreError: the store of objects does not answer, or refuses it.
    """
    from freshet.declared import definitions
    from freshet.planning.of_run import planned
    from freshet.planning.plan import refuse_moved
    from freshet.planning.shown import lines
    from freshet.runs import folder
    from freshet.streams.object_probe import probe

    if file is not None:
        refuse_moved(file, planned(app, given))
        return True
    if yes or not sys.stdin.isatty():
        return True
    if given.is_shared:
        folder.refuse_unshared(given)
        probe(given.shared_url)
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
