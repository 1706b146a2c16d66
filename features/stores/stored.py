"""What every store does alike: check what is to be written, and make rows of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.stores.contract import NONE_REFUSED, VERSION_BYTES, RowKeys, Rows
from freshet.features.stores.refusals import is_refusal, may_hold_refusals, why_of

T = TypeVar("T")
I64 = npt.NDArray[np.int64]
# Of a row of which nothing is known yet: as long as busy ones are.
UNKNOWN_BYTES = 4 << 10


def check_rows(view: str, keys: Sequence[bytes], rows: Packed) -> None:
    """Raises `ValueError` for what is not one row a key, each longer than its version."""
    if rows.data.dtype != np.uint8 or rows.data.ndim != 1 or len(rows) != len(keys):
        raise ValueError(f"{_shown(keys, rows)} of {view}")
    if not len(rows):
        return
    shortest = int(rows.lengths.min())
    # What is not among the rows would be written with nobody's key, or not at all.
    if shortest <= VERSION_BYTES or int(rows.ends[-1]) != rows.data.size:
        raise ValueError(f"{_shown(keys, rows)} of {view}, the shortest of {shortest} bytes")


def _shown(keys: Sequence[bytes], rows: Packed) -> str:
    return f"{len(keys)} keys and {len(rows)} rows {rows.data.dtype}{list(rows.data.shape)}"


def check_version(version: bytes) -> None:
    """Raises `ValueError` for what is not a version."""
    if len(version) != VERSION_BYTES:
        raise ValueError(f"a version of {len(version)} bytes")


def rows_of(values: Sequence[bytes | None], generation: str) -> Rows:
    """Rows from stored values; what is missing is absent, and a bare version is no row. Of one that
    the store refused there is what says so in its place."""
    found = [value or b"" for value in values]
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    if len(found) and lengths.min() <= VERSION_BYTES:
        for at in np.flatnonzero(lengths <= VERSION_BYTES).tolist():
            found[at] = b""
            lengths[at] = 0
    # A bytearray, as `Packed.of` has it.
    data = bytearray().join(found)
    # Nearly never: one search over all of them, in place of a look at each.
    if not may_hold_refusals(data):
        return Rows(Packed(np.frombuffer(data, np.uint8), lengths.cumsum()), generation)
    refused = {at: why_of(value) for at, value in enumerate(found) if is_refusal(value)}
    for at in refused:
        found[at] = b""
    return Rows(Packed.of(found), generation, refused)


class ReadBytes:
    """How many bytes a key of each view is answered with, as its newest read says: calls are cut by
    it, and what one will answer is not known before."""

    def __init__(self) -> None:
        self._of_view: dict[str, int] = {}

    def of(self, view: str) -> int:
        return self._of_view.get(view, UNKNOWN_BYTES)

    def rows_of(
        self,
        wanted: Sequence[RowKeys],
        values: Sequence[bytes | None],
        generation: str,
        refused: Mapping[int, str] = NONE_REFUSED,
    ) -> list[Rows]:
        """Rows from stored values for all keys that are wanted, one after the other; noted. So are
        those `refused`, by their places among all."""
        # Made as one: a call of numpy for each view costs more than what it does for a few rows.
        whole = rows_of(values, generation)
        out = []
        at = 0
        for asked in wanted:
            after = at + len(asked.keys)
            rows = Rows(whole.packed.part(at, after), generation)
            self.note(asked.view, rows)
            out.append(rows)
            at = after
        if whole.refused or refused:
            return with_refused(out, {**whole.refused, **refused})
        return out

    def note(self, view: str, rows: Rows) -> None:
        if rows.packed.data.size:
            self._of_view[view] = rows.packed.data.size // len(rows.packed)


def with_refused(rows: Sequence[Rows], refused: Mapping[int, str]) -> list[Rows]:
    """The rows of several views, with what was refused by its places among all of them, too."""
    out = []
    first = 0
    for of_view in rows:
        after = first + len(of_view.packed)
        own = {at - first: why for at, why in refused.items() if first <= at < after}
        out.append(replace(of_view, refused={**of_view.refused, **own}))
        first = after
    return out


def by_view(
    wanted: Sequence[RowKeys], values: Sequence[T]
) -> Iterator[tuple[RowKeys, Sequence[T]]]:
    """What was read for each view, of the values for all their keys one after the other."""
    at = 0
    for asked in wanted:
        after = at + len(asked.keys)
        yield asked, values[at:after]
        at = after


def lengths_of(rows: Packed, keys: Sequence[bytes]) -> I64:
    """How many bytes each key has with its row, int64 `[n]`."""
    return rows.lengths + np.fromiter(map(len, keys), np.int64, len(keys))
