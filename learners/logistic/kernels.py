"""numba kernels of the hashed logistic learner: a row to ids and values, a prediction, an Adagrad
step."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
# how a feature is used
ALONE = 1
CROSSED = 2
LOWEST = 1e-6
HIGHEST = 1.0 - 1e-6


@nb.njit(inline="always", nogil=True, cache=True)
def mix(h: Any) -> Any:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    h = (h ^ (h >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> u64(27))) * u64(0x94D049BB133111EB)
    return h ^ (h >> u64(31))


@nb.njit(nogil=True, cache=True)
def number_ids(seeds: Any, knot_start: Any, shift: Any) -> Any:
    """int32 ids: for number `j` one an interval and one for missing, from `knot_start[j] + 2 * j`
    on."""
    n = seeds.size
    out = np.empty(knot_start[n] + 2 * n, np.int32)
    for j in range(n):
        first = knot_start[j] + 2 * j
        for k in range(knot_start[j + 1] - knot_start[j] + 2):
            out[first + k] = np.int32(mix(seeds[j] + u64(k)) >> shift)
    return out


@nb.njit(inline="always", nogil=True, cache=True)
def knots_below(knots: Any, a: Any, b: Any, x: Any) -> Any:
    """How many of `knots[a:b]` are at most `x`."""
    lo = a
    hi = b
    while lo < hi:
        mid = (lo + hi) >> 1
        if knots[mid] <= x:
            lo = mid + 1
        else:
            hi = mid
    return lo - a


@nb.njit(nogil=True, cache=True)
def encode(
    categories: Any, numbers: Any, r: Any, plan: Any, x: Any, codes: Any, ids: Any, values: Any
) -> Any:
    """Row `r` as `ids` and `values`: categories, then numbers (two each), then crosses. Returns how
    many.

    `codes` gets what crosses see: a category's hash, or the interval between knots in which a
    number lies.
    """
    (
        seeds,
        knots,
        knot_start,
        ids_of,
        start,
        inputs,
        factors,
        cross_start,
        members,
        cross_seeds,
        use,
        flags,
    ) = plan
    shift = u64(flags[0])
    soft = flags[1]
    n_categories = categories.shape[1]
    n = numbers.shape[1]
    o = 0
    for c in range(n_categories):
        codes[c] = categories[r, c]
        if use[c] & ALONE:
            ids[o] = np.int32(mix(codes[c] ^ seeds[c]) >> shift)
            values[o] = 1.0
            o += 1
    for j in range(n):
        x[j] = numbers[r, j]
    for m in range(start.size - 1):
        s = 0.0
        for i in range(start[m], start[m + 1]):
            s += factors[i] * x[inputs[i]]
        x[n + m] = s
    for j in range(x.size):
        if use[n_categories + j] == 0:
            continue
        a = knot_start[j]
        b = knot_start[j + 1]
        first = a + 2 * j
        k = b - a + 1
        if np.isfinite(x[j]):
            k = knots_below(knots, a, b, x[j])
        codes[n_categories + j] = u64(k)
        if use[n_categories + j] & ALONE == 0:
            continue
        if not soft or k == b - a + 1:
            ids[o] = ids_of[first + k]
            values[o] = 1.0
            o += 1
            continue
        lo = min(max(k - 1, 0), b - a - 2)
        left = knots[a + lo]
        right = knots[a + lo + 1]
        t = (min(max(x[j], left), right) - left) / (right - left)
        ids[o] = ids_of[first + lo]
        ids[o + 1] = ids_of[first + lo + 1]
        values[o] = 1.0 - t
        values[o + 1] = t
        o += 2
    for q in range(cross_seeds.size):
        h = cross_seeds[q]
        for i in range(cross_start[q], cross_start[q + 1]):
            h = mix((h + u64(0x9E3779B97F4A7C15)) ^ codes[members[i]])
        ids[o] = np.int32(h >> shift)
        values[o] = 1.0
        o += 1
    return o


@nb.njit(inline="always", nogil=True, cache=True)
def score(weights: Any, bias: Any, ids: Any, values: Any, n: Any) -> Any:
    """The probability of a row, within `LOWEST` and `HIGHEST`. Summed in order, so that it is
    row-exact."""
    s = bias
    for m in range(n):
        s += np.float64(weights[ids[m]]) * values[m]
    return min(max(1.0 / (1.0 + np.exp(-s)), LOWEST), HIGHEST)


@nb.njit(nogil=True, cache=True)
def predict(categories: Any, numbers: Any, plan: Any, weights: Any, bias: Any, out: Any) -> None:
    """Probabilities of all rows into `out`, float64 `[n]`."""
    n_numbers = plan[2].size - 1
    width = categories.shape[1] + n_numbers
    most = width + n_numbers + plan[9].size
    x = np.empty(n_numbers)
    codes = np.empty(width, np.uint64)
    ids = np.empty(most, np.int32)
    values = np.empty(most)
    for r in range(out.size):
        n = encode(categories, numbers, r, plan, x, codes, ids, values)
        out[r] = score(weights, bias[0], ids, values, n)


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
    n_numbers = plan[2].size - 1
    width = categories.shape[1] + n_numbers
    most = width + n_numbers + plan[9].size
    x = np.empty(n_numbers)
    codes = np.empty(width, np.uint64)
    ids = np.empty(most, np.int32)
    values = np.empty(most)
    for r in range(labels.size):
        n = encode(categories, numbers, r, plan, x, codes, ids, values)
        g = score(weights, bias[0], ids, values, n) - labels[r]
        bias[1] += g * g
        bias[0] -= rate * g / np.sqrt(bias[1])
        for m in range(n):
            gx = g * values[m]
            if gx != 0.0:
                i = ids[m]
                h = np.float64(squares[i]) + gx * gx
                squares[i] = h
                weights[i] -= rate * gx / np.sqrt(h)
