"""How long rows are kept: which view lets go of its rows by itself, and when a row is over.

A row is over once its newest event is older than the view's keep. A question then finds no row, and
an event of its key begins another. It is also over once the *clock* of its partition is further
ahead of its newest event than keep and `SLACK_MS`, whatever time the next event of its key has:
only then can it be removed without a trace, since an event may be late by any length. Both follow
from the log alone, so that nobody can tell when a row was removed.
"""

from __future__ import annotations

from collections.abc import Mapping

from freshet.features.aggregates import Aggregate, LastDistinct, spans_of

# So far behind a partition's clock a question may lie that still finds a row which was in time for
# it: clocks of machines differ, and rows are read after the moment that they are asked for.
SLACK_MS = 60_000
FOR_EVER = 0
ENDLESS_MS = (1 << 63) - 1  # what kernels compare ages with, where nothing ends
# Beyond `max_age` a row is kept for as long again: until then its key is known, and its values said
# to be too old.
MAX_AGES = 2


def endless(features: Mapping[str, Aggregate]) -> list[str]:
    """The features that say something of a key however long ago it was seen."""
    return [name for name, own in features.items() if not reach_ms(own)]


def longest_ms(features: Mapping[str, Aggregate]) -> int:
    """The longest window (ms), 0 where there is none."""
    return max((reach_ms(own) for own in features.values()), default=0)


def reach_ms(feature: Aggregate) -> int:
    """How old (ms) the oldest event is that it is of; 0 where that has no bound."""
    if isinstance(feature, LastDistinct):
        return feature.over_ms
    return max((span.over_ms for span in spans_of(feature)), default=0)


def keep_of(features: Mapping[str, Aggregate], declared_ms: int, max_age_ms: int) -> int:
    """For how long (ms) a row is kept; `FOR_EVER` where one that never ends says so by nothing.
    `declared_ms` and `max_age_ms` are 0 where they are not declared."""
    if declared_ms:
        return declared_ms
    if endless(features):
        return FOR_EVER
    return max(longest_ms(features), MAX_AGES * max_age_ms)


def bounds_of(keep_ms: int) -> tuple[int, int]:
    """As kernels compare it: how much newer (ms) an event may be, and how much the clock."""
    if keep_ms == FOR_EVER:
        return ENDLESS_MS, ENDLESS_MS
    return keep_ms, keep_ms + SLACK_MS
