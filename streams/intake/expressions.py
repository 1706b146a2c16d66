"""Users' Polars expressions must be row-wise: the value of a row may depend on that row alone.

Refused when the app is built: aggregates, window functions, sorting, shifting, Python functions,
`hash()` and categorical codes (their values depend on the process). Because Polars' own
`is_row_separable` says yes to `a > a.mean()`, the operations are read from the expression itself,
and a random-cut check evaluates it on made-up rows, whole and in pieces.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from freshet.schemas.avro.made_up import made_up
from freshet.schemas.avro.tree import Array, Map
from freshet.schemas.errors import DefinitionError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import arrow_type
from freshet.schemas.events.field import BOUNDS, LARGEST_FLOAT, LISTS, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.models.label_values import why_no_label
from freshet.schemas.models.tasks import Task

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
    "Categorical": "categorical codes, which depend on the process",
    "list.Sample": "a random choice",
    "str.ConcatVertical": "the texts of all rows",
    "str.Strptime?": "a time format guessed from other rows; give the format",
}
REFUSED_FUNCTIONS = (
    "Hash", "Shift", "Cum", "Diff", "Rank", "Unique", "Rle", "Random", "Reverse", "Interpolate",
    "FillNullWithStrategy", "Forward", "Backward", "Ewm", "Correlation", "Pearson", "Spearman",
    "Covariance", "Rolling", "Mode", "Entropy", "Skew", "Kurtosis", "ArgSort", "ArgUnique",
    "ArgMin", "ArgMax", "ValueCounts", "PeakMin", "PeakMax", "Python", "TopK", "BottomK", "Cut",
    "QCut", "Sample", "ToPhysical", "IsDuplicated", "IsFirst", "IsLast", "NullCount",
    "ApproxNUnique", "Any", "All", "MapList", "RowIndex",
)  # fmt: skip
ROW_WISE_DESPITE_NAME = (
    "AnyHorizontal",
    "AllHorizontal",
    "SumHorizontal",
    "MinHorizontal",
    "MaxHorizontal",
)
# What is refused within a list, too: it depends on more than the list.
_UNSTEADY = ("Hash", "Random", "Python", "Sample", "Categorical", "Anonymous")
_ROWS = 97
_TEXTS = (
    "",
    "a",
    "??",
    "JFK",
    "Zürich",
    "7",
    "2.5",
    "2013-01-02",
    "03/04/2013",
    "2013-01-02 03:04:05",
)


_tried_before: ContextVar[bool] = ContextVar("tried_before", default=False)


@contextmanager
def tried_before() -> Iterator[None]:
    """Expressions that are checked within it were tried on made-up rows in another process, and are
    not again: a run tries those of its app once, and not in each of its roles."""
    before = _tried_before.set(True)
    try:
        yield
    finally:
        _tried_before.reset(before)


def fields_of(expression: pl.Expr) -> list[str]:
    """The fields that it reads."""
    # A column without a name is an item of the list that a filter looks at.
    return sorted({name for name in expression.meta.root_names() if name})


def check_row_wise(
    expression: pl.Expr,
    schema: EventSchema,
    where: str,
    true_or_false: bool = False,
    label: Task | None = None,
    any_type: bool = False,
) -> None:
    """Check a filter (`true_or_false`), a label (of that task), a derived field (`any_type`) or
    another expression (true or false, or a number) over the schema's fields.

    Raises:
        DefinitionError: naming `where`, unless the expression is row-wise, reads known fields by
            their names, and gives one value of its kind a row.
    """
    if not isinstance(expression, pl.Expr):
        raise DefinitionError(
            where,
            f"{expression!r} is no Polars expression",
            'Write one, such as pl.col("carrier") == "??".',
        )
    operations = _operations(expression, where)
    if "Selector" in operations:
        raise DefinitionError(
            where,
            f"{expression} chooses fields by a rule",
            'Name each of them, as in pl.col("origin").',
        )
    known = [f.name for f in schema.fields]
    for name in fields_of(expression):
        if name not in known:
            within = [field for field in known if field.startswith(f"{name}.")]
            if within:
                raise DefinitionError(
                    where,
                    f"reads {name!r}, which is made of fields",
                    f"Read one of them: {', '.join(within)}.",
                )
            raise DefinitionError(
                where, f"reads unknown field {name!r}", f"The fields are {', '.join(known)}."
            )
    _refuse_operations(operations, expression, where)
    if _tried_before.get():
        return
    instead = "Check its types against the schema."
    if any_type:
        instead = "Let it give null where it cannot, as .cast(pl.Float64, strict=False) does."
    found = _check_random_cuts(expression, schema, where, instead)
    if any_type:
        return
    if label is not None:
        _check_label(expression, found, where, label)
    elif not (found.dtype == pl.Boolean or (found.dtype.is_numeric() and not true_or_false)):
        number = "" if true_or_false else ", or a number"
        next_step = f"Let it be true or false{number}, as a comparison is."
        raise DefinitionError(where, f"{expression} gives {found.dtype}", next_step)


def refuse_others(expression: pl.Expr, where: str) -> None:
    """Raises `DefinitionError`, naming `where`, if an expression looks at other rows by what it
    says, whatever its fields."""
    _refuse_operations(
        _operations(expression, where),
        expression,
        where,
    )


def _refuse_operations(operations: Iterable[str], expression: pl.Expr, where: str) -> None:
    for operation in sorted(operations):
        reason = _refusal(operation)
        if reason:
            raise _not_row_wise(expression, where, f"it uses {reason}")


def _check_label(expression: pl.Expr, found: pl.Series, where: str, task: Task) -> None:
    """What is no label of the model's task it would learn as nonsense, under green lights."""
    wrong = why_no_label(found.dtype, found, task)
    if wrong is not None:
        wanted, next_step = wrong
        raise DefinitionError(where, f"{expression} gives {found.dtype}, and {wanted}", next_step)


