"""Arrays that are made part by part while they are written, of states that memory has room for
once, but not twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class PartedArray:
    """An array `[size]`, of which `parts` makes one part after the other, as often as it is asked:
    a write that failed is tried again. What they are made of may not change meanwhile."""

    def __init__(
        self, dtype: npt.DTypeLike, size: int, parts: Callable[[], Iterator[Array]]
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = (size,)
        self._parts = parts

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return self.shape[0] * self.dtype.itemsize

    def __iter__(self) -> Iterator[Array]:
        return self._parts()

    def whole(self) -> Array:
        """All parts as one array of its own."""
        out = np.empty(self.shape, self.dtype)
        first = 0
        for part in self:
            out[first : first + part.size] = part
            first += part.size
        # Else a checkpoint's header would say another length than there is.
        assert first == out.size
        return out


PartedArrays = Mapping[str, Array | PartedArray]


def whole(state: PartedArrays) -> dict[str, Array]:
    """The same, with every array in memory."""
    return {name: _whole(values) for name, values in state.items()}


def parts_of(values: Array | PartedArray) -> Iterator[Array]:
    """An array's parts: one, of those that are there."""
    if isinstance(values, PartedArray):
        yield from values
    else:
        yield values


def _whole(values: Array | PartedArray) -> Array:
    if isinstance(values, PartedArray):
        return values.whole()
    return values
