"""Aggregates over a window of time, as users write them: `fr.mean("arr_delay", over="1h")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from freshet.features.inputs import (
    Condition,
    Input,
    check_duration,
    check_field,
    condition_of,
    where_text,
)
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError

if TYPE_CHECKING:
    import polars as pl

WindowKind = Literal["count", "sum", "mean", "min", "max", "rate", "variance", "deviation"]
# Those that may be a part of a ratio: 0.0 of no events.
TOTALS = ("count", "sum")


@dataclass(frozen=True, slots=True)
class Window:
    """An aggregate over a window of time. Made by `fr.count`, `sum`, `mean`, `min`, `max`, `rate`,
    `variance` and `deviation`.

    Args:
        kind: Which of them.
        over: Length of the window, a duration.
        field: The field it is of; None for `count` and `rate`, which are of the events themselves.
        where: Which events it is of; None: all.
        per: The time that a `rate` is counted for, a duration.
    """

    kind: WindowKind
    over: str
    field: str | None = None
    where: Condition | None = None
    per: str | None = None

    def __post_init__(self) -> None:
        check_duration(self.over, f"{self.kind}: over")
        if self.kind == "rate":
            check_duration(self.per, "rate: per")
        elif self.kind != "count":
            check_field(self.kind, self.field)

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    @property
    def per_ms(self) -> int:
        """`per` in milliseconds; 0 of what is no rate."""
        return milliseconds(self.per) if self.per else 0

    @property
    def input(self) -> Input | None:
        """What it takes of an event. None: nothing but that there is one."""
        if self.field is None and self.where is None:
            return None
        return Input(self.field, self.where)

    # As all these texts: part of a view's digest, so 600s and 10m are one and the same.
    def __str__(self) -> str:
        of_field = f"{self.field} " if self.field else ""
        per = f"per {text_of(self.per_ms)} " if self.per else ""
        over = text_of(self.over_ms)
        return f"{self.kind}({of_field}{per}over {over}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One window's sum or count by another's. Made by `fr.ratio`.

    Args:
        above: What is divided.
        below: What it is divided by.
    """

    above: Window
    below: Window

    def __post_init__(self) -> None:
        for window in (self.above, self.below):
            if not isinstance(window, Window) or window.kind not in TOTALS:
                raise DefinitionError(
                    f"ratio: {window}",
                    "is neither a sum nor a count over a window",
                    'Write fr.ratio(fr.sum("late", over="1h"), fr.count(over="1h")), say.',
                )

    def __str__(self) -> str:
        return f"ratio({self.above} by {self.below})"


def count(*, over: str, where: pl.Expr | None = None) -> Window:
    """How many events of the key lie in the window.

    0.0 when there was none; missing when the key has no row.

    Args:
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. Only events for which it is
            true are counted. None: all are.

    Raises:
        DefinitionError: `over` is no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> print(fr.count(over="600s"))
        count(over 10m)
        >>> late = fr.count(over="1h", where=pl.col("minutes_late") > 15)
        >>> late.where is not None and str(late.where)
        '[(col("minutes_late")) > 15]'
    """
    return Window("count", over, None, condition_of(where))


# Named as users write them: in this module Python's own `sum`, `min` and `max` are hidden.
def sum(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The sum of a field's values in the window.

    0.0 when there was none; missing when the key has no row. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.sum("amount", over="1d"))
        sum(amount over 1d)
    """
    return Window("sum", over, field, condition_of(where))


def mean(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The arithmetic mean of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.mean("minutes_late", over="1h"))
        mean(minutes_late over 1h)
    """
    return Window("mean", over, field, condition_of(where))


def min(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The least of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.min("price", over="1h"))
        min(price over 1h)
    """
    return Window("min", over, field, condition_of(where))


def max(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The greatest of a field's values in the window.

    Missing (NaN) when there was none. Missing values are passed over.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.max("price", over="1h"))
        max(price over 1h)
    """
    return Window("max", over, field, condition_of(where))


def rate(*, over: str, per: str = "1s", where: pl.Expr | None = None) -> Window:
    """How many events of the key there are in the window for each second, minute, or other time.

    It is the count of the window, divided by how often `per` goes into `over`: 30 events over 10m
    are 3.0 per 1m. 0.0 when there was none; missing when the key has no row.

    Args:
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        per: The time that it is counted for, a duration: its unit is events per `per`.
        where: A row-wise Polars expression over the topic's fields. Only events for which it is
            true are counted. None: all are.

    Raises:
        DefinitionError: `over` or `per` is no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.rate(over="10m", per="1m"))
        rate(per 1m over 10m)
    """
    return Window("rate", over, None, condition_of(where), per)


def ratio(above: Window, below: Window) -> Ratio:
    """One window's sum or count, divided by another's.

    Missing (NaN) where the other is 0, so of no events, too; and where the quotient is not finite.
    Missing when the key has no row.

    Args:
        above: `fr.sum(…)` or `fr.count(…)`: what is divided.
        below: One of these: what it is divided by. Its window may have another length.

    Raises:
        DefinitionError: one of them is neither a sum nor a count.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> print(fr.ratio(fr.sum("late", over="1h"), fr.count(over="1h")))
        ratio(sum(late over 1h) by count(over 1h))
        >>> refused = fr.ratio(
        ...     fr.count(over="1h", where=pl.col("status") == "refused"), fr.count(over="1h")
        ... )
    """
    return Ratio(above, below)


def variance(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The variance of a field's values in the window, of a sample: divided by their number less 1.

    Missing (NaN) when there were fewer than two, and where it is beyond float64. Missing values are
    passed over. No squares of the values themselves are summed up, so that it is sound of values
    that are large beside their spread, too: its error grows with mean by deviation, not with the
    square of that.

    Source: Welford (1962) within a tile; Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979) across tiles.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.variance("price", over="1h"))
        variance(price over 1h)
    """
    return Window("variance", over, field, condition_of(where))


def deviation(field: str, *, over: str, where: pl.Expr | None = None) -> Window:
    """The standard deviation of a field's values in the window, of a sample.

    The square root of `variance`, in the unit of the field, and missing where that is.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.deviation("price", over="1h"))
        deviation(price over 1h)
    """
    return Window("deviation", over, field, condition_of(where))
