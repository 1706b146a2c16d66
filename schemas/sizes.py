"""How many bytes things may have: one notion for whatever is gathered, appended, stored and read.

A number of rows says nothing of a size: 20,000 rows are a megabyte, or forty gigabytes. So batches
are cut by bytes, too, and what is too large by itself is refused where it comes in, as the fault of
nobody but itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# An entity key, an id or a category: Cassandra's keys end at 64 KiB, with the view's name and some
# bytes of its own.
KEY_BYTES = 60_000
# The texts of one row of a request together: a row must fit into a block.
ROW_BYTES = 256 << 10
# The rows of a block: with its header and its schema it fits into 1,048,588 bytes, which is what a
# topic of Kafka takes unless it was told otherwise.
BLOCK_BYTES = 896 << 10
# A record: the largest batch of a topic that freshet makes in Kafka.
RECORD_BYTES = 16 << 20
# Records that are read, and taken, at once.
READ_BYTES = 64 << 20
# A call to a store: no other client waits for longer than about a millisecond.
CALL_BYTES = 4 << 20


def cuts(
    sizes: Sequence[int] | npt.NDArray[np.int64], most: int, most_bytes: int
) -> list[tuple[int, int]]:
    """Spans `(first, after)` of at most `most` things and `most_bytes` bytes, in order; a thing
    that is larger by itself has a span of its own.

    >>> cuts([3, 3, 3, 9, 1], most=2, most_bytes=8)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    count = len(sizes)
    if not count:
        return []
    # By far the most batches are small, and what follows is slower than what it saves them.
    if count <= most and _total(sizes) <= most_bytes:
        return [(0, count)]
    ends = np.cumsum(sizes, dtype=np.int64)
    spans: list[tuple[int, int]] = []
    first = 0
    before = 0  # bytes of those that are in a span
    while first < count:
        fitting = int(np.searchsorted(ends, before + most_bytes, "right"))
        after = min(first + most, max(first + 1, fitting))
        spans.append((first, min(after, count)))
        first = after
        before = int(ends[min(after, count) - 1])
    return spans


def _total(sizes: Sequence[int] | npt.NDArray[np.int64]) -> int:
    # Each way is by far the quicker one for what it is for.
    if isinstance(sizes, np.ndarray):
        return int(sizes.sum())
    return sum(sizes)
