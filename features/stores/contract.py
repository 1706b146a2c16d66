"""The contract of the online store: one row of bytes per view and entity key, guarded by its
version.

The first 16 bytes of a row are its version: offset and index in the one log that made it, each a
big-endian int64, so that versions compare as bytes. What follows is the view's own, of any length:
a row is as long as its key is busy. Implementations are listed in
`features/catalog.py` and held to `tests/contracts/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.schemas.errors import StoreError

VERSION_BYTES = 16
NONE_REFUSED: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as read, in the order of their keys; one of no bytes is absent.

    `generation` is that of the store which they were read from, as `Store.generation` names it;
    empty where that is not known: nobody has asked since the store lost rows, or it lost some while
    it was read. It costs no round trip where all rows are there.

    `refused` says, by their places, of which keys the server gives no row (something else has the
    key's name, it is too long) and in which words it says so, and of which it took none when it was
    written last, as what stands in its place says (`features/stores/refusals.py`): what the row is
    is not known, and it is no outage. Such a row is of no bytes, too: the typical mistake is to
    take it for an absent one.
    """

    packed: Packed
    generation: str = ""
    refused: Mapping[int, str] = field(default_factory=lambda: NONE_REFUSED)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which are there, bool `[n]`."""
        return self.packed.present


@dataclass(frozen=True, slots=True)
class RowKeys:
    """What to read: entity keys (UTF-8 bytes) of one view."""

    view: str
    keys: Sequence[bytes]


class NotAtOnce(StoreError):
    """Rows that would have to be waited for: the store is not near, not connected, or slow just
    now."""


class ValueRefused(StoreError):
    """A call that the server refuses for one key or value in it, and would refuse tomorrow, too."""


class RowsRefused(StoreError):
    """Rows that the server refuses each by itself (its key is taken by something else, it is too
    large): `rows` says why, by their places in the call. All others are written."""

    @property
    def rows(self) -> Mapping[int, str]:
        found: Mapping[int, str] = self.facts["rows"]  # type: ignore[assignment]
        return found


class RowReader(Protocol):
    """What readers of rows need of a store."""

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """Rows of many views in one round trip."""
        ...


class Store(Protocol):
    """Rows by view and key. `view` is the full name that the app gives (app, view and definition
    digest)."""

    @property
    def resource(self) -> str:
        """What errors call it: its kind and address, without user or password."""
        ...

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        """Write rows, one a key and longer than their version; each only if its version is newer
        than the stored one. Returns how many won.

        Writing the same row twice changes nothing, so a writer may always repeat. Raises
        `StoreError` if the store cannot be reached, is full, or evicts; `RowsRefused`, which is no
        outage, where it takes all rows but some. A typical mistake is to hold all back for one.
        """
        ...

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """Rows of many views in one round trip. Those of another definition are another view's, as
        the full name says; whether bytes are a row of a plan, `finish` sees.

        The typical mistake is to take an absent row for a key without events: `Rows.generation`
        says whether the store is still the one that owners have filled. `CompleteStore` compares.
        A key that the server refuses by itself is among `Rows.refused`, and all others are read.
        """
        ...

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        """As `read`, for an event loop: nothing is opened, and what is not there within
        `within_seconds` is left.

        Raises `NotAtOnce` wherever `read` may take longer; then `read`, on a thread, says what is
        the matter.
        """
        ...

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Erase rows that are older than the 16-byte `version`, leaving a tombstone of that
        version; returns how many.

        A tombstone reads as absent, and refuses writes that are not newer than it. Raises as
        `write` does.
        """
        ...

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Remove rows that are no newer than the 16-byte `version`, and tombstones likewise,
        leaving nothing; returns how many.

        For rows that no reader takes for one any more: what writes an older one after it is not
        refused. The typical mistake is to use it where something must never be seen again.
        """
        ...

    def generation(self) -> str:
        """Changes when the store may have lost rows (restarted empty, flushed, failed over): owners
        then rewrite."""
        ...

    def close(self) -> None: ...
