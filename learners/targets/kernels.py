"""numba kernels of what is learned, alike by every learner with kernels: probabilities of classes,
and the running scale of numbers."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

LOWEST = 1e-6  # as `freshet.learners.contract.LOWEST`
HIGHEST = 1.0 - 1e-6
# Where each thing stands in the scale of a label: how many there were, their mean, their summed
# squared deviations, the least and the greatest.
SCALE_SIZE = 5
# By Chebyshev's inequality no more than one label of 10,000 lies so many deviations from the mean.
# One that does counts as lying there: it moves the scale, and cannot ruin it.
WIDEST = 100.0
SETTLED = 100.0  # labels; before, the first ones may be anything


@nb.njit(nogil=True, cache=True)
def sigmoid_rows(scores: Any, out: Any) -> None:
    """Probabilities of scores float64 `[n, 1]` into `out`, float64 `[n]`; held from 0 and 1."""
    for row in range(out.size):
        out[row] = min(max(1.0 / (1.0 + np.exp(-scores[row, 0])), LOWEST), HIGHEST)


@nb.njit(inline="always", nogil=True, cache=True)
def softmax(scores: Any) -> None:
    """Scores float64 `[k]` into probabilities, in place: in their order, so that a row is answered
    alike alone and in a batch. Held from 0, and added up to 1 again after that."""
    top = scores[0]
    for one in range(1, scores.size):
        top = max(top, scores[one])
    total = 0.0
    for one in range(scores.size):
        # Less the greatest, so that no exponential overflows.
        scores[one] = np.exp(scores[one] - top)
        total += scores[one]
    held = 0.0
    for one in range(scores.size):
        scores[one] = max(scores[one] / total, LOWEST)
        held += scores[one]
    for one in range(scores.size):
        scores[one] /= held


@nb.njit(nogil=True, cache=True)
def softmax_rows(scores: Any) -> None:
    """`softmax` of each row of float64 `[n, k]`, in place."""
    for row in range(scores.shape[0]):
        softmax(scores[row])


@nb.njit(inline="always", nogil=True, cache=True)
def deviation(scale: Any) -> Any:
    """The standard deviation of labels, 1 where they never varied."""
    if scale[2] > 0.0:
        return np.sqrt(scale[2] / scale[0])
    return 1.0


@nb.njit(inline="always", nogil=True, cache=True)
def take_in(scale: Any, label: Any) -> Any:
    """Take a label into the scale (Welford, 1962). Returns it as it counts: within `WIDEST`
    deviations of the mean so far."""
    value = np.float64(label)
    if scale[0] == 0.0:
        scale[3] = value
        scale[4] = value
    if scale[0] >= SETTLED and scale[2] > 0.0:
        far = WIDEST * deviation(scale)
        value = min(max(value, scale[1] - far), scale[1] + far)
    scale[0] += 1.0
    away = value - scale[1]
    scale[1] += away / scale[0]
    scale[2] += away * (value - scale[1])
    scale[3] = min(scale[3], value)
    scale[4] = max(scale[4], value)
    return value


@nb.njit(inline="always", nogil=True, cache=True)
def in_labels_unit(scale: Any, score: Any) -> Any:
    """A score in deviations from the mean as a number like the labels, within those seen."""
    number = scale[1] + deviation(scale) * score
    return min(max(number, scale[3]), scale[4])
