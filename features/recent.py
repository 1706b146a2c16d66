"""The newest different values of a key, as users write them: `fr.last_distinct("gate", 2)`, or all
of them as a list: `fr.last_distinct("gate", n=5)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

# Sixteen bytes each in every row, of quiet keys, too.
MOST_RECENT = 64


@dataclass(frozen=True, slots=True)
class LastDistinct:
    """The nth last of the different values of a field, or the last n of them. Made by
    `fr.last_distinct`.

    Args:
        field: The field it is of.
        nth: Which of them, from 1 on; None: several.
        over: How old it may be, a duration; None: as old as it is.
        where: Which events it is of; None: all.
        n: How many of them, at most; None: one.
    """

    field: str
    nth: int | None
    over: str | None = None
    where: Condition | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        check_field("last_distinct", self.field)
        if (self.nth is None) == (self.n is None):
            raise DefinitionError(
                f"last_distinct: nth={self.nth!r}, n={self.n!r}",
                "it is one value, or a list of several",
                "Use 2 for the one before the last, n=5 for the list of the last five.",
            )
        _check_number("nth", self.nth, "Use 2 for the one before the last.")
        _check_number("n", self.n, "Use n=5 for the list of the last five.")
        if self.over is not None:
            check_duration(self.over, "last_distinct: over")

    @property
    def depth(self) -> int:
        """How many values a row must have for it."""
        return self.nth or self.n or 0

    @property
    def over_ms(self) -> int:
        """`over` in milliseconds; 0 where it is none."""
        return milliseconds(self.over) if self.over else 0

    @property
    def input(self) -> Input:
        """What it takes of an event."""
        return Input(self.field, self.where)

    def __str__(self) -> str:
        over = f" over {text_of(self.over_ms)}" if self.over else ""
        which = f"{self.nth}" if self.n is None else f"n={self.n}"
        return f"last_distinct({self.field} {which}{over}{where_text(self.where)})"


def _check_number(name: str, number: object, next_step: str) -> None:
    # True is an int, and no number of anything.
    if number is None or (type(number) is int and 1 <= number <= MOST_RECENT):
        return
    raise DefinitionError(
        f"last_distinct: {name}={number!r}",
        f"is no whole number from 1 to {MOST_RECENT}",
        next_step,
    )


def last_distinct(
    field: str,
    nth: int | None = None,
    *,
    n: int | None = None,
    over: str | None = None,
    where: pl.Expr | None = None,
) -> LastDistinct:
    """The nth last of the different values of a field: 1 is the newest value, 2 the newest of those
    that differ from it, and so on. Or, by `n`, the list of the last n of them, the newest first.

    A value is as new as its newest event; of equal times the later one in the log is newer. Missing
    (NaN) when there were fewer values than that. Missing values are passed over, and so is the
    least long, -2^63. Of an int or long field it is a whole number with every digit; a model reads
    it as float32, as it reads all numbers; of a text or an enum it is a text, as of `last`, which a
    model reads as a category. Features of one field and condition share what is kept.

    A list has as many values as there were, at most n; where there was none it is missing.
    Consumers of features get it; a model reads one value a feature: declare `nth` 1 to n beside the
    list, which makes rows no longer.

    As `last`, it cannot be taken back: as of a time before the row's newest event, it is as of that
    event.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0), an enum or a text.
        nth: Which of them: 1 to 64. A row has 16 bytes for each, up to the largest, and the texts
            of those that are no enums and have no domain.
        n: How many of them, in the place of `nth`: 1 to 64.
        over: Values whose newest event is as old as this duration, or older, are missing; exactly,
            as no tiles are asked. None: values are there however old they are.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `nth` or `n` not from 1 to 64, both of them or
            none given, or `over` no duration of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> gates = {f"gate_{nth}": fr.last_distinct("gate", nth, over="30d") for nth in (1, 2, 3)}
        >>> print(gates["gate_2"])
        last_distinct(gate 2 over 30d)
        >>> print(fr.last_distinct("merchant", n=5))
        last_distinct(merchant n=5)
    """
    return LastDistinct(field, nth, over, condition_of(where), n)
