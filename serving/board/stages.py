"""Who keeps what is served from being fresh: of the roles that time passes through, the one that it
waits for longest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Stage(NamedTuple):
    """A role, the tick (app clock, ms) that it has passed on (None: none yet), and by how much it
    may be behind the one before it."""

    role: str
    tick: int | None
    pace_ms: int = 0


def slowest(now_ms: int | None, stages: Sequence[Stage]) -> str:
    """The role of the stage that is farthest behind the one before it; empty where nothing is
    known.

    A role that is silent keeps all roles after it behind, too; but they are not farther behind than
    it is.

    >>> slowest(100, [Stage("intake", 99), Stage("view", 40)])
    'view'
    >>> slowest(100, [Stage("intake", 40), Stage("view", 39)])
    'intake'
    """
    if now_ms is None:
        return ""
    found = ""
    # Below 0, so that the first stage is named where none is behind another.
    farthest = -1
    before = now_ms
    for stage in stages:
        if stage.tick is None:
            # Nothing ever came out of it, while all before it work.
            return stage.role
        behind = before - stage.tick - stage.pace_ms
        if behind > farthest:
            found = stage.role
            farthest = behind
        before = min(before, stage.tick)
    return found


def oldest(stage: Stage) -> float:
    """By its tick; one of which nothing is known comes first."""
    if stage.tick is None:
        return -math.inf
    return stage.tick
