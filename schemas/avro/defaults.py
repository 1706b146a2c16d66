"""Values that a schema's JSON gives as defaults. Source: Apache Avro 1.12 specification, complex
types, records; of a union the default may be of any branch."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from freshet.schemas.avro.tree import NAMED, Array, Enum, Fixed, Map, Record, Type, Union

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


def number_of(value: Any, kind: str) -> float:
    """A default number by its digits: of a long whole number the nearest float64, as a reader of
    JSON has it; and as a record would have held it: a float is rounded to 32 bits before it is
    widened."""
    number = float(str(value))
    if kind == "float":
        return float(np.float32(number))
    return number


def encoded(value: Any, type_: Type) -> bytes:
    """A default as its bytes, by the specification's binary encoding."""
    if isinstance(type_, Union):
        at = next(i for i, branch in enumerate(type_.branches) if default_fits(value, branch))
        return whole(at) + encoded(value, type_.branches[at])
    if isinstance(type_, Record):
        parts = [encoded(value.get(own.name, own.default), own.type) for own in type_.fields]
        return b"".join(parts)
    if isinstance(type_, Array):
        return _blocks([encoded(item, type_.items) for item in value])
    if isinstance(type_, Map):
        pairs = [_sized(key.encode()) + encoded(own, type_.values) for key, own in value.items()]
        return _blocks(pairs)
    if isinstance(type_, Enum):
        return whole(type_.symbols.index(value))
    if isinstance(type_, Fixed):
        return str(value).encode("latin-1")
    return _primitive(value, type_.kind)


def _primitive(value: Any, kind: str) -> bytes:
    if kind == "null":
        return b""
    if kind == "boolean":
        return bytes([value])
    if kind in INTEGERS:
        return whole(value)
    if kind == "float":
        return struct.pack("<f", number_of(value, kind))
    if kind == "double":
        return struct.pack("<d", number_of(value, kind))
    return _sized(text_of(value, kind))


def text_of(value: Any, kind: str) -> bytes:
    """A string, or bytes of which each is a character."""
    if kind == "string":
        return str(value).encode()
    return str(value).encode("latin-1")


def _sized(text: bytes) -> bytes:
    return whole(len(text)) + text


def _blocks(items: list[bytes]) -> bytes:
    """One block, if there are any items, and the empty one that ends them."""
    if not items:
        return b"\0"
    return whole(len(items)) + b"".join(items) + b"\0"


def whole(value: int) -> bytes:
    """A whole number of up to 64 bits: zigzag, then seven bits a byte, the lowest first."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def default_value(value: Any, type_: Type) -> Any:
    """A default as fastavro takes it."""
    if isinstance(type_, Union):
        branch = next(own for own in type_.branches if default_fits(value, own))
        if value is None:
            return None
        return tag_of(branch), default_value(value, branch)
    if isinstance(type_, Record):
        return {
            own.name: default_value(value.get(own.name, own.default), own.type)
            for own in type_.fields
        }
    if isinstance(type_, Array):
        return [default_value(item, type_.items) for item in value]
    if isinstance(type_, Map):
        return {key: default_value(item, type_.values) for key, item in value.items()}
    if type_.kind in ("bytes", "fixed"):
        return str(value).encode("latin-1")
    if type_.kind in ("float", "double"):
        return float(str(value))
    return value


def tag_of(branch: Type) -> str:
    """By what fastavro is told which branch of a union a value is: a named one by its full name."""
    if isinstance(branch, NAMED):
        return branch.name
    return branch.kind
