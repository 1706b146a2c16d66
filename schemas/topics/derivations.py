"""Derived fields of a topic: what its `derive` comes to, and how it is computed of rows.

One definition, and one code, for events (by intake) and for requests (by the scorer): both make a
frame of the fields that are read, with the types that events have, and call `compute`.

A derived field is a text, a whole number of 64 bits, a float64 or a truth, and may be missing. So
it is wherever its expression fails for a row, and where it gives what is no number or a text beyond
`DERIVED_BYTES`: whatever an event holds, it stays an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import pyarrow as pa

from freshet.schemas.errors import DefinitionError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import arrow_type
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import EventTime
from freshet.schemas.topics.derive import Bucket, Distance, Over, TimePart
from freshet.schemas.topics.digests import fields_read, of_expression

if TYPE_CHECKING:
    import polars as pl

Declared: TypeAlias = "pl.Expr | TimePart | Bucket | Distance"
# Those that need no check: each row's value depends on that row alone.
OWN = (TimePart, Bucket, Distance)
EXAMPLE = 'Write {"hour": fr.hour("at", zone="America/New_York")}, or a Polars expression.'
# With as many any field that keys are made of is still taken by every store.
DERIVED_BYTES = 4_096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Derivation:
    """One derived field. `reads` are the fields that it is made of, of which some may be derived
    themselves; `fact` is its definition in words; `before` is the schema of all that it may
    read. `over` gives its values for the rows of a frame, of the type that `field` has; where it
    is an `expression` of Polars, by that."""

    field: Field
    reads: tuple[str, ...]
    fact: str
    before: EventSchema
    over: Over
    expression: pl.Expr | None = None

    def compute(self, frame: pl.DataFrame) -> pl.Series:
        """Its values for rows of the fields that it reads; null where it fails. Of whatever rows
        stand beside a row, its value is the same."""
        import polars as pl

        try:
            return self.over(frame).rename(self.field.name)
        # Polars stops at the first row that fails, and panics at some; neither names the row.
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            pass
        rows = frame.height
        if rows == 1:
            return pl.Series(self.field.name, [None], dtype_of(self.field))
        half = rows // 2
        return pl.concat([self.compute(frame[:half]), self.compute(frame[half:])])


def compute_together(derivations: Sequence[Derivation], frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with what several come to that do not read each other, the same as one by one. Of
    few rows most of the time is that of a call, so expressions are given to Polars together."""
    import polars as pl

    together = [made for made in derivations if made.expression is not None]
    expressions = [made.expression for made in together if made.expression is not None]
    try:
        found = frame.hstack(evaluated(frame, expressions).get_columns())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # One of them fails for a row, and it is not told which.
        found = frame
        together = []
    done = {made.field.name for made in together}
    rest = [made.compute(frame) for made in derivations if made.field.name not in done]
    return found.hstack(rest)


def levels(derivations: Sequence[Derivation]) -> list[list[Derivation]]:
    """Those that read none of the others first, then those that read only these, and so on."""
    depth: dict[str, int] = {}
    found: list[list[Derivation]] = []
    for made in derivations:
        own = max((depth[name] + 1 for name in made.reads if name in depth), default=0)
        depth[made.field.name] = own
        if own == len(found):
            found.append([])
        found[own].append(made)
    return found


def settled(
    derive: Mapping[str, Declared],
    events: EventSchema,
    event_time: EventTime | None,
    topic: str,
) -> tuple[Derivation, ...]:
    """What is declared, in order: each may read those before it.

    Raises:
        DefinitionError: a name that no field can have, or one has already; an unknown field; or
            what gives no value of those types.
    """
    known = events
    found = []
    for name, declared in derive.items():
        where = f"topic {topic}: derive[{name!r}]"
        _check_name(name, known, where)
        made = settled_field(name, declared, known, event_time, where)
        known = with_fields(known, [made.field])
        found.append(made)
    return tuple(found)


def with_fields(schema: EventSchema, fields: Iterable[Field]) -> EventSchema:
    """A schema with columns after its own."""
    every = (*schema.fields, *fields)
    positions = {field.name: i for i, field in enumerate(every)}
    return replace(schema, fields=every, positions=positions)


