"""A store for tests and trials of users' own definitions: a dictionary that keeps the contract of
`freshet.features.stores.contract.Store`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from freshet.features.packed import Packed
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Rows
from freshet.features.stores.stored import check_rows, check_version, rows_of


class MemoryStore:
    """A store in memory, for the threads of one process: rows and tombstones by view and key.

    A tombstone is a bare version: the first 16 bytes of a row, which tell the newer of two.

    Attributes:
        rows: Rows, as bytes, by view and key.

    Examples:
        >>> from freshet.features.packed import Packed
        >>> from freshet.testing import MemoryStore
        >>> store = MemoryStore()
        >>> row = Packed.of([bytes(range(24))])
        >>> store.write("app:v", [b"JFK"], row), store.write("app:v", [b"JFK"], row)
        (1, 0)
    """

    resource = "in memory"

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        """Write rows by key, each if newer than what is there; how many were.

        Raises:
            ValueError: there is not one row a key, or one is no longer than its version.
        """
        check_rows(view, keys, rows)
        won = 0
        with self._lock:
            for key, value in zip(keys, rows):
                old = self.rows.get((view, key))
                # A tombstone is compared like a row: it refuses what is not newer.
                if old is None or value[:VERSION_BYTES] > old[:VERSION_BYTES]:
                    self.rows[view, key] = value
                    won += 1
        return won

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """The rows of keys, view by view: absent where there is none, or but a tombstone."""
        with self._lock:
            # Under the same lock: it says of which generation these very rows are.
            generation = self.generation()
            return [
                rows_of([self.rows.get((asked.view, key)) for key in asked.keys], generation)
                for asked in wanted
            ]

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        """As `read`: memory is always near."""
        return self.read(wanted)

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Put tombstones in the place of rows that are no newer than `version`; how many rows went.

        Raises:
            ValueError: `version` is not 16 bytes long.
        """
        check_version(version)
        erased = 0
        with self._lock:
            for key in keys:
                old = self.rows.get((view, key), b"")
                if old[:VERSION_BYTES] <= version:
                    self.rows[view, key] = version
                    erased += len(old) > VERSION_BYTES
        return erased

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Remove rows and tombstones that are no newer than `version`; how many rows went.

        Raises:
            ValueError: `version` is not 16 bytes long.
        """
        check_version(version)
        forgotten = 0
        with self._lock:
            for key in keys:
                old = self.rows.get((view, key))
                if old is not None and old[:VERSION_BYTES] <= version:
                    del self.rows[view, key]
                    forgotten += len(old) > VERSION_BYTES
        return forgotten

    def generation(self) -> str:
        """Another text after each `lose`."""
        return str(self._generation)

    def lose(self) -> None:
        """Forget every row, as a server does that was restarted empty."""
        with self._lock:
            self.rows.clear()
            self._generation += 1

    def close(self) -> None:
        """There is nothing to close."""
