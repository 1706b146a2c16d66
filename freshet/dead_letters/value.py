"""What a dead letter holds, made as readable as it is: JSON, Avro as far as it goes, a block of
rows, or bytes."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from freshet.audit.avro import read_field
from freshet.dead_letters.letters import Letter
from freshet.schemas.durations import text_of
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import is_json
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks

WIRE_HEADER = 5
DUMPED_BYTES, LINE_BYTES = 64, 16
_WHYS = {
    "too_large": f"keys and ids may have {KEY_BYTES} bytes",
    "bad_label": "a label must be true or false, 1 or 0, or null where the event is no label",
}
SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class Readable:
    """A value as far as it can be read. `fields` are in order, `marked` is the one that was wrong,
    `why` says what was wrong with it; `rest` are the bytes that could not be read, from `rest_at`
    on."""

    form: Literal["json", "avro", "block", "text", "bytes"]
    what: str
    fields: Mapping[str, Any]
    marked: str | None
    why: str
    rest: bytes = b""
    rest_at: int = 0
    text: str = ""


def readable(letter: Letter, topic: Topic | None, earlier: Mapping[int, EventSchema]) -> Readable:
    """`topic` is None for records of the app's own logs; `earlier` are the topic's schemas under
    other wire ids."""
    value, why = letter.value, _why(letter, topic)
    if is_json(value):
        return _json(letter, why)
    if value[:4] == blocks.MAGIC:
        return _block(letter, why)
    if topic is not None and value[:1] == b"\0" and len(value) >= WIRE_HEADER:
        (wire,) = struct.unpack(">I", value[1:WIRE_HEADER])
        known = {**earlier, topic.events.schema_id: topic.events}
        if wire in known:
            return _avro(letter, known[wire], why)
        ids = ", ".join(map(str, sorted(known)))
        what = f"in the Confluent wire format, of schema_id {wire}, which {topic.name} never had (it has {ids})"
        return Readable("bytes", what, {}, None, why, value[WIRE_HEADER:], WIRE_HEADER)
    if value and _is_text(value):
        return Readable(
            "text", "text, but no JSON object", {}, None, why, text=value.decode(errors="replace")
        )
    what = "neither JSON nor in the Confluent wire format" if value else "no bytes at all"
    return Readable("bytes", what, {}, None, why, value)


def _json(letter: Letter, why: str) -> Readable:
    try:
        found = json.loads(letter.value)
    except (ValueError, RecursionError) as error:
        cut = " (only its first bytes were kept)" if letter.size > len(letter.value) else ""
        text = letter.value.decode(errors="replace")
        return Readable("text", f"JSON that cannot be read: {error}{cut}", {}, None, why, text=text)
    return Readable("json", "JSON", found, letter.field, why)


def _avro(letter: Letter, schema: EventSchema, why: str) -> Readable:
    stream, fields, bad = io.BytesIO(letter.value[WIRE_HEADER:]), dict[str, Any](), letter.field
    what = f"Avro of {schema.name} (schema_id {schema.schema_id})"
    for f in schema.fields:
        at = stream.tell()
        try:
            fields[f.name] = read_field(stream, f)
        except (ValueError, IndexError, struct.error) as error:
            rest = letter.value[WIRE_HEADER + at :]
            told = (
                "it ends before the value does"
                if not rest
                else f"these bytes are no {f.type}: {error}"
            )
            if letter.size > len(letter.value):
                told = f"only the first {len(letter.value)} bytes were kept"
            return Readable("avro", what, fields, f.name, told, rest, WIRE_HEADER + at)
    rest = stream.read()
    if rest:
        why = f"{len(rest)} bytes follow the last field: was it written with another schema?"
    return Readable("avro", what, fields, bad, why, rest, len(letter.value) - len(rest))


def _block(letter: Letter, why: str) -> Readable:
    """A record of one of the app's own logs."""
    names = {
        v: k.lower()
        for k, v in vars(blocks).items()
        if k in ("CLEAN", "PREDICTIONS", "LABELS", "EXAMPLES", "DEAD")
    }
    try:
        b = blocks.decode(letter.value)
    except SchemaError as error:
        return Readable(
            "bytes", f"a block that cannot be read: {error.cause}", {}, None, why, letter.value
        )
    n = b.rows.num_rows if b.rows is not None else 0
    rows = b.rows.slice(0, SHOWN_ROWS).to_pylist() if b.rows is not None else []
    what = f"a block of {n} {names.get(b.kind, 'unknown')} rows from {b.origin} partition {b.partition}"
    return Readable("block", what, {f"row {i}": _plain(r) for i, r in enumerate(rows)}, None, why)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: f"({len(x)} bytes)" if isinstance(x, bytes) else x for k, x in row.items()}


def _why(letter: Letter, topic: Topic | None) -> str:
    """What the reason means for this letter."""
    fields = {f.name: f for f in topic.events.fields} if topic is not None else {}
    f = fields.get(letter.field or "")
    if letter.reason == "far_future" and topic is not None:
        ahead = text_of(topic.freshness.ms("max_future"))
        return (
            "later than the record's append time, or than the app's clock then, by more than "
            f"max_future ({ahead} as declared)"
        )
    if letter.reason in _WHYS:
        return _WHYS[letter.reason]
    if f is None:
        return ""
    return {
        "missing_required": "it is required, and missing",
        "wrong_type": f"it must be of type {f.type}",
        "out_of_domain": f"it must be one of {', '.join(f.domain or f.symbols)}",
        "out_of_range": _range(f),
    }.get(letter.reason, "")


def _range(f: Field) -> str:
    if f.range is None:
        return "it must be a finite number"
    lowest, highest = f.bounds_text
    return f"it must be within {lowest} and {highest}"


def _is_text(value: bytes) -> bool:
    try:
        return value.decode().isprintable()
    except UnicodeDecodeError:
        return False


def hex_dump(value: bytes, first: int = 0, most: int | None = DUMPED_BYTES) -> Iterator[str]:
    """Lines of offset, bytes and characters.

    >>> list(hex_dump(b"freshet"))
    ['00000  66 72 65 73 68 65 74                             freshet']
    """
    shown = value if most is None else value[:most]
    for a in range(0, len(shown), LINE_BYTES):
        part = shown[a : a + LINE_BYTES]
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in part)
        yield f"{first + a:05x}  {part.hex(' '):<{3 * LINE_BYTES - 1}}  {text}"
    if len(shown) < len(value):
        yield f"… {len(value) - len(shown):,} more bytes"
