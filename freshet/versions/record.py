"""Versions of an app in a run's folder, and which of them is active.

    {run}/versions/{number}/version.json    what the version is, as data
    {run}/versions/{number}/app/…           its files
    {run}/versions/cutovers/{number}.json   the highest one names the active version

A folder of a version is there at once, by being renamed, and never changed; a cut-over is a file
that only one can make. So whoever is killed anywhere leaves a run that has one active version.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from freshet.schemas.errors import ComponentError
from freshet.streams.objects import opened, put_new
from freshet.versions import copied
from freshet.versions.routes import TopicRoutes

FOLDER = "versions"
RECORD = "version.json"
APP = "app"
CUTOVERS = "cutovers"
DRAFT = ".draft"
Kind = TypeVar("Kind")


class StoredView(msgspec.Struct, frozen=True):
    """A view in the store: its partitions, and the topics whose `feature_slo` bounds its lag."""

    view: str
    partitions: int
    topics: list[str]


class Left(msgspec.Struct, frozen=True):
    """What a version keeps under digests: logs by name (those that must be empty to be removed are
    `sources`), and paths below the checkpoints."""

    logs: list[str] = []
    sources: list[str] = []
    paths: list[str] = []


class Version(msgspec.Struct, frozen=True):
    """A version: the `digest` of what its app declares and the `content` of its files, the app's
    file, its processes with the topics that each takes in, its topics as intake sees them, its
    views by their names in the store, what it keeps, and by which records its views leave events
    out."""

    number: int
    digest: str
    content: str
    file: str
    roles: dict[str, list[str]]
    topics: dict[str, TopicRoutes]
    views: dict[str, StoredView]
    keeps: Left = Left()
    excludes: list[int] = []


class Cutover(msgspec.Struct, frozen=True):
    """`version` is active from then on (ms); `back`: once more. What `kept` is, is still fed with
    events, so that it can be gone back to; None: nothing is, `because`."""

    version: int
    at_ms: int
    kept: int | None = None
    because: str = ""
    back: bool = False


class Versions:
    """The versions of a run's folder."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / FOLDER

    def numbers(self) -> list[int]:
        """Of all versions, rising."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def of(self, number: int) -> Version:
        """Raises `ComponentError` where it is not there, or no record."""
        path = self.folder / str(number) / RECORD
        return _decoded(path, Version)

    def app_file(self, version: Version) -> Path:
        """Where its processes load the app from."""
        return self.folder / str(version.number) / APP / version.file

    def draft(self, files_of: Path) -> Path:
        """A copy of an app's files that is no version yet."""
        draft = self.folder / DRAFT
        # Of one who was killed.
        shutil.rmtree(draft, ignore_errors=True)
        copied.copy(files_of, draft / APP)
        return draft

    def adopt(self, draft: Path, version: Version) -> Version:
        """Make a version of a draft."""
        (draft / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(version)))
        draft.rename(self.folder / str(version.number))
        return version

    def remove(self, number: int) -> None:
        """A version, and whatever was to become one."""
        # By another name first: half of a version is none.
        gone = self.folder / f".{number}.gone"
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            (self.folder / str(number)).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self.folder / DRAFT, ignore_errors=True)

    def cutovers(self) -> list[int]:
        folder = self.folder / CUTOVERS
        if not folder.is_dir():
            return []
        return sorted(int(path.stem) for path in folder.glob("*.json"))

    def current(self) -> Cutover | None:
        """Which version is active; None where none ever was."""
        numbers = self.cutovers()
        if not numbers:
            return None
        return _decoded(self.folder / CUTOVERS / f"{numbers[-1]}.json", Cutover)

    def cut_over(self, to: Cutover) -> None:
        """Make another version the active one: from this moment on, whoever starts runs that."""
        folder = self.folder / CUTOVERS
        folder.mkdir(parents=True, exist_ok=True)
        number = max(self.cutovers(), default=0) + 1
        fs, root = opened(folder)
        put_new(fs, f"{root}/{number}.json", msgspec.json.encode(to))

    def prune(self, wanted: Sequence[int]) -> None:
        """Forget the copies of all other versions. What they kept stays where it is."""
        for number in self.numbers():
            if number not in wanted:
                self.remove(number)

    def next_number(self) -> int:
        """Never one that was used before: cut-overs name them."""
        named = [self._cutover(number).version for number in self.cutovers()]
        return max([*self.numbers(), *named], default=0) + 1

    def _cutover(self, number: int) -> Cutover:
        return _decoded(self.folder / CUTOVERS / f"{number}.json", Cutover)


def new_views(version: Version, beside: Version) -> frozenset[str]:
    """Names of the views that the other version has not as they are."""
    return frozenset(
        stored.view for name, stored in version.views.items() if name not in beside.views
    )


def _decoded(path: Path, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ComponentError(
            f"file {path}",
            f"cannot be read: {error}",
            "Restore it, or remove the folder versions of the run: then freshet run begins with "
            "the app's file as it is.",
        ) from error
