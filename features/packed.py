"""Rows of any length as columns: the bytes of all, one after the other, and where each ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packed:
    """`n` rows: `data` uint8 `[bytes]` holds one after the other, and `ends` int64 `[n]` says where
    each ends. A row of no bytes is absent.

    >>> rows = Packed.of([b"first", b"", b"third"])
    >>> rows.lengths.tolist(), rows.row(2), rows.part(1, 3).ends.tolist()
    ([5, 0, 5], b'third', [0, 5])
    """

    data: npt.NDArray[np.uint8]
    ends: I64

    @staticmethod
    def of(rows: Sequence[bytes]) -> Packed:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        # A bytearray, as arrays over bytes are read-only, and kernels are compiled for others.
        data = np.frombuffer(bytearray().join(rows), np.uint8)
        return Packed(data, lengths.cumsum())

    def __len__(self) -> int:
        return self.ends.size

    @property
    def starts(self) -> I64:
        """Where each begins, int64 `[n]`."""
        starts = np.empty(self.ends.size, np.int64)
        # Also where there is none.
        starts[:1] = 0
        starts[1:] = self.ends[:-1]
        return starts

    @property
    def lengths(self) -> I64:
        """How many bytes each has, int64 `[n]`."""
        lengths = self.ends.copy()
        lengths[1:] -= self.ends[:-1]
        return lengths

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which rows are there, bool `[n]`."""
        return self.lengths > 0

    def __iter__(self) -> Iterator[bytes]:
        return map(self.row, range(len(self)))

    def row(self, at: int) -> bytes:
        """The bytes of one row."""
        first = 0
        if at:
            first = self.ends[at - 1]
        end = self.ends[at]
        return self.data[first:end].tobytes()

    def part(self, first: int, after: int) -> Packed:
        """The rows from `first` to `after` (exclusive); no bytes are copied."""
        if first >= after:
            return Packed(self.data[:0], self.ends[:0])
        # Not by `starts`, which would be made of all rows for each part of them.
        base = 0
        if first:
            base = int(self.ends[first - 1])
        end = int(self.ends[after - 1])
        return Packed(self.data[base:end], self.ends[first:after] - base)
