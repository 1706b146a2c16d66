"""Fields of event schemas, with freshet's rules as extra attributes that other Avro readers ignore.

A field is a string, int, long, float, double, boolean or enum, or a union of one of these with
null. Beside Avro's own attributes it may carry `"required": true` (a null is refused), `"range":
[lowest, highest]` (numbers, both inclusive) and `"domain": [...]` (texts); its `"unit"`, such as
`"min"`, is shown in the catalogue.

Source: Apache Avro 1.12 specification.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from freshet.schemas.errors import SchemaError
from freshet.schemas.text import keys

INTEGERS = ("int", "long")
FLOATS = ("float", "double")
TEXTS = ("string", "enum")
TYPES = ("string", "int", "long", "float", "double", "boolean", "enum")
# What a key or an id may be; that two floats are equal means too little.
KEY_TYPES = (*TEXTS, *INTEGERS, "boolean")
BOUNDS = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}
LARGEST_FLOAT = {"float": (2 - 2**-23) * 2.0**127, "double": math.inf}
# By type, the names of the Open Inference Protocol.
DATATYPES = {
    "string": "BYTES",
    "enum": "BYTES",
    "boolean": "BOOL",
    "int": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}
_OF_LONGS = ("timestamp-millis", "timestamp-micros", "timestamp-nanos", "time-micros")
_LOCAL_ONES = tuple(f"local-{name}" for name in _OF_LONGS[:3])
# They say to people, and to `event_time`, what a number counts; models and expressions get that.
LOGICAL = (
    *((name, "long") for name in (*_OF_LONGS, *_LOCAL_ONES)),
    ("date", "int"),
    ("time-millis", "int"),
    ("uuid", "string"),
)
_KEY_KINDS = {
    "string": keys.TEXT,
    "enum": keys.TEXT,
    "int": keys.WHOLE,
    "long": keys.WHOLE,
    "boolean": keys.BOOLEAN,
}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INSTEAD = {
    "bytes": "Write it as a string (base64, say).",
    "fixed": "Write it as a string (hexadecimal, say).",
    "record": "Flatten it: one field of the outer record for each inner field.",
    "array": "Publish one event for each item, or one field for each position.",
    "map": "Give each key that matters a field of its own.",
    "null": 'Write a union such as ["null", "string"].',
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `type` is one of `TYPES`; `null_branch` is where null stands in its union (None:
    not nullable).

    `default` counts only where `has_default`. `symbols`, `enum_name`, `enum_aliases` and `fallback`
    (the symbol that stands for unknown ones) are an enum's. `logical` is one of `LOGICAL`, which
    says with which type each goes, or None.
    """

    name: str
    type: str
    null_branch: int | None = None
    has_default: bool = False
    default: str | int | float | bool | None = None
    required: bool = False
    range: tuple[float, float] | None = None
    domain: tuple[str, ...] | None = None
    symbols: tuple[str, ...] = ()
    enum_name: str = ""
    enum_aliases: tuple[str, ...] = ()
    fallback: str | None = None
    logical: str | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""

    @property
    def nullable(self) -> bool:
        return self.null_branch is not None

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
    """Whether a value read from JSON is one of this (not nullable) type. An integer is a number, a
    boolean is not."""
    if type_ == "boolean":
        return isinstance(value, bool)
    if type_ in TEXTS:
        return isinstance(value, str) and (type_ == "string" or value in symbols)
    # True is an int to Python, and a number to nobody else.
    if isinstance(value, bool):
        return False
    if type_ in INTEGERS:
        low, high = BOUNDS[type_]
        return isinstance(value, int) and low <= value <= high
    if isinstance(value, int):
        # Python's have any length: one beyond float64 would raise where it is converted.
        return abs(value) <= LARGEST_FLOAT[type_] and abs(value) < 1 << 1023
    if not isinstance(value, float):
        return False
    # NaN and infinity are floats to Avro; validation puts them out of range.
    return abs(value) <= LARGEST_FLOAT[type_] or not math.isfinite(value)