def _not_row_wise(expression: pl.Expr, where: str, why: str) -> DefinitionError:
    return DefinitionError(
        where,
        f"{expression} is not row-wise: {why}",
        "Let each row's value depend on that row alone; compare with a constant, "
        "or declare a view feature.",
    )


def _operations(expression: pl.Expr, where: str) -> set[str]:
    """Every node and function name in the expression's own JSON; those of the namespace `str` as
    `str.Name`."""
    try:
        node = json.loads(expression.meta.serialize(format="json"))
    # only what holds Python code cannot be written as JSON
    except pl.exceptions.PolarsError as error:
        raise _not_row_wise(expression, where, "it uses a Python function") from error
    return set(_names(node))


def _names(node: Any) -> Iterator[str]:
    """Names in the JSON, but not the texts of literals, columns and aliases, which mean nothing
    whatever they say."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for v in node:
            yield from _names(v)
    elif isinstance(node, Mapping):
        for k, v in node.items():
            yield str(k)
            if k == "StringExpr":
                yield from _text_names(v)
            elif k == "ListExpr":
                yield f"list.{_name_of(v)}"
            elif k == "StructExpr":
                yield f"struct.{_name_of(v)}"
            elif k == "evaluation":
                # Of the items of one row's list, which may be looked at together.
                yield from (name for name in _names(v) if name.startswith(_UNSTEADY))
            elif k == "Alias":
                yield from _names(v[0])
            elif k == "dtype":
                if "Categorical" in json.dumps(v):
                    yield "Categorical"
            elif k not in ("Literal", "Column"):
                yield from _names(v)


def _name_of(node: Any) -> str:
    """A function's name, without its options."""
    return node if isinstance(node, str) else str(next(iter(node)))


def _text_names(node: Any) -> Iterator[str]:
    """A function of the namespace `str`: they are row-wise, but for a few that have names of their
    own here."""
    name, options = (node, None) if isinstance(node, str) else next(iter(node.items()))
    guesses = name == "Strptime" and '"format": null' in json.dumps(options)
    yield f"str.{name}?" if guesses else f"str.{name}"


