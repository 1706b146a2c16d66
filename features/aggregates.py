"""The features that a view can hold, as users write them: `fr.mean("arr_delay", over="1h")`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError

WindowKind = Literal["count", "sum", "mean", "min", "max"]


@dataclass(frozen=True, slots=True)
class Window:
    """An aggregate of a number field (`count`: of the events themselves) over the newest `over` of time."""

    kind: WindowKind
    over: str
    field: str | None = None

    def __post_init__(self) -> None:
        _positive(self.over, f"{self.kind}: over")
        if self.kind != "count":
            _check_field(self.kind, self.field)

    @property
    def over_ms(self) -> int:
        return milliseconds(self.over)

    def __str__(self) -> str:
        return f"{self.kind}({self.field + ' ' if self.field else ''}over {text_of(self.over_ms)})"


@dataclass(frozen=True, slots=True)
class Last:
    """The value of the event with the newest time; of equal times, the later in the log."""

    field: str

    def __post_init__(self) -> None:
        _check_field("last", self.field)

    def __str__(self) -> str:
        return f"last({self.field})"


@dataclass(frozen=True, slots=True)
class DecayedMean:
    """A mean whose weights halve every `half_life`, drawn towards `prior` (if any) as if that had been seen
    `weight` times just now."""

    field: str
    half_life: str
    prior: float | None
    weight: float

    def __post_init__(self) -> None:
        _check_field("decayed_mean", self.field)
        _positive(self.half_life, "decayed_mean: half_life")
        for name, value in (("prior", self.prior), ("weight", self.weight)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise DefinitionError(f"decayed_mean: {name}={value!r}", "is no finite number", "Use a number.")
        if not self.weight > 0:
            raise DefinitionError(f"decayed_mean: weight={self.weight}", "is not positive", "Use 0.5, say.")

    @property
    def half_life_ms(self) -> int:
        return milliseconds(self.half_life)

    def __str__(self) -> str:
        prior = "" if self.prior is None else f" prior {float(self.prior)!r} weight {float(self.weight)!r}"
        return f"decayed_mean({self.field} half_life {text_of(self.half_life_ms)}{prior})"


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since the newest event."""

    def __str__(self) -> str:
        return "age()"


Aggregate = Window | Last | DecayedMean | Age


def count(*, over: str) -> Window:
    """How many events; 0.0 when there was none.

    >>> print(count(over="600s"))
    count(over 10m)
    """
    return Window("count", over)


def sum(field: str, *, over: str) -> Window:
    """The sum of the values; 0.0 when there was none."""
    return Window("sum", over, field)


def mean(field: str, *, over: str) -> Window:
    """The mean of the values; NaN when there was none."""
    return Window("mean", over, field)


def min(field: str, *, over: str) -> Window:
    """The least value; NaN when there was none."""
    return Window("min", over, field)


def max(field: str, *, over: str) -> Window:
    """The greatest value; NaN when there was none."""
    return Window("max", over, field)


def last(field: str) -> Last:
    """The newest value in time, however old; NaN when there was none."""
    return Last(field)


def decayed_mean(field: str, half_life: str = "1h", *, prior: float | None = None, weight: float = 0.5) -> DecayedMean:
    """With decayed sum S and decayed weight W as of the read: `(S + weight * prior) / (W + weight)`, so that
    silence returns it to the prior; without a prior `S / W`, NaN when there was no value."""
    return DecayedMean(field, half_life, prior, weight)


def age() -> Age:
    """Seconds from the row's newest event to the read."""
    return Age()


def _check_field(kind: str, field: object) -> None:
    if not isinstance(field, str) or not field:
        raise DefinitionError(f"{kind}({field!r})", "is not of a field", 'Name a number field, such as "arr_delay".')


def _positive(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise DefinitionError(f"{name}={text!r}", "is not a duration", 'Write a text such as "10m".')
    if milliseconds(text, name) == 0:
        raise DefinitionError(f"{name}={text!r}", "is no time at all", 'Write a duration such as "10m".')
