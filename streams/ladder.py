"""Which earlier checkpoints are kept, to go back to: minutes of the last hour, hours of the last
day, days of two weeks, and weeks for ever, as far as their bytes are allowed.

    now ─┬┬┬┬┬┬──┬──┬──┬────┬────┬────┬───────────┬───────────┬──▶ past
         minutes    hours        days             weeks
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import zip_longest
from typing import NamedTuple

from freshet.schemas.durations import DAY_MS, HOUR_MS

MINUTE_MS = 60_000
WEEK_MS = 7 * DAY_MS
FOR_EVER = None
# How far apart the rungs of a level are, and for how long there are any of it.
LEVELS = (
    (MINUTE_MS, HOUR_MS),
    (HOUR_MS, DAY_MS),
    (DAY_MS, 2 * WEEK_MS),
    (WEEK_MS, FOR_EVER),
)


class Rung(NamedTuple):
    """A checkpoint: the app's clock as of it (ms), its bytes, and what it is called."""

    at_ms: int
    size: int
    name: str = ""


def kept(rungs: Collection[Rung], most_bytes: int) -> list[Rung]:
    """Those that stay, by their times and sizes alone, newest first.

    Of each minute, hour, day and week the first one stands for it: so one that stays now has
    stayed before, and nothing that was let go of is missed later. Where bytes are short, each level
    gives up its oldest ones in turn."""
    if not rungs:
        return []
    now_ms = max(rung.at_ms for rung in rungs)
    levels = [_level(rungs, now_ms, step, span) for step, span in LEVELS]
    chosen: dict[Rung, None] = {}
    left = most_bytes
    for turn in zip_longest(*levels):
        for rung in turn:
            if rung is None or rung in chosen:
                continue
            # One that is too large leaves the room to those that follow in its level.
            if rung.size <= left:
                chosen[rung] = None
                left -= rung.size
    return sorted(chosen, reverse=True)


def _level(rungs: Iterable[Rung], now_ms: int, step_ms: int, span_ms: int | None) -> list[Rung]:
    """The first of each step within a span, newest first."""
    first: dict[int, Rung] = {}
    for rung in sorted(rungs):
        if span_ms is None or now_ms - rung.at_ms <= span_ms:
            first.setdefault(rung.at_ms // step_ms, rung)
    return sorted(first.values(), reverse=True)
