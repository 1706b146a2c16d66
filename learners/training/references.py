"""What answers that look at no feature would have scored on the same labels: figures to beat.

*Prior* answers with the running share of positives (one half before the first label; Krichevsky and
Trofimov, 1981). *No-change* answers with the label before, as MOA's NoChange and River's
`NoChangeClassifier` do. Its answer is a class and not a probability: it has an accuracy, and no log
loss, which would tell nothing but how its 0 and 1 are clipped.

Each label is judged by those before it in the log, in their order. A model answers earlier, when it
is asked: so these two know more labels than it did, and whoever beats them has learned something.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.learners.training.prequential import Figures, entropy_of, figures_of
from freshet.schemas.models.vectors import F64

NAN = float("nan")
# A constant ranks nobody above anybody: the AUC of each prior, though it drifts from label to
# label.
TIED = 0.5
PRIOR_WEIGHT = 0.5  # of each class before the first label


@dataclass(frozen=True, slots=True)
class ReferenceFigures:
    """Quality of both, over the same labels."""

    prior: Figures
    no_change: Figures

    def as_json(self) -> dict[str, dict[str, float | None]]:
        return {"prior": self.prior.as_json(), "no_change": self.no_change.as_json()}


class References:
    """Fed with labels in their order, in any cuts.

    Constant memory: sums of all, and a ring of the newest `window`."""

    def __init__(self, window: int = 5_000) -> None:
        self._seen = 0
        self._positives = 0
        self._last = NAN  # the label before; NaN before the first
        self._rate_sum = 0.0
        self._loss_sum = 0.0
        self._prior_hits = 0
        self._no_change_hits = 0
        self._ring = np.zeros((window, 3))  # label, rate before it, label before it

    def update(self, y: npt.NDArray[Any]) -> None:
        """Add labels `[n]` of 0 or 1."""
        if not len(y):
            return
        label = (np.asarray(y) > 0.5).astype(np.float64)
        positives = self._positives + np.concatenate([[0.0], np.cumsum(label)])
        seen = self._seen + np.arange(len(label))
        rate = (positives[:-1] + PRIOR_WEIGHT) / (seen + 2 * PRIOR_WEIGHT)
        before = np.concatenate([[self._last], label[:-1]])
        self._remember(np.stack([label, rate, before], axis=1))
        loss = -np.log(np.where(label > 0.5, rate, 1 - rate))
        # One by one, as a loop would: sums must not depend on where the log was cut.
        self._rate_sum = _added(self._rate_sum, rate)
        self._loss_sum = _added(self._loss_sum, loss)
        self._prior_hits += int(((rate >= 0.5) == (label > 0.5)).sum())
        self._no_change_hits += int((before == label).sum())
        self._seen += len(label)
        self._positives = int(positives[-1])
        self._last = float(label[-1])

    def figures(self) -> ReferenceFigures:
        """Over everything since it was made."""
        n = self._seen
        if not n:
            return _figures(np.empty((0, 3)))
        base_rate = self._positives / n
        entropy = entropy_of(base_rate)
        loss = self._loss_sum / n
        prior = Figures(
            n=n,
            base_rate=base_rate,
            mean_prediction=self._rate_sum / n,
            log_loss=loss,
            auc=TIED,
            normalised_entropy=loss / entropy,
            calibration=self._rate_sum / self._positives if self._positives else NAN,
            accuracy=self._prior_hits / n,
        )
        return ReferenceFigures(prior, _no_change(n - 1, self._no_change_hits))

    def rolling(self) -> ReferenceFigures:
        """Over the newest `window` labels: exact, from the ring."""
        return _figures(self._ring[: min(self._seen, len(self._ring))])

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        counts = [self._seen, self._positives, self._prior_hits, self._no_change_hits]
        return {
            "counts": np.array(counts, np.int64),
            "sums": np.array([self._rate_sum, self._loss_sum, self._last]),
            "ring": self._ring.copy(),
        }

    @staticmethod
    def restored(state: Arrays) -> References:
        """From a checkpoint. One of before there were references begins with the next label, and
        `n` tells."""
        if "ring" not in state:
            return References()
        out = References(len(state["ring"]))
        out._ring = state["ring"].copy()
        out._seen, out._positives, out._prior_hits, out._no_change_hits = state["counts"].tolist()
        out._rate_sum, out._loss_sum, out._last = state["sums"].tolist()
        return out

    def _remember(self, rows: F64) -> None:
        size = len(self._ring)
        skip = max(0, len(rows) - size)
        places = np.arange(self._seen + skip, self._seen + len(rows)) % size
        self._ring[places] = rows[skip:]


def _added(total: float, values: F64) -> float:
    return float(np.cumsum(np.concatenate([[total], values]))[-1])


def _figures(rows: F64) -> ReferenceFigures:
    """Of rows `[n, 3]` of label, rate before it and label before it."""
    label, rate, before = rows.T
    prior = figures_of(rate, label)
    followed = before == before  # all but the very first label
    hits = int((before[followed] == label[followed]).sum())
    if prior.n:
        prior = replace(prior, auc=TIED)
    return ReferenceFigures(prior, _no_change(int(followed.sum()), hits))


def _no_change(n: int, hits: int) -> Figures:
    accuracy = hits / n if n else NAN
    return Figures(n, NAN, NAN, NAN, NAN, NAN, NAN, accuracy)
