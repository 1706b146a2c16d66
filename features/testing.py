"""A store for tests and trials of users' own definitions: a dictionary that keeps the contract of `features.store.Store`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.store import VERSION_BYTES, RowKeys, Rows
from features.stored import check_rows, check_version, rows_of


class MemoryStore:
    """Rows and tombstones (bare versions) by view and key. Not thread-safe, gone with the process.

    >>> store = MemoryStore()
    >>> row = np.arange(24, dtype=np.uint8)[None]
    >>> store.write("app:v", [b"JFK"], row), store.write("app:v", [b"JFK"], row)
    (1, 0)
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self._generations = itertools.count()
        self._generation = next(self._generations)

    def write(self, view: str, keys: Sequence[bytes], rows: npt.NDArray[np.uint8]) -> int:
        check_rows(view, keys, rows)
        won = 0
        for key, row in zip(keys, rows):
            value, old = row.tobytes(), self.rows.get((view, key))
            if old is None or value[:VERSION_BYTES] > old[:VERSION_BYTES]:
                self.rows[view, key] = value
                won += 1
        return won

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return [rows_of([self.rows.get((w.view, key)) for key in w.keys], w.width) for w in wanted]

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        check_version(version)
        erased = 0
        for key in dict.fromkeys(keys):
            old = self.rows.get((view, key))
            if old is None or old[:VERSION_BYTES] < version:
                self.rows[view, key] = version
                erased += old is not None and len(old) > VERSION_BYTES
        return erased

    def generation(self) -> str:
        return str(self._generation)

    def lose(self) -> None:
        """Forget every row, as a server does that was restarted empty."""
        self.rows.clear()
        self._generation = next(self._generations)

    def close(self) -> None:
        """There is nothing to close."""
