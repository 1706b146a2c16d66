"""Fields of event schemas, with freshet's rules as extra attributes that other Avro readers ignore.

A field is one column of a record: `freshet.schemas.avro.leaves` says which there are, and what each
is called. Beside Avro's own attributes it may carry `"required": true` (a null is refused),
`"range": [lowest, highest]` (numbers, both inclusive) and `"domain": [...]` (texts); its `"unit"`,
such as `"min"`, is shown in the catalogue.

Source: Apache Avro 1.12 specification.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from freshet.schemas.avro.defaults import BOUNDS, LARGEST_FLOAT
from freshet.schemas.avro.defaults import fits as value_fits
from freshet.schemas.avro.leaves import Leaf, logical_of
from freshet.schemas.avro.tree import Enum, Logical, Type
from freshet.schemas.errors import SchemaError
from freshet.schemas.text import keys

__all__ = ["BOUNDS", "LARGEST_FLOAT", "Field", "field_of", "fits"]
INTEGERS = ("int", "long")
FLOATS = ("float", "double")
TEXTS = ("string", "enum")
# What a feature may count with.
NUMBERS = (*INTEGERS, *FLOATS, "decimal", "boolean")
# Of which there are many values in one, so that they are no key, number or text.
LISTS = ("array", "map")
# What a key or an id may be; that two floats are equal means too little.
KEY_TYPES = (*TEXTS, *INTEGERS, "boolean")
# By type, the names of the Open Inference Protocol.
DATATYPES = {
    "string": "BYTES",
    "enum": "BYTES",
    "boolean": "BOOL",
    "int": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "decimal": "FP64",
}
_KEY_KINDS = {
    "string": keys.TEXT,
    "enum": keys.TEXT,
    "int": keys.WHOLE,
    "long": keys.WHOLE,
    "boolean": keys.BOOLEAN,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `name` is its path, `type` is string, int, long, float, double, boolean, enum,
    bytes, decimal, array or map; `null_branch` is where null stands in its own union of two (None:
    in none), and `within_nullable` says that something above it may be missing, and it with that.

    `default` counts only where `has_default`. `symbols` and `fallback` (the symbol that stands for
    unknown ones) are an enum's, `precision` and `scale` a decimal's. `logical` is the name of its
    logical type, or None, and `node` its type in the tree.
    """

    name: str
    type: str
    null_branch: int | None = None
    has_default: bool = False
    # Of an array it is a list, which has no hash.
    default: Any = field(default=None, hash=False)
    required: bool = False
    range: tuple[float, float] | None = None
    domain: tuple[str, ...] | None = None
    symbols: tuple[str, ...] = ()
    fallback: str | None = None
    logical: str | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""
    within_nullable: bool = False
    precision: int = 0
    scale: int = 0
    unit: str | None = None
    node: Type | None = field(default=None, compare=False, repr=False)

    @property
    def nullable(self) -> bool:
        return self.null_branch is not None or self.within_nullable

    @property
    def key_kind(self) -> str | None:
        """Of what kind its values are as keys or ids, as `keys.canonical` has it; None: of no
        such."""
        if self.logical == "uuid":
            return keys.UUID
        return _KEY_KINDS.get(self.type)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range in the digits that its values have, so that a bound is in its own range: of a
        `float` 0.1 is what 32 bits have of it; of whole numbers there are those between."""
        if self.range is None:
            return None
        lowest, highest = self.range
        if self.type in INTEGERS:
            return math.ceil(lowest), math.floor(highest)
        if self.type == "float":
            return _single(lowest), _single(highest)
        return lowest, highest

    @property
    def bounds_text(self) -> tuple[str, str]:
        """The range as it was written: of 64 bits every digit, of others no `.0`."""
        assert self.range is not None
        lowest, highest = (repr(bound).removesuffix(".0") for bound in self.range)
        return lowest, highest

    @property
    def wire(self) -> tuple[object, ...]:
        """All that its bytes depend on, and its name."""
        return self.name, self.type, self.null_branch, self.symbols


def _single(bound: float) -> float:
    """A bound as 32 bits have it; beyond all of their numbers as it is."""
    if abs(bound) > LARGEST_FLOAT["float"]:
        return bound
    return float(np.float32(bound))


def fits(value: object, type_: str, symbols: tuple[str, ...] = ()) -> bool:
    """Whether a value read from JSON is one of this (not nullable) type of text, number or
    boolean."""
    if type_ == "enum":
        return isinstance(value, str) and value in symbols
    return value_fits(value, type_)


def field_of(leaf: Leaf, name: str) -> Field:
    """A column with its rules. `name` is how errors call the schema.

    Raises:
        SchemaError: a rule does not fit the column.
    """
    return _RulesReader(name, leaf).field()


# Of a type without a logical one.
_NO_MEANING = Logical("")


class _RulesReader:
    """Reads what a field says of its values beyond what Avro knows."""

    def __init__(self, schema: str, leaf: Leaf) -> None:
        self._schema = schema
        self._leaf = leaf
        self._raw = leaf.field.attributes

    def refuse(self, cause: str, next_step: str) -> NoReturn:
        raise SchemaError(
            f"{self._schema}, field {self._leaf.path!r}", cause, next_step, field=self._leaf.path
        )

    def field(self) -> Field:
        leaf = self._leaf
        symbols: tuple[str, ...] = ()
        fallback = None
        if isinstance(leaf.node, Enum):
            symbols = leaf.node.symbols
            fallback = leaf.node.default
        logical = logical_of(leaf.node) or _NO_MEANING
        return Field(
            leaf.path,
            leaf.type,
            leaf.null_branch,
            symbols=symbols,
            fallback=fallback,
            logical=logical.name or None,
            precision=logical.precision,
            scale=logical.scale,
            aliases=leaf.field.aliases,
            description=str(self._raw.get("doc", "")),
            unit=self.unit(),
            node=leaf.node,
            has_default=leaf.field.has_default,
            default=self.default(),
            required=self.required(),
            range=self.range(),
            domain=self.domain(symbols),
            within_nullable=leaf.nullable and leaf.null_branch is None,
        )

    def unit(self) -> str | None:
        value = self._raw.get("unit")
        if value is None:
            return None
        return str(value)

    def default(self) -> Any:
        value = self._raw.get("default")
        if value is None or self._leaf.type not in FLOATS:
            return value
        # By its digits: of a long whole number the nearest float64, as a reader of JSON has it.
        return float(str(value))

    def required(self) -> bool:
        value = self._raw.get("required", False)
        if not isinstance(value, bool):
            self.refuse(f"required is {value!r}", "Write true or false.")
        # Of several branches all but one are missing in each event.
        if value and not self._leaf.alone:
            self.refuse(
                "is required, and one of several types, each with a column of its own",
                'Leave "required" out, and null out of the union.',
            )
        return value

    def range(self) -> tuple[float, float] | None:
        value = self._raw.get("range")
        type_ = self._leaf.type
        if value is None:
            return None
        if type_ not in (*INTEGERS, *FLOATS):
            # Of several types it is the numbers that have it.
            if not self._leaf.alone:
                return None
            instead = "Only numbers have a range; texts have a domain."
            if type_ == "decimal":
                instead = f'Filter it, as by drop={{"odd": pl.col("{self._leaf.path}") < 0}}.'
            self.refuse(f"has a range, but is of type {type_}", instead)
        sound = (
            isinstance(value, list)
            and len(value) == 2
            and all(fits(bound, "double") for bound in value)
        )
        if not sound or not all(math.isfinite(bound) for bound in value) or value[0] > value[1]:
            self.refuse(
                f"range {value!r} is not [lowest, highest]",
                "Write two numbers, the lower one first.",
            )
        return value[0], value[1]

    def domain(self, symbols: tuple[str, ...]) -> tuple[str, ...] | None:
        value = self._raw.get("domain")
        type_ = self._leaf.type
        if value is None:
            return None
        if type_ not in TEXTS:
            if not self._leaf.alone:
                return None
            self.refuse(
                f"has a domain, but is of type {type_}",
                "Only texts have a domain; numbers have a range.",
            )
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(word, str) for word in value)
        ):
            self.refuse(f"domain {value!r} is not a list of texts", 'Write "domain": ["A", "B"].')
        strange = sorted(set(value) - set(symbols)) if type_ == "enum" else []
        if strange:
            self.refuse(
                f"domain has {', '.join(strange)}, which the enum lacks",
                "Remove it, or add the symbol.",
            )
        return tuple(dict.fromkeys(value))
