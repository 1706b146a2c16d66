"""The rows of a partition as a view's task knows them, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.partition.events import NO_MORE, More
from freshet.schemas.parted_arrays import PartedArrays
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]


class PartitionRows(Protocol):
    """Rows by key, folded from one partition's events in the order of its log. Not thread-safe.

    Whatever keeps them, the same calls give the same bytes: of rows that are handed over, and of
    rows that were dumped and loaded.
    """

    def __len__(self) -> int:
        """How many there are."""
        ...

    def fold(
        self,
        keys: Texts,
        times: I64,
        values: npt.NDArray[np.float64],
        version_offset: int,
        version_index: npt.NDArray[np.int32] | I64,
        more: More = NO_MORE,
    ) -> None:
        """Take events: keys and times (ms) of `n`, values float64 `[n, k]` of the plan's fields,
        and what makes the version of each row: the record's offset, and the event's place in it."""
        ...

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """Make rows ones of no events, of these versions."""
        ...

    def hand_over(self) -> Named:
        """What the store lacks: keys and rows that were touched since the last call."""
        ...

    def let_go(self) -> list[bytes]:
        """Forget rows that are over, once store and checkpoint have seen that; their keys."""
        ...

    def sweep(self, now_ms: int, rows: int) -> None:
        """Look at so many rows, in turns, whether they are over now."""
        ...

    def all_parts(self) -> Iterator[Named]:
        """All rows, as the store has them, in parts. Nothing may be folded before the last one was
        taken."""
        ...

    @property
    def wants_full(self) -> bool:
        """Whether the next dump has to be full."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """Files that belong to the full dump made last, which are there until the next one."""
        ...

    def dump(self) -> Arrays:
        """Everything; what is in `files` is not said again."""
        ...

    def dump_in_parts(self) -> PartedArrays:
        """As `dump`; large arrays are made part by part, and are good until anything else is
        called."""
        ...

    def dump_delta(self) -> Arrays:
        """What changed since the last dump. Not where a full one is wanted."""
        ...

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Iterable[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Become the rows that dumped `base` and then `deltas`, with what they had not yet handed
        over.

        Raises:
            CheckpointError: dumps of another plan, or deltas that do not follow each other.
        """
        ...
