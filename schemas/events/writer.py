"""Events as Python values to Avro in the Confluent wire format, by fastavro; the slow way in, for
producers and JSON.

Source: Confluent Schema Registry, "Wire format": a zero byte, the schema's id (4 bytes,
big-endian), the Avro body.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import fastavro
import msgspec

from freshet.schemas.errors import RequestError, SchemaError
from freshet.schemas.events.columns import (
    MISSING_REQUIRED,
    OUT_OF_DOMAIN,
    REASONS,
    UNDECODABLE,
    WRONG_TYPE,
)
from freshet.schemas.events.field import FLOATS, Field, fits
from freshet.schemas.events.schema import EventSchema

LONGEST_WHOLE = 400  # digits, beyond the largest float64


def is_json(record: bytes) -> bool:
    """Whether a record begins as a JSON object does, after what may come before it: a byte order
    mark, white space."""
    return record.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n").startswith(b"{")


class Misfit(Exception):
    """An event does not fit its schema: an index in `REASONS`, and that of the field (-1: none)."""

    def __init__(self, reason: int, field: int = -1) -> None:
        self.reason = reason
        self.field = field
        super().__init__(REASONS[reason], field)


class EventWriter:
    """Encodes events of one schema. Raises `SchemaError` for a schema that fastavro refuses."""

    def __init__(self, schema: EventSchema) -> None:
        self.schema = schema
        self._head = b"\0" + schema.schema_id.to_bytes(4, "big")
        try:
            self._avro = fastavro.parse_schema(_without_defaults(schema.avro))
        except Exception as error:  # its errors share no root
            raise SchemaError(
                schema.name, f"is refused by fastavro: {error}", "Correct the schema."
            ) from error

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """The event's record; fields that the schema lacks are ignored. Raises `Misfit`."""
        values = {field.name: _value(event, i, field) for i, field in enumerate(self.schema.fields)}
        out = io.BytesIO()
        out.write(self._head)
        try:
            fastavro.schemaless_writer(out, self._avro, values)
        except UnicodeEncodeError as error:  # a lone surrogate
            raise Misfit(UNDECODABLE) from error
        return out.getvalue()

    def transcode(self, text: bytes) -> bytes:
        """A JSON object (UTF-8, perhaps after a byte order mark) as the record it stands for. Of
        fields that come twice the last counts; a field may come by one of its aliases. Raises
        `Misfit`."""
        event = _parsed(text.removeprefix(codecs.BOM_UTF8))
        if not isinstance(event, dict):
            raise Misfit(UNDECODABLE)
        return self.encode(event)

    def refusal(self, which: int, why: Misfit) -> RequestError:
        """A misfit as an answer to whoever sent record `which`."""
        record = f"{self.schema.name} record {which}"
        reason = REASONS[why.reason]
        if why.field < 0:
            return RequestError(record, reason, "Send UTF-8 text.", field=None)
        field = self.schema.fields[why.field]
        article = "an" if field.type in ("int", "enum") else "a"
        return RequestError(
            f"{record}, field {field.name!r}",
            reason,
            f"Send {article} {field.type}.",
            field=field.name,
        )


def _parsed(text: bytes) -> Any:
    try:
        try:
            return msgspec.json.decode(text)
        except msgspec.ValidationError:
            # A number is larger than a float64, which is the fault of its own field: the rest may
            # be sound. As text, since of bytes this would take UTF-16, too.
            return json.loads(text.decode(), parse_int=_whole, parse_constant=_refuse_constant)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Misfit(UNDECODABLE) from error


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


def _whole(digits: str) -> int | float:
    """Python refuses to read thousands of digits; a number that long is none that a field could
    hold."""
    return int(digits) if len(digits) < LONGEST_WHOLE else float(digits)


def _value(event: Mapping[str, Any], at: int, field: Field) -> Any:
    name = next((known for known in (field.name, *field.aliases) if known in event), None)
    if name is None:
        if not field.has_default:
            raise Misfit(MISSING_REQUIRED, at)
        return field.default
    value = event[name]
    if value is None:
        if not field.nullable:
            raise Misfit(MISSING_REQUIRED, at)
        return None
    if not fits(value, field.type, field.symbols):
        # A text that is no symbol is of the right type all the same.
        unknown = field.type == "enum" and isinstance(value, str)
        raise Misfit(OUT_OF_DOMAIN if unknown else WRONG_TYPE, at)
    return float(value) if field.type in FLOATS else value


def _without_defaults(avro: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults are filled in before writing; fastavro refuses some that the specification has
    allowed since 1.12."""
    fields = [
        {name: value for name, value in field.items() if name != "default"}
        for field in avro["fields"]
    ]
    return {**avro, "fields": fields}
