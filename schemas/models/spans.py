"""Spans of time in which a model learns nothing."""

from __future__ import annotations

import msgspec


class Span(msgspec.Struct, frozen=True):
    """What a trainer reads after it has reached tick `start`, and before it has reached `until`
    (app clock, ms; None: there is no end yet): not learned, by whom and why."""

    start: int
    until: int | None = None
    by: str = ""
    why: str = ""

    def holds(self, tick: int) -> bool:
        """Whether it is of what is read at a time when `tick` was the newest."""
        return self.start <= tick and (self.until is None or tick < self.until)
