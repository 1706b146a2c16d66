"""From records to columns: events in the Confluent wire format or in JSON, of the topic's schema or
of older ones.

No row ever raises: a row that cannot be decoded says so in `reason`, and its neighbours are
untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from freshet.schemas.avro import walker_kernels as kernels
from freshet.schemas.events.codec import EventCodec, frozen
from freshet.schemas.events.columns import (
    I64,
    OUT_OF_RANGE,
    REASONS,
    U8,
    UNKNOWN_TYPE,
    UNREADABLE_SCHEMA,
    Columns,
)
from freshet.schemas.events.lists import read_decimals, read_uuids
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.text.keys import joined

__all__ = ["REASONS", "Columns", "EventCodec", "decode", "encode", "warm"]
# How a record may begin that is JSON: with its brace, or with what may come before it: the white
# space of RFC 8259, or the first byte of UTF-8's byte order mark, which a reader may pass over.
# Avro begins with a zero byte.
_JSON_BEGINS = np.zeros(256, np.bool_)
_JSON_BEGINS[list(b"{ \t\r\n\xef")] = True
_writer = lru_cache(maxsize=64)(EventWriter)


def decode(
    data: U8,
    start: I64,
    end: I64,
    codec: EventCodec,
) -> Columns:
    """Decode records `data[start[i]:end[i]]`: uint8 bytes, int64 `[n]` spans. Never raises for what
    the records hold."""
    if _has_json(data, start):
        columns = _decode_with_json(data, start, end, codec)
    else:
        columns = _walk(data, start, end, codec)
    if len(codec.unreadable):
        _mark_unreadable(columns, data, start, codec)
    return columns


def unknown_ids(data: U8, start: I64, end: I64, known: I64) -> list[int]:
    """The wire ids of records that are none of `known` (int64, rising), each once."""
    found = np.empty(len(start), np.int64)
    count = kernels.unknown_ids(
        frozen(np.ascontiguousarray(data, np.uint8)),
        _spans(start),
        _spans(end),
        _spans(known),
        found,
    )
    return sorted(set(found[:count].tolist()))


def _mark_unreadable(columns: Columns, data: U8, start: I64, codec: EventCodec) -> None:
    """Of records without a program, those whose schema is known: why they are bad is another."""
    for row in np.flatnonzero(columns.reason == UNKNOWN_TYPE).tolist():
        head = data[start[row] + 1 : start[row] + kernels.HEADER].tobytes()
        if int.from_bytes(head, "big") in codec.unreadable:
            columns.reason[row] = UNREADABLE_SCHEMA


def encode(schema: EventSchema, records: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Events in the wire format, by fastavro. Raises `RequestError`, naming record and field, for
    one that does not fit."""
    writer = _writer(schema)
    out = []
    for i, record in enumerate(records):
        try:
            out.append(writer.encode(record))
        except Misfit as misfit:
            raise writer.refusal(i, misfit) from misfit
    return out


def _walk(
    data: U8,
    start: I64,
    end: I64,
    codec: EventCodec,
) -> Columns:
    rows = len(start)
    fields = len(codec.empty)
    words = np.empty((fields, 2, rows), np.int64)
    into = kernels.Decoded(
        words=words,
        floats=words.view(np.float64),
        valid=np.empty((fields, rows), np.bool_),
        reason=np.empty(rows, np.uint8),
        detail=np.empty(rows, np.int16),
    )
    data = frozen(np.ascontiguousarray(data, np.uint8))
    end_of_records = len(data)
    stack = None
    if codec.is_nested:
        stack = np.empty(codec.depth, np.int64)
    constants = kernels.walk(
        data, _spans(start), _spans(end), codec.programs, into, codec.empty, stack
    )
    if constants:
        data = frozen(np.concatenate([data, codec.constants]))
    data = read_uuids(data, into, codec)
    for at, refused in read_decimals(data, into, codec):
        # Missing, as all that cannot be decoded is.
        into.reason[refused] = OUT_OF_RANGE
        into.detail[refused] = at
        into.valid[:, refused] = False
        into.words[:, 0, refused] = codec.empty[:, None]
        into.words[:, 1, refused] = 0
    return Columns(
        codec,
        data,
        into,
        start,
        end_of_records,
    )


def _spans(values: I64) -> I64:
    return frozen(np.ascontiguousarray(values, np.int64))


def _has_json(data: U8, start: I64) -> bool:
    """Whether some record may begin like a JSON object; an empty one may seem to, which does no
    harm."""
    return len(data) > 0 and bool(_JSON_BEGINS[data.take(start, mode="clip")].any())


def _decode_with_json(
    data: U8,
    start: I64,
    end: I64,
    codec: EventCodec,
) -> Columns:
    """JSON rows become Avro, after the other rows' bytes, so that all rows take one path."""
    writer = _writer(codec.schema)
    begins = _JSON_BEGINS[data.take(start, mode="clip")]
    json_rows = np.flatnonzero(begins & (end > start) & (start >= 0))
    # The spans may be a few out of a large buffer: only what they cover is copied.
    low = max(0, int(start.min()))
    high = min(len(data), int(end.max()))
    given = data[low:high].tobytes()
    parts = [given]
    size = len(given)
    misfits = []
    start = start - low
    end = end - low
    for row in json_rows.tolist():
        text = given[start[row] : end[row]]
        # Of a row that fits not, nothing: the walker calls it undecodable, the loop below why.
        start[row] = end[row] = 0
        try:
            record = writer.transcode(text)
        except Misfit as misfit:
            misfits.append((row, misfit))
            continue
        parts.append(record)
        start[row] = size
        end[row] = size + len(record)
        size += len(record)
    columns = _walk(
        np.frombuffer(b"".join(parts), np.uint8),
        start,
        end,
        codec,
    )
    for row, why in misfits:
        columns.reason[row] = why.reason
        columns.detail_field[row] = why.field
    return columns


# One of each kind that is more than a word.
_NESTED = [
    {"name": "list", "type": {"type": "array", "items": "string"}},
    {
        "name": "price",
        "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    },
    {"name": "id", "type": {"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}},
]


def warm() -> None:
    """Compile all that decoding, validating and reading texts from the decoded columns need."""
    from freshet.schemas.events.validation import validate

    flat = [{"name": "a", "type": "string"}, {"name": "t", "type": "long"}]
    for more in ([], _NESTED):
        schema = EventSchema.parse({"type": "record", "name": "warm", "fields": flat + more}, "w")
        event = {"a": "x", "t": 1, "list": ["y"], "price": 1, "id": "0" * 16}
        value = encode(schema, [event])[0]
        end = np.array([len(value)])
        columns = decode(np.frombuffer(value, np.uint8), np.array([0]), end, EventCodec(schema))
        unknown_ids(columns.data, np.array([0]), end, np.array([1]))
        validate(columns, np.zeros(1, np.int64), "t", columns.integers("t")[0], 1)
        for field in schema.fields:
            columns.arrow(field.name, np.zeros(1, np.int64))
    texts = columns.text("a")
    joined([texts]), joined([texts, texts])
    texts.hashes(), texts.identities(), texts.partitions(1), texts.to_arrow(np.zeros(1, np.int64))
