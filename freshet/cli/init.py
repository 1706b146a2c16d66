"""`freshet init`: a small app of its own, ready to run, whose files are those of `template/`; or
one for a sample of somebody's events."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console

from freshet.scaffold.command import next_commands, plan_for, write_app
from freshet.scaffold.plan import Chosen
from freshet.schemas.errors import ComponentError

FILES = ("app.py", "produce.py", "ask.py", "freshet.toml", "README.md")


def init(directory: Path, console: Console) -> None:
    """Write the app's files into a new or empty directory, and say what to do next.

    Raises:
        ComponentError: the directory holds something, or cannot be made.
    """
    _make_empty(directory)
    for name in FILES:
        # What a package brings need not be a file: it may be imported from a zip.
        with as_file(files("freshet.cli").joinpath("template", name)) as source:
            shutil.copyfile(source, directory / name)
    commands = {
        f"cd {shlex.quote(str(directory))}": "",
        "freshet run app.py": "runs the app, and prints where it listens",
        "python produce.py": "in a second terminal: publishes events, asks the scorer",
    }
    _tell(directory, FILES, commands, console)


def init_from(sample: str, directory: Path | None, chosen: Chosen, console: Console) -> None:
    """Write an app for a sample into a new or empty directory (None: one of its name), and say how
    it came about and what to do next.

    Raises:
        ComponentError: the directory holds something, or cannot be made.
        FreshetError: the sample is none that an app could be made for.
    """
    planned, proposal, why = plan_for(sample, chosen)
    folder = directory or Path(planned.name)
    _make_empty(folder)
    for line in why:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()
    names = write_app(folder, sample, planned, proposal)
    _tell(folder, names, next_commands(folder, sample, planned), console)


def _tell(
    directory: Path, names: Sequence[str], commands: Mapping[str, str], console: Console
) -> None:
    console.print(f"wrote {', '.join(names)} into {directory}\n", highlight=False, soft_wrap=True)
    width = max(24, *(len(command) for command in commands))
    for command, why in commands.items():
        console.print(
            f"  {command:{width}}  {why}".rstrip(), highlight=False, markup=False, soft_wrap=True
        )


def _make_empty(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise ComponentError(
            f"init {directory}", f"cannot be made ({error.strerror})", "Name another directory."
        ) from error
    if found:
        shown = ", ".join(found[:3])
        if len(found) > 3:
            shown += " …"
        raise ComponentError(
            f"init {directory}", f"is not empty: it holds {shown}", "Name a new or empty directory."
        )
