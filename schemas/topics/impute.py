"""How a missing field is filled: declarations. The kernel that carries them out is `streams/impute_kernels.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Impute:
    """Fill a missing value with a constant, or with what was seen so far in the same source partition.

    `by` names a text field: each of its values has a state of its own.
    """

    kind: Literal["constant", "median", "mean", "last"]
    value: float | str = 0.0
    by: str | None = None


def constant(value: float | str) -> Impute:
    """The same value each time; the only kind that request fields may use."""
    return Impute("constant", value)


def median(by: str | None = None, start: float = 0.0) -> Impute:
    """The running median, approximated by P² (Jain and Chlamtac, 1985); `start` until a value was seen."""
    return Impute("median", start, by)


def mean(by: str | None = None, start: float = 0.0) -> Impute:
    """The running mean; `start` until a value was seen."""
    return Impute("mean", start, by)


def last(by: str | None = None, start: float = 0.0) -> Impute:
    """The newest value in the order of the log; `start` until a value was seen."""
    return Impute("last", start, by)
