"""Aggregates of all that was ever seen of a key, as users write them: `fr.last("price")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
from freshet.schemas.topics.digests import of_expression

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Last:
    """The value with the newest event time. Made by `fr.last`.

    Args:
        field: The field it is of.
        where: Which events it is of; None: all.
    """

    field: str
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("last", self.field)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        return f"last({self.field}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class First:
    """The value with the oldest event time. Made by `fr.first`.

    Args:
        field: The field it is of.
        where: Which events it is of; None: all.
    """

    field: str
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("first", self.field)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        return f"first({self.field}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class DecayedTotal:
    """A sum or count whose weights halve every `half_life`. Made by `fr.decayed_sum` and
    `fr.decayed_count`.

    Args:
        kind: Which of the two.
        half_life: A duration.
        field: The field it is of; None for a count of events.
        where: Which events it is of; None: all.
    """

    kind: Literal["decayed_sum", "decayed_count"]
    half_life: str
    field: str | None = None
    where: Condition | None = None

    def __post_init__(self) -> None:
        if self.kind == "decayed_sum":
            check_field(self.kind, self.field)
        check_duration(self.half_life, f"{self.kind}: half_life")

    @property
    def half_life_ms(self) -> int:
        """`half_life` in milliseconds."""
        return milliseconds(self.half_life)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        of_field = f"{self.field} " if self.field else ""
        half_life = text_of(self.half_life_ms)
        return f"{self.kind}({of_field}half_life {half_life}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class TimeSince:
    """Seconds since the newest event of some. Made by `fr.time_since`.

    Args:
        where: Which events it is of.
    """

    where: Condition

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(None, self.where)

    def __str__(self) -> str:
        return f"time_since({where_text(self.where).strip()})"


@dataclass(frozen=True, slots=True)
class DecayedMean:
    """A mean whose weights halve every `half_life`. Made by `fr.decayed_mean`.

    Args:
        field: The field it is of.
        half_life: A duration.
        prior: What it returns to in silence; None: nothing.
        weight: For how many values the prior stands.
        where: Which events it is of; None: all.
    """

    field: str
    half_life: str
    prior: float | None
    weight: float
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("decayed_mean", self.field)
        check_duration(self.half_life, "decayed_mean: half_life")
        if self.prior is not None:
            check_finite(self.prior, "decayed_mean: prior")
        check_finite(self.weight, "decayed_mean: weight")
        if not self.weight > 0:
            raise DefinitionError(
                f"decayed_mean: weight={self.weight}", "is not positive", "Use 0.5, say."
            )

    @property
    def half_life_ms(self) -> int:
        """`half_life` in milliseconds."""
        return milliseconds(self.half_life)

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        # Without a prior the weight changes nothing. As floats: 1 and 1.0 declare the same.
        prior = ""
        if self.prior is not None:
            prior = f" prior {float(self.prior)!r} weight {float(self.weight)!r}"
        half_life = text_of(self.half_life_ms)
        return f"decayed_mean({self.field} half_life {half_life}{prior}{where_text(self.where)})"


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since the newest event. Made by `fr.age`."""

    @property
    def input(self) -> None:
        """It takes nothing of an event."""
        return None

    def __str__(self) -> str:
        return "age()"


def last(field: str, *, where: pl.Expr | None = None) -> Last:
    """The value of the event with the newest time, however old it is.

    Of equal times, that of the later one in the log. Missing (NaN) when there was none; an event
    whose value is missing is passed over. Of an int or long field it is a whole number with every
    digit; a model reads it as float32, as it reads all numbers. Of a text or an enum it is the
    text, which a model reads as a category.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0), an enum or a text.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name.

    Examples:
        >>> import freshet as fr
        >>> print(fr.last("temperature"))
        last(temperature)
    """
    return Last(field, condition_of(where))


def decayed_mean(
    field: str,
    half_life: str = "1h",
    *,
    prior: float | None = None,
    weight: float = 0.5,
    where: pl.Expr | None = None,
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
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `half_life` no duration of at least 1 ms,
            `prior` not finite, or `weight` not finite and above 0.

    Examples:
        >>> import freshet as fr
        >>> print(fr.decayed_mean("minutes_late", "30m", prior=0.0))
        decayed_mean(minutes_late half_life 30m prior 0.0 weight 0.5)
    """
    return DecayedMean(field, half_life, prior, weight, condition_of(where))


def age() -> Age:
    """Seconds from the newest event time of the row to the moment of the question.

    Negative where the row has seen an event of a later time.

    Examples:
        >>> import freshet as fr
        >>> print(fr.age())
        age()
    """
    return Age()


def first(field: str, *, where: pl.Expr | None = None) -> First:
    """The value of the event with the oldest time that was ever seen of the key.

    Of equal times, that of the earlier one in the log; a late event that is older replaces it.
    Missing (NaN) when there was none; an event whose value is missing is passed over. Of an int or
    long field it is a whole number with every digit, and of a text or an enum a text, as `last`
    is.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0), an enum or a text.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name.

    Examples:
        >>> import freshet as fr
        >>> print(fr.first("temperature"))
        first(temperature)
    """
    return First(field, condition_of(where))


def decayed_sum(field: str, half_life: str = "1h", *, where: pl.Expr | None = None) -> DecayedTotal:
    """The sum of all values of a field, in which a value's weight halves every `half_life`.

    It is the `S` of `decayed_mean`, as of the moment of the question: silence takes it to 0.0,
    which it is when there was no value, too. Missing when the key has no row. Missing values are
    passed over, late ones come in decayed.

    Source: as of `decayed_mean`.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0).
        half_life: The time in which a weight halves, a duration.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, or `half_life` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.decayed_sum("amount", "30m"))
        decayed_sum(amount half_life 30m)
    """
    return DecayedTotal("decayed_sum", half_life, field, condition_of(where))


def decayed_count(half_life: str = "1h", *, where: pl.Expr | None = None) -> DecayedTotal:
    """How many events there were of the key, each counted less by half every `half_life`.

    As of the moment of the question: silence takes it to 0.0, which it is when there was none, too.
    Missing when the key has no row. Late events come in decayed.

    Source: as of `decayed_mean`, whose `W` it is.

    Args:
        half_life: The time in which a weight halves, a duration.
        where: A row-wise Polars expression over the topic's fields. Only events for which it is
            true are counted. None: all are.

    Raises:
        DefinitionError: `half_life` is no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> print(fr.decayed_count("10m"))
        decayed_count(half_life 10m)
    """
    return DecayedTotal("decayed_count", half_life, None, condition_of(where))


def time_since(*, where: pl.Expr) -> TimeSince:
    """Seconds from the newest event for which a condition is true to the moment of the question.

    Missing (NaN) when it was true of none. Negative where the row has seen such an event of a later
    time. `age` is that of all events.

    Args:
        where: A row-wise Polars expression over the topic's fields.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> refused = fr.time_since(where=pl.col("status") == "refused")
        >>> str(refused.where)
        '[(col("status")) == ("refused")]'
    """
    return TimeSince(Condition(of_expression(where), where))
