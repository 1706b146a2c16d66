"""The folder of one lineage's snapshots in a store of objects: as `folder.Folder`, but of whole
objects.

There are no links in it and no pipes. No more of an object is read than was asked for.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from types import TracebackType

from freshet.schemas.errors import SnapshotError
from freshet.streams import objects

KEEP = "Keep the snapshot that is served."


class StoredFolder:
    """A context manager. Thread-safe.

    Every method raises `ObjectStoreError` where the store is away: that says nothing of a snapshot.
    """

    def __init__(self, place: str) -> None:
        self.path = place
        self._fs, self._root = objects.opened(place)

    def open(self, name: str) -> int:
        """The descriptor of a copy that nobody else has, which the caller closes."""
        # No name of it is left on this machine: what is verified are the bytes behind it.
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "copy")
            try:
                self._fs.get_file(f"{self._root}/{name}", copy)
            except FileNotFoundError as error:
                raise self._missing(name) from error
            return os.open(copy, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, name: str, most: int) -> bytes:
        """As `folder.Folder.read`."""
        try:
            # One more than is allowed shows that there are more.
            data: bytes = self._fs.cat_file(f"{self._root}/{name}", start=0, end=most + 1)
        except FileNotFoundError as error:
            raise self._missing(name) from error
        if len(data) > most:
            raise SnapshotError(
                f"{self.path}/{name}", f"has more than the {most} bytes that are allowed", KEEP
            )
        return data

    def _missing(self, name: str) -> SnapshotError:
        return SnapshotError(f"{self.path}/{name}", "cannot be read: there is no such object", KEEP)

    def put(self, name: str, data: bytes) -> None:
        """All of it, or nothing."""
        objects.put(self._fs, f"{self._root}/{name}", data)

    def names(self) -> list[str]:
        return objects.names(self._fs, self._root)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def __enter__(self) -> StoredFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass
