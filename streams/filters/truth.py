"""Where a condition holds in columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import FLOATS, TEXTS
from freshet.streams.filters import kernels
from freshet.streams.filters.conditions import (
    OPERATORS,
    Both,
    Compared,
    Condition,
    Either,
    Flag,
    Missing,
    Negated,
)

Bools = npt.NDArray[np.bool_]


class Truth(NamedTuple):
    """Where it is true, and where it is false, bool `[n]` each; where neither, it is null."""

    true: Bools
    false: Bools


def truth(condition: Condition, columns: Columns) -> Truth:
    """Of every row, decoded or not."""
    match condition:
        case Compared():
            return _compared(condition, columns)
        case Missing(field):
            valid = _valid(columns, field)
            return Truth(~valid, valid)
        case Flag(field):
            values, valid = columns.integers(field)
            return _known(values != 0, valid)
        case Negated(of):
            true, false = truth(of, columns)
            return Truth(false, true)
        case Both(left, right):
            one = truth(left, columns)
            other = truth(right, columns)
            # One that is false settles it, whatever the other is.
            return Truth(one.true & other.true, one.false | other.false)
        case Either(left, right):
            one = truth(left, columns)
            other = truth(right, columns)
            return Truth(one.true | other.true, one.false & other.false)


def _known(found: Bools, valid: Bools) -> Truth:
    return Truth(found & valid, ~found & valid)


def _compared(condition: Compared, columns: Columns) -> Truth:
    field, by, value = condition.field, condition.by, condition.value
    if isinstance(value, str):
        given = columns.frozen_text(field)
        same = np.empty(columns.n, np.bool_)
        kernels.equal(given, frozen(np.frombuffer(value.encode(), np.uint8)), same)
        *_, valid = given
        return _known(same if by == "Eq" else ~same, valid)
    if columns.schema[field].type not in FLOATS:
        whole, valid = columns.integers(field)
        return _known(OPERATORS[by](whole, value), valid)
    numbers, valid = columns.numbers(field)
    # NaN is above every number, where a comparison of floats is false: so it is no less, or not no
    # more.
    if by == "Gt":
        return _known(~(numbers <= value), valid)
    if by == "GtEq":
        return _known(~(numbers < value), valid)
    return _known(OPERATORS[by](numbers, value), valid)


def _valid(columns: Columns, field: str) -> Bools:
    """Where a field is there."""
    kind = columns.schema[field].type
    if kind in TEXTS:
        return columns.text(field).valid
    if kind in FLOATS:
        return columns.numbers(field)[1]
    return columns.integers(field)[1]
