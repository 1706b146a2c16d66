"""A store that is opened at first use, and tried again until it answers: for a role that starts
while its store is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from freshet.features.packed import Packed
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows, Store
from freshet.schemas.errors import StoreError


class LateStore:
    """A `Store` over the one that `open_store` gives; every call raises its `StoreError` while it
    gives none. Threads that come while it is being opened wait for that one attempt, and share its
    end.

    >>> from freshet.features.stores.memory_store import MemoryStore
    >>> LateStore(MemoryStore).generation()
    '0'
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._error: StoreError | None = None  # of the newest attempt

    @property
    def resource(self) -> str:
        """Asking for a name opens nothing."""
        if self._store is not None:
            return self._store.resource
        return self._error.resource if self._error is not None else "not reached yet"

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        return self._opened().write(view, keys, rows)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._opened().read(wanted)

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        if self._store is None:
            raise NotAtOnce("address", "is not connected to yet", "Read it on a thread.")
        return self._store.read_at_once(wanted, within_seconds)

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return self._opened().erase(view, keys, version)

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return self._opened().forget(view, keys, version)

    def generation(self) -> str:
        return self._opened().generation()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _opened(self) -> Store:
        if self._store is not None:
            return self._store
        # Tells an attempt that this thread has waited for from one that was over when it came.
        before = self._error
        with self._lock:
            if self._store is None:
                # another thread has just tried
                if self._error is not None and self._error is not before:
                    raise self._error
                try:
                    self._store = self._open_store()
                except StoreError as error:
                    self._error = error
                    raise
            return self._store
