"""numba kernels of hashed softmax regression: a prediction, an Adagrad step. A row becomes ids and
values as that of `kernels` does."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.learners.logistic.kernels import encode, most_ids
from freshet.learners.targets.kernels import softmax


@nb.njit(inline="always", nogil=True, cache=True)
def score(weights: Any, bias: Any, ids: Any, values: Any, count: Any, out: Any) -> None:
    """Probabilities of a row into `out`, float64 `[k]`. Summed in order, so that it is
    row-exact."""
    for one in range(out.size):
        out[one] = bias[0, one]
    for i in range(count):
        own = weights[ids[i]]
        for one in range(out.size):
            out[one] += np.float64(own[one]) * values[i]
    softmax(out)


@nb.njit(nogil=True, cache=True)
def predict(categories: Any, numbers: Any, plan: Any, weights: Any, bias: Any, out: Any) -> None:
    """Probabilities of all rows into `out`, float64 `[n, k]`."""
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    for row in range(out.shape[0]):
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
        score(weights, bias, ids, values, used, out[row])


@nb.njit(nogil=True, cache=True)
def learn(
    categories: Any,
    numbers: Any,
    labels: Any,
    plan: Any,
    weights: Any,
    squares: Any,
    bias: Any,
    rate: Any,
) -> None:
    """One Adagrad step an example, in order, on weights and squares `[2^bits, k]`. `bias` is
    float64 `[2, k]`: the biases and their sums of squares."""
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    errors = np.empty(weights.shape[1])
    for row in range(labels.size):
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
        score(weights, bias, ids, values, used, errors)
        for one in range(errors.size):
            # Compared and never an index: no label can reach beyond the tables.
            if labels[row] == one:
                errors[one] -= 1.0
            bias[1, one] += errors[one] * errors[one]
            bias[0, one] -= rate * errors[one] / np.sqrt(bias[1, one])
        for i in range(used):
            # A hat function of no height: its weights had no part in the answer.
            if values[i] == 0.0:
                continue
            own = weights[ids[i]]
            sums = squares[ids[i]]
            for one in range(errors.size):
                gradient = errors[one] * values[i]
                # In float64, and rounded once, where it is kept.
                square = np.float64(sums[one]) + gradient * gradient
                sums[one] = square
                own[one] -= rate * gradient / np.sqrt(square)
