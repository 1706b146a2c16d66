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
    """An aggregate over a window of time. Made by `fr.count`, `sum`, `mean`, `min` and `max`.

    Args:
        kind: Which of the five.
        over: Length of the window, a duration.
        field: The field it is of; None for `count`, which is of the events themselves.
    """

    kind: WindowKind
    over: str
    field: str | None = None

    def __post_init__(self) -> None:
        _positive(self.over, f"{self.kind}: over")
        if self.kind != "count":
            _check_field(self.kind, self.field)

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    # As all these texts: part of a view's digest, so 600s and 10m are one and the same.
    def __str__(self) -> str:
        of_field = f"{self.field} " if self.field else ""
        return f"{self.kind}({of_field}over {text_of(self.over_ms)})"


@dataclass(frozen=True, slots=True)
class Last:
    """The value with the newest event time. Made by `fr.last`.

    Args:
        field: The field it is of.
    """

    field: str

    def __post_init__(self) -> None:
        _check_field("last", self.field)

    def __str__(self) -> str:
        return f"last({self.field})"


@dataclass(frozen=True, slots=True)
class DecayedMean:
    """A mean whose weights halve every `half_life`. Made by `fr.decayed_mean`.

    Args:
        field: The field it is of.
        half_life: A duration.
        prior: What it returns to in silence; None: nothing.
        weight: For how many values the prior stands.
    """

    field: str
    half_life: str
    prior: float | None
    weight: float

    def __post_init__(self) -> None:
        _check_field("decayed_mean", self.field)
        _positive(self.half_life, "decayed_mean: half_life")
        for name, value in (("prior", self.prior), ("weight", self.weight)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise DefinitionError(
                    f"decayed_mean: {name}={value!r}", "is no finite number", "Use a number."
                )
        if not self.weight > 0:
            raise DefinitionError(
                f"decayed_mean: weight={self.weight}", "is not positive", "Use 0.5, say."
            )

    @property
    def half_life_ms(self) -> int:
        """`half_life` in milliseconds."""
        return milliseconds(self.half_life)

    def __str__(self) -> str:
        # Without a prior the weight changes nothing. As floats: 1 and 1.0 declare the same.
        prior = ""
        if self.prior is not None:
            prior = f" prior {float(self.prior)!r} weight {float(self.weight)!r}"
        return f"decayed_mean({self.field} half_life {text_of(self.half_life_ms)}{prior})"


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since the newest event. Made by `fr.age`."""

    def __str__(self) -> str:
        return "age()"


Aggregate = Window | Last | DecayedMean | Age


def count(*, over: str) -> Window:
    """How many events of the key lie in the window.

    0.0 when there was none; missing when the key has no row.

    Args:
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.

    Raises:
        DefinitionError: `over` is no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.count(over="600s"))
        count(over 10m)
    """
    return Window("count", over)


# Named as users write them: in this module Python's own `sum`, `min` and `max` are hidden.
def sum(field: str, *, over: str) -> Window:
    """The sum of a field's values in the window.

    0.0 when there was none; missing when the key has no row. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.sum("amount", over="1d"))
        sum(amount over 1d)
    """
    return Window("sum", over, field)


def mean(field: str, *, over: str) -> Window:
    """The arithmetic mean of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.mean("minutes_late", over="1h"))
        mean(minutes_late over 1h)
    """
    return Window("mean", over, field)


def min(field: str, *, over: str) -> Window:
    """The least of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.min("price", over="1h"))
        min(price over 1h)
    """
    return Window("min", over, field)


def max(field: str, *, over: str) -> Window:
    """The greatest of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.max("price", over="1h"))
        max(price over 1h)
    """
    return Window("max", over, field)


def last(field: str) -> Last:
    """The value of the event with the newest time, however old it is.

    Of equal times, that of the later one in the log. Missing (NaN) when there was none; an event
    whose value is missing is passed over. Of an int or long field it is a whole number with every
    digit; a model reads it as float32, as it reads all numbers.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).

    Raises:
        DefinitionError: `field` is no field's name.

    Examples:
        >>> import freshet as fr
        >>> print(fr.last("temperature"))
        last(temperature)
    """
    return Last(field)


def decayed_mean(
    field: str, half_life: str = "1h", *, prior: float | None = None, weight: float = 0.5
) -> DecayedMean:
    """A mean of all values of a field, in which a value's weight halves every `half_life`.

    With `S` the decayed sum and `W` the decayed weight of the values, it is `(S + weight * prior)
    / (W + weight)` as of the moment of the question, so that silence returns it to the prior.
    Without a prior it is `S / W`, which silence leaves as it is; then it is missing (NaN) when
    there was no value. Missing values are passed over, late ones come in decayed.

    Source: exponential decay as in Cohen and Strauss, "Maintaining time-decaying stream
    aggregates" (2003). Powers of two are computed to within 1e-15, equal on every processor.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        half_life: The time in which a weight halves, a duration.
        prior: What it returns to, a finite number. None: nothing.
        weight: For how many values of just now the prior stands, above 0. Without a prior it has
            no effect.

    Raises:
        DefinitionError: `field` is no field's name, `half_life` no duration of at least 1 ms,
            `prior` not finite, or `weight` not finite and above 0.

    Examples:
        >>> import freshet as fr
        >>> print(fr.decayed_mean("minutes_late", "30m", prior=0.0))
        decayed_mean(minutes_late half_life 30m prior 0.0 weight 0.5)
    """
    return DecayedMean(field, half_life, prior, weight)


def age() -> Age:
    """Seconds from the newest event time of the row to the moment of the question.

    Negative where the row has seen an event of a later time.

    Examples:
        >>> import freshet as fr
        >>> print(fr.age())
        age()
    """
    return Age()


def _check_field(kind: str, field: object) -> None:
    if not isinstance(field, str) or not field:
        raise DefinitionError(
            f"{kind}({field!r})", "is not of a field", 'Name a number field, such as "arr_delay".'
        )


def _positive(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise DefinitionError(
            f"{name}={text!r}", "is not a duration", 'Write a text such as "10m".'
        )
    if milliseconds(text, name) == 0:
        raise DefinitionError(
            f"{name}={text!r}", "is no time at all", 'Write a duration such as "10m".'
        )
