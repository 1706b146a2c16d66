"""What an aggregate takes of an event: a field's value, or that there is one, where a condition is
true."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.digests import of_expression, shown

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Condition:
    """Which events an aggregate is of: those of a topic, or for which an expression is true, or
    both. Made of its `where`, and by `fr.of`.

    Args:
        text: The expression and a digest of all that Polars writes of it. Equal texts are equal
            conditions: expressions themselves are not compared, as that makes a new expression.
        expression: A row-wise Polars expression over the fields of the view's topic; None: it
            holds for all events.
        topic: Name of the topic whose events they are; None: of any that the view folds.
    """

    text: str
    expression: pl.Expr | None = field(repr=False, compare=False)
    topic: str | None = None

    def __str__(self) -> str:
        return shown(self.text)


@dataclass(frozen=True, slots=True)
class Input:
    """The values of a field (None: of the event itself, which is there), where a condition is true
    (None: always). Where it is false or null the value is missing."""

    field: str | None
    where: Condition | None

    @property
    def name(self) -> str:
        """What a clean log calls it. No name of a field has a space."""
        of_what = self.field or "event"
        if self.where is not None:
            return f"{of_what}{where_text(self.where)}"
        if self.field is None:
            return "every event"
        return of_what

    @property
    def topic(self) -> str | None:
        """The name of the topic whose events they are. None: of all that the view folds."""
        if self.where is None:
            return None
        return self.where.topic


def condition_of(where: pl.Expr | None) -> Condition | None:
    """Whether it is a sound expression is asked by the view, which knows the fields."""
    if where is None:
        return None
    return Condition(of_expression(where), where)


def where_text(where: Condition | None) -> str:
    """Its part of an aggregate's text."""
    told = ""
    if where is not None and where.topic is not None:
        told = f" of {where.topic}"
    if where is not None and where.expression is not None:
        told += f" where {where.text}"
    return told


def of_topic(where: Condition | None, topic: str) -> Condition:
    """Which events of a topic are meant: of those that were, its own."""
    if where is None:
        return Condition("", None, topic)
    return Condition(where.text, where.expression, topic)


def check_field(kind: str, name: object) -> None:
    """Raises `DefinitionError` for what is no name of a field."""
    if not isinstance(name, str) or not name:
        raise DefinitionError(
            f"{kind}({name!r})", "is not of a field", 'Name a number field, such as "arr_delay".'
        )


def check_duration(text: object, name: str) -> None:
    """Raises `DefinitionError` for what is no duration of at least 1 ms."""
    if not isinstance(text, str):
        raise DefinitionError(
            f"{name}={text!r}", "is not a duration", 'Write a text such as "10m".'
        )
    if milliseconds(text, name) == 0:
        raise DefinitionError(
            f"{name}={text!r}", "is no time at all", 'Write a duration such as "10m".'
        )


def check_finite(number: object, name: str) -> None:
    """Raises `DefinitionError` for what is no finite number."""
    if not (isinstance(number, int | float) and math.isfinite(number)):
        raise DefinitionError(f"{name}={number!r}", "is no finite number", "Use a number.")
