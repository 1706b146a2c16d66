"""Arrow arrays of what is more than a word: bytes, decimals, arrays and maps. Arrays are walked
over when records are decoded, and read here, when somebody asks for them.

A map is a list of records of `key` and `value`, in the order in which they were written; of a union
of several types in a list there is a record with a field for each, null where another stands; a
record in a list that is missing is one of which all is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.avro import bytes_kernels
from freshet.schemas.avro import walker_kernels as kernels
from freshet.schemas.avro.leaves import MOST_DIGITS, alone_in, logical_of, widest
from freshet.schemas.avro.tree import (
    Array,
    Fixed,
    Map,
    Record,
    Type,
    Union,
    branch_names,
    is_null,
    joined,
    record_of_item,
)
from freshet.schemas.events.codec import CompiledColumns, frozen
from freshet.schemas.events.field import Field
from freshet.schemas.text.columns import Texts, arrow_validity

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
# An enum's, as bytes with starts and ends.
Symbols = tuple[U8, I64, I64]
# Types of fields that `column` is for.
WHOLE_VALUES = ("bytes", "decimal", "array", "map")
_PLAIN = {
    "null": pa.null(),
    "string": pa.string(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
}


class Found(NamedTuple):
    """What was decoded, as `walker_kernels` lays it out, and `which`, int64 `[n]`, of the codec's
    programs each row was read by. What records hold ends in `data` at `end`; defaults lie
    behind."""

    data: U8
    words: I64
    valid: Bools
    which: I64
    end: int


class Elements(NamedTuple):
    """What arrays hold: `offsets` int32 `[n + 1]` say how many elements lie before each array, and
    `found` what they are, by `codec`. `overlong` are the elements with a decimal of more digits
    than it may have, which is missing, by column."""

    codec: CompiledColumns
    offsets: npt.NDArray[np.int32]
    found: Found
    overlong: list[tuple[int, npt.NDArray[np.intp]]]


def arrow_type(field: Field) -> pa.DataType:
    """What a column is in Arrow."""
    if field.type == "decimal":
        return pa.decimal128(field.precision, field.scale)
    if field.type in _PLAIN:
        return _PLAIN[field.type]
    assert isinstance(field.node, Array | Map)
    return _type_of(field.node)


def _type_of(type_: Type) -> pa.DataType:
    """The same of any type in the tree."""
    if isinstance(type_, Array):
        return pa.list_(_type_of(type_.items))
    if isinstance(type_, Map):
        return pa.list_(_type_of(record_of_item(type_)))
    if isinstance(type_, Record):
        return pa.struct([(own.name, _type_of(own.type)) for own in type_.fields])
    if isinstance(type_, Union):
        alone = alone_in(type_)
        if alone is type_:
            return _PLAIN[widest(type_)]
        if alone is not None:
            return _type_of(alone)
        return pa.struct([(name, _type_of(branch)) for name, branch in _branches(type_)])
    logical = logical_of(type_)
    if logical is not None and logical.name == "decimal" and logical.precision <= MOST_DIGITS:
        return pa.decimal128(logical.precision, logical.scale)
    if isinstance(type_, Fixed):
        return pa.string() if logical is not None and logical.name == "uuid" else pa.binary()
    return _PLAIN[type_.kind]


def _branches(union: Union) -> list[tuple[str, Type]]:
    named = zip(branch_names(union), union.branches)
    return [(name, branch) for name, branch in named if not is_null(branch)]


def column(
    codec: CompiledColumns,
    found: Found,
    at: int,
    rows: npt.NDArray[np.intp],
) -> pa.Array:
    """The rows of a column, null where missing."""
    field = codec.schema.fields[at]
    valid = found.valid[at][rows]
    words = found.words[at][:, rows]
    if field.type in ("array", "map"):
        return _lists(
            codec,
            found._replace(which=found.which[rows]),
            at,
            words,
            valid,
        )
    if field.type == "decimal":
        # Low and high half of each, one after the other, as Arrow has them.
        halves = pa.py_buffer(np.ascontiguousarray(words.T))
        return pa.Array.from_buffers(arrow_type(field), len(rows), [arrow_validity(valid), halves])
    if field.type == "enum":
        data, starts, ends = codec.symbols[field.name]
        return Texts(
            data,
            starts[words[0]],
            ends[words[0]],
            valid,
        ).to_arrow()
    if field.type in ("string", "bytes"):
        return (
            Texts(
                found.data,
                words[0],
                words[1],
                valid,
            )
            .to_arrow()
            .cast(_PLAIN[field.type])
        )
    if field.type in ("float", "double"):
        return of_numbers(field.type, words[0].view(np.float64), valid)
    return of_numbers(field.type, words[0], valid)


def of_numbers(kind: str, values: npt.NDArray[Any], valid: Bools) -> pa.Array:
    """Numbers or booleans of a field of this type, null where they are not valid."""
    type_ = _PLAIN[kind]
    if kind == "boolean":
        data = np.packbits(values != 0, bitorder="little")
    else:
        data = values.astype(type_.to_pandas_dtype(), copy=False)
    # A slice of a table of words need not lie in one piece.
    buffer = pa.py_buffer(np.ascontiguousarray(data))
    return pa.Array.from_buffers(type_, len(valid), [arrow_validity(valid), buffer])


def programs_of(data: U8, start: I64, ids: I64) -> I64:
    """The index among `ids` of the wire id of each row, int64 `[n]`; 0 where there is none, which
    is a row that has no values either."""
    which = np.zeros(len(start), np.int64)
    inside = (start >= 0) & (start + kernels.HEADER <= len(data))
    at = start[inside]
    wire = np.zeros(len(at), np.int64)
    for i in range(1, kernels.HEADER):
        wire = wire << 8 | data[at + i]
    found = np.zeros(len(at), np.int64)
    for k, own in enumerate(ids.tolist()):
        found[wire == own] = k
    which[inside] = found
    return which


def _lists(
    codec: CompiledColumns,
    found: Found,
    at: int,
    words: I64,
    valid: Bools,
) -> pa.ListArray:
    items, offsets, decoded, _ = elements(
        codec,
        found,
        at,
        words,
    )
    type_ = codec.schema.fields[at].node
    assert isinstance(type_, Array | Map)
    record = _assembled(
        items,
        decoded,
        items.schema.tree,
        "",
    )
    child = record
    if isinstance(type_, Array):
        child = record.field(0)
    return pa.ListArray.from_arrays(pa.array(offsets), child, mask=pa.array(~valid))


def elements(
    codec: CompiledColumns,
    found: Found,
    at: int,
    words: I64,
) -> Elements:
    """What the arrays or maps of a column hold; `words` int64 `[2, n]` are their starts and ends, 0
    and 0 where there is none."""
    items = codec.items(at)
    # A default is as the reader would have written it, whose program is the last.
    which = np.where(words[0] < found.end, found.which, len(items.programs.first) - 2)
    return _items(
        items,
        found.data,
        words,
        which,
    )


def _items(
    items: CompiledColumns,
    data: U8,
    words: I64,
    which: I64,
) -> Elements:
    offsets = np.zeros(len(which) + 1, np.int32)
    stack = np.empty(items.depth, np.int64)
    end = len(data)
    words = frozen(np.ascontiguousarray(words))
    fixed = frozen(which)
    # Twice: how many there are is not known before they are walked over.
    once = _room(items, 1)
    kernels.walk_items(
        data,
        words,
        fixed,
        items.programs,
        once,
        offsets,
        stack,
        False,
    )
    count = int(offsets[-1])
    into = _room(items, max(1, count))
    texts = kernels.walk_items(
        data,
        words,
        fixed,
        items.programs,
        into,
        offsets,
        stack,
        True,
    )
    if texts:
        data = frozen(np.concatenate([data, items.constants]))
    into = kernels.Decoded(
        words=into.words[:, :, :count],
        floats=into.floats[:, :, :count],
        valid=into.valid[:, :count],
        reason=into.reason[:count],
        detail=into.detail[:count],
    )
    data = read_uuids(data, into, items)
    overlong = list(read_decimals(data, into, items))
    for at, rows in overlong:
        into.valid[at, rows] = False
    programs = np.repeat(which, np.diff(offsets))
    decoded = Found(
        data,
        into.words,
        into.valid,
        programs,
        end,
    )
    return Elements(
        items,
        offsets,
        decoded,
        overlong,
    )


def _room(codec: CompiledColumns, rows: int) -> kernels.Decoded:
    fields = len(codec.empty)
    words = np.zeros((fields, 2, rows), np.int64)
    return kernels.Decoded(
        words=words,
        floats=words.view(np.float64),
        valid=np.zeros((fields, rows), np.bool_),
        reason=np.zeros(rows, np.uint8),
        detail=np.zeros(rows, np.int16),
    )


def _assembled(
    codec: CompiledColumns,
    found: Found,
    type_: Type,
    path: str,
) -> pa.Array:
    """What stands at a path, of its columns."""
    count = len(found.which)
    if isinstance(type_, Record):
        named = [(own.name, own.type) for own in type_.fields]
        return _struct(
            codec,
            found,
            named,
            path,
        )
    if isinstance(type_, Union):
        alone = alone_in(type_)
        if alone is None:
            return _struct(
                codec,
                found,
                _branches(type_),
                path,
            )
        if alone is not type_:
            return _assembled(
                codec,
                found,
                alone,
                path,
            )
    if is_null(type_):
        return pa.nulls(count)
    return column(
        codec,
        found,
        codec.schema.position(path),
        np.arange(count),
    )


def _struct(
    codec: CompiledColumns, found: Found, named: list[tuple[str, Type]], path: str
) -> pa.StructArray:
    parts = [
        _assembled(
            codec,
            found,
            own,
            joined(path, f".{name}"),
        )
        for name, own in named
    ]
    if not parts:
        return pa.array([{}] * len(found.which), pa.struct([]))
    return pa.StructArray.from_arrays(parts, names=[name for name, _ in named])


def read_uuids(data: U8, into: kernels.Decoded, codec: CompiledColumns) -> U8:
    """UUIDs of 16 bytes as texts, which lie after all else: from here on they are what any text
    is."""
    for at in codec.uuids:
        valid = np.ascontiguousarray(into.valid[at])
        texts = np.zeros(bytes_kernels.UUID_LENGTH * len(valid), np.uint8)
        bytes_kernels.write_uuids(
            data,
            into.words[at],
            frozen(valid),
            texts,
            len(data),
        )
        data = frozen(np.concatenate([data, texts]))
    return data


def read_decimals(
    data: U8, into: kernels.Decoded, codec: CompiledColumns
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Turn decimals into numbers of 128 bits; of each column, the rows with one of more digits than
    it may have."""
    for at, most in codec.decimals:
        valid = np.ascontiguousarray(into.valid[at])
        refused = np.zeros(len(valid), np.bool_)
        bytes_kernels.read_decimals(
            data,
            into.words[at],
            frozen(valid),
            most,
            refused,
        )
        yield at, np.flatnonzero(refused)
