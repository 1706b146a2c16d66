"""Aggregates of which values there were in a window, as users write them:
`fr.quantile("amount", 0.95, over="1h")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshet.features.inputs import (
    Condition,
    Input,
    check_duration,
    check_field,
    check_finite,
    condition_of,
    where_text,
)
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError

if TYPE_CHECKING:
    import polars as pl

# A tile of a row has so many words at most of values of its own.
MOST_KEPT = 1024
# What the tables are made for, and the memory of 2^14 registers a tile.
QUANTILE_ERRORS = (0.001, 0.25)
DISTINCT_ERRORS = (0.01, 0.25)


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a field's values in a window. Made by `fr.quantile`.

    Args:
        field: The field it is of.
        share: Which quantile, from 0 to 1.
        over: Length of the window, a duration.
        error: By how much it may be off, as a share of itself.
        where: Which events it is of; None: all.
    """

    field: str
    share: float
    over: str
    error: float
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("quantile", self.field)
        check_duration(self.over, "quantile: over")
        _check_between(self.share, "quantile: share", (0.0, 1.0), "The 95th percentile is 0.95.")
        _check_between(self.error, "quantile: error", QUANTILE_ERRORS)

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        share = float(self.share)
        error = float(self.error)
        over = text_of(self.over_ms)
        of_field = f"{self.field} {share!r} over {over} error {error!r}"
        return f"quantile({of_field}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different values of a field there are in a window. Made by `fr.distinct`.

    Args:
        field: The field it is of.
        over: Length of the window, a duration.
        exact: Up to how many values a tile it is exact.
        error: The standard error of what is estimated beyond, as a share.
        where: Which events it is of; None: all.
    """

    field: str
    over: str
    exact: int
    error: float
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("distinct", self.field)
        check_duration(self.over, "distinct: over")
        _check_count(self.exact, "distinct: exact")
        _check_between(self.error, "distinct: error", DISTINCT_ERRORS)

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        over = text_of(self.over_ms)
        error = float(self.error)
        of_field = f"{self.field} over {over} exact {self.exact} error {error!r}"
        return f"distinct({of_field}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class MostFrequent:
    """The value of a field that came most often in a window. Made by `fr.most_frequent`.

    Args:
        field: The field it is of.
        over: Length of the window, a duration.
        exact: Up to how many values a tile it is exact.
        where: Which events it is of; None: all.
    """

    field: str
    over: str
    exact: int
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("most_frequent", self.field)
        check_duration(self.over, "most_frequent: over")
        _check_count(self.exact, "most_frequent: exact")

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds."""
        return milliseconds(self.over)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        of_field = f"{self.field} over {text_of(self.over_ms)} exact {self.exact}"
        return f"most_frequent({of_field}{where_text(self.where)})"


Distribution = Quantile | Distinct | MostFrequent


def quantile(
    field: str, share: float, *, over: str, error: float = 0.01, where: pl.Expr | None = None
) -> Quantile:
    """A quantile of a field's values in the window: 0.5 is the median.

    Of n values in order, it is the one at rank `floor(share * (n - 1))`, counted from 0, to within
    `error`: the value that is given is off by no more than that share of it. Missing (NaN) when
    there was none. Missing values are passed over.

    A tile keeps how many values fell into each bucket, and buckets are as wide as `error` allows.
    Where the values of one sign in one tile fall into more buckets than 20 powers of two have,
    those nearest to zero count as one: only what is a million times smaller than the largest may be
    off by more. Quantiles of one field, window and error share their buckets: the second one takes
    no room.

    Source: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
    relative-error guarantees" (2019).

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        share: Which quantile, from 0.0 (the least value) to 1.0 (the greatest).
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        error: By how much it may be off, as a share of itself: 0.001 to 0.25. A smaller one makes
            busy rows longer.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `over` no duration of at least 1 ms, or `share`
            or `error` beyond its bounds.

    Examples:
        >>> import freshet as fr
        >>> print(fr.quantile("amount", 0.95, over="1h"))
        quantile(amount 0.95 over 1h error 0.01)
    """
    return Quantile(field, share, over, error, condition_of(where))


def distinct(
    field: str,
    *,
    over: str,
    exact: int = 64,
    error: float = 0.05,
    where: pl.Expr | None = None,
) -> Distinct:
    """How many different values of a field there are in the window.

    0.0 when there was none; missing when the key has no row. Missing values are passed over, and so
    is the least long, -2^63. Texts are told apart by 64-bit hashes: two of a million are taken for
    one in one of ten million views.

    It is exact while no tile of the window has more than `exact` different values. Then that tile
    keeps registers instead of them, and what it gives is an estimate, to the nearest whole number,
    whose standard error is `error` at most: two thirds of all estimates are as near as that.

    Source: Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog: the analysis of a near-optimal
    cardinality estimation algorithm" (2007); Ertl, "New cardinality estimation algorithms for
    HyperLogLog sketches" (2017).

    Args:
        field: A text, enum, number or boolean field of the view's topic.
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        exact: Up to how many different values a tile keeps: 1 to 1,024, eight bytes each.
        error: The standard error of an estimate, as a share of it: 0.01 to 0.25. A smaller one
            makes busy rows longer: a tile has 512 bytes of registers at 0.05, 16 kB at 0.01.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `over` no duration of at least 1 ms, or `exact`
            or `error` beyond its bounds.

    Examples:
        >>> import freshet as fr
        >>> print(fr.distinct("merchant", over="1d"))
        distinct(merchant over 1d exact 64 error 0.05)
    """
    return Distinct(field, over, exact, error, condition_of(where))


def most_frequent(
    field: str, *, over: str, exact: int = 64, where: pl.Expr | None = None
) -> MostFrequent:
    """The value of a field that came most often in the window (its mode).

    Of numbers that came equally often, the least; of texts always the same one. Missing (NaN) when
    there was none. Missing values are passed over, and so is the least long, -2^63. Of an int or
    long field it is a whole number with every digit; a model reads it as float32, as it reads all
    numbers; of a text or an enum it is a text, as of `last`.

    It is exact while no tile of the window has more than `exact` different values. Beyond, a new
    value takes the place of the tile's rarest one, and its count: then the count of a value is off
    by no more than the number of the window's events divided by `exact`, up or down.

    Source: Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements
    in data streams" (2005), whose Space-Saving each tile does.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0), an enum or a text.
        over: Length of the window, a duration such as `"10m"`; a multiple of the view's tile.
        exact: How many different values a tile keeps: 1 to 1,024, sixteen bytes each, and
            the texts of those that are no enums and have no domain.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `over` no duration of at least 1 ms, or `exact`
            beyond its bounds.

    Examples:
        >>> import freshet as fr
        >>> print(fr.most_frequent("gate", over="7d"))
        most_frequent(gate over 7d exact 64)
    """
    return MostFrequent(field, over, exact, condition_of(where))


def _check_between(
    number: float, name: str, bounds: tuple[float, float], instead: str = "Use 0.05, say."
) -> None:
    check_finite(number, name)
    low, high = bounds
    if not low <= number <= high:
        raise DefinitionError(f"{name}={number!r}", f"is not from {low} to {high}", instead)


def _check_count(count: object, name: str) -> None:
    # True is an int, and no count.
    if type(count) is not int or not 1 <= count <= MOST_KEPT:
        raise DefinitionError(
            f"{name}={count!r}", f"is no whole number from 1 to {MOST_KEPT:,}", "Use 64, say."
        )
