"""What a dead letter holds, made as readable as it is: JSON, Avro as far as it goes, a block of
rows, or bytes."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from freshet.audit.avro import Unreadable, read_values
from freshet.dead_letters.letters import Letter
from freshet.schemas.durations import text_of
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.columns import REASONS, REFUSED, UNREADABLE_SCHEMA
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import NAMES, declared_as, likely_unit
from freshet.schemas.events.writer import is_json
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.labels.letters import is_of_label

WIRE_HEADER = 5  # Confluent's: a zero byte and the schema's id
DUMPED_BYTES = 64  # of what cannot be read: its beginning tells most
LINE_BYTES = 16
_WHYS = {
    "too_large": f"keys and ids may have {KEY_BYTES} bytes",
    "bad_label": "a label must be true or false, 1 or 0, or null where the event is no label",
}
SHOWN_ROWS = 3  # of a block: enough to know whose it is


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
    found = _read(letter, topic, earlier)
    if topic is None or topic.time is None or letter.reason not in ("far_future", "bad_time"):
        return found
    # What it should have been depends on what it is.
    appended = letter.append_ms or letter.buried_ms
    unit = likely_unit(
        found.fields.get(topic.time.field),
        topic.time,
        appended,
    )
    if unit is None:
        return found
    declared = declared_as(topic.events[topic.time.field], unit)
    hint = f"as {NAMES[unit]} it would be near the record's: did you mean {declared}?"
    return replace(found, why=f"{found.why}; {hint}")


def _read(letter: Letter, topic: Topic | None, earlier: Mapping[int, EventSchema]) -> Readable:
    value = letter.value
    why = _why(letter, topic)
    if letter.reason == REASONS[REFUSED]:
        text = value.decode(errors="replace")
        return Readable(
            "text",
            "the key of a row that the store refuses",
            {},
            None,
            why,
            text=text,
        )
    if is_json(value):
        return _json(letter, why)
    if value[:4] == blocks.MAGIC:
        return _block(letter, why)
    if topic is not None and value[:1] == b"\0" and len(value) >= WIRE_HEADER:
        (wire,) = struct.unpack(">I", value[1:WIRE_HEADER])
        known = {**earlier, topic.records.schema_id: topic.records}
        if wire in known:
            return _of_event(
                letter,
                topic,
                _avro(letter, topic, known[wire], why),
            )
        what = (
            f"in the Confluent wire format, of schema_id {wire}, {_of_none(topic, letter, known)}"
        )
        return Readable(
            "bytes",
            what,
            {},
            None,
            why,
            value[WIRE_HEADER:],
            WIRE_HEADER,
        )
    if value and _is_text(value):
        return Readable(
            "text", "text, but no JSON object", {}, None, why, text=value.decode(errors="replace")
        )
    what = "no bytes at all"
    if value:
        what = "neither JSON nor in the Confluent wire format"
    return Readable("bytes", what, {}, None, why, value)


def _of_none(topic: Topic, letter: Letter, known: Mapping[int, EventSchema]) -> str:
    """What is with an id whose records are not read."""
    if letter.reason == REASONS[UNREADABLE_SCHEMA]:
        return f"which {topic.name} cannot read"
    if topic.registry is not None:
        return f"which the registry of {topic.name} does not know"
    ids = ", ".join(map(str, sorted(known)))
    return f"which {topic.name} never had (it has {ids})"


def _json(letter: Letter, why: str) -> Readable:
    try:
        found = json.loads(letter.value)
    except (ValueError, RecursionError) as error:
        cut = ""
        if letter.size > len(letter.value):
            cut = " (only its first bytes were kept)"
        text = letter.value.decode(errors="replace")
        return Readable(
            "text",
            f"JSON that cannot be read: {error}{cut}",
            {},
            None,
            why,
            text=text,
        )
    return Readable("json", "JSON", found, letter.field, why)


def _of_event(letter: Letter, topic: Topic, found: Readable) -> Readable:
    """What was read of a record, of which the letter is about one event, with its element alone."""
    elements = found.fields.get(topic.explode or "")
    # Where the array itself is at fault, all of it is.
    if not isinstance(elements, list) or letter.place >= len(elements):
        return found
    if letter.field == topic.explode:
        return found
    fields = {name: value for name, value in found.fields.items() if name != topic.explode}
    what = f"{found.what}, element {letter.place} of {len(elements)} in {topic.explode}"
    return replace(
        found,
        what=what,
        fields={**fields, **elements[letter.place]},
    )


def _avro(letter: Letter, topic: Topic, schema: EventSchema, why: str) -> Readable:
    stream = io.BytesIO(letter.value[WIRE_HEADER:])
    fields = dict[str, Any]()
    bad = letter.field
    what = f"Avro of {schema.name} (schema_id {schema.schema_id})"
    try:
        for path, value in read_values(stream, schema.tree, "", topic.explode):
            fields[path] = value
    except Unreadable as error:
        at = error.at
        rest = letter.value[WIRE_HEADER + at :]
        column = schema.positions.get(error.path)
        kind = error.kind if column is None else schema.fields[column].type
        told = f"these bytes are no {kind}: {error}"
        if not rest:
            told = "it ends before the value does"
        # Then nothing is known of the rest of the record: it may have been sound.
        if letter.size > len(letter.value):
            told = f"only the first {len(letter.value)} bytes were kept"
        return Readable(
            "avro",
            what,
            fields,
            error.path,
            told,
            rest,
            WIRE_HEADER + at,
        )
    rest = stream.read()
    if rest:
        why = f"{len(rest)} bytes follow the last field: was it written with another schema?"
    return Readable(
        "avro",
        what,
        fields,
        bad,
        why,
        rest,
        len(letter.value) - len(rest),
    )


def _block(letter: Letter, why: str) -> Readable:
    """A record of one of the app's own logs."""
    names = {
        value: name.lower()
        for name, value in vars(blocks).items()
        if name in ("CLEAN", "PREDICTIONS", "LABELS", "EXAMPLES", "DEAD")
    }
    try:
        block = blocks.decode(letter.value)
    except SchemaError as error:
        return Readable(
            "bytes", f"a block that cannot be read: {error.cause}", {}, None, why, letter.value
        )
    held = 0
    shown: dict[str, Any] = {}
    if block.rows is not None:
        held = block.rows.num_rows
        rows = block.rows.slice(0, SHOWN_ROWS).to_pylist()
        shown = {f"row {i}": _plain(row) for i, row in enumerate(rows)}
    kind = names.get(block.kind, "unknown")
    what = f"a block of {held} {kind} rows from {block.origin} partition {block.partition}"
    return Readable("block", what, shown, None, why)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Vectors and whole records are bytes that nobody reads."""
    out = dict(row)
    for name, value in row.items():
        if isinstance(value, bytes):
            out[name] = f"({len(value)} bytes)"
    return out


def _why(letter: Letter, topic: Topic | None) -> str:
    """What the reason means for this letter."""
    if letter.reason == "far_future" and topic is not None:
        ahead = text_of(topic.freshness.ms("max_future"))
        return (
            "later than the record's append time, or than the app's clock then, by more than "
            f"max_future ({ahead} as declared)"
        )
    if letter.reason == "bad_time" and topic is not None and topic.time is not None:
        return f"it is no time from 1900 on ({topic.time.counted})"
    if is_of_label(letter.reason, letter.detail):
        # Which model's, what it was and what would be one: its event went on.
        return f"{letter.detail}; the event itself was applied"
    if letter.reason in _WHYS:
        return _WHYS[letter.reason]
    field = None
    header = None
    if topic is not None:
        header = topic.headers.get(letter.field or "")
    if header is not None and letter.reason == "wrong_type":
        # Its value may have the field, too, and be sound there.
        return f"the record's header {header} must be text in UTF-8"
    if topic is not None:
        # Its schema may have changed since, and have no such field any more.
        field = next((known for known in topic.events.fields if known.name == letter.field), None)
    if field is None:
        return ""
    return {
        "missing_required": "it is required, and missing",
        "wrong_type": f"it must be of type {field.type}",
        "out_of_domain": f"it must be one of {', '.join(field.domain or field.symbols)}",
        "out_of_range": _range(field),
    }.get(letter.reason, "")


def _range(field: Field) -> str:
    if field.range is None:
        return "it must be a finite number"
    lowest, highest = field.bounds_text
    return f"it must be within {lowest} and {highest}"


def _is_text(value: bytes) -> bool:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    # Ends of lines and tabs are no characters to print, and a row of a table has both.
    return all(line.replace("\t", "").isprintable() for line in text.splitlines())


def hex_dump(value: bytes, first: int = 0, most: int | None = DUMPED_BYTES) -> Iterator[str]:
    """Lines of offset, bytes and characters.

    >>> list(hex_dump(b"freshet"))
    ['00000  66 72 65 73 68 65 74                             freshet']
    """
    shown = value[:most]
    for start in range(0, len(shown), LINE_BYTES):
        part = shown[start : start + LINE_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{first + start:05x}  {part.hex(' '):<{3 * LINE_BYTES - 1}}  {text}"
    if len(shown) < len(value):
        yield f"… {len(value) - len(shown):,} more bytes"
