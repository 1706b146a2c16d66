"""Marks: rows of the store by which owners of a view's partitions say that all their rows are there.

A store is a projection. When it has lost rows, owners write them all again, and until the last of
them has, a row that is absent says nothing about its key. So each owner, after its rows, writes a
mark: one row for each partition, beside the view's own, that holds the store's generation. A mark
of another generation is none.

    bytes 0–15   version: the owner's position in its log, as rows have it
    bytes 16–31  digest of the store's generation

What else an owner has to say of its partition goes behind that; a mark of another width is none,
and is written anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Rows, Store

KEY_PREFIX = b"\xff"  # which no entity's key has: it is not UTF-8
DIGEST_BYTES = 16
WIDTH = VERSION_BYTES + DIGEST_BYTES


def marks_of(view: str, partitions: Sequence[int]) -> RowKeys:
    """What to read for the marks of a view (by its full name), in the order of `partitions`."""
    return RowKeys(view, [KEY_PREFIX + b"%d" % p for p in partitions], WIDTH)


def marked(marks: Rows, generation: str) -> npt.NDArray[np.bool_]:
    """Which partitions are complete in a generation of the store, bool `[n]`."""
    expected = np.frombuffer(_digest(generation), np.uint8)
    same: npt.NDArray[np.bool_] = (marks.data[:, VERSION_BYTES:] == expected).all(axis=1)
    return marks.present & same


class PartitionMark:
    """The mark of one partition, as its owner keeps it."""

    def __init__(self, store: Store, view: str, partition: int) -> None:
        self._store = store
        self._place = marks_of(view, [partition])
        self._written = ""  # the generation that it stands for

    def put(self, generation: str, position: int) -> None:
        """All rows of the partition, up to a position in its log, were written in this generation.

        Raises:
            StoreError: the store cannot be reached; to be called again.
        """
        if generation == self._written:
            return
        (found,) = self._store.read([self._place])
        # One that stands may be of a later position: of whoever had the partition before.
        if not marked(found, generation)[0]:
            mark = _version_after(found, position) + _digest(generation)
            rows = np.frombuffer(mark, np.uint8)[None]
            self._store.write(self._place.view, self._place.keys, rows)
        self._written = generation


def _version_after(found: Rows, position: int) -> bytes:
    """The position, or what follows the version that stands: a server may come back with a mark of
    an earlier run, of the same position."""
    offset, index = (int(word) for word in found.data[0, :VERSION_BYTES].view(">u8"))
    version = (position, 0)
    if found.present[0]:
        version = max(version, (offset, index + 1))
    return np.array(version, ">u8").tobytes()


def _digest(generation: str) -> bytes:
    return hashlib.blake2b(generation.encode(), digest_size=DIGEST_BYTES).digest()
