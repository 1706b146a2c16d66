"""Users' Polars expressions must be row-wise: the value of a row may depend on that row alone.

Refused when the app is built: aggregates, window functions, sorting, shifting, Python functions, `hash()` and categorical
codes (their values depend on the process). Because Polars' own `is_row_separable` says yes to `a > a.mean()`, the
operations are read from the expression itself, and a random-cut check evaluates it on made-up rows, whole and in pieces.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from schemas.errors import DefinitionError
from schemas.event_schema import EventSchema

REFUSED_NODES = {
    "Agg": "an aggregate",
    "Window": "a window over other rows",
    "Over": "a window over other rows",
    "Sort": "an order of other rows",
    "SortBy": "an order of other rows",
    "Gather": "a choice of other rows",
    "Slice": "a slice of the rows",
    "Filter": "a filter inside an expression",
    "Rolling": "a window over other rows",
    "AnonymousFunction": "a Python function",
    "AnonymousAgg": "a Python function",
    "Len": "the number of rows",
    "Explode": "another number of rows",
}
REFUSED_FUNCTIONS = (
    "Hash", "Shift", "Cum", "Diff", "Rank", "Unique", "Rle", "Random", "Reverse", "Interpolate", "FillNullWithStrategy",
    "Forward", "Backward", "Ewm", "Rolling", "Mode", "Entropy", "Skew", "Kurtosis", "ArgSort", "ArgUnique", "ArgMin",
    "ArgMax", "ValueCounts", "PeakMin", "PeakMax", "Python", "TopK", "BottomK", "Cut", "QCut", "Sample", "ToPhysical",
    "IsDuplicated", "IsFirst", "IsLast", "NullCount", "ApproxNUnique", "Any", "All", "MapList", "RowIndex",
)  # fmt: skip
ROW_WISE_DESPITE_NAME = ("AnyHorizontal", "AllHorizontal", "SumHorizontal", "MinHorizontal", "MaxHorizontal")
_ROWS = 97


def fields_of(expression: pl.Expr) -> list[str]:
    """The fields that it reads."""
    return sorted(set(expression.meta.root_names()))


def check_row_wise(expression: pl.Expr, schema: EventSchema, where: str) -> None:
    """Raises `DefinitionError`, naming `where`, unless the expression is row-wise over the schema's fields."""
    known = [f.name for f in schema.fields]
    for name in fields_of(expression):
        if name not in known:
            raise DefinitionError(where, f"reads unknown field {name!r}", f"The fields are {', '.join(known)}.")
    for operation in _operations(expression):
        reason = _refusal(operation)
        if reason:
            raise DefinitionError(
                where,
                f"{expression} is not row-wise: it uses {reason}",
                "Let each row's value depend on that row alone; compare with a constant, or declare a view feature.",
            )
    _check_random_cuts(expression, schema, where)


def _operations(expression: pl.Expr) -> set[str]:
    """Every node and function name in the expression's own JSON."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, Mapping):
            for k, v in node.items():
                found.add(str(k))
                walk(v)
        elif isinstance(node, list):
            for v in node:
                walk(v)
        elif isinstance(node, str):
            found.add(node)

    walk(_without_literals(json.loads(expression.meta.serialize(format="json"))))
    return found


def _without_literals(node: Any) -> Any:
    """A literal's or a column's text is no operation, whatever it says."""
    if isinstance(node, Mapping):
        return {k: _without_literals(v) for k, v in node.items() if k not in ("Literal", "Column")}
    return [_without_literals(v) for v in node] if isinstance(node, list) else node


def _refusal(operation: str) -> str | None:
    if operation in REFUSED_NODES:
        return REFUSED_NODES[operation]
    if operation in ROW_WISE_DESPITE_NAME:
        return None
    return f"{operation!r}" if operation.startswith(REFUSED_FUNCTIONS) else None


def _check_random_cuts(expression: pl.Expr, schema: EventSchema, where: str) -> None:
    """Evaluate on made-up rows whole and in random pieces; any difference is an expression that looks around."""
    rng = np.random.default_rng(7)
    frame = _made_up(schema, fields_of(expression), rng)
    try:
        whole = frame.select(expression.alias("x"))["x"]
        cuts = [0, *sorted(rng.choice(np.arange(1, _ROWS), 6, replace=False).tolist()), _ROWS]
        pieces = [frame.slice(a, b - a).select(expression.alias("x"))["x"] for a, b in itertools.pairwise(cuts)]
    except pl.exceptions.PolarsError as error:
        raise DefinitionError(where, f"{expression} fails: {error}", "Check its types against the schema.") from error
    if len(whole) != _ROWS or not pl.concat(pieces).equals(whole, null_equal=True):
        raise DefinitionError(
            where,
            f"{expression} is not row-wise: a random cut of the rows changes its values",
            "Let each row's value depend on that row alone.",
        )


def _made_up(schema: EventSchema, names: Iterable[str], rng: np.random.Generator) -> pl.DataFrame:
    """Rows of every kind of value a field may take, with nulls where they are allowed."""
    columns: dict[str, pl.Series] = {"_row": pl.Series(np.arange(_ROWS))}
    for f in schema.fields:
        if f.name not in names:
            continue
        if f.type in ("string", "enum"):
            values: list[Any] = [("", "a", "??", "JFK", "Zürich")[i] for i in rng.integers(0, 5, _ROWS)]
            dtype: Any = pl.String
        elif f.type == "boolean":
            values, dtype = [bool(x) for x in rng.integers(0, 2, _ROWS)], pl.Boolean
        elif f.type in ("int", "long"):
            values, dtype = rng.integers(-1000, 1000, _ROWS).tolist(), pl.Int32 if f.type == "int" else pl.Int64
        else:
            values, dtype = np.round(rng.normal(0, 100, _ROWS), 2).tolist(), pl.Float64
        if f.nullable:
            values = [None if x < 0.1 else v for x, v in zip(rng.random(_ROWS), values)]
        columns[f.name] = pl.Series(f.name, values, dtype)
    return pl.DataFrame(columns)
