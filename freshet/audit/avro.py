"""Reads Avro values the slow and obvious way, byte by byte, and as strictly as the specification
says."""

from __future__ import annotations

import io
import struct
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from freshet.schemas.avro.leaves import alone_in, leaves_at, widest
from freshet.schemas.avro.tree import (
    Array,
    Enum,
    Fixed,
    Logical,
    Map,
    Primitive,
    Record,
    Type,
    Union,
    branch_names,
    is_null,
    joined,
)

_TOO_MANY = 38  # digits: a decimal with more stays bytes


class Unreadable(ValueError):
    """A value that its type does not have: where it began, and as what it was read."""

    def __init__(
        self,
        path: str,
        kind: str,
        at: int,
        why: str,
    ) -> None:
        self.path = path
        self.kind = kind
        self.at = at
        super().__init__(why)


def read_values(
    stream: io.BytesIO, record: Record, path: str = "", exploded: str | None = None
) -> Iterator[tuple[str, Any]]:
    """The columns of a record in the order of its bytes, each by its path; those of branches that
    were not taken are None. fastavro is not as strict: it takes any byte for true, and numbers
    of any length. Of the array or map at the path `exploded`, a list of the columns of each
    element.

    Raises: Unreadable: the bytes are no such record.
    """
    for own in record.fields:
        yield from _column(stream, own.type, joined(path, f".{own.name}"), exploded)


def _column(
    stream: io.BytesIO,
    type_: Type,
    path: str,
    exploded: str | None,
) -> Iterator[tuple[str, Any]]:
    at = stream.tell()
    value = None
    wide = ""
    whole = type_
    above = path
    try:
        if isinstance(type_, Union):
            union = type_
            branch = _index(stream, len(union.branches))
            type_ = union.branches[branch]
            if alone_in(union) is union:
                wide = widest(union)
            elif alone_in(union) is None and not is_null(type_):
                path = joined(path, f".{branch_names(union)[branch]}")
        if isinstance(type_, Array | Map) and path == exploded:
            value = _elements(stream, type_, path)
        elif not isinstance(type_, Record):
            value = _value(stream, type_)
    except (ValueError, IndexError, struct.error) as error:
        raise Unreadable(
            path,
            type_.kind,
            at,
            str(error),
        ) from error
    found: dict[str, Any] = {}
    if isinstance(type_, Record):
        # One after the other, so that those before a torn one are told.
        for name, inner in read_values(stream, type_, path, exploded):
            found[name] = inner
            yield name, inner
    elif not is_null(type_):
        found[path] = _widened(value, wide)
        yield path, found[path]
    yield from ((name, None) for name in leaves_at(whole, above) if name not in found)


def _elements(stream: io.BytesIO, type_: Array | Map, path: str) -> list[dict[str, Any]]:
    if isinstance(type_, Array):
        return [dict(_column(stream, type_.items, path, None)) for _ in _blocks(stream)]
    found = []
    for _ in _blocks(stream):
        key = {f"{path}.key": _text(stream)}
        found.append({**key, **dict(_column(stream, type_.values, f"{path}.value", None))})
    return found


def has_overlong(event: Mapping[str, Any]) -> bool:
    """Whether a column holds a decimal of more digits than it may have."""
    return any(isinstance(value, _Overlong) for value in event.values())


class _Overlong(Decimal):
    """A decimal of more digits than its type has."""


def _item(stream: io.BytesIO, type_: Type) -> Any:
    """A value within an array or map, as columns have it there: of a union of several types a
    record with a field for each, of a record that is missing one of which all is."""
    if isinstance(type_, Record):
        return {own.name: _item(stream, own.type) for own in type_.fields}
    if not isinstance(type_, Union):
        value = _value(stream, type_)
        return None if isinstance(value, _Overlong) else value
    at = _index(stream, len(type_.branches))
    value = _item(stream, type_.branches[at])
    if is_null(type_.branches[at]):
        return _nothing(type_)
    alone = alone_in(type_)
    if alone is type_:
        return _widened(value, widest(type_))
    if alone is not None:
        return value
    return {**_nothing(type_), branch_names(type_)[at]: value}


