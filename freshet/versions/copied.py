"""The files of an app's folder, copied, so that what runs is what was there then: whoever edits the
file meanwhile changes nothing that runs, and the modules of two versions are in two folders."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from freshet.schemas.errors import DefinitionError

MOST_FILES = 5_000
MOST_BYTES = 64 << 20
# What marks a folder as an environment, or as that of a run, whatever it is called.
NOT_THE_APPS = ("pyvenv.cfg", "run.lock")
LEFT_OUT = ("__pycache__", "node_modules")
SHOWN = 3  # of the largest files, where it is all too much
DIGITS = 16


def files(folder: Path) -> list[Path]:
    """The app's files, relative to its folder, in order: without hidden ones, environments and
    folders of runs.

    Raises:
        DefinitionError: there are too many, or they are too large, to be kept with each version.
    """
    found: list[Path] = []
    sizes: dict[Path, int] = {}
    for path in _walked(folder):
        found.append(path.relative_to(folder))
        sizes[found[-1]] = path.stat().st_size
        # At once: a folder that is somebody's home is not gone through to its end.
        if len(found) > MOST_FILES or sum(sizes.values()) > MOST_BYTES:
            raise _too_large(folder, sizes)
    return sorted(found)


def _walked(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_the_apps(Path(here) / name))
        for name in sorted(names):
            path = Path(here) / name
            # A socket or a pipe is no file; a link that leads nowhere is none either.
            if not name.startswith(".") and path.is_file():
                yield path


def _is_the_apps(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in LEFT_OUT or folder.is_symlink():
        return False
    return not any((folder / name).exists() for name in NOT_THE_APPS)


def _too_large(folder: Path, sizes: dict[Path, int]) -> DefinitionError:
    largest = sorted(sizes, key=lambda path: -sizes[path])[:SHOWN]
    named = ", ".join(f"{path} ({sizes[path] / 1e6:,.1f} MB)" for path in largest)
    return DefinitionError(
        f"folder {folder}",
        f"cannot be kept as a version: it has more than {MOST_FILES:,} files or "
        f"{MOST_BYTES >> 20} MB; the largest so far are {named}",
        "Let the app's file lie in a folder with its own modules and schemas alone.",
    )


def content(folder: Path, declared: str) -> str:
    """16 hex digits that change with any module of the app, and with what it has `declared`: of
    other files beside them, such as what a program writes there, nothing is known but that."""
    hashed = hashlib.sha256(declared.encode())
    for path in files(folder):
        if path.suffix == ".py":
            data = (folder / path).read_bytes()
            hashed.update(f"{path.as_posix()}\0{len(data)}\0".encode())
            hashed.update(data)
    return hashed.hexdigest()[:DIGITS]


def copy(folder: Path, to: Path) -> None:
    """Copy the app's files to a new folder."""
    to.mkdir(parents=True)
    for path in files(folder):
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, to / path)
