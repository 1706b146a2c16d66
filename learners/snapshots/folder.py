"""The folder of one lineage's snapshots: found by name below the run's own, and never left.

Its path is made of an app's names, never taken from a message. No link is followed below the root,
only plain files are opened, and no more of one is read than was asked for: so what somebody else
put there can neither lead elsewhere, nor block who opens it (a pipe), nor fill the memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from freshet.learners.snapshots.stored_folder import StoredFolder
from freshet.schemas.errors import SnapshotError
from freshet.schemas.whole_files import SUFFIX, put_whole
from freshet.streams.objects import is_remote

KEEP = "Keep the snapshot that is served."
# As `freshet.schemas.wire.messages.Name`: no dot in front, neither a slash nor a NUL.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
# A link is refused, not followed; a pipe is opened without waiting for who writes into it, and
# refused then.
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_INTO = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# Of all snapshots: a folder of this machine, or a URL in a store of objects.
Root = str | Path


def place_of(root: Root, model: str, lineage: str) -> str:
    """Where the snapshots of a lineage are.

    Raises:
        SnapshotError: a name could lead out of `root`.
    """
    for name in (model, lineage):
        if _NAME.fullmatch(name) is None:
            raise SnapshotError(
                f"{name!r} below {root}", "is no name of a model or lineage", "Look who ordered it."
            )
    return f"{root}/{model}/{lineage}"


class Folder:
    """An open folder of snapshots; a context manager. Not thread-safe.

    Raises:
        SnapshotError: it is not there, or is a link, or something else than a folder.
    """

    def __init__(self, root: Path, model: str, lineage: str, create: bool = False) -> None:
        self.path = Path(place_of(root, model, lineage))
        if create:
            root.mkdir(parents=True, exist_ok=True)
        # The root is the operator's own, and may well be a link; what is below it is ours.
        self._descriptor = self._open(str(root), os.O_DIRECTORY | os.O_CLOEXEC, None)
        for name in (model, lineage):
            above = self._descriptor
            try:
                if create:
                    _make(name, above)
                self._descriptor = self._open(name, _INTO, above)
            finally:
                os.close(above)

    def _open(self, name: str, flags: int, above: int | None) -> int:
        try:
            return os.open(name, flags, dir_fd=above)
        except OSError as error:
            raise self._unreadable(str(self.path), error) from error

    @staticmethod
    def _unreadable(what: str, error: OSError) -> SnapshotError:
        return SnapshotError(what, f"cannot be read: {error.strerror or error}", KEEP)

    def open(self, name: str) -> int:
        """The descriptor of a plain file, which the caller closes."""
        what = str(self.path / name)
        try:
            found = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=self._descriptor)
        except OSError as error:
            raise self._unreadable(what, error) from error
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise SnapshotError(what, "cannot be read: it is no plain file", KEEP)
        return found

    def read(self, name: str, most: int) -> bytes:
        """All of a file, which has at most `most` bytes.

        Raises:
            SnapshotError: it has more (none of them is read), or cannot be read.
        """
        found = self.open(name)
        with os.fdopen(found, "rb") as file:
            size = os.fstat(found).st_size
            if size > most:
                raise SnapshotError(
                    str(self.path / name), f"has {size} bytes, {most} are allowed", KEEP
                )
            try:
                return file.read(most)
            except OSError as error:
                raise self._unreadable(str(self.path / name), error) from error

    def put(self, name: str, data: bytes) -> None:
        """All of it, or nothing. Not forced to the disk: after a power failure a torn file is
        refused by its digest, and the trainer, which resumes from an older checkpoint, writes it
        again."""
        put_whole(name, f"{name}{SUFFIX}", [data], folder=self._descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._descriptor))

    def remove(self, name: str) -> None:
        """A link goes itself, not what it leads to."""
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _make(name: str, above: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)


def opened(root: Root, model: str, lineage: str, create: bool = False) -> Folder | StoredFolder:
    """The folder of a lineage. Raises `SnapshotError` where there is none on this machine, and
    none is made."""
    if is_remote(str(root)):
        return StoredFolder(place_of(root, model, lineage))
    return Folder(Path(root), model, lineage, create)


@contextlib.contextmanager
def opened_if_there(root: Root, model: str, lineage: str) -> Iterator[Folder | StoredFolder | None]:
    """None where nothing was written yet."""
    place = place_of(root, model, lineage)
    if not is_remote(place) and not Path(place).is_dir():
        yield None
        return
    with opened(root, model, lineage) as folder:
        yield folder
