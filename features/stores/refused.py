"""Which rows a server refuses each by itself: a call about many is told apart until they are known,
and all others are written, or read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from freshet.features.stores.contract import RowsRefused, ValueRefused

# Writes rows `first` to `after` (exclusive); how many won.
Write = Callable[[int, int], int]


def written(write: Write, count: int, resource: str) -> int:
    """Write `count` rows, in halves where the server refuses one among them; how many won.

    A writer may always repeat, so nothing is lost by rows that were written before the refusal.

    Raises:
        RowsRefused: rows are refused, each by itself; all others are written.
    """
    refused: dict[int, str] = {}
    won = _written(write, (0, count), refused)
    if not refused:
        return won
    first = next(iter(refused.values()))
    raise RowsRefused(
        resource,
        f"refuses {len(refused)} of {count} rows, each by itself; of the first: {first}",
        "Mend what it names; the rows are written with their next events, and all of them once the "
        "role `view` starts anew.",
        rows=refused,
    )


def refused_among(ask: Callable[[int, int], object], count: int) -> Mapping[int, str]:
    """Which of `count` keys the server refuses each by itself, and in which words: those that `ask`
    fails for, which is asked about keys `first` to `after` (exclusive)."""
    refused: dict[int, str] = {}

    def attempt(first: int, after: int) -> int:
        ask(first, after)
        return 0

    _written(attempt, (0, count), refused)
    return refused


def _written(write: Write, span: tuple[int, int], refused: dict[int, str]) -> int:
    first, after = span
    if first == after:
        return 0
    try:
        return write(first, after)
    except ValueRefused as error:
        if after - first == 1:
            refused[first] = error.cause
            return 0
    middle = (first + after) // 2
    return _written(write, (first, middle), refused) + _written(write, (middle, after), refused)
