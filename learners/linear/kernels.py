"""numba kernels of hashed linear regression: a prediction, an Adagrad step. A row becomes ids and
values as that of `learners.logistic.kernels` does."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.learners.logistic.kernels import encode, most_ids, weighed
from freshet.learners.targets.kernels import deviation, in_labels_unit, take_in


@nb.njit(nogil=True, cache=True)
def predict(
    categories: Any, numbers: Any, plan: Any, weights: Any, bias: Any, scale: Any, out: Any
) -> None:
    """Numbers of all rows into `out`, float64 `[n]`, in the labels' unit."""
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    for row in range(out.size):
        used = encode(
            categories,
            numbers,
            row,
            plan,
            x,
            codes,
            ids,
            values,
        )
        out[row] = in_labels_unit(scale, weighed(weights, bias[0], ids, values, used))


@nb.njit(nogil=True, cache=True)
def learn(
    categories: Any,
    numbers: Any,
    labels: Any,
    plan: Any,
    weights: Any,
    squares: Any,
    bias: Any,
    scale: Any,
    steps: Any,
) -> None:
    """One Adagrad step an example, in order. `bias` is float64 `[2]`: the bias and its sum of
    squares; `steps` is the rate, and the error from which on the loss is linear (infinite:
    never)."""
    rate, linear_from = steps
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    for row in range(labels.size):
        # Before anything is learned of it: so the first label alone has a unit, too.
        label = take_in(scale, labels[row])
        target = (label - scale[1]) / deviation(scale)
        used = encode(
            categories,
            numbers,
            row,
            plan,
            x,
            codes,
            ids,
            values,
        )
        error = weighed(weights, bias[0], ids, values, used) - target
        error = min(max(error, -linear_from), linear_from)
        bias[1] += error * error
        bias[0] -= rate * error / np.sqrt(bias[1])
        for i in range(used):
            gradient = error * values[i]
            # A hat function of no height: its weight had no part in the answer.
            if gradient != 0.0:
                at = ids[i]
                # In float64, and rounded once, where it is kept.
                square = np.float64(squares[at]) + gradient * gradient
                squares[at] = square
                weights[at] -= rate * gradient / np.sqrt(square)
