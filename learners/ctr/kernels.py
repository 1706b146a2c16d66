"""numba kernel that answers for `TorchCtr`, so that serving needs no torch: one row at a time,
zeros skipped."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
LOWEST = 1e-6
HIGHEST = 1.0 - 1e-6
ZERO = np.float32(0.0)


@nb.njit(inline="always", nogil=True, cache=True)
def mix(h: Any) -> Any:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    h = (h ^ (h >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> u64(27))) * u64(0x94D049BB133111EB)
    return h ^ (h >> u64(31))


@nb.njit(nogil=True, cache=True)
def place(x: Any, knots: Any, a: Any, b: Any, widest: Any) -> Any:
    """Where `x` lies among `knots[a:b]`, from `-widest` to `widest`."""
    if x <= knots[a]:
        return -widest
    if x >= knots[b - 1]:
        return widest
    lo = a
    hi = b - 1
    while hi - lo > 1:
        mid = (lo + hi) >> 1
        if knots[mid] <= x:
            lo = mid
        else:
            hi = mid
    t = (x - knots[lo]) / (knots[lo + 1] - knots[lo])
    return widest * (2.0 * (lo - a + t) / (b - a - 1) - 1.0)


@nb.njit(nogil=True, cache=True)
def read_numbers(
    numbers: Any, r: Any, plan: Any, widest: Any, x: Any, out: Any, first: Any
) -> None:
    """Numbers and combinations of row `r` into `out` from `first` on: values (0 where missing),
    then what is missing."""
    knots, knot_start, start, terms, factors, shift, scale = plan[3:10]
    n = numbers.shape[1]
    width = x.size
    for j in range(n):
        x[j] = numbers[r, j]
    for m in range(start.size - 1):
        s = 0.0
        for i in range(start[m], start[m + 1]):
            s += factors[i] * x[terms[i]]
        x[n + m] = s
    for j in range(width):
        out[first + j] = 0.0
        out[first + width + j] = 0.0
        if not np.isfinite(x[j]):
            out[first + width + j] = 1.0
        elif knot_start[j + 1] > knot_start[j]:
            out[first + j] = place(x[j], knots, knot_start[j], knot_start[j + 1], widest)
        else:
            out[first + j] = np.arcsinh(2.0 * (x[j] - shift[j]) * scale[j]) / 2.0


@nb.njit(nogil=True, cache=True)
def layer(x: Any, weights: Any, bias: Any, out: Any) -> None:
    """`relu(x @ weights + bias)` into `out`; `weights` is `[inputs, outputs]`."""
    out[:] = bias
    for i in range(x.size):
        v = x[i]
        if v != ZERO:
            for k in range(out.size):
                out[k] += v * weights[i, k]
    for k in range(out.size):
        out[k] = max(out[k], ZERO)


@nb.njit(nogil=True, cache=True)
def predict(
    categories: Any, numbers: Any, plan: Any, widest: Any, bits_away: Any, weights: Any, out: Any
) -> None:
    """Probabilities into `out`, float64 `[n]`. `plan` and `weights` are those of
    `TorchCtrPredictor`."""
    seeds, member_start, members = plan[:3]
    table, first, first_bias, second, second_bias, last, last_bias, direct = weights
    dim = table.shape[1]
    width = plan[4].size - 1
    embedded = seeds.size * dim
    x = np.empty(width)
    row = np.empty(embedded + 2 * width, np.float32)
    h1 = np.empty(first_bias.size, np.float32)
    h2 = np.empty(second_bias.size, np.float32)
    for r in range(out.size):
        for f in range(seeds.size):
            h = seeds[f]
            for i in range(member_start[f], member_start[f + 1]):
                h = mix(h ^ categories[r, members[i]])
            row[f * dim : (f + 1) * dim] = table[np.int64(h >> u64(bits_away))]
        read_numbers(numbers, r, plan, widest, x, row, embedded)
        layer(row, first, first_bias, h1)
        layer(h1, second, second_bias, h2)
        z = np.float64(last_bias[0])
        for k in range(h2.size):
            z += h2[k] * last[k, 0]
        for j in range(2 * width):
            z += row[embedded + j] * direct[j, 0]
        out[r] = min(max(1.0 / (1.0 + np.exp(-z)), LOWEST), HIGHEST)
