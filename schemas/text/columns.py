"""Text columns without Python strings: bytes with a start and an end a row."""

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
        valid = self.valid
        if rows is None:
            rows = np.arange(len(self))
        else:
            valid = valid[rows]
        offsets, data = self._gathered(rows)
        buffers = [arrow_validity(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), len(rows), buffers)

    def _gathered(self, rows: I64) -> tuple[npt.NDArray[np.int32], U8]:
        """Rows as Arrow's utf8 layout: int32 offsets `[n + 1]` and their bytes, at least one."""
        offsets = np.empty(rows.size + 1, np.int32)
        kernels.edges(self.start, self.end, rows, offsets)
        size = int(offsets[-1])
        data = np.empty(size + 8, np.uint8)
        kernels.gather(self.data, self.start, self.end, rows, offsets, data)
        return offsets, data[: max(1, size)]

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
        out = np.empty(len(self), np.uint64)
        kernels.hash_spans(self.data, self.start, self.end, kernels.SEED_LOW, out)
        out[~self.valid] = 0
        return out

    def identities(self) -> U64:
        """128 bits a row, uint64 `[n, 2]`, the first word never 0."""
        out = np.empty((len(self), 2), np.uint64)
        kernels.identify(self.data, self.start, self.end, out)
        return out

    def partitions(self, count: int) -> I64:
        """The partition of each row under freshet's own partitioner, int64 `[n]`."""
        out = np.empty(len(self), np.int64)
        kernels.partition_of(self.data, self.start, self.end, count, out)
        return out


def arrow_validity(valid: Bools) -> pa.Buffer | None:
    """Which rows are there, as Arrow has it; None, which it takes for all, is faster to read."""
    # A quarter of the time of `all`, which is called for every column of a batch.
    if np.count_nonzero(valid) == valid.size:
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
