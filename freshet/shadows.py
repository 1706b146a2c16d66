"""Names that modules beside an app's file must not have: Python would import them where a library's
module is meant.

    random.py       is found before the standard library's
    polars/         (with an __init__.py) is found before the library
    time.py         is never found: Python has that one built in

A folder without an `__init__.py` hides nothing: Python takes a library's module first, wherever on
the path it is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder, all_suffixes
from pathlib import Path

import freshet
from freshet.schemas.errors import DefinitionError

_DISTRIBUTION = re.compile(r"[\w.-]+")


def refuse(folder: Path) -> None:
    """Look at the names in an app's folder (absolute), and import nothing from there.

    Raises: DefinitionError: one of them is that of a module of Python, of freshet or of what
        freshet depends on.
    """
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != folder]
    for name, file in sorted(_modules(folder).items()):
        cause = _conflict(name, file, elsewhere)
        if cause:
            shown = file.name
            if file.is_dir():
                shown += "/"
            raise DefinitionError(shown, cause, f"Rename it, such as to my_{shown}.")


def _modules(folder: Path) -> dict[str, Path]:
    """What Python would import from a folder, by name."""
    suffixes = all_suffixes()
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, suffix = entry.name.partition(".")
            path = Path(entry.path)
            # A folder's name with a dot in it cannot be imported.
            is_package = not suffix and any((path / f"__init__{end}").is_file() for end in suffixes)
            if is_package or (f".{suffix}" in suffixes and entry.is_file()):
                found[name] = path
    return found


def _conflict(name: str, file: Path, elsewhere: Sequence[str]) -> str:
    """What is wrong with a module of this name; "" if nothing is. `elsewhere` is Python's path
    without the folder."""
    if name == freshet.__name__:
        # The folder of a checkout has freshet in it, and it is that which is running.
        if file.resolve() == Path(freshet.__file__).parent.resolve():
            return ""
        return "has freshet's own name, and would be imported in its place"
    if BuiltinImporter.find_spec(name) or FrozenImporter.find_spec(name):
        return f"could never be imported: {name} is built into Python"
    if name in sys.stdlib_module_names:
        library = "of Python's standard library"
        return f"has the name of {name} {library}, and would be imported in its place"
    # This is quick, and nearly always the end of it: metadata are read only for a name that two
    # places have.
    if PathFinder.find_spec(name, elsewhere) is None:
        return ""
    distribution = next(
        (owner for owner in _distributions_with(name) if owner in _dependencies()), ""
    )
    if not distribution:
        return ""
    library = name
    if distribution != _canonical(name):
        library = f"{name} of {distribution}"
    what = f"has the name of {library}, which freshet depends on"
    return f"{what}, and would be imported in its place"


def _distributions_with(name: str) -> Iterator[str]:
    """Which installed distributions have files of a module of this name."""
    file_of_it = re.compile(rf"^{re.escape(name)}[./]", re.MULTILINE)
    for distribution in metadata.distributions():
        if file_of_it.search(distribution.read_text("RECORD") or ""):
            yield _canonical(distribution.name)


def _dependencies() -> set[str]:
    """The installed distributions that freshet needs, with its extras, and those that they need in
    turn."""
    found = set[str]()
    waiting = [freshet.__name__]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue  # of another system or Python, or of an extra that is not installed
        found.add(name)
        for requirement in requirements:
            is_for_an_extra = "extra ==" in requirement
            distribution = _DISTRIBUTION.match(requirement)
            if distribution and (name == freshet.__name__ or not is_for_an_extra):
                waiting.append(_canonical(distribution[0]))
    return found


def _canonical(distribution: str) -> str:
    """As packaging's specification writes names, so that two spellings of one are equal."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
