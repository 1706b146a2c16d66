"""numba kernel that answers for `TorchCtr`, so that serving needs no torch: one row at a time,
zeros skipped."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from freshet.learners.feature_kernels import mix, read_numbers

ZERO = np.float32(0.0)


class Plan(NamedTuple):
    """How a vector is read: of each field its seed and its `members[member_start[f]:
    member_start[f + 1]]` among the categories; numbers and combinations as
    `learners.inputs.numeric.NumberTables` has them, with their scales. `widest` is where the
    outermost knots lie, `shift` leaves as many bits of a hash as an embedding's id has."""

    seeds: npt.NDArray[np.uint64]
    member_start: npt.NDArray[np.int32]
    members: npt.NDArray[np.int32]
    knots: npt.NDArray[np.float64]
    knot_start: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.int32]
    factors: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    widest: float
    shift: np.uint64


class Weights(NamedTuple):
    """The net's, float32: a matrix is `[inputs, outputs]`, the `table` has a row an embedding."""

    table: npt.NDArray[np.float32]
    first: npt.NDArray[np.float32]
    first_bias: npt.NDArray[np.float32]
    second: npt.NDArray[np.float32]
    second_bias: npt.NDArray[np.float32]
    last: npt.NDArray[np.float32]
    last_bias: npt.NDArray[np.float32]
    direct: npt.NDArray[np.float32]


@nb.njit(nogil=True, cache=True)
def place(value: Any, knots: Any, first: Any, after: Any, widest: Any) -> Any:
    """Where `x` lies among `knots[a:b]`, from `-widest` to `widest`."""
    if value <= knots[first]:
        return -widest
    if value >= knots[after - 1]:
        return widest
    lower = first
    upper = after - 1
    while upper - lower > 1:
        middle = (lower + upper) >> 1
        if knots[middle] <= value:
            lower = middle
        else:
            upper = middle
    share = (value - knots[lower]) / (knots[lower + 1] - knots[lower])
    return widest * (2.0 * (lower - first + share) / (after - first - 1) - 1.0)


@nb.njit(nogil=True, cache=True)
def bend_numbers(x: Any, plan: Any, out: Any, first: Any) -> None:
    """Numbers and combinations `x` into `out` from `first` on: values (0 where missing), then what
    is missing."""
    knot_start = plan.knot_start
    for j in range(x.size):
        value = np.float32(0.0)
        missing = np.float32(0.0)
        if not np.isfinite(x[j]):
            missing = np.float32(1.0)
        elif knot_start[j + 1] > knot_start[j]:
            value = np.float32(
                place(x[j], plan.knots, knot_start[j], knot_start[j + 1], plan.widest)
            )
        else:
            # Near 0 hardly changed, in the tails a logarithm: an outlier moves little.
            value = np.float32(np.arcsinh(2.0 * (x[j] - plan.centre[j]) * plan.scale[j]) / 2.0)
        out[first + j] = value
        out[first + x.size + j] = missing


@nb.njit(nogil=True, cache=True)
def layer(inputs: Any, weights: Any, bias: Any, out: Any) -> None:
    """`relu(x @ weights + bias)` into `out`; `weights` is `[inputs, outputs]`."""
    out[:] = bias
    for i in range(inputs.size):
        value = inputs[i]
        # Half of the hidden units are silent, and most numbers that are missing are 0.
        if value != ZERO:
            for k in range(out.size):
                out[k] += value * weights[i, k]
    for k in range(out.size):
        out[k] = max(out[k], ZERO)


@nb.njit(nogil=True, cache=True)
def scores(categories: Any, numbers: Any, plan: Any, weights: Any, out: Any) -> None:
    """What the net says of each row into `out`, float64 `[n, k]`, by a `Plan` and `Weights`."""
    seeds = plan.seeds
    member_start = plan.member_start
    table = weights.table
    dim = table.shape[1]
    embedded = seeds.size * dim
    x = np.empty(plan.knot_start.size - 1)
    given = np.empty(embedded + 2 * x.size, np.float32)
    hidden = np.empty(weights.first_bias.size, np.float32)
    deeper = np.empty(weights.second_bias.size, np.float32)
    for row in range(out.shape[0]):
        for field in range(seeds.size):
            hashed = seeds[field]
            for i in range(member_start[field], member_start[field + 1]):
                hashed = mix(hashed ^ categories[row, plan.members[i]])
            given[field * dim : (field + 1) * dim] = table[np.int64(hashed >> plan.shift)]
        read_numbers(
            numbers,
            row,
            plan.start,
            plan.inputs,
            plan.factors,
            x,
        )
        bend_numbers(x, plan, given, embedded)
        layer(given, weights.first, weights.first_bias, hidden)
        layer(hidden, weights.second, weights.second_bias, deeper)
        # In float64 from here on, in this order: so a row is answered alike alone and in a batch.
        for one in range(out.shape[1]):
            total = np.float64(weights.last_bias[one])
            for i in range(deeper.size):
                total += deeper[i] * weights.last[i, one]
            for i in range(2 * x.size):
                total += given[embedded + i] * weights.direct[i, one]
            out[row, one] = total
