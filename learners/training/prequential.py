"""Prequential quality: figures of predictions and the labels that came later, kept in bounded
space.

AUC comes from histograms over the logit (Fawcett, 2006, on bins instead of scores); normalised
entropy is the log loss over that of always predicting the base rate (He et al., 2014); calibration
is the mean prediction over the mean label: right on the whole, whatever it is at each probability;
accuracy is the share where a prediction of at least one half, and no other, was followed by a
positive label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, pack_json, unpack_json
from freshet.schemas.models.vectors import F64

BINS = 2048
HALF = BINS // 2  # where the bin of one half begins: logits are binned evenly around 0
# So far predictions stay from 0 and 1: one certain error would else cost an infinite loss.
LOWEST = 1e-6
_WIDEST = float(np.log((1 - LOWEST) / LOWEST))
OTHER = "(other)"
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Quality over `n` examples. NaN where it means nothing (no examples, or labels of one kind
    only)."""

    n: int
    base_rate: float
    mean_prediction: float
    log_loss: float
    auc: float
    normalised_entropy: float
    calibration: float
    accuracy: float

    def as_json(self) -> dict[str, float | None]:
        # NaN, which JSON does not know, is the only value that differs from itself.
        return {k: None if v != v else v for k, v in asdict(self).items()}


class Quality:
    """Figures over everything since it was made. One update of ten rows costs some 25 µs."""

    def __init__(self) -> None:
        # With a limit of 0 slices, `(other)` is row 0, and holds everything.
        self._table = SliceQuality(0)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        """Add predictions float `[n]` in [0, 1] with labels `[n]` of 0 or 1."""
        self._table.add(np.zeros(len(p), np.int64), p, y)

    def merge(self, other: Quality) -> None:
        self._table.merge(other._table)

    def figures(self) -> Figures:
        return self._table.row(0)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return self._table.checkpoint()

    @staticmethod
    def restored(state: Arrays) -> Quality:
        out = Quality()
        out._table = SliceQuality.restored(state)
        return out


class SliceQuality:
    """Figures by slice. The first `limit` slices seen are told apart, all later ones share
    `(other)`."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._places: dict[str, int] = {}
        # of predictions, of labels, of log losses; the last row is (other)
        self._sums = np.zeros((limit + 1, 3))
        self._bins = np.zeros((limit + 1, 2, BINS), np.int64)

    def update(self, slices: Sequence[str], p: F64, y: npt.NDArray[Any]) -> None:
        """Add predictions `[n]` and labels `[n]`, each of the slice at its place."""
        self.add(np.array([self._place(s) for s in slices], np.int64), p, y)

    def add(self, places: I64, p: F64, y: npt.NDArray[Any]) -> None:
        q = np.clip(p, LOWEST, 1 - LOWEST)
        positive = y > 0.5
        # By `np.add.at`, since one slice may come several times: `+=` would count it once.
        np.add.at(
            self._sums,
            places,
            np.stack([q, positive, -np.log(np.where(positive, q, 1 - q))], axis=1),
        )
        at = ((np.log(q / (1 - q)) + _WIDEST) * (BINS / (2 * _WIDEST))).astype(np.int64)
        np.add.at(
            self._bins.reshape(-1), (2 * places + positive) * BINS + np.minimum(at, BINS - 1), 1
        )

    def merge(self, other: SliceQuality) -> None:
        """Add what `other` has seen. Slices beyond this table's limit go to `(other)`."""
        for name, theirs in (*other._places.items(), (OTHER, other._limit)):
            ours = self._limit if name == OTHER else self._place(name)
            self._sums[ours] += other._sums[theirs]
            self._bins[ours] += other._bins[theirs]

    def figures(self) -> dict[str, Figures]:
        """By slice in order of first sight, then `(other)` if it holds any."""
        out = {name: self.row(i) for name, i in self._places.items()}
        if self._bins[self._limit].any():
            out[OTHER] = self.row(self._limit)
        return out

    def row(self, i: int) -> Figures:
        sum_p, sum_y, sum_loss = self._sums[i].tolist()
        negatives, positives = self._bins[i]
        hits = int(negatives[:HALF].sum() + positives[HALF:].sum())
        return _figures(
            int(self._bins[i].sum()), hits, sum_p, sum_y, sum_loss, auc_of_bins(self._bins[i])
        )

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        filled = np.flatnonzero(self._bins)
        return {
            "slices": pack_json([self._limit, self._places]),
            "sums": self._sums.copy(),
            # Few of them hold anything, and there are many.
            "filled": filled.astype(np.int32),
            "counts": self._bins.reshape(-1)[filled],
        }

    @staticmethod
    def restored(state: Arrays) -> SliceQuality:
        limit, places = unpack_json(state["slices"])
        out = SliceQuality(limit)
        # In the order of first sight, which is that of the places.
        out._places = dict(sorted(places.items(), key=lambda item: int(item[1])))
        out._sums = state["sums"].copy()
        if "bins" in state:  # all of them, as they were once saved
            out._bins = state["bins"].copy()
        else:
            out._bins.reshape(-1)[state["filled"]] = state["counts"]
        return out

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            if len(self._places) >= self._limit:
                return self._limit
            place = self._places[name] = len(self._places)
        return place


