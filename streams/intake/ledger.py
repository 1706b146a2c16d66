"""The ledger: per partition and block of offsets, how many records had which fate, and the sum of
the ids applied.

`freshet.audit.ledger.recompute` recomputes it from the log with plain Python and dictionaries, the
slow and obvious way, sharing no kernel with intake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEDGER_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Entry:
    """One block: records by fate code, and the applied ids' sum mod 2^128."""

    counts: tuple[int, ...]
    applied: int


Ledger = dict[int, Entry]


class LedgerBook:
    """The ledger of one partition while it grows; `fates` names the columns of its counts."""

    def __init__(self, fates: Sequence[str]) -> None:
        self.first = 0
        self._fates = list(fates)
        self.counts = np.zeros((0, len(fates)), np.int64)
        self.sums = np.zeros((0, 2), np.uint64)

    def span(self, first_offset: int, last_offset: int) -> None:
        """Make room for the blocks of these offsets."""
        if not len(self.counts):
            # A log that was pruned begins far above 0: what is gone gets no blocks.
            self.first = first_offset // LEDGER_BLOCK
        missing = last_offset // LEDGER_BLOCK - self.first + 1 - len(self.counts)
        if missing > 0:
            self.counts = _longer(self.counts, missing)
            self.sums = _longer(self.sums, missing)

    def entries(self) -> Ledger:
        """Blocks that hold any record: offsets may have gaps wider than a block."""
        return {
            # Two words, as kernels sum them: the lower one first.
            self.first + i: Entry(tuple(map(int, c)), (int(s[1]) << 64) | int(s[0]))
            for i, (c, s) in enumerate(zip(self.counts, self.sums))
            if c.any()
        }

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "ledger_first": np.array([self.first]),
            "ledger": self.counts,
            "ledger_sums": self.sums,
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]], known: Sequence[str]) -> None:
        """Become what was dumped when these fates were known: an earlier version of freshet may
        have known fewer, in other places."""
        self.first = int(state["ledger_first"][0])
        columns = [self._fates.index(name) for name in known]
        self.counts = np.zeros((len(state["ledger"]), len(self._fates)), np.int64)
        self.counts[:, columns] = state["ledger"]
        self.sums = state["ledger_sums"].copy()


def _longer(table: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """With so many rows of zeros more."""
    return np.concatenate([table, np.zeros((rows, table.shape[1]), table.dtype)])


def totals(ledger: Ledger, fates: tuple[str, ...]) -> dict[str, int]:
    """Records by fate over all blocks."""
    return {name: sum(e.counts[i] for e in ledger.values()) for i, name in enumerate(fates)}
