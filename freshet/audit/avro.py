"""Reads Avro values the slow and obvious way, byte by byte, and as strictly as the specification
says."""

from __future__ import annotations

import io
import struct
from typing import Any

from freshet.schemas.events.field import Field


def read_field(stream: io.BytesIO, field: Field) -> Any:
    """A field as Avro 1.12 writes it. fastavro is not as strict: it takes any byte for true, and
    numbers of any length."""
    if field.null_branch is not None:
        branch = _whole(stream, 64)
        if branch not in (0, 1):
            raise ValueError(f"no branch {branch}")
        if branch == field.null_branch:
            return None
    if field.type == "string":
        return _bytes(stream, _whole(stream, 64)).decode()
    if field.type == "boolean":
        # Any other byte is an `IndexError`: no truth.
        return (False, True)[_bytes(stream, 1)[0]]
    if field.type == "float":
        return struct.unpack("<f", _bytes(stream, 4))[0]
    if field.type == "double":
        return struct.unpack("<d", _bytes(stream, 8))[0]
    if field.type == "enum":
        index = _whole(stream, 64)
        # Python would count a negative one from the end.
        if index < 0:
            raise ValueError(f"no symbol {index}")
        return field.symbols[index]
    if field.type == "int":
        return _whole(stream, 32)
    return _whole(stream, 64)


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
