"""What is asked of one Redis: the names of rows, and calls that keep the server from others for no
longer than about a millisecond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.redis.scripts import arguments
from freshet.features.stores.contract import RowKeys
from freshet.features.stores.stored import ReadBytes, lengths_of
from freshet.schemas.sizes import CALL_BYTES, cuts

KEYS_A_CALL = 1_000
# The keys of a script, and its other arguments.
Arguments = tuple[Sequence[bytes], Sequence[bytes]]


def names_of(view: str, keys: Iterable[bytes]) -> list[bytes]:
    prefix = f"{view}:".encode()
    return [prefix + key for key in keys]


def names_and_sizes(
    wanted: Sequence[RowKeys],
    read_bytes: ReadBytes,
    names: Callable[[str, Sequence[bytes]], list[bytes]],
) -> tuple[list[bytes], list[int]]:
    """What rows are called that are wanted, and how many bytes each will about cost to read."""
    every: list[bytes] = []
    sizes: list[int] = []
    for asked in wanted:
        own = names(asked.view, asked.keys)
        every += own
        usual = read_bytes.of(asked.view)
        sizes += map(usual.__add__, map(len, own))
    return every, sizes


def spans(sizes: Sequence[int] | npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Calls about things of these sizes: from which to which (exclusive)."""
    return cuts(sizes, KEYS_A_CALL, CALL_BYTES)


def spans_of(names: Sequence[bytes]) -> list[tuple[int, int]]:
    """Calls that say names and no more."""
    return spans([len(name) for name in names])


def about(names: Sequence[bytes], rest: Sequence[bytes]) -> Iterator[Arguments]:
    """Calls of a script that is told the same of each name."""
    for first, after in spans_of(names):
        yield names[first:after], rest


def with_rows(
    names: Sequence[bytes], rows: Packed, before: Sequence[bytes] = ()
) -> Iterator[Arguments]:
    """Calls of a script that is told a row for each name, after what stands `before`."""
    sizes = lengths_of(rows, names)
    for first, after in spans(sizes):
        part = rows.part(first, after)
        yield (
            names[first:after],
            [*before, *arguments(part)],
        )
