"""Marks: rows of the store by which owners of a view's partitions say that all their rows are
there.

A store is a projection. When it has lost rows, owners write them all again, and until the last of
them has, a row that is absent says nothing about its key. So each owner, after its rows, writes a
mark: one row for each partition, beside the view's own, that holds the store's generation. A mark
of another generation is none.

    bytes 0–15   version: the owner's position in its log, as rows have it
    bytes 16–31  digest of the store's generation
    bytes 32–39  tick: up to when the rows reflect the partition (int64 ms, `NO_TICK`: not known)

It is written again with each tick, so whoever reads it knows how old the rows may be at most, also
when their owner is silent. What else an owner has to say of its partition goes behind that; a mark
of another width is none, and is written anew.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Rows, Store
from freshet.schemas.wire.blocks import NO_TICK

KEY_PREFIX = b"\xff"  # which no entity's key has: it is not UTF-8
DIGEST_BYTES = 16
TICK_AT = VERSION_BYTES + DIGEST_BYTES
WIDTH = TICK_AT + 8


def marks_of(view: str, partitions: Sequence[int]) -> RowKeys:
    """What to read for the marks of a view (by its full name), in the order of `partitions`."""
    return RowKeys(view, [KEY_PREFIX + b"%d" % partition for partition in partitions])


def marked(marks: Rows, generation: str) -> npt.NDArray[np.bool_]:
    """Which partitions are complete in a generation of the store, bool `[n]`."""
    expected = _digest(generation)
    each = [mark[VERSION_BYTES:TICK_AT] == expected for mark in _marks(marks)]
    return np.array(each, np.bool_)


def ticks_of(marks: Rows, generation: str) -> npt.NDArray[np.int64]:
    """Up to when (ms) rows of each partition reflect it, int64 `[n]`; `NO_TICK` where that is not
    known in this generation of the store."""
    ticks = [_tick(mark) for mark in _marks(marks)]
    return np.where(marked(marks, generation), np.array(ticks, np.int64), NO_TICK)


class PartitionMark:
    """The mark of one partition, as its owner keeps it."""

    def __init__(self, store: Store, view: str, partition: int) -> None:
        self._store = store
        self._place = marks_of(view, [partition])
        self._written = ""  # the generation that it stands for
        self._tick = NO_TICK  # and the tick

    def put(self, generation: str, position: int, tick: int = NO_TICK) -> None:
        """All rows of the partition, up to a position in its log and the tick before it, were
        written in this generation.

        Raises:
            StoreError: the store cannot be reached; to be called again.
        """
        if (generation, tick) == (self._written, self._tick):
            return
        if generation != self._written:
            self._replace(generation, position, tick)
        elif not self._write(_version(position, 0), generation, tick):
            # Another one stands, of a later position: it may be of a run that is over.
            self._replace(generation, position, tick)
        self._written = generation
        self._tick = tick

    def _replace(self, generation: str, position: int, tick: int) -> None:
        """Write it over the one that stands, whatever its position; but not over one that says as
        much: that is of whoever had the partition before, and was further."""
        (found,) = self._store.read([self._place])
        if not (marked(found, generation)[0] and ticks_of(found, generation)[0] >= tick):
            self._write(_version_after(found, position), generation, tick)

    def _write(self, version: bytes, generation: str, tick: int) -> bool:
        mark = version + _digest(generation) + struct.pack(">q", tick)
        return self._store.write(self._place.view, self._place.keys, Packed.of([mark])) > 0


def _marks(rows: Rows) -> list[bytes]:
    """Each mark's bytes; none where there is none, or one of another width."""
    return [mark if len(mark) == WIDTH else b"" for mark in rows.packed]


def _tick(mark: bytes) -> int:
    if not mark:
        return NO_TICK
    (tick,) = struct.unpack_from(">q", mark, TICK_AT)
    return int(tick)


def _version(offset: int, index: int) -> bytes:
    return struct.pack(">qq", offset, index)


def _version_after(found: Rows, position: int) -> bytes:
    """The position, or what follows the version that stands: a server may come back with a mark of
    an earlier run, of the same position."""
    (mark,) = _marks(found)
    if not mark:
        return _version(position, 0)
    offset, index = struct.unpack_from(">QQ", mark)
    return max(_version(position, 0), _version(offset, index + 1))


def _digest(generation: str) -> bytes:
    return hashlib.blake2b(generation.encode(), digest_size=DIGEST_BYTES).digest()
