"""`freshet init`: a small app of its own, ready to run. Its files are those of `template/`."""

from __future__ import annotations

import shlex
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console

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
    console.print(f"wrote {', '.join(FILES)} into {directory}\n", highlight=False, soft_wrap=True)
    commands = {
        f"cd {shlex.quote(str(directory))}": "",
        "freshet run app.py": "runs the app, and prints where it listens",
        "python produce.py": "in a second terminal: publishes events, asks the scorer",
    }
    for command, why in commands.items():
        console.print(
            f"  {command:24}{why}".rstrip(), highlight=False, markup=False, soft_wrap=True
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
