"""What a lineage answered to questions whose outcome is still open: a ring by ask number, grown
when it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


class Pending:
    """Predictions by ask number. Numbers rise by one a question, so `number % capacity` finds them.

    An entry may be overwritten once it is older than `keep_ms`; until then the ring grows instead.
    """

    def __init__(self, keep_ms: int, width: int = 1) -> None:
        self.keep_ms = keep_ms
        # One number an answer is `[n]`, as ever; several are `[n, width]`.
        self._shape: tuple[int, ...] = ()
        if width > 1:
            self._shape = (width,)
        self._resize(1 << 10)

    def _resize(self, capacity: int) -> None:
        # -1 is an empty place: numbers begin at 0.
        self._ask = np.full(capacity, -1, np.int64)
        self._at = np.zeros(capacity, np.int64)
        self._p = np.zeros((capacity, *self._shape))

    def put(self, ask: I64, asked_at: I64, p: F64) -> None:
        """Hold predictions float64 `[n]` or `[n, width]` of questions numbered `ask` at `asked_at`
        (ms)."""
        if not len(ask):
            return
        while self._would_lose(ask, asked_at):
            ask_old = self._ask
            at_old = self._at
            p_old = self._p
            self._resize(2 * len(self._ask))
            held = ask_old >= 0
            self._store(ask_old[held], at_old[held], p_old[held])
        self._store(ask, asked_at, p)

    def _would_lose(self, ask: I64, asked_at: I64) -> bool:
        place = ask % len(self._ask)
        # The same number again loses nothing: it is the same question.
        overwritten = (self._ask[place] >= 0) & (self._ask[place] != ask)
        young = self._at[place] + self.keep_ms > asked_at.max()
        # More than the ring holds would overwrite each other, whatever stands there.
        return len(ask) > len(self._ask) or bool((overwritten & young).any())

    def _store(self, ask: I64, asked_at: I64, p: F64) -> None:
        place = ask % len(self._ask)
        self._ask[place] = ask
        self._at[place] = asked_at
        self._p[place] = p

    def get(self, ask: I64) -> F64:
        """Predictions `[n]` or `[n, width]`, NaN for questions that this lineage was not
        asked."""
        place = ask % len(self._ask)
        held = (self._ask[place] == ask).reshape(-1, *(1 for _ in self._shape))
        return np.where(held, self._p[place], np.nan)

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"pending_ask": self._ask, "pending_at": self._at, "pending_p": self._p}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._ask = state["pending_ask"].copy()
        self._at = state["pending_at"].copy()
        self._p = state["pending_p"].copy()