def _logical_of(type_: str) -> str:
    """Those that go with a type; without any, where others go."""
    found = [name for name, kind in LOGICAL if kind == type_]
    if not found:
        return "one on a long, an int or a string"
    return " or ".join(found)


def full_name(name: str, namespace: object) -> str:
    """A name as the specification resolves it: one with dots says its own namespace, another is
    meant in `namespace`."""
    return f"{namespace}.{name}" if namespace and "." not in name else name


class FieldReader:
    """Reads the fields of one schema: it knows the schema's name, for errors, and the enums defined
    so far, by their full names. `namespace` is that of the record, in which names without one are
    meant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = ""
        self.enums: dict[str, Mapping[str, Any]] = {}

    def refuse(self, where: str, cause: str, next_step: str) -> NoReturn:
        resource = f"{self.name}, field {where!r}" if where else self.name
        raise SchemaError(resource, cause, next_step, field=where)

    def word(self, where: str, what: str, value: Any) -> str:
        plain = value
        # The record's own name alone may have a namespace in front.
        if isinstance(value, str) and what == "name" and not where:
            plain = value.rsplit(".", 1)[-1]
        if not isinstance(plain, str) or not _WORD.fullmatch(plain):
            self.refuse(
                where,
                f"{what} {value!r} is not a name",
                "Use letters, digits and _, no digit first.",
            )
        return plain

    def names(self, where: str, value: Any, of_field: bool = False) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name_, str) for name_ in value):
            self.refuse(
                where, f"aliases {value!r} is not a list of names", 'Write "aliases": ["old_name"].'
            )
        # Fields have no namespaces: a dot in an alias is one of a column's name.
        if of_field:
            return tuple(value)
        return tuple(name_.rsplit(".", 1)[-1] for name_ in value)

    def field(self, raw: Any) -> Field:
        if not isinstance(raw, Mapping):
            self.refuse("", f"{raw!r} is not a field", 'Write {"name": …, "type": …}.')
        name = self.word("", "field name", raw.get("name"))
        inner, null_branch = self.unwrap(name, raw.get("type"))
        type_, attributes = self.kind(name, inner)
        symbols: tuple[str, ...] = ()
        fallback: str | None = None
        enum_name = ""
        enum_aliases: tuple[str, ...] = ()
        if type_ == "enum":
            symbols, fallback = self.enum(name, attributes)
            enum_name = str(attributes.get("name", "")).rsplit(".", 1)[-1]
            enum_aliases = self.names(name, attributes.get("aliases", []))
        logical = attributes.get("logicalType")
        if logical is not None and (logical, type_) not in LOGICAL:
            self.refuse(
                name,
                f"logicalType {logical!r} on {type_} is not supported",
                f"Remove it, or use {_logical_of(type_)}.",
            )
        return Field(
            name,
            type_,
            null_branch,
            symbols=symbols,
            enum_name=enum_name,
            enum_aliases=enum_aliases,
            fallback=fallback,
            logical=logical,
            aliases=self.names(name, raw.get("aliases", []), of_field=True),
            description=str(raw.get("doc", "")),
            has_default="default" in raw,
            default=self.default(name, raw, type_, null_branch, symbols),
            required=self.required(name, raw),
            range=self.range(name, raw, type_),
            domain=self.domain(name, raw, type_, symbols),
        )

    def unwrap(self, name: str, type_: Any) -> tuple[Any, int | None]:
        """The type beside null in a union, and where null stands in it."""
        if not isinstance(type_, list):
            return type_, None
        if len(type_) != 2 or type_.count("null") != 1:
            cause = f"is a union of {len(type_)} types"
            if type_ == ["null", "null"]:
                cause = "is only null"
            self.refuse(
                name,
                cause,
                'Only a union of null and one other type is supported: ["null", "string"].',
            )
        at = type_.index("null")
        return type_[1 - at], at

    def kind(self, name: str, type_: Any) -> tuple[str, Mapping[str, Any]]:
        """The type's name and its attributes."""
        attributes: Mapping[str, Any] = {}
        # A type may be wrapped as often as one likes; the attributes are those next to its name.
        while isinstance(type_, Mapping):
            attributes = type_
            type_ = type_.get("type")
        if isinstance(type_, str):
            # An enum is defined where it first stands, and named thereafter.
            known = self.enums.get(full_name(type_, self.namespace))
            if known is not None:
                return "enum", known
        if type_ not in TYPES or (type_ == "enum" and not attributes):
            text = type_ if isinstance(type_, str) else type(type_).__name__
            self.refuse(
                name,
                f"type {text!r} is not supported",
                _INSTEAD.get(text, f"Use one of {', '.join(TYPES)}."),
            )
        return str(type_), attributes

    def enum(self, name: str, raw: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
        symbols = raw.get("symbols")
        fallback = raw.get("default")
        if not isinstance(raw.get("name"), str):
            self.refuse(
                name,
                "is an enum without a name",
                'Write {"type": "enum", "name": …, "symbols": […]}.',
            )
        self.enums[full_name(raw["name"], raw.get("namespace", self.namespace))] = raw
        if (
            not isinstance(symbols, list)
            or not symbols
            or len(set(map(str, symbols))) < len(symbols)
        ):
            self.refuse(
                name,
                f"symbols {symbols!r} is not a list of distinct names",
                'Write "symbols": ["A", "B"].',
            )
        for symbol in symbols:
            self.word(name, "symbol", symbol)
        if fallback is not None and fallback not in symbols:
            self.refuse(
                name,
                f"the enum's default {fallback!r} is not a symbol",
                f"Use one of {', '.join(symbols)}.",
            )
        return tuple(symbols), fallback

    def default(
        self,
        name: str,
        raw: Mapping[str, Any],
        type_: str,
        null_branch: int | None,
        symbols: tuple[str, ...],
    ) -> Any:
        value = raw.get("default")
        if "default" not in raw or (value is None and null_branch is not None):
            return None
        if not fits(value, type_, symbols):
            self.refuse(
                name, f"default {value!r} is no {type_}", "Give a default of the field's own type."
            )
        # By its digits: of a long whole number the nearest float64, as a reader of JSON has it.
        return float(str(value)) if type_ in FLOATS else value

    def required(self, name: str, raw: Mapping[str, Any]) -> bool:
        value = raw.get("required", False)
        if not isinstance(value, bool):
            self.refuse(name, f"required is {value!r}", "Write true or false.")
        return value

    def range(self, name: str, raw: Mapping[str, Any], type_: str) -> tuple[float, float] | None:
        value = raw.get("range")
        if value is None:
            return None
        if type_ not in (*INTEGERS, *FLOATS):
            self.refuse(
                name,
                f"has a range, but is of type {type_}",
                "Only numbers have a range; texts have a domain.",
            )
        sound = (
            isinstance(value, list)
            and len(value) == 2
            and all(fits(bound, "double") for bound in value)
        )
        if not sound or not all(math.isfinite(bound) for bound in value) or value[0] > value[1]:
            self.refuse(
                name,
                f"range {value!r} is not [lowest, highest]",
                "Write two numbers, the lower one first.",
            )
        return value[0], value[1]

    def domain(
        self, name: str, raw: Mapping[str, Any], type_: str, symbols: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        value = raw.get("domain")
        if value is None:
            return None
        if type_ not in TEXTS:
            self.refuse(
                name,
                f"has a domain, but is of type {type_}",
                "Only texts have a domain; numbers have a range.",
            )
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(word, str) for word in value)
        ):
            self.refuse(
                name, f"domain {value!r} is not a list of texts", 'Write "domain": ["A", "B"].'
            )
        strange = sorted(set(value) - set(symbols)) if type_ == "enum" else []
        if strange:
            self.refuse(
                name,
                f"domain has {', '.join(strange)}, which the enum lacks",
                "Remove it, or add the symbol.",
            )
        return tuple(dict.fromkeys(value))
