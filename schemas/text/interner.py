"""Dense ids for texts, for as long as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.text import name_kernels as kernels
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
# So few bytes of texts that are gone are not worth a copy of the others.
FEW_BYTES = 1 << 16


class Changes(NamedTuple):
    """What became of texts: first these ids were `forgotten`, then `ids` given to `texts`."""

    forgotten: I64
    ids: I64
    texts: Texts


class Interner:
    """Texts to dense ids 0, 1, 2, … in order of first sight. A text that is forgotten gives its id
    to the next that is new, and its memory back."""

    def __init__(self, capacity: int = 1 << 10) -> None:
        # An open table, whose capacity is a power of two, over one run of bytes.
        self._slots = np.zeros(capacity, np.uint64)
        # An array, as kernels count it up.
        self._counts = np.zeros(kernels.COUNTS, np.int64)
        self._held = np.zeros(capacity * 8, np.uint8)
        self._places = np.zeros(2 * capacity, np.int64)
        self._free = np.zeros(capacity, np.int32)
        # Which ids were given, and which taken back, since `changes` was last asked for.
        self._unsaved = np.zeros(capacity, np.bool_)
        self._forgotten: list[I64] = []

    def __len__(self) -> int:
        return int(self._counts[kernels.LIVE])

    @property
    def given(self) -> int:
        """All ids are below this."""
        return int(self._counts[kernels.GIVEN])

    @property
    def used_bytes(self) -> int:
        """Memory that it takes."""
        of_ids = self._places.nbytes + self._free.nbytes + self._unsaved.nbytes
        return self._slots.nbytes + of_ids + self._held.nbytes

    @property
    def live_bytes(self) -> int:
        """Bytes of the texts that are there."""
        return int(self._counts[kernels.WRITTEN] - self._counts[kernels.DEAD])

    def find(self, texts: Texts) -> I64:
        """Ids, int64 `[n]`; -1 of a text that has none, and gets none. A missing text is the empty
        text."""
        found = np.empty(len(texts), np.int64)
        columns = (texts.data, texts.start, texts.end)
        kernels.find(columns, self._slots, self._held, self._places, found)
        return found

    def find_hashed(self, hashes: I64) -> I64:
        """The ids of texts by their `hashes` (`Texts.hashes`), int64 `[n]`; -1 where there is none.
        Of two texts of one hash it is either."""
        found = np.empty(hashes.size, np.int64)
        kernels.find_hashed(hashes, self._slots, self._held, self._places, found)
        return found

    @property
    def bytes_held(self) -> tuple[npt.NDArray[np.uint8], I64]:
        """The bytes of all texts, and where in them text `k` begins and ends: at `2k` and
        `2k + 1`. Both until a text comes or goes."""
        return self._held, self._places

    def __call__(self, texts: Texts) -> I64:
        """Ids, int64 `[n]`; a missing text is the empty text."""
        self._make_room(texts)
        found = np.empty(len(texts), np.int64)
        kernels.intern(
            (texts.data, texts.start, texts.end),
            self._slots,
            self._counts,
            self._held,
            self._places,
            self._free,
            self._unsaved,
            found,
        )
        return found

    def forget(self, ids: I64) -> None:
        """Forget the texts of some ids, each once."""
        kernels.forget(
            ids,
            self._slots,
            self._counts,
            self._held,
            self._places,
            self._free,
        )
        # Nobody who keeps up with `changes` has heard of the others.
        self._forgotten.append(ids[~self._unsaved[ids]])
        self._unsaved[ids] = False

    def changes(self) -> Changes:
        """What changed since the last time, or since `apply`."""
        ids = np.flatnonzero(self._unsaved[: self.given])
        forgotten = np.concatenate([np.zeros(0, np.int64), *self._forgotten])
        self._unsaved[ids] = False
        self._forgotten = []
        return Changes(forgotten, ids, self.texts(ids))

    def apply(self, changes: Changes) -> bool:
        """Become what another one was after its `changes`; whether they follow what is here."""
        forgotten, ids, texts = changes
        if not np.isin(forgotten, self.ids()).all():
            return False
        self.forget(forgotten)
        if np.isin(ids, self.ids()).any():
            return False
        self._make_room(texts)
        given = max(self.given, int(ids.max(initial=-1)) + 1)
        if given > self._free.size:
            self._grow_ids(given)
        self._offer(ids, given)
        follows = np.array_equal(self(texts), ids)
        self._unsaved[:given] = False
        self._forgotten = []
        return follows

    def _offer(self, ids: I64, given: int) -> None:
        """Make these the next ids that are given, in their order."""
        self._places[2 * self.given : 2 * given] = kernels.NOBODY
        self._counts[kernels.GIVEN] = given
        is_free = self._places[: 2 * given : 2] == kernels.NOBODY
        is_free[ids] = False
        # The last of the free ones is given next.
        free = np.concatenate([np.flatnonzero(is_free)[::-1], ids[::-1]])
        self._free[: free.size] = free
        self._counts[kernels.FREE] = free.size

    def ids(self) -> I64:
        """The ids that stand for a text, rising."""
        starts = self._places[: 2 * self.given : 2]
        return np.flatnonzero(starts != kernels.NOBODY)

    def names_of(self, ids: I64) -> list[bytes]:
        """The texts of some ids."""
        found = self.texts(ids)
        # All bytes at once: each slice of an array costs four times one of bytes.
        held = found.data.tobytes()
        return [held[start:end] for start, end in zip(found.start.tolist(), found.end.tolist())]

    def texts(self, ids: I64 | None = None) -> Texts:
        """The texts of some ids (all when None), as a column of its own."""
        if ids is None:
            ids = self.ids()
        edges = np.zeros(ids.size + 1, np.int64)
        kernels.ends_of(ids, self._places, edges[1:])
        # At least one byte, since kernels want an array.
        data = np.zeros(max(1, int(edges[-1])), np.uint8)
        kernels.copy(ids, self._held, self._places, data)
        return Texts(data, edges[:-1].copy(), edges[1:].copy(), np.ones(ids.size, np.bool_))

    def parts(self, ids: I64, most: int) -> Iterator[Texts]:
        """The texts of some ids, at most so many at a time."""
        for first in range(0, ids.size, most):
            yield self.texts(ids[first : first + most])

    def _make_room(self, texts: Texts) -> None:
        """For all texts as if each were new, since a kernel allocates nothing."""
        rows = len(texts)
        # Half of the table stays empty, which keeps its searches short.
        while (len(self) + rows) * 2 > self._slots.size:
            self._grow_table()
        if self.given + rows > self._free.size:
            self._grow_ids(self.given + rows)
        more = int((texts.end - texts.start).sum())
        if int(self._counts[kernels.WRITTEN]) + more > self._held.size:
            self._move_bytes(more)

    def _grow_table(self) -> None:
        slots = np.zeros(2 * self._slots.size, np.uint64)
        kernels.rehash(self._slots, slots)
        self._slots = slots

    def _grow_ids(self, count: int) -> None:
        # Twice as many as there were, so that an id is copied once for each that was given.
        more = max(count, 2 * self._free.size) - self._free.size
        self._places = np.concatenate([self._places, np.zeros(2 * more, np.int64)])
        self._free = np.concatenate([self._free, np.zeros(more, np.int32)])
        self._unsaved = np.concatenate([self._unsaved, np.zeros(more, np.bool_)])

    def _move_bytes(self, more: int) -> None:
        """Leave out the bytes of texts that are gone, and have room for `more` besides."""
        live = int(self._counts[kernels.WRITTEN] - self._counts[kernels.DEAD])
        # As many again, so that a byte is copied once for each that was written.
        held = np.zeros(2 * live + more + FEW_BYTES, np.uint8)
        kernels.compact(self._counts, self._held, self._places, held)
        self._held = held
