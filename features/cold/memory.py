"""How much memory the rows of a process may take, and where those lie that it has no room for."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from freshet.schemas.errors import DefinitionError

if TYPE_CHECKING:
    from freshet.features.cold.rocks import Caches, Rocks

LOCK = "lock"
# A quarter is RocksDB's own: blocks that it read, and rows that it has yet to write.
ITS_PARTS = 4


class Holder(Protocol):
    """Whose rows take memory: those of a partition of a view."""

    @property
    def used_bytes(self) -> int:
        """What its rows in memory take, with their keys."""
        ...


class RowMemory:
    """The memory of all rows of this process, `most_bytes` (0: no bound), and a `folder` that other
    processes may have, too. Nothing is made there before it is needed."""

    def __init__(self, folder: Path | None = None, most_bytes: int = 0) -> None:
        self.most_bytes = most_bytes
        self._root = folder or Path(tempfile.gettempdir()) / "freshet-rows"
        self._own: Path | None = None
        self._caches: Caches | None = None
        # A partition that went to another member is forgotten with its rows.
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()

    def hold(self, holder: Holder) -> None:
        """Count its rows from now on."""
        self._holders.add(holder)

    def excess_bytes(self, holder: Holder) -> int:
        """By how much one holds too much, 0 at the least: where all hold more than there is, those
        with more than their share make room."""
        if not self.most_bytes:
            return 0
        room = self.most_bytes - self.most_bytes // ITS_PARTS
        own = holder.used_bytes
        # What others leave of theirs may be used.
        over = sum(each.used_bytes for each in self._holders) - room
        return max(0, min(over, own - room // len(self._holders)))

    def new_path(self) -> Path:
        """Where nothing is yet, in the folder of this process."""
        if self._own is None:
            self._own = self._claim()
        return self._own / uuid.uuid4().hex

    def open(self, folder: Path, holder: Holder) -> Rocks:
        """The rows that lie in a folder, which goes with their holder.

        Raises:
            DefinitionError: the library for that is not installed.
            ComponentError: they cannot be read.
        """
        caches = self._shared_caches()
        from freshet.features.cold.rocks import Rocks

        opened = Rocks(folder, caches)
        # With whoever has these rows, at the latest when the process ends.
        weakref.finalize(holder, opened.close)
        return opened

    def _shared_caches(self) -> Caches:
        if self._caches is None:
            check_installed()
            from freshet.features.cold.rocks import Caches

            self._caches = Caches(self.most_bytes // ITS_PARTS)
        return self._caches

    def _claim(self) -> Path:
        """A folder that is this process's for as long as it runs; what others left that ended
        without a word is removed."""
        self._root.mkdir(parents=True, exist_ok=True)
        own = self._root / uuid.uuid4().hex
        with (self._root / LOCK).open("a") as turn:
            # One at a time: a folder is no other's before it is locked.
            fcntl.flock(turn, fcntl.LOCK_EX)
            for folder in self._root.iterdir():
                if folder.is_dir():
                    _remove_left(folder)
            own.mkdir()
            lock = _locked(own / LOCK)
        weakref.finalize(self, _leave, own, lock)
        return own


def check_installed() -> None:
    """See that rows can lie on disk.

    Raises:
        DefinitionError: the library for that cannot be used.
    """
    try:
        import freshet.features.cold.rocks  # noqa: F401
    except ImportError as error:
        raise DefinitionError(
            "rows beyond memory",
            f"RocksDB, in which they lie, cannot be used ({error})",
            "Install freshet with the extra `rocksdb`: pip install 'freshet[rocksdb]'.",
        ) from error


def _locked(path: Path) -> int:
    """An open file that this process has alone; -1: another has it, or it is gone."""
    try:
        lock = os.open(
            path,
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o666,
        )
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return -1
    return lock


def _remove_left(folder: Path) -> None:
    lock = _locked(folder / LOCK)
    # Else it is the folder of a process that runs.
    if lock >= 0:
        _leave(folder, lock)


def _leave(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
