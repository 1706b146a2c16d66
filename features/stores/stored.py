"""What every store does alike: check what is to be written, and make rows of what was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freshet.features.stores.contract import VERSION_BYTES, Rows


def check_rows(view: str, keys: Sequence[bytes], rows: npt.NDArray[np.uint8]) -> None:
    """Raises `ValueError` for rows that are not uint8 `[len(keys), width]`, wider than their
    version."""
    shape = rows.shape
    if (
        rows.dtype != np.uint8
        or len(shape) != 2
        or shape[0] != len(keys)
        or shape[1] <= VERSION_BYTES
    ):
        raise ValueError(f"{len(keys)} keys and rows {rows.dtype}{list(shape)} of {view}")


def check_version(version: bytes) -> None:
    """Raises `ValueError` for what is not a version."""
    if len(version) != VERSION_BYTES:
        raise ValueError(f"a version of {len(version)} bytes")


def rows_of(values: Sequence[bytes | None], width: int, generation: str) -> Rows:
    """Rows from stored values; what is missing or of another width is absent, a bare version is no
    row."""
    found = [value if value and len(value) == width > VERSION_BYTES else b"" for value in values]
    present = np.fromiter(map(bool, found), np.bool_, len(found))
    if b"" in found:
        absent = bytes(width)
        found = [value or absent for value in found]
    data = np.frombuffer(bytearray().join(found), np.uint8)  # a bytearray: writable
    return Rows(data.reshape(len(found), width), present, generation)
