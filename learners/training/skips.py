"""What a lineage reads and does not learn: spans of time, each with who it was by, why, and how
many examples it had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict, replace

from freshet.learners.started import Start
from freshet.schemas.models.spans import Span
from freshet.schemas.wire import blocks
from freshet.streams.operators.task import as_json, from_json

State = Mapping[str, npt.NDArray[Any]]


class Skips:
    """Of one lineage. `start` says of one that was started while its app ran what it skips itself,
    and from when on it knows of what others do."""

    def __init__(self, start: Start | None) -> None:
        self._own: tuple[Span, ...] = ()
        self._held: tuple[Span, ...] = ()  # as the control log has it, while it runs
        self.by_conditions: tuple[Span, ...] = ()  # as its own log has it
        self._examples: Counter[Span] = Counter()
        self.knows_from = blocks.NO_TICK
        if start is not None:
            self._own = start.skips
            self.knows_from = start.cuts_from

    def at(self, tick: int) -> Span | None:
        """Why what is read now is not to be learned, if it is not; `tick` is the newest."""
        return next((span for span in self._all if span.holds(tick)), None)

    @property
    def _all(self) -> tuple[Span, ...]:
        return (*self._own, *self._held, *self._of_its_time(self.by_conditions))

    def count(self, span: Span, examples: int) -> None:
        self._examples[_begun(span)] += examples

    def hold(self, spans: Sequence[Span]) -> bool:
        """When the model was held; whether that is news."""
        found = self._of_its_time(spans)
        if found == self._held:
            return False
        self._held = found
        return True

    def _of_its_time(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """A lineage learns what others skipped before it was started: that is one reason to start
        one."""
        return tuple(
            replace(span, start=max(span.start, self.knows_from))
            for span in spans
            if span.until is None or span.until > self.knows_from
        )

    @property
    def examples(self) -> int:
        """How many, in all."""
        return sum(self._examples[_begun(span)] for span in self._all)

    def told(self) -> list[dict[str, Any]]:
        """Span by span (`SkipFacts`), in order; those that have no end yet are last."""
        found = []
        for span in sorted(self._all, key=_order):
            count = self._examples[_begun(span)]
            found.append({**asdict(span), "examples": count})
        return found

    def dump(self) -> dict[str, npt.NDArray[np.uint8]]:
        held = [asdict(span) for span in self._held]
        return {"held": as_json(held), "skips": as_json(self.told())}

    def load(self, state: State) -> None:
        # It may be the state of the lineage that it was started from.
        self._held = self._of_its_time(_spans_of(state, "held"))
        # Also those of before it went back to this state.
        for told in from_json(state["skips"]) if "skips" in state else ():
            count = told.pop("examples")
            self._examples[_begun(Span(**told))] = count


def _order(span: Span) -> tuple[bool, int]:
    return span.until is None, span.start


def _begun(span: Span) -> Span:
    """By where it begins: it ends later than it is counted."""
    return replace(span, until=None)


def _spans_of(state: State, name: str) -> tuple[Span, ...]:
    if name not in state:  # of before there were any
        return ()
    return tuple(Span(**told) for told in from_json(state[name]))