def _widened(value: Any, kind: str) -> Any:
    """A number as the widest of its union."""
    if kind in ("float", "double"):
        return float(value)
    return value


def _nothing(type_: Type) -> Any:
    """A value that is missing."""
    if isinstance(type_, Record):
        return {own.name: _nothing(own.type) for own in type_.fields}
    if isinstance(type_, Union):
        alone = alone_in(type_)
        if alone is None:
            named = zip(branch_names(type_), type_.branches)
            return {name: _nothing(branch) for name, branch in named if not is_null(branch)}
        if alone is not type_:
            return _nothing(alone)
    return None


def _value(stream: io.BytesIO, type_: Type) -> Any:
    """A value as Avro 1.12 writes it; neither a record nor a union."""
    if isinstance(type_, Array):
        return [_item(stream, type_.items) for _ in _blocks(stream)]
    if isinstance(type_, Map):
        values = type_.values
        return [{"key": _text(stream), "value": _item(stream, values)} for _ in _blocks(stream)]
    if isinstance(type_, Enum):
        return type_.symbols[_index(stream, len(type_.symbols))]
    if isinstance(type_, Fixed):
        return _meant(_bytes(stream, type_.size), type_.logical, is_fixed=True)
    if isinstance(type_, Primitive) and type_.kind == "bytes":
        return _meant(_bytes(stream, _whole(stream, 64)), type_.logical, is_fixed=False)
    return _primitive(stream, type_.kind)


def _primitive(stream: io.BytesIO, kind: str) -> Any:
    if kind == "null":
        return None
    if kind == "string":
        return _text(stream)
    if kind == "boolean":
        # Any other byte is an `IndexError`: no truth.
        return (False, True)[_bytes(stream, 1)[0]]
    if kind == "float":
        return struct.unpack("<f", _bytes(stream, 4))[0]
    if kind == "double":
        return struct.unpack("<d", _bytes(stream, 8))[0]
    if kind == "int":
        return _whole(stream, 32)
    return _whole(stream, 64)


def _meant(found: bytes, logical: Logical | None, is_fixed: bool) -> Any:
    """What bytes stand for."""
    if logical is None:
        return found
    if logical.name == "uuid" and is_fixed:
        return str(uuid.UUID(bytes=found))
    if logical.name != "decimal" or logical.precision > _TOO_MANY:
        return found
    whole = int.from_bytes(found, "big", signed=True)
    made = Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), -logical.scale))
    if abs(whole) >= 10**logical.precision:
        return _Overlong(made)
    return made


def _blocks(stream: io.BytesIO) -> Iterator[None]:
    """Once for each item of an array or map."""
    while count := _whole(stream, 64):
        if count < 0:
            count = -count
            if _whole(stream, 64) < 0:
                raise ValueError("a block of less than no bytes")
        # A byte an item at the least: more than are left cannot be there.
        if count > len(stream.getbuffer()) - stream.tell():
            raise ValueError(f"{count} items are not there")
        for _ in range(count):
            yield None


def _index(stream: io.BytesIO, count: int) -> int:
    index = _whole(stream, 64)
    # Python would count a negative one from the end.
    if not 0 <= index < count:
        raise ValueError(f"no branch or symbol {index}")
    return index


def _text(stream: io.BytesIO) -> str:
    return _bytes(stream, _whole(stream, 64)).decode()


def _bytes(stream: io.BytesIO, size: int) -> bytes:
    found = b""
    # A torn length may be negative, which would read all, or larger than any record.
    if 0 <= size < 1 << 31:
        found = stream.read(size)
    if len(found) != size:
        raise ValueError(f"{size} bytes are not there")
    return found


def _whole(stream: io.BytesIO, bits: int) -> int:
    """A zigzag number, in at most ten bytes."""
    number = 0
    # 64 bits in groups of seven are ten bytes.
    for i in range(10):
        byte = _bytes(stream, 1)[0]
        number |= (byte & 127) << 7 * i
        if byte < 128:
            break
    else:
        raise ValueError("a number without an end")
    value = (number >> 1) ^ -(number & 1)  # zigzag: 0, -1, 1, -2 …
    if number >> 64 or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"more than {bits} bits")
    return value