def field_name(name: object) -> TypeGuard[str]:
    """Whether a field may have this name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def needed(derivations: Sequence[Derivation], names: Iterable[str]) -> tuple[Derivation, ...]:
    """Of these, in order, the ones that some fields are, or are made of."""
    wanted = set(names)
    found = []
    # Each reads only what comes before it.
    for derivation in reversed(derivations):
        if derivation.field.name in wanted:
            wanted.update(derivation.reads)
            found.append(derivation)
    return tuple(reversed(found))


def roots(derivations: Sequence[Derivation]) -> dict[str, tuple[str, ...]]:
    """By derived field, the fields of events that it is made of in the end, each once."""
    found: dict[str, tuple[str, ...]] = {}
    for derivation in derivations:
        read = [root for name in derivation.reads for root in found.get(name, (name,))]
        found[derivation.field.name] = tuple(dict.fromkeys(read))
    return found


def dtype_of(field: Field) -> pl.DataType:
    """As expressions see a field."""
    import polars as pl

    return pl.Series(pa.array([], arrow_type(field))).dtype


def _check_name(name: object, known: EventSchema, where: str) -> None:
    if not field_name(name):
        raise DefinitionError(where, "is no name of a field", EXAMPLE)
    cause = ""
    if name in known.positions:
        cause = "is a field already"
    elif any(field.startswith(f"{name}.") for field in known.positions):
        cause = "is a record already"
    if cause:
        raise DefinitionError(where, cause, "Give it a name of its own.")


def settled_field(
    name: str,
    declared: Declared,
    known: EventSchema,
    event_time: EventTime | None,
    where: str,
) -> Derivation:
    """One of them, under a name that is free; `known` is what it may read, `event_time` how the
    topic's own time is declared.

    Raises:
        DefinitionError: naming `where`, for an unknown field, or what gives no value of those
            types.
    """
    import polars as pl

    if isinstance(declared, OWN):
        _check_fields(declared.reads, known, where)
        own = declared.settled(known, event_time, where)
        field = Field(name, own.type, null_branch=1, description=str(own))
        reads = tuple(dict.fromkeys(own.reads))
        return Derivation(field, reads, str(own), known, own.compiled())
    if not isinstance(declared, pl.Expr):
        raise DefinitionError(where, f"{declared!r} is no expression over fields", EXAMPLE)
    reads = tuple(sorted(fields_read(declared)))
    _check_fields(reads, known, where)
    field = Field(name, _type_of(declared, reads, known, where), null_branch=1)
    sound = _sound(declared, field.type).alias(name)
    return Derivation(
        field,
        reads,
        of_expression(declared),
        known,
        lambda frame: evaluated(frame, [sound])[name],
        sound,
    )


def _check_fields(names: Iterable[str], known: EventSchema, where: str) -> None:
    if not names:
        raise DefinitionError(where, "reads no field", EXAMPLE)
    for name in names:
        # An expression in its place, say, which is compared with nothing.
        if not isinstance(name, str):
            raise DefinitionError(where, f"names a field by {name!r}", "Name it by its text.")
        if name in known.positions:
            continue
        within = [field for field in known.positions if field.startswith(f"{name}.")]
        if within:
            cause = f"reads {name!r}, which is made of fields"
            raise DefinitionError(where, cause, f"Read one of them: {', '.join(within)}.")
        raise DefinitionError(
            where,
            f"reads unknown field {name!r}",
            f"The fields before it are {', '.join(known.positions)}.",
        )


def _type_of(expression: pl.Expr, reads: Sequence[str], known: EventSchema, where: str) -> str:
    """The type of what it gives, which no value decides."""
    import polars as pl

    frame = pl.DataFrame(schema={name: dtype_of(known[name]) for name in reads})
    try:
        found = frame.select(expression.alias("x"))["x"].dtype
    except pl.exceptions.PolarsError as error:
        # Its first line: the others repeat the expression.
        told = str(error).partition("\n")[0]
        cause = f"{expression} fails: {told}"
        raise DefinitionError(where, cause, "Check its types against the schema.") from error
    if found == pl.Boolean:
        return "boolean"
    if found.is_integer():
        return "long"
    if found.is_float() or found.is_decimal():
        return "double"
    if found in (pl.String, pl.Enum):
        return "string"
    next_step = "Let it be a text, a number, or true or false."
    if found.is_temporal():
        next_step = 'Take a part of it, such as fr.hour("at"), or .dt.epoch("ms") of the whole.'
    raise DefinitionError(where, f"{expression} gives {found}", next_step)


def _sound(expression: pl.Expr, type_: str) -> pl.Expr:
    """Its values as the type has them, null where they are none of them."""
    import polars as pl

    if type_ == "boolean":
        return expression
    if type_ == "long":
        # Of 64 bits without a sign the upper half has no place.
        return expression.cast(pl.Int64, strict=False)
    if type_ == "double":
        number = expression.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)
    text = expression.cast(pl.String, strict=False)
    return pl.when(text.str.len_bytes() <= DERIVED_BYTES).then(text)
