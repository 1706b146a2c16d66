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

if TYPE_CHECKING:
    import polars as pl

WindowKind = Literal["count", "sum", "mean", "min", "max"]


@dataclass(frozen=True, slots=True)
class Window:
    """An aggregate over a window of time. Made by `fr.count`, `sum`, `mean`, `min` and `max`.

    Args:
        kind: Which of the five.
        over: Length of the window, a duration.
        field: The field it is of; None for `count`, which is of the events themselves.
        where: Which events it is of; None: all.
    """

    kind: WindowKind
    over: str
    field: str | None = None
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_duration(self.over, f"{self.kind}: over")
        if self.kind != "count":
            check_field(self.kind, self.field)

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    @property
    def input(self) -> Input | None:
        """What it takes of an event. None: nothing but that there is one."""
        if self.field is None and self.where is None:
            return None
        return Input(self.field, self.where)

    # As all these texts: part of a view's digest, so 600s and 10m are one and the same.
    def __str__(self) -> str:
        of_field = f"{self.field} " if self.field else ""
        over = text_of(self.over_ms)
        return f"{self.kind}({of_field}over {over}{where_text(self.where)})"


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
        '[(col("minutes_late")) > (15)]'
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
