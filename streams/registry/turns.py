"""Who is asked next: ids by their subjects, which take turns."""

from __future__ import annotations

import heapq
from typing import NamedTuple


class Asked(NamedTuple):
    """An id as it stands in the records of a topic whose writers register under `subject`."""

    subject: str
    schema_id: int


class Turns:
    """Ids to be asked for, each from a moment on (seconds of one clock). However many one subject
    has, another one waits for one of them at the most.

    >>> turns = Turns()
    >>> for subject, schema_id, due in [("a", 1, 0.0), ("a", 2, 0.0), ("b", 3, 0.0), ("b", 4, 9.0)]:
    ...     turns.add(Asked(subject, schema_id), due)
    >>> [turns.take(1.0) for _ in range(4)]
    [Asked(subject='a', schema_id=1), Asked(subject='b', schema_id=3), \
Asked(subject='a', schema_id=2), None]
    >>> turns.next_due
    9.0
    """

    def __init__(self) -> None:
        # In the order of their turns; no heap is empty.
        self._heaps: dict[str, list[tuple[float, int]]] = {}

    def add(self, asked: Asked, due: float) -> None:
        heapq.heappush(self._heaps.setdefault(asked.subject, []), (due, asked.schema_id))

    def take(self, now: float) -> Asked | None:
        """The next one that is due; None where none is."""
        for subject, heap in self._heaps.items():
            if heap[0][0] > now:
                continue
            _, schema_id = heapq.heappop(heap)
            # To the end: the others come before it.
            del self._heaps[subject]
            if heap:
                self._heaps[subject] = heap
            return Asked(subject, schema_id)
        return None

    @property
    def next_due(self) -> float | None:
        """When the first of them is due; None where there are none."""
        return min((heap[0][0] for heap in self._heaps.values()), default=None)