class RollingQuality:
    """Figures over the newest `window` examples: exact, from a ring. What release policies look
    at."""

    def __init__(self, window: int = 5000) -> None:
        self._ring = np.zeros((window, 2), np.float32)
        self._seen = 0

    def __len__(self) -> int:
        return min(self._seen, len(self._ring))

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        """Add predictions `[n]` and labels `[n]`; of more than a window, only the newest stay."""
        size = len(self._ring)
        n = len(p)
        # Beyond a window, two would want one place.
        skip = max(0, n - size)
        at = np.arange(self._seen + skip, self._seen + n) % size
        self._ring[at, 0] = p[skip:]
        self._ring[at, 1] = y[skip:]
        self._seen += n

    def figures(self) -> Figures:
        rows = self._ring[: len(self)].astype(np.float64)
        return figures_of(rows[:, 0], rows[:, 1])

    def reliability(self, bins: int = 10) -> F64:
        """What `reliability` says of the window."""
        rows = self._ring[: len(self)].astype(np.float64)
        return reliability(rows[:, 0], rows[:, 1], bins)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"ring": self._ring.copy(), "seen": np.array([self._seen])}

    @staticmethod
    def restored(state: Arrays) -> RollingQuality:
        out = RollingQuality(len(state["ring"]))
        out._ring = state["ring"].copy()
        out._seen = int(state["seen"][0])
        return out


def auc_of_bins(bins: I64) -> float:
    """AUC from counts `[2, bins]` of negatives and positives by rising score; a bin's members count
    as tied."""
    negatives = bins[0].astype(np.float64)
    positives = bins[1].astype(np.float64)
    pairs = negatives.sum() * positives.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float(positives @ (below + negatives / 2) / pairs)


def auc(y: npt.NDArray[Any], p: npt.NDArray[Any]) -> float:
    """The exact area under the ROC curve: the chance that a positive scores above a negative, ties
    counting half."""
    positive = np.asarray(y) > 0.5
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if n_pos == 0 or n_neg == 0:
        return float("nan")
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mid-ranks from 1
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def log_loss(y: npt.NDArray[Any], p: npt.NDArray[Any]) -> float:
    """The mean negative log likelihood in nats, predictions clipped to 1e-6 from 0 and 1."""
    q = np.clip(p, LOWEST, 1 - LOWEST)
    return (
        float(-np.log(np.where(np.asarray(y) > 0.5, q, 1 - q)).mean()) if len(q) else float("nan")
    )


def reliability(p: npt.NDArray[Any], y: npt.NDArray[Any], bins: int = 10) -> F64:
    """What a reliability diagram shows (Murphy and Winkler, 1977): float64 `[bins, 3]` of count,
    sum of predictions and sum of labels, by `bins` equal steps of the prediction; the last one
    holds 1, too."""
    q = np.asarray(p, np.float64)
    at = np.clip((q * bins).astype(np.int64), 0, bins - 1)
    weights = (None, q, np.asarray(y) > 0.5)
    return np.stack([np.bincount(at, w, bins).astype(np.float64) for w in weights], axis=1)


def figures_of(p: npt.NDArray[Any], y: npt.NDArray[Any]) -> Figures:
    """Exact figures of predictions `[n]` and labels `[n]`."""
    q = np.clip(np.asarray(p, np.float64), LOWEST, 1 - LOWEST)
    positive = np.asarray(y) > 0.5
    n = len(q)
    hits = int(((q >= 0.5) == positive).sum())
    return _figures(
        n, hits, float(q.sum()), float(positive.sum()), n * log_loss(y, q) if n else 0.0, auc(y, p)
    )


def _figures(
    n: int, hits: int, sum_p: float, sum_y: float, sum_loss: float, area: float
) -> Figures:
    nan = float("nan")
    if n == 0:
        return Figures(0, nan, nan, nan, nan, nan, nan, nan)
    b = sum_y / n
    entropy = entropy_of(b)
    ratio = sum_p / sum_y if sum_y else nan
    return Figures(
        n, b, sum_p / n, sum_loss / n, area, float(sum_loss / n / entropy), ratio, hits / n
    )


def entropy_of(rate: float) -> float:
    """Log loss, in nats, of always predicting this base rate; NaN where all labels are alike."""
    if not 0 < rate < 1:
        return float("nan")
    return float(-(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))
