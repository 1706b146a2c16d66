"""The newest different values of a key, as users write them: `fr.last_distinct("gate", 2)`."""

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
    """The nth last of the different values of a field. Made by `fr.last_distinct`.

    Args:
        field: The field it is of.
        nth: Which of them, from 1 on.
        over: How old it may be, a duration; None: as old as it is.
        where: Which events it is of; None: all.
    """

    field: str
    nth: int
    over: str | None = None
    where: Condition | None = None

    def __post_init__(self) -> None:
        check_field("last_distinct", self.field)
        # True is an int, and no number of anything.
        if type(self.nth) is not int or not 1 <= self.nth <= MOST_RECENT:
            raise DefinitionError(
                f"last_distinct: nth={self.nth!r}",
                f"is no whole number from 1 to {MOST_RECENT}",
                "Use 2 for the one before the last.",
            )
        if self.over is not None:
            check_duration(self.over, "last_distinct: over")

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
        return f"last_distinct({self.field} {self.nth}{over}{where_text(self.where)})"


def last_distinct(
    field: str, nth: int, *, over: str | None = None, where: pl.Expr | None = None
) -> LastDistinct:
    """The nth last of the different values of a field: 1 is the newest value, 2 the newest of those
    that differ from it, and so on.

    A value is as new as its newest event; of equal times the later one in the log is newer. Missing
    (NaN) when there were fewer values than that. Missing values are passed over, and so is the
    least long, -2^63. Of an int or long field it is a whole number with every digit; a model reads
    it as float32, as it reads all numbers; of an enum, or a text with a domain, it is a text, as of
    `last`. Features of one field and condition share what is kept.

    As `last`, it cannot be taken back: as of a time before the row's newest event, it is as of that
    event.

    Args:
        field: A number or boolean field of the view's topic (true is 1.0), an enum, or a text with
            a domain.
        nth: Which of them: 1 to 64. A row has 16 bytes for each, up to the largest.
        over: Values whose newest event is as old as this duration, or older, are missing; exactly,
            as no tiles are asked. None: values are there however old they are.
        where: A row-wise Polars expression over the topic's fields. An event for which it is not
            true has no value here. None: of all events.

    Raises:
        DefinitionError: `field` is no field's name, `nth` not from 1 to 64, or `over` no duration
            of at least 1 ms.

    Examples:
        >>> import freshet as fr
        >>> gates = {f"gate_{nth}": fr.last_distinct("gate", nth, over="30d") for nth in (1, 2, 3)}
        >>> print(gates["gate_2"])
        last_distinct(gate 2 over 30d)
    """
    return LastDistinct(field, nth, over, condition_of(where))
