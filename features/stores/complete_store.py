"""A store for readers, that does not take a row which was lost for a key without events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from freshet.features.packed import Packed
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows, Store
from freshet.features.stores.marks import marked, marks_of, ticks_of
from freshet.schemas.errors import StoreError


def reflected(store: Store, partitions: Mapping[str, int]) -> dict[str, int]:
    """By view, up to when (ms) all its rows in the store are known to reflect their topic, as
    owners wrote it down; `NO_TICK` where one of its partitions has not.

    Raises:
        StoreError: the store cannot be read.
    """
    generation = store.generation()
    found = store.read([marks_of(view, range(count)) for view, count in partitions.items()])
    return {view: int(ticks_of(marks, generation).min()) for view, marks in zip(partitions, found)}


class CompleteStore:
    """A `Store` over another, whose reads fail while rows of the views that they ask for may be
    missing: it is new to the app, lost rows, or was replaced, and not every owner has written all
    its rows yet.

    `partitions` are counts, by the full names of views. Rows come with the store's generation, so
    that a read of a store that has been found complete costs no more than a comparison; marks (see
    `freshet.features.stores.marks`) are read when it changes.

    >>> from freshet.features.stores.memory_store import MemoryStore
    >>> CompleteStore(MemoryStore(), {"app:v": 2}).read([RowKeys("app:v", [b"JFK"])])
    Traceback (most recent call last):
    freshet.schemas.errors.StoreError: store in memory: does not hold all rows of view app:v yet ...
    """

    def __init__(self, store: Store, partitions: Mapping[str, int]) -> None:
        self._store = store
        self._partitions = partitions
        # By view: the generation in which all its partitions were found complete.
        self._complete: dict[str, str] = {}

    @property
    def resource(self) -> str:
        return self._store.resource

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """Also raises `StoreError` while a view is not complete."""
        rows = self._store.read(wanted)
        if self._vouched(wanted, rows):
            return rows
        generation = self._store.generation()
        for view in dict.fromkeys(asked.view for asked in wanted):
            self._check(view, generation)
        # Once more, since rows may have been written, or lost, after they were read.
        rows = self._store.read(wanted)
        if not self._vouched(wanted, rows):
            cause = "lost rows while it was read"
            raise StoreError(self.resource, cause, "Wait: they are written again.")
        return rows

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        """Looking for marks takes several round trips, so that is not done at once."""
        rows = self._store.read_at_once(wanted, within_seconds)
        if not self._vouched(wanted, rows):
            raise NotAtOnce(
                self.resource, "may lack rows, which is to be seen", "Read it on a thread."
            )
        return rows

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        return self._store.write(view, keys, rows)

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return self._store.erase(view, keys, version)

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return self._store.forget(view, keys, version)

    def generation(self) -> str:
        return self._store.generation()

    def close(self) -> None:
        self._store.close()

    def _vouched(self, wanted: Sequence[RowKeys], rows: Sequence[Rows]) -> bool:
        """Whether they were read in the generation in which their views were found complete."""
        for asked, found in zip(wanted, rows):
            if asked.keys and self._complete.get(asked.view) != found.generation:
                return False
        return True

    def _check(self, view: str, generation: str) -> None:
        """Note that a view is complete in a generation, or raise."""
        if self._complete.get(view) == generation:
            return
        partitions = range(self._partitions[view])
        (marks,) = self._store.read([marks_of(view, partitions)])
        missing = np.flatnonzero(~marked(marks, generation)).tolist()
        if missing:
            named = ", ".join(map(str, missing))
            raise StoreError(
                self.resource,
                f"does not hold all rows of view {view} yet (partitions {named} are missing)",
                "Wait: the role `view` writes them again. If it does not, see whether it runs.",
            )
        self._complete[view] = generation
