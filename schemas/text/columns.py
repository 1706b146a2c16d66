"""Text columns without Python strings: bytes with a start and an end a row, and dense ids for
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.text import kernels

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
_NOTHING = np.zeros(1, np.uint8)


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
        return Texts.from_arrow(pa.array(values, pa.string()))

    @staticmethod
    def from_arrow(column: pa.Array) -> Texts:
        """A view of an Arrow utf8 column; its bytes are not copied."""
        n, at = len(column), column.offset
        validity, offsets, data = column.buffers()
        o = (
            np.frombuffer(offsets, np.int32, n + 1, 4 * at).astype(np.int64)
            if n
            else np.zeros(1, np.int64)
        )
        if validity is None or not column.null_count:
            valid = np.ones(n, np.bool_)
        else:
            bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=at + n, bitorder="little")
            valid = bits[at:].view(np.bool_)
        raw = np.frombuffer(data, np.uint8) if data is not None and data.size else _NOTHING
        return Texts(raw, o[:-1], o[1:], valid)

    def to_arrow(self, rows: I64 | None = None) -> pa.Array:
        """The rows (all when None) as an Arrow utf8 array."""
        rows = np.arange(len(self)) if rows is None else rows
        offsets, data = kernels.gather(self.data, self.start, self.end, rows)
        valid = self.valid[rows]
        nulls = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(
            pa.string(), len(rows), [nulls, pa.py_buffer(offsets), pa.py_buffer(data)]
        )

    def take(self, rows: npt.NDArray[np.intp]) -> Texts:
        return Texts(self.data, self.start[rows], self.end[rows], self.valid[rows])

    @staticmethod
    def concatenate(parts: Sequence[Texts]) -> Texts:
        at = np.cumsum([0, *(len(p.data) for p in parts)])
        return Texts(
            np.concatenate([p.data for p in parts]),
            np.concatenate([p.start + a for p, a in zip(parts, at)]),
            np.concatenate([p.end + a for p, a in zip(parts, at)]),
            np.concatenate([p.valid for p in parts]),
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


class Interner:
    """Texts to dense ids 0, 1, 2, … in order of first sight."""

    def __init__(self, capacity: int = 1 << 10) -> None:
        self._hashes, self._ids = np.zeros(capacity, np.uint64), np.zeros(capacity, np.int32)
        self._count = np.zeros(1, np.int64)
        self._arena, self._ends = np.zeros(capacity * 8, np.uint8), np.zeros(capacity + 1, np.int64)

    def __len__(self) -> int:
        return int(self._count[0])

    def __call__(self, texts: Texts) -> I64:
        """Ids, int64 `[n]`; a missing text is the empty text."""
        n, used = len(texts), len(self)
        while (used + n) * 2 > self._hashes.size:
            self._grow()
        need = int(self._ends[used] + (texts.end - texts.start).sum())
        if need > self._arena.size:
            self._arena = np.concatenate([self._arena, np.zeros(need, np.uint8)])
        out = np.empty(n, np.int64)
        kernels.intern(
            texts.data,
            texts.start,
            texts.end,
            self._hashes,
            self._ids,
            self._count,
            self._arena,
            self._ends,
            out,
        )
        return out

    def _grow(self) -> None:
        old, old_ids = self._hashes, self._ids
        self._hashes, self._ids = (
            np.zeros(old.size * 2, np.uint64),
            np.zeros(old.size * 2, np.int32),
        )
        kernels.rehash(old, old_ids, self._hashes, self._ids)
        self._ends = np.concatenate(
            [self._ends, np.zeros(self._hashes.size - self._ends.size + 1, np.int64)]
        )

    def names(self, first: int = 0, last: int | None = None) -> list[bytes]:
        """The texts of ids `first` to `last` (exclusive; all when None)."""
        stop = len(self) if last is None else last
        return [
            self._arena[self._ends[k] : self._ends[k + 1]].tobytes() for k in range(first, stop)
        ]

    def texts(self, first: int = 0) -> Texts:
        """The texts from id `first` on, as a column (a copy)."""
        n, base = len(self), int(self._ends[first])
        ends = self._ends[first : n + 1] - base
        data = self._arena[base : int(self._ends[n])].copy() if ends[-1] else _NOTHING
        return Texts(data, ends[:-1].copy(), ends[1:].copy(), np.ones(n - first, np.bool_))
