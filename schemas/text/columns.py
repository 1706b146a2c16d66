"""Text columns without Python strings: bytes with a start and an end a row, and dense ids for
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.text import kernels

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
_NOTHING = np.zeros(1, np.uint8)
# Of as many, and a request has no more for each of its rows, a call into Arrow costs twice as much.
FEW = 32


@dataclass(frozen=True, slots=True)
class Texts:
    """`n` texts: row `i` is `data[start[i]:end[i]]` (UTF-8), missing where `valid[i]` is false
    (then empty)."""

    data: U8
    start: I64
    end: I64
    valid: Bools

    def __len__(self) -> int:
        return len(self.start)

    @staticmethod
    def of(values: Sequence[str | None]) -> Texts:
        if len(values) > FEW:
            return Texts.from_arrow(pa.array(values, pa.string()))
        encoded = [(value or "").encode() for value in values]
        data = bytearray().join(encoded) or _NOTHING
        edges = np.array([0, *accumulate(map(len, encoded))], np.int64)
        valid = np.array([value is not None for value in values], np.bool_)
        return Texts(np.frombuffer(data, np.uint8), edges[:-1], edges[1:], valid)

    @staticmethod
    def from_arrow(column: pa.Array) -> Texts:
        """A view of an Arrow utf8 column; its bytes are not copied."""
        rows = len(column)
        skipped = column.offset  # rows of the buffers that come before a slice
        validity, offsets, data = column.buffers()
        # A column of no rows need not have offsets at all.
        edges = np.zeros(1, np.int64)
        if rows:
            edges = np.frombuffer(offsets, np.int32, rows + 1, 4 * skipped).astype(np.int64)
        valid = np.ones(rows, np.bool_)
        if validity is not None and column.null_count:
            bits = np.frombuffer(validity, np.uint8)
            unpacked = np.unpackbits(bits, count=skipped + rows, bitorder="little")
            valid = unpacked[skipped:].view(np.bool_)
        # Of empty texts Arrow may have no bytes; kernels want an array.
        raw = _NOTHING
        if data is not None and data.size:
            raw = np.frombuffer(data, np.uint8)
        return Texts(raw, edges[:-1], edges[1:], valid)

    def to_arrow(self, rows: I64 | None = None) -> pa.Array:
        """The rows (all when None) as an Arrow utf8 array."""
        if rows is None:
            rows = np.arange(len(self))
        offsets, data = kernels.gather(self.data, self.start, self.end, rows)
        buffers = [arrow_validity(self.valid[rows]), pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), len(rows), buffers)

    @staticmethod
    def missing(rows: int) -> Texts:
        """So many missing texts."""
        nowhere = np.zeros(rows, np.int64)
        return Texts(_NOTHING, nowhere, nowhere, np.zeros(rows, np.bool_))

    def where(self, chosen: slice | Bools | npt.NDArray[np.intp]) -> Texts:
        """The chosen rows, over the same bytes."""
        return Texts(self.data, self.start[chosen], self.end[chosen], self.valid[chosen])

    def take(self, rows: npt.NDArray[np.intp]) -> Texts:
        return Texts(self.data, self.start[rows], self.end[rows], self.valid[rows])

    @staticmethod
    def concatenate(parts: Sequence[Texts]) -> Texts:
        moved_by = np.cumsum([0, *(len(part.data) for part in parts)])
        return Texts(
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.start + by for part, by in zip(parts, moved_by)]),
            np.concatenate([part.end + by for part, by in zip(parts, moved_by)]),
            np.concatenate([part.valid for part in parts]),
        )

    def hashes(self) -> U64:
        """uint64 `[n]`: 0 where missing, never 0 elsewhere. This is what models see of a
        category."""
        out: U64 = kernels.hash_spans(self.data, self.start, self.end, kernels.SEED_LOW)
        out[~self.valid] = 0
        return out

    def identities(self) -> U64:
        """128 bits a row, uint64 `[n, 2]`, the first word never 0."""
        out: U64 = kernels.identify(self.data, self.start, self.end)
        return out

    def partitions(self, count: int) -> I64:
        """The partition of each row under freshet's own partitioner, int64 `[n]`."""
        out: I64 = kernels.partition_of(self.data, self.start, self.end, count)
        return out


def arrow_validity(valid: Bools) -> pa.Buffer | None:
    """Which rows are there, as Arrow has it; None, which it takes for all, is faster to read."""
    if valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


class Interner:
    """Texts to dense ids 0, 1, 2, … in order of first sight."""

    def __init__(self, capacity: int = 1 << 10) -> None:
        # An open table, whose capacity is a power of two, over one run of bytes.
        self._hashes = np.zeros(capacity, np.uint64)
        self._ids = np.zeros(capacity, np.int32)
        # An array, as a kernel counts it up.
        self._count = np.zeros(1, np.int64)
        self._arena = np.zeros(capacity * 8, np.uint8)
        self._ends = np.zeros(capacity + 1, np.int64)

    def __len__(self) -> int:
        return int(self._count[0])

    def __call__(self, texts: Texts) -> I64:
        """Ids, int64 `[n]`; a missing text is the empty text."""
        rows = len(texts)
        used = len(self)
        # Room for all rows as if each were new, since a kernel allocates nothing; and half of the
        # table stays empty, which keeps its searches short.
        while (used + rows) * 2 > self._hashes.size:
            self._grow()
        need = int(self._ends[used] + (texts.end - texts.start).sum())
        if need > self._arena.size:
            self._arena = np.concatenate([self._arena, np.zeros(need, np.uint8)])
        found = np.empty(rows, np.int64)
        kernels.intern(
            texts.data,
            texts.start,
            texts.end,
            self._hashes,
            self._ids,
            self._count,
            self._arena,
            self._ends,
            found,
        )
        return found

    def _grow(self) -> None:
        old_hashes = self._hashes
        old_ids = self._ids
        capacity = old_hashes.size * 2
        self._hashes = np.zeros(capacity, np.uint64)
        self._ids = np.zeros(capacity, np.int32)
        kernels.rehash(old_hashes, old_ids, self._hashes, self._ids)
        # One more than there are texts: a text ends where the next begins.
        more = np.zeros(capacity + 1 - self._ends.size, np.int64)
        self._ends = np.concatenate([self._ends, more])

    def names(self, first: int = 0, last: int | None = None) -> list[bytes]:
        """The texts of ids `first` to `last` (exclusive; all when None)."""
        stop = len(self) if last is None else last
        ends = self._ends
        return [self._arena[ends[i] : ends[i + 1]].tobytes() for i in range(first, stop)]

    def names_of(self, ids: I64) -> list[bytes]:
        """The texts of some ids."""
        arena = self._arena.data
        starts = self._ends[ids].tolist()
        ends = self._ends[ids + 1].tolist()
        return [bytes(arena[start:end]) for start, end in zip(starts, ends)]

    def texts(self, first: int = 0) -> Texts:
        """The texts from id `first` on, as a column (a copy)."""
        count = len(self)
        base = int(self._ends[first])
        ends = self._ends[first : count + 1] - base
        data = _NOTHING
        if ends[-1]:
            data = self._arena[base : int(self._ends[count])].copy()
        # Copies: the table's own arrays are written on.
        return Texts(data, ends[:-1].copy(), ends[1:].copy(), np.ones(count - first, np.bool_))
