"""Whether a condition over shares is met, as of the ticks of a lineage's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from freshet.learners.holding.shares import LEAST, Window
from freshet.schemas.models.conditions import BACK, HoldWhen

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
State = dict[str, npt.NDArray[Any]]


class Seen(NamedTuple):
    """What a step had: which columns questions lack, `[n, k]`; how many waits for a label ended,
    and how many of these without one."""

    missing: Bools
    settled: int
    expired: int


class Case(Protocol):
    """One condition. Fed with all that is read up to a tick before that is reached."""

    @property
    def rests(self) -> bool:
        """Whether nothing of late is there to look at: until something is read, all stays."""
        ...

    def take(self, seen: Seen) -> None:
        """What was read before the next tick."""
        ...

    def reach(self, tick: int, usual: F64) -> str:
        """Why it is met, with the figures of when it began; empty where it is not. `usual` are the
        shares of what was learned that lack each column (NaN: not known yet)."""
        ...

    def dump(self) -> tuple[State, Any]: ...

    def load(self, state: State, told: Any) -> None: ...


class Expired:
    """Of the questions whose wait ended, too many ended it without a label."""

    def __init__(self, condition: HoldWhen) -> None:
        self._condition = condition
        self._window = Window(condition.over_ms, 1)
        self._why = ""

    @property
    def rests(self) -> bool:
        return self._window.is_empty

    def take(self, seen: Seen) -> None:
        if seen.settled:
            self._window.add(seen.settled, np.array([seen.expired]))

    def reach(self, tick: int, usual: F64) -> str:
        rows, by_column = self._window.share(tick)
        share = float(by_column[0])
        bound = self._condition.bound
        if self._why:
            # Of fewer, too: else it were held for as long as few come. Of none nothing is known.
            if rows and share <= BACK * bound:
                self._why = ""
        elif rows >= LEAST and share > bound:
            self._why = (
                f"{share:.0%} of the {rows:,} questions that ended within "
                f"{self._condition.over} expired, {bound:.4g} is the bound"
            )
        return self._why

    def dump(self) -> tuple[State, Any]:
        return self._window.dump(), self._why

    def load(self, state: State, told: Any) -> None:
        self._window.load(state)
        self._why = told


class Lacking(NamedTuple):
    """A column that is missing of late: since which tick, and the figures of then."""

    name: str
    since: int
    why: str


class Missing:
    """Of the newest questions too many lack a column that was there in what was learned. `names`
    are those of all columns in order; those of which the condition is are watched."""

    def __init__(self, condition: HoldWhen, names: Sequence[str]) -> None:
        self._condition = condition
        self._names = tuple(names)
        feature = condition.feature
        self._watched = np.array([feature in ("", name) for name in names], np.bool_)
        self._window = Window(condition.over_ms, len(names))
        self._found: dict[str, Lacking] = {}

    @property
    def found(self) -> list[Lacking]:
        """What is missing now, first what has been for longest."""
        return list(self._found.values())

    @property
    def rests(self) -> bool:
        return self._window.is_empty

    @property
    def places(self) -> list[int]:
        """Of what is missing now, among all columns."""
        return [self._names.index(name) for name in self._found]

    def take(self, seen: Seen) -> None:
        if len(seen.missing):
            self._window.add(len(seen.missing), np.add.reduce(seen.missing, axis=0, dtype=np.int64))

    def reach(self, tick: int, usual: F64) -> str:
        rows, share = self._window.share(tick)
        if rows:
            self._look(tick, rows, share, usual)
        first = next(iter(self._found.values()), None)
        return first.why if first is not None else ""

    def _look(self, tick: int, rows: int, share: F64, usual: F64) -> None:
        # Of what nothing is known both are false.
        more = share - usual
        over = self._watched & (more > self._condition.bound)
        back = more <= BACK * self._condition.bound
        self._found = {
            name: lacking
            for name, lacking in self._found.items()
            if not back[self._names.index(name)]
        }
        if rows < LEAST:
            return
        for at in np.flatnonzero(over).tolist():
            name = self._names[at]
            if name not in self._found:
                why = (
                    f"{name} is missing from {share[at]:.0%} of the {rows:,} questions within "
                    f"{self._condition.over}, and from {usual[at]:.0%} of what was learned; "
                    f"{self._condition.bound:.4g} more is the bound"
                )
                self._found[name] = Lacking(name, tick, why)

    def dump(self) -> tuple[State, Any]:
        return self._window.dump(), [list(lacking) for lacking in self._found.values()]

    def load(self, state: State, told: Any) -> None:
        self._window.load(state)
        found = [Lacking(*lacking) for lacking in told]
        self._found = {lacking.name: lacking for lacking in found}


def parts_of(state: Mapping[str, npt.NDArray[Any]], prefix: str) -> State:
    """Those arrays of a checkpoint whose names begin so, without that."""
    return {
        name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)
    }
