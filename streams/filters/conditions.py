"""Plain conditions, which are looked up in columns without a frame being made of them: comparisons
of a field with a constant, fields that are missing or true, and `&`, `|` and `~` of those.

Polars evaluates all others, and says what these mean: of a null is neither true nor false what
hangs on it, and NaN is equal to itself and above every number.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from freshet.schemas.events.columns import arrow_type
from freshet.schemas.events.field import BOUNDS
from freshet.schemas.events.schema import EventSchema

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtEq": operator.le,
    "Gt": operator.gt,
    "GtEq": operator.ge,
}
_OF_TEXTS = ("Eq", "NotEq")
_EXACT = 1 << 53  # up to it every whole number is a float64
_MISSING_TOLD = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
)


@dataclass(frozen=True)
class Compared:
    """A field beside a constant, by one of `OPERATORS`."""

    field: str
    by: str
    value: str | int | float


@dataclass(frozen=True)
class Missing:
    field: str


@dataclass(frozen=True)
class Flag:
    """A field that is true or false itself."""

    field: str


@dataclass(frozen=True)
class Negated:
    of: Condition


@dataclass(frozen=True)
class Both:
    left: Condition
    right: Condition


@dataclass(frozen=True)
class Either:
    left: Condition
    right: Condition


Condition = Compared | Missing | Flag | Negated | Both | Either


def condition_of(expression: pl.Expr, schema: EventSchema) -> Condition | None:
    """A user's filter over the schema's fields as a plain condition; None if it is none.

    It is read from the expression's own JSON, which is another one in another version of Polars. So
    it counts only if Polars finds what it was read as equal to what was given.
    """
    try:
        node = json.loads(expression.meta.serialize(format="json"))
        types = {field.name: arrow_type(field) for field in schema.fields}
        found = _read(node, types)
        is_same = found is not None and expression_of(found).meta.eq(expression)
    # What cannot be written as JSON, or is nested too deep: Polars may know what it is.
    except (pl.exceptions.PolarsError, ValueError, RecursionError):
        return None
    return found if is_same else None


def expression_of(condition: Condition) -> pl.Expr:
    """What Polars evaluates to the same."""
    match condition:
        case Compared(field, by, value):
            compared: pl.Expr = OPERATORS[by](pl.col(field), value)
            return compared
        case Missing(field):
            return pl.col(field).is_null()
        case Flag(field):
            return pl.col(field)
        case Negated(of):
            return ~expression_of(of)
        case Both(left, right):
            return expression_of(left) & expression_of(right)
        case Either(left, right):
            return expression_of(left) | expression_of(right)


def _read(node: Any, types: Mapping[str, pa.DataType]) -> Condition | None:
    match node:
        case {"Column": str(field)} if types.get(field) == pa.bool_():
            return Flag(field)
        case {"BinaryExpr": {"left": left, "op": "And" | "Or" as joint, "right": right}}:
            return _joined(joint, _read(left, types), _read(right, types))
        case {"BinaryExpr": {"left": {"Column": str(field)}, "op": str(by), "right": constant}}:
            return _compared(field, by, _value(constant), types.get(field))
        case {"Function": {"input": [{"Column": str(field)}], "function": {"Boolean": "IsNull"}}}:
            return Missing(field) if types.get(field) in _MISSING_TOLD else None
        case {"Function": {"input": [of], "function": {"Boolean": "Not"}}}:
            inner = _read(of, types)
            return None if inner is None else Negated(inner)
    return None


def _joined(by: str, left: Condition | None, right: Condition | None) -> Condition | None:
    if left is None or right is None:
        return None
    return Both(left, right) if by == "And" else Either(left, right)


def _value(constant: Any) -> str | int | float | None:
    """The constant, if it is a text or a plain number; JSON has null for an infinite one."""
    match constant:
        case {"Literal": {"Scalar": {"String": str(text)}}}:
            return text
        case {"Literal": {"Dyn": {"Int": int(whole)}}}:
            return whole
        case {"Literal": {"Dyn": {"Float": float(number)}}}:
            return number
    return None


def _compared(
    field: str, by: str, value: str | int | float | None, type_: pa.DataType | None
) -> Compared | None:  # fmt: skip
    """Where Polars brings both to the type of the field, without a digit lost."""
    if by not in OPERATORS:
        return None
    match value:
        case str():
            is_plain = type_ == pa.string() and by in _OF_TEXTS
        case int() if type_ == pa.float64():
            is_plain = abs(value) <= _EXACT
        case int():
            lowest, highest = _bounds(type_)
            is_plain = lowest <= value <= highest
        case float():
            is_plain = type_ == pa.float64()
        case _:
            is_plain = False
    return Compared(field, by, value) if is_plain and value is not None else None


def _bounds(type_: pa.DataType | None) -> tuple[int, int]:
    """Of whole numbers of that type; of another type no number lies between."""
    if type_ == pa.int32():
        return BOUNDS["int"]
    if type_ == pa.int64():
        return BOUNDS["long"]
    return 1, 0
