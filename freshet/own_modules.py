"""The folder of an app's file, first on Python's path: what stands beside the file is imported by
its bare name.

A process has one path and one table of modules, but may load several apps one after the other
(tests do). So each load forgets what the one before it imported from its own folder: a `helpers` of
one app is never another's.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True, slots=True)
class _Entered:
    """The folder that is first now. What the process had imported under the names `imported_before`
    is not the app's to forget: a test's own modules, and freshet where the folder is that of a
    checkout."""

    folder: Path
    imported_before: frozenset[str]


_entered: _Entered | None = None


def enter(folder: Path) -> None:
    """From now on, modules are looked for in `folder` (absolute) first, and no longer in the one
    before it."""
    global _entered
    if _entered is not None:
        _leave(_entered)
    names = frozenset(_first_name(name) for name in sys.modules)
    _entered = _Entered(folder, names)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # a file written a moment ago is found, too


def is_own(name: str, place: str | Path, folder: Path) -> bool:
    """Whether a module of this name and place was found in `folder`, and not in an environment that
    lies within it.

    >>> is_own("schemas.arrivals", "/parcels/schemas/arrivals.py", Path("/parcels"))
    True
    >>> is_own("polars", "/parcels/.venv/lib/polars/__init__.py", Path("/parcels"))
    False
    """
    path = Path(place)
    if not path.is_relative_to(folder) or path == folder:
        return False
    first_part = path.relative_to(folder).parts[0]
    return first_part.partition(".")[0] == _first_name(name)


def _leave(entered: _Entered) -> None:
    # A copy: what is taken out changes it.
    for name, module in list(sys.modules.items()):
        brought = _first_name(name) not in entered.imported_before
        if brought and any(is_own(name, place, entered.folder) for place in _places(module)):
            del sys.modules[name]
    if str(entered.folder) in sys.path:
        sys.path.remove(str(entered.folder))


def _places(module: ModuleType) -> list[str]:
    """Its file; of a folder without an `__init__.py`, which has none, the folders."""
    found = getattr(module, "__dict__", {})  # libraries put other things than modules there
    file = found.get("__file__")
    if file:
        return [file]
    return list(found.get("__path__") or ())


def _first_name(module: str) -> str:
    return module.partition(".")[0]
