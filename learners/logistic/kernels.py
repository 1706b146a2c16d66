"""numba kernels of the hashed logistic learner: a row to ids and values, a prediction, an Adagrad
step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from freshet.learners.feature_kernels import mix, read_numbers

u64 = np.uint64
# how a feature is used
ALONE = 1
CROSSED = 2
LOWEST = 1e-6
HIGHEST = 1.0 - 1e-6
# Between the members of a cross: without it, equal members would cancel each other out.
STEP = u64(0x9E3779B97F4A7C15)


class Plan(NamedTuple):
    """The tables of one definition for one schema.

    `seeds` are the categories'; number `j` has the knots `knots[knot_start[j]:knot_start[j + 1]]`,
    and its ids (`number_ids`) from `knot_start[j] + 2 * j` on. A combination is the sum of
    `factors[i] * x[inputs[i]]` for `i` in `start[m]:start[m + 1]`, a cross has the features
    `members[cross_start[q]:cross_start[q + 1]]`. `use` says of each feature whether it stands
    `ALONE`, is `CROSSED`, or both. `shift` leaves as many bits of a hash as an id has; `soft`:
    numbers are hat functions.
    """

    seeds: npt.NDArray[np.uint64]
    knots: npt.NDArray[np.float64]
    knot_start: npt.NDArray[np.int32]
    number_ids: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.int32]
    factors: npt.NDArray[np.float64]
    cross_start: npt.NDArray[np.int32]
    members: npt.NDArray[np.int32]
    cross_seeds: npt.NDArray[np.uint64]
    use: npt.NDArray[np.int64]
    shift: np.uint64
    soft: bool


@nb.njit(nogil=True, cache=True)
def number_ids(seeds: Any, knot_start: Any, shift: Any) -> Any:
    """int32 ids: for number `j` one an interval and one for missing, from `knot_start[j] + 2 * j`
    on."""
    count = seeds.size
    out = np.empty(knot_start[count] + 2 * count, np.int32)
    for number in range(count):
        first = knot_start[number] + 2 * number
        for interval in range(knot_start[number + 1] - knot_start[number] + 2):
            out[first + interval] = np.int32(mix(seeds[number] + u64(interval)) >> shift)
    return out


@nb.njit(inline="always", nogil=True, cache=True)
def knots_below(knots: Any, first: Any, after: Any, value: Any) -> Any:
    """How many of `knots[a:b]` are at most `x`."""
    lo = first
    hi = after
    while lo < hi:
        mid = (lo + hi) >> 1
        if knots[mid] <= value:
            lo = mid + 1
        else:
            hi = mid
    return lo - first


@nb.njit(nogil=True, cache=True)
def encode(
    categories: Any, numbers: Any, row: Any, plan: Any, x: Any, codes: Any, ids: Any, values: Any
) -> Any:
    """A row as `ids` and `values`: categories, then numbers (two each), then crosses. Returns how
    many.

    `x` gets its numbers, `codes` what crosses see: a category's hash, or the interval between knots
    in which a number lies.
    """
    knots = plan.knots
    use = plan.use
    first_number = categories.shape[1]
    used = 0
    for category in range(first_number):
        codes[category] = categories[row, category]
        if use[category] & ALONE:
            ids[used] = np.int32(mix(codes[category] ^ plan.seeds[category]) >> plan.shift)
            values[used] = 1.0
            used += 1
    read_numbers(numbers, row, plan.start, plan.inputs, plan.factors, x)
    for j in range(x.size):
        if use[first_number + j] == 0:
            continue
        first = plan.knot_start[j]
        after = plan.knot_start[j + 1]
        own_ids = first + 2 * j
        missing = after - first + 1
        interval = missing
        if np.isfinite(x[j]):
            interval = knots_below(knots, first, after, x[j])
        codes[first_number + j] = u64(interval)
        if use[first_number + j] & ALONE == 0:
            continue
        if not plan.soft or interval == missing:
            ids[used] = plan.number_ids[own_ids + interval]
            values[used] = 1.0
            used += 1
            continue
        # Beyond the outermost knots, the outermost interval: the curve goes on level.
        lower = min(max(interval - 1, 0), after - first - 2)
        left = knots[first + lower]
        right = knots[first + lower + 1]
        share = (min(max(x[j], left), right) - left) / (right - left)
        ids[used] = plan.number_ids[own_ids + lower]
        ids[used + 1] = plan.number_ids[own_ids + lower + 1]
        values[used] = 1.0 - share
        values[used + 1] = share
        used += 2
    for cross in range(plan.cross_seeds.size):
        hashed = plan.cross_seeds[cross]
        for i in range(plan.cross_start[cross], plan.cross_start[cross + 1]):
            hashed = mix((hashed + STEP) ^ codes[plan.members[i]])
        ids[used] = np.int32(hashed >> plan.shift)
        values[used] = 1.0
        used += 1
    return used


@nb.njit(inline="always", nogil=True, cache=True)
def weighed(weights: Any, bias: Any, ids: Any, values: Any, count: Any) -> Any:
    """The sum of a row. In order, so that it is row-exact."""
    total = bias
    for i in range(count):
        total += np.float64(weights[ids[i]]) * values[i]
    return total


@nb.njit(inline="always", nogil=True, cache=True)
def score(weights: Any, bias: Any, ids: Any, values: Any, count: Any) -> Any:
    """The probability of a row, within `LOWEST` and `HIGHEST`."""
    total = weighed(weights, bias, ids, values, count)
    return min(max(1.0 / (1.0 + np.exp(-total)), LOWEST), HIGHEST)


@nb.njit(inline="always", nogil=True, cache=True)
def most_ids(plan: Any) -> Any:
    """The most that a row may come to: one a category, two a number, one a cross."""
    return plan.seeds.size + 2 * (plan.knot_start.size - 1) + plan.cross_seeds.size


@nb.njit(nogil=True, cache=True)
def predict(categories: Any, numbers: Any, plan: Any, weights: Any, bias: Any, out: Any) -> None:
    """Probabilities of all rows into `out`, float64 `[n]`."""
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    for row in range(out.size):
        used = encode(categories, numbers, row, plan, x, codes, ids, values)
        out[row] = score(weights, bias[0], ids, values, used)


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
    """One Adagrad step an example, in order. `bias` is float64 `[2]`: the bias and its sum of
    squares."""
    # That of `learners.linear.kernels`, too: as a function of both it takes a fifth longer.
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(most_ids(plan), np.int32)
    values = np.empty(ids.size)
    for row in range(labels.size):
        used = encode(categories, numbers, row, plan, x, codes, ids, values)
        error = score(weights, bias[0], ids, values, used) - labels[row]
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
