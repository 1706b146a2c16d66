"""What holds a lineage by the conditions of its model that follow from its log, and which of its
inputs are missing of late.

Decided at ticks of the log, from all that was read before: so whoever reads the log again, in
whatever batches and with kills anywhere, is held at the same examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict, replace

from freshet.learners.holding.cases import Bools, Case, Expired, Lacking, Missing, Seen, parts_of
from freshet.learners.holding.shares import I64, Usual
from freshet.schemas.durations import text_of
from freshet.schemas.models.conditions import (
    BY_CONDITION,
    EXPIRED,
    FALL_BACK,
    GO_ON,
    HOLD,
    MISSING,
    HoldWhen,
)
from freshet.schemas.models.spans import Span
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.outcomes import ASKED, LABELLED, ExampleRows
from freshet.schemas.wire.outcomes import EXPIRED as EXPIRED_ROW
from freshet.streams.operators.task import as_json, from_json

# By so much more than of what was learned a feature is missing suddenly, where nobody declares it.
SUDDENLY = 0.5
BY_INPUTS = "missing_inputs"
STATE = "watch"
State = Mapping[str, npt.NDArray[Any]]


class Watching(NamedTuple):
    """What a model declares: its conditions over shares; within which time a missing input is told
    of (ms), and what it does then, one of `MISSING_INPUTS`."""

    conditions: tuple[HoldWhen, ...] = ()
    within_ms: int = 60_000
    missing_inputs: str = GO_ON


UNDECLARED = Watching()


class Watch:
    """Of one lineage, whose vector's columns are named: categories, then numbers."""

    def __init__(
        self, watching: Watching, categories: Sequence[str], numbers: Sequence[str]
    ) -> None:
        self._categories = len(categories)
        names = (*categories, *numbers)
        within = text_of(max(1_000, watching.within_ms))
        self._inputs = Missing(HoldWhen(MISSING, above=SUDDENLY, over=within), names)
        self._cases: dict[str, Case] = {BY_INPUTS: self._inputs}
        for condition in watching.conditions:
            if condition.measure == EXPIRED:
                self._cases[condition.text] = Expired(condition)
            elif condition.measure == MISSING:
                self._cases[condition.text] = Missing(condition, names)
        self._holding = [name for name in self._cases if name != BY_INPUTS]
        self._falls_back = watching.missing_inputs == FALL_BACK
        if watching.missing_inputs == HOLD:
            self._holding.append(BY_INPUTS)
        self._usual = Usual(len(names), watching.within_ms)
        self._spans: list[Span] = []

    @property
    def spans(self) -> tuple[Span, ...]:
        """When it was held, by which condition and with what figures."""
        return tuple(self._spans)

    @property
    def inputs(self) -> list[Lacking]:
        """Which inputs are missing of late."""
        return self._inputs.found

    def take(self, rows: ExampleRows, lacking: Bools) -> None:
        """Rows that were read before the next tick. Of those that are `lacking` a column that was
        not logged nobody knows what was sent."""
        asked = np.flatnonzero((rows.kind == ASKED) & ~lacking)
        expired = int(np.count_nonzero(rows.kind == EXPIRED_ROW))
        settled = expired + int(np.count_nonzero(rows.kind == LABELLED))
        seen = Seen(self._missing(rows, asked), settled, expired)
        for case in self._cases.values():
            case.take(seen)

    def learn(self, rows: ExampleRows, places: npt.NDArray[np.intp]) -> None:
        """Those at these places are learned."""
        asked_at: I64 = rows.fixed["asked_at"][places]
        self._usual.learn(asked_at, self._missing(rows, places))

    def _missing(self, rows: ExampleRows, places: npt.NDArray[np.intp]) -> Bools:
        """Which columns are missing from the rows at these places, `[n, k]`."""
        # In a vector 0 is the hash of a category that is missing, and NaN such a number.
        categories = rows.fixed["categories"][places, : self._categories] == 0
        numbers = np.isnan(rows.fixed["numbers"][places])
        return np.concatenate([categories, numbers], axis=1)

    def reach(self, tick: int) -> None:
        """All that was read before this tick was taken: decide of what is read from now on."""
        if all(case.rests for case in self._cases.values()):
            return
        # Else a fault that lasts became usual, and a model that lacks it answered again.
        self._usual.reach(tick, self._inputs.places if self._falls_back else ())
        usual = self._usual.at(tick)
        for name, case in self._cases.items():
            why = case.reach(tick, usual)
            if name in self._holding:
                self._turn(BY_CONDITION + name, why, tick)

    def _turn(self, by: str, why: str, tick: int) -> None:
        at = self._open(by)
        if why and at is None:
            self._spans.append(Span(tick, None, by, one_line(why)))
        elif not why and at is not None:
            self._spans[at] = replace(self._spans[at], until=tick)

    def _open(self, by: str) -> int | None:
        """The place of its span that has no end yet."""
        for at in reversed(range(len(self._spans))):
            if self._spans[at].by == by:
                return at if self._spans[at].until is None else None
        return None

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        state = {f"{STATE}.usual.{name}": array for name, array in self._usual.dump().items()}
        told = {}
        for at, (name, case) in enumerate(self._cases.items()):
            arrays, said = case.dump()
            told[name] = [at, said]
            state |= {f"{STATE}.{at}.{own}": array for own, array in arrays.items()}
        spans = [asdict(span) for span in self._spans]
        return state | {STATE: as_json({"cases": told, "spans": spans})}

    def load(self, state: State) -> None:
        """Go on as it was. A condition that is new begins here, and one that is declared no more
        holds nothing from here on."""
        if STATE not in state:  # of before there were any
            return
        told = from_json(state[STATE])
        self._usual.load(parts_of(state, f"{STATE}.usual."))
        for name, (at, said) in told["cases"].items():
            if name in self._cases:
                self._cases[name].load(parts_of(state, f"{STATE}.{at}."), said)
        self._spans = [Span(**span) for span in told["spans"]]
        tick = from_json(state["numbers"])[0]
        for at, span in enumerate(self._spans):
            if span.until is None and span.by.removeprefix(BY_CONDITION) not in self._holding:
                self._spans[at] = replace(span, until=tick)
