"""What an embedded registry keeps: each change as a line of JSON, on the disk before it is
answered."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freshet.schemas.errors import ComponentError, DiskError

FILE = "registry.jsonl"
Change = dict[str, Any]


class Journal:
    """Of one folder, for one process.

    Raises:
        ComponentError: another process has it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what could not be written must not wait in a buffer for the next change.
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise ComponentError(
                f"registry in {folder}",
                f"cannot be written: {error.strerror or error}",
                "Make the folder writable, or name another.",
            ) from error
        try:
            # Ids are given by who reads all that was given before: two could give one twice.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ComponentError(
                f"registry in {folder}",
                "is served by another process",
                "End that one, or name another folder.",
            ) from error

    def read(self) -> list[Change]:
        """All changes, oldest first. What a process left half written when it died is cut off:
        nobody was told that it is kept."""
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            self._file.truncate(len(whole))
        changes = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                changes.append(json.loads(line))
            except ValueError as error:
                raise ComponentError(
                    f"file {self.path}",
                    f"line {number} is no JSON",
                    "Restore the file from a copy: ids would be given anew without it.",
                ) from error
        return changes

    def append(self, changes: Sequence[Change]) -> None:
        """All of them, or none.

        Raises:
            DiskError: they cannot be written.
        """
        text = b"".join(json.dumps(change).encode() + b"\n" for change in changes)
        try:
            end = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._not_kept(error) from error
        try:
            self._write(text)
        except OSError as error:
            # Half of it would be read as the beginning of the next one; all of it as a change that
            # was made, though it was refused.
            self._cut(end)
            raise self._not_kept(error) from error

    def _write(self, text: bytes) -> None:
        left = memoryview(text)
        # A disk that gets full takes a part.
        while left:
            left = left[os.write(self._file.fileno(), left) :]
        os.fsync(self._file.fileno())

    def _cut(self, end: int) -> None:
        """Raises `DiskError` where what was written in part cannot be taken back."""
        try:
            os.ftruncate(self._file.fileno(), end)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._not_kept(error) from error

    def _not_kept(self, error: OSError) -> DiskError:
        return DiskError(
            f"of {self.path.parent}",
            f"the change is not kept: {error.strerror or error}",
            "Make room there.",
        )

    def close(self) -> None:
        self._file.close()
