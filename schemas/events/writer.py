"""Events as Python values to Avro in the Confluent wire format, by fastavro; the slow way in, for
producers and JSON.

Source: Confluent Schema Registry, "Wire format": a zero byte, the schema's id (4 bytes,
big-endian), the Avro body.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import fastavro
import msgspec

from freshet.schemas.avro import json_values
from freshet.schemas.avro.leaves import is_flat
from freshet.schemas.errors import RequestError, SchemaError
from freshet.schemas.events.columns import (
    MISSING_REQUIRED,
    OUT_OF_DOMAIN,
    REASONS,
    UNDECODABLE,
    WRONG_TYPE,
)
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


_REASONS = {
    json_values.MISSING: MISSING_REQUIRED,
    json_values.WRONG_TYPE: WRONG_TYPE,
    json_values.UNKNOWN_SYMBOL: OUT_OF_DOMAIN,
}


class EventWriter:
    """Encodes events of one schema. Raises `SchemaError` for a schema that fastavro refuses."""

    def __init__(self, schema: EventSchema) -> None:
        self.schema = schema
        self._head = b"\0" + schema.schema_id.to_bytes(4, "big")
        plain = _without_meaning(schema.avro)
        try:
            self._avro = fastavro.parse_schema(plain)
        except Exception as error:  # its errors share no root
            raise SchemaError(
                schema.name, f"is refused by fastavro: {error}", "Correct the schema."
            ) from error
        self._convert = json_values.converter(schema.tree, "")
        self._is_flat = is_flat(schema.tree)

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """The event's record: what is nested as objects, or by its path; fields that the schema
        lacks are ignored. Raises `Misfit`."""
        if not self._is_flat:
            event = json_values.nested(event)
        try:
            values = self._convert(event)
        except json_values.NoFit as misfit:
            raise Misfit(_REASONS[misfit.why], self._position(misfit.path)) from misfit
        out = io.BytesIO()
        out.write(self._head)
        try:
            fastavro.schemaless_writer(out, self._avro, values)
        except UnicodeEncodeError as error:  # a lone surrogate
            raise Misfit(UNDECODABLE) from error
        return out.getvalue()

    def _position(self, path: str) -> int:
        """The first column at a path, below it, or (of what is in an array) above it."""
        column = re.split(r"[\[{]", path)[0]
        while column:
            for at, field in enumerate(self.schema.fields):
                if field.name == column or field.name.startswith(f"{column}."):
                    return at
            # A branch of a union of numbers, which is a column as a whole.
            column = column.rpartition(".")[0]
        return -1

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
        article = "an" if field.type[0] in "aei" else "a"
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


def _without_meaning(node: Any) -> Any:
    """A schema without logical types, as values come as their bytes, and without defaults, which
    are filled in before writing; fastavro refuses some that the specification has allowed since
    1.12."""
    if isinstance(node, list):
        return [_without_meaning(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    kept = {
        key: node[key] for key in ("type", "name", "namespace", "symbols", "size") if key in node
    }
    for key in ("type", "items", "values", "fields"):
        if key in node:
            kept[key] = _without_meaning(node[key])
    # As often as a type is wrapped, as fastavro unwraps none.
    inner = kept.get("type")
    return inner if isinstance(inner, dict | list) and "name" not in kept else kept