def _refusal(operation: str) -> str | None:
    if operation in REFUSED_NODES:
        return REFUSED_NODES[operation]
    if operation in ROW_WISE_DESPITE_NAME:
        return None
    return f"{operation!r}" if operation.startswith(REFUSED_FUNCTIONS) else None


def _check_random_cuts(
    expression: pl.Expr, schema: EventSchema, where: str, instead: str
) -> pl.Series:
    """Its values on made-up rows: all at once, and the first half one by one (an aggregate is
    furthest off over one row), the rest in random pieces. Any difference is an expression that
    looks around."""
    # The same rows each time: an app that passes once passes whenever it is loaded.
    rng = np.random.default_rng(7)
    frame = _made_up(schema, fields_of(expression), rng)
    half = _ROWS // 2
    cuts = [
        *range(half),
        *sorted(rng.choice(np.arange(half, _ROWS), 4, replace=False).tolist()),
        _ROWS,
    ]
    try:
        whole, *pieces = (
            evaluated(frame.slice(a, b - a), [expression.alias("x")])["x"]
            for a, b in [(0, _ROWS), *itertools.pairwise(cuts)]
        )
        row_wise = len(whole) == _ROWS and pl.concat(pieces).equals(whole, null_equal=True)
    except pl.exceptions.PolarsError as error:
        # Its first line: the others repeat the expression.
        told = str(error).partition("\n")[0]
        raise DefinitionError(where, f"{expression} fails: {told}", instead) from error
    if not row_wise:
        raise _not_row_wise(expression, where, "a random cut of the rows changes its values")
    return whole


def _made_up(schema: EventSchema, names: Iterable[str], rng: np.random.Generator) -> pl.DataFrame:
    """Rows of every kind of value that validation lets through, extremes too, with nulls where they
    are allowed."""
    columns: dict[str, pl.Series] = {"_row": pl.Series(np.arange(_ROWS))}
    for f in schema.fields:
        if f.name in names:
            values = _values(f, rng)
            if f.nullable:
                values = [None if x < 0.1 else v for x, v in zip(rng.random(_ROWS), values)]
            columns[f.name] = pl.Series(f.name, values, _dtype_of(f))
    return pl.DataFrame(columns)


def _dtype_of(f: Field) -> Any:
    """As columns give it to expressions."""
    return pl.Series(pa.array([], arrow_type(f))).dtype


def _values(f: Field, rng: np.random.Generator) -> list[Any]:
    if f.type == "boolean":
        return [bool(x) for x in rng.integers(0, 2, _ROWS)]
    if f.type in LISTS:
        assert isinstance(f.node, Array | Map)
        return [made_up(f.node, rng) for _ in range(_ROWS)]
    if f.type == "bytes":
        return [rng.bytes(size) for size in rng.integers(0, 4, _ROWS)]
    if f.type == "decimal":
        most = min(10**f.precision - 1, 10**12)
        return [Decimal(x).scaleb(-f.scale) for x in rng.integers(-most, most + 1, _ROWS).tolist()]
    if f.type in ("string", "enum"):
        texts = f.domain or f.symbols or _TEXTS
        return [texts[i] for i in rng.integers(0, len(texts), _ROWS)]
    # whole centuries, but not all that an int64 could be: years have an end
    if f.logical is not None:
        return list(rng.integers(-(10**12), 10**13, _ROWS).tolist())
    low, high = f.range or BOUNDS.get(f.type) or (-LARGEST_FLOAT["float"], LARGEST_FLOAT["float"])
    if f.type in BOUNDS:
        common = rng.integers(-1000, 1000, _ROWS)
        low = max(math.ceil(low), BOUNDS[f.type][0])
        high = min(math.floor(high), BOUNDS[f.type][1])
    else:
        common = np.round(rng.normal(0, 100, _ROWS), 2)
        if f.range is not None and math.isfinite(high - low):
            # Within a narrow range most of those would be its ends.
            common[::2] = rng.uniform(low, high, _ROWS)[::2]
    return [
        (low, high)[i] if i < 2 else min(max(x, low), high)
        for i, x in zip(rng.integers(0, 20, _ROWS), common.tolist())
    ]
