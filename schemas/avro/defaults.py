"""Values that a schema's JSON gives as defaults. Source: Apache Avro 1.12 specification, complex
types, records; of a union the default may be of any branch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from freshet.schemas.avro.tree import Array, Enum, Fixed, Map, Record, Type, Union

BOUNDS = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}
LARGEST_FLOAT = {"float": (2 - 2**-23) * 2.0**127, "double": math.inf}
INTEGERS = ("int", "long")


def default_fits(value: Any, type_: Type) -> bool:
    """Whether a value read from JSON may be the default of a field of this type. Of bytes each
    character is one byte; of a record fields with defaults of their own may be left out."""
    if isinstance(type_, Union):
        return any(default_fits(value, branch) for branch in type_.branches)
    if isinstance(type_, Record):
        return isinstance(value, Mapping) and all(
            default_fits(value[own.name], own.type) if own.name in value else own.has_default
            for own in type_.fields
        )
    if isinstance(type_, Array):
        return isinstance(value, list) and all(default_fits(item, type_.items) for item in value)
    if isinstance(type_, Map):
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and default_fits(item, type_.values) for key, item in value.items()
        )
    if isinstance(type_, Enum):
        return isinstance(value, str) and value in type_.symbols
    if isinstance(type_, Fixed):
        return _is_bytes(value) and len(value) == type_.size
    if type_.kind == "bytes":
        return _is_bytes(value)
    return fits(value, type_.kind)


def fits(value: object, kind: str) -> bool:
    """Whether a value read from JSON is one of a primitive type but bytes. An integer is a number,
    a boolean is not."""
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    # True is an int to Python, and a number to nobody else.
    if isinstance(value, bool):
        return False
    if kind in INTEGERS:
        low, high = BOUNDS[kind]
        return isinstance(value, int) and low <= value <= high
    if isinstance(value, int):
        # Python's have any length: one beyond float64 would raise where it is converted.
        return abs(value) <= LARGEST_FLOAT[kind] and abs(value) < 1 << 1023
    if not isinstance(value, float):
        return False
    # NaN and infinity are floats to Avro; validation puts them out of range.
    return abs(value) <= LARGEST_FLOAT[kind] or not math.isfinite(value)


def _is_bytes(value: object) -> bool:
    return isinstance(value, str) and all(ord(character) < 256 for character in value)
