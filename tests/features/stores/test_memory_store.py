"""The store that is shipped for tests keeps the promises of every store."""

from __future__ import annotations

import pytest

from freshet.features.stores.contract import Store
from freshet.features.stores.memory_store import MemoryStore
from tests.contracts.store_battery import StoreBattery, store, view, writers

__all__ = ["TestMemoryStore", "store", "view", "writers"]


class _Rig:
    counts = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    def open(self) -> Store:
        return self._store

    def empty(self) -> None:
        self._store.lose()

    def spoil(self, view: str) -> None:
        return None

    def hide(self, view: str) -> None:
        return None


@pytest.fixture
def rig() -> _Rig:
    return _Rig()


class TestMemoryStore(StoreBattery):
    pass
