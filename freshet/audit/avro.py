"""Reads Avro values the slow and obvious way, byte by byte, and as strictly as the specification
says."""

from __future__ import annotations

import io
import struct
from typing import Any

from freshet.schemas.events.field import Field


def read_field(stream: io.BytesIO, f: Field) -> Any:
    """A field as Avro 1.12 writes it. fastavro is not as strict: it takes any byte for true, and
    numbers of any length."""
    if f.null_branch is not None:
        branch = _whole(stream, 64)
        if branch not in (0, 1):
            raise ValueError(f"no branch {branch}")
        if branch == f.null_branch:
            return None
    if f.type == "string":
        return _bytes(stream, _whole(stream, 64)).decode()
    if f.type == "boolean":
        return (False, True)[_bytes(stream, 1)[0]]
    if f.type in ("float", "double"):
        size, code = (4, "<f") if f.type == "float" else (8, "<d")
        return struct.unpack(code, _bytes(stream, size))[0]
    if f.type == "enum":
        index = _whole(stream, 64)
        return f.symbols[index if index >= 0 else len(f.symbols)]
    return _whole(stream, 32 if f.type == "int" else 64)


def _bytes(stream: io.BytesIO, size: int) -> bytes:
    found = stream.read(size) if 0 <= size < 1 << 31 else b""
    if len(found) != size:
        raise ValueError(f"{size} bytes are not there")
    return found


def _whole(stream: io.BytesIO, bits: int) -> int:
    """A zigzag number, in at most ten bytes."""
    number = 0
    for i in range(10):
        byte = _bytes(stream, 1)[0]
        number |= (byte & 127) << 7 * i
        if byte < 128:
            break
    else:
        raise ValueError("a number without an end")
    value = (number >> 1) ^ -(number & 1)
    if number >> 64 or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"more than {bits} bits")
    return value
