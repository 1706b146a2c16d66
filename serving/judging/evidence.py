"""What labels have said of a candidate so far, in all and by slice: counts, sums and wealth.

Constant memory by slice and test. Of the same labels in the same order it is the same bits,
wherever they were cut and however often it was written down and read back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.tasks import CLASSES
from freshet.serving.judging.betting_kernels import STAKES, add, bet, rank
from freshet.serving.judging.measured import Labelled, gains_of, values_of
from freshet.serving.judging.policy import Policy

MOST_SLICES = 256  # told apart; all later ones share the last
OTHER = "(other)"
ALL = ""  # the slice of every label
Array = npt.NDArray[Any]


class Sums(NamedTuple):
    """Of a measure, in its share of its range."""

    labels: int
    total: float
    surprise: float


class Evidence:
    """Of one candidate against the references that its gates name.

    One way to add to it, `update`; whoever judges reads `names`, `odd`, `sums` and `peak`."""

    def __init__(self, policy: Policy) -> None:
        slices = MOST_SLICES + 2
        tests = len(policy.pairings)
        self.policy = policy
        self.names = [ALL]
        self.odd = 0  # labels whose answer was no number: nothing is made of a model that says so
        self._places = {measure.name: i for i, measure in enumerate(policy.measures)}
        self._sums = np.zeros((slices, len(policy.measures), 3))
        # First whoever bets that the candidate is worse by more than the margin; then who bets
        # that it is not.
        shape = (len(STAKES), slices, tests)
        self._wealth = np.broadcast_to(STAKES[:, None, None], (*shape, STAKES.shape[1])).copy()
        self._peaks = np.ones(shape)
        self._waiting = np.full((slices, 2), np.nan)

    def update(self, labelled: Labelled) -> None:
        """Add labels, in the order of the log.

        Raises:
            DefinitionError: they lack a slice of the policy.
        """
        lacking = [name for name in self.policy.slices if name not in labelled.slices]
        if lacking:
            raise DefinitionError(
                "evidence", f"labels have no slice {lacking[0]!r}", "Read it from the log, too."
            )
        kept = labelled.is_finite(self.policy.task.kind == CLASSES)
        self.odd += int((~kept).sum())
        whole = labelled.where(kept)
        if not len(whole.labels):
            return
        rows = self._rows(whole.slices, len(whole.labels))
        # Each label is an entry of the whole, and one of each of its slices.
        of = np.repeat(np.arange(len(whole.labels)), rows.shape[1])
        flat = rows.ravel()
        for direction, gains in enumerate(gains_of(self.policy, whole)):
            bet(
                self._wealth[direction],
                self._peaks[direction],
                flat,
                gains[of],
            )
        values = values_of(self.policy, whole)[of]
        if "auc" in self._places:
            ranked = rank(
                self._waiting,
                flat,
                whole.answers[of],
                whole.labels[of],
            )
            values[:, self._places["auc"]] = ranked
        add(self._sums, flat, values)

    def sums(self, measure: str, row: int) -> Sums:
        """Of a measure in a slice."""
        count, total, surprise = self._sums[row, self._places[measure]].tolist()
        return Sums(int(count), total, surprise)

    def peak(self, direction: int, test: int, row: int) -> float:
        """The greatest e-value so far of a test in a slice: what it takes to be wrong once it is
        above 1 / α has a probability of at most α, at whichever label it is looked at."""
        return float(self._peaks[direction, row, test])

    @property
    def digest(self) -> str:
        """64 hex digits that change with any bit of it."""
        state = self.checkpoint()
        parts = []
        for name in sorted(state):
            parts.append(name.encode())
            parts.append(state[name].tobytes())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def checkpoint(self) -> dict[str, Array]:
        """All of it, but for the policy."""
        told = {
            "names": self.names,
            "odd": self.odd,
            "policy": self.policy.digest,
        }
        text = json.dumps(told).encode()
        return {
            "told": np.frombuffer(text, np.uint8),
            "sums": self._sums.copy(),
            "wealth": self._wealth.copy(),
            "peaks": self._peaks.copy(),
            "waiting": self._waiting.copy(),
        }

    @staticmethod
    def restored(policy: Policy, state: Mapping[str, Array]) -> Evidence:
        """From a checkpoint.

        Raises:
            DefinitionError: it was gathered under another policy, of which it says nothing.
        """
        told = json.loads(state["told"].tobytes())
        if told["policy"] != policy.digest:
            raise DefinitionError(
                "evidence", "it was gathered under other gates", "Begin anew, or judge by those."
            )
        out = Evidence(policy)
        out.names = told["names"]
        out.odd = told["odd"]
        out._sums = state["sums"].copy()
        out._wealth = state["wealth"].copy()
        out._peaks = state["peaks"].copy()
        out._waiting = state["waiting"].copy()
        return out

    def _rows(self, slices: Mapping[str, npt.NDArray[np.str_]], count: int) -> Array:
        """Slices of each label [labels, 1 + declared ones]: the whole is 0, others are numbered as
        they first appear, label by label, so that no cut changes a number."""
        columns = [np.strings.add(f"{name}=", slices[name]) for name in self.policy.slices]
        if not columns:
            return np.zeros((count, 1), np.int64)
        table = np.stack(columns, axis=1)
        found, first, places = np.unique(
            table,
            return_index=True,
            return_inverse=True,
        )
        known = {name: i for i, name in enumerate(self.names)}
        for name in found[np.argsort(first)].tolist():
            if name not in known and len(self.names) <= MOST_SLICES:
                known[name] = len(self.names)
                self.names.append(name)
        rest = MOST_SLICES + 1
        rows = [known.get(name, rest) for name in found.tolist()]
        codes = np.array(rows, np.int64)
        own = codes[places.reshape(table.shape)]
        whole = np.zeros((count, 1), np.int64)
        return np.concatenate([whole, own], axis=1)


def all_slices(evidence: Evidence) -> list[tuple[int, str]]:
    """Row and name of each slice beside the whole."""
    rows = list(enumerate(evidence.names))[1:]
    last = MOST_SLICES + 1
    if evidence.sums(evidence.policy.measures[0].name, last).labels:
        rows.append((last, OTHER))
    return rows


def mean_of(evidence: Evidence, measure: str, row: int) -> float:
    """In the measure's own unit; NaN without labels."""
    sums = evidence.sums(measure, row)
    if not sums.labels:
        return float("nan")
    own = evidence.policy.measure(measure)
    width = own.high - own.low
    return own.low + width * sums.total / sums.labels
