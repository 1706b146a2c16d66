"""The four topics' event schemas, and events as published: Avro in the Confluent wire format."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro

TOPICS = ("departures", "takeoffs", "arrivals", "weather")


@dataclass(frozen=True, slots=True)
class EventType:
    """A topic's Avro record. Its first field is the event's id (text), its second its time (ms).

    `required` are the fields that must be there, `ranges` a number's bounds, `domains` a text's
    words.
    """

    topic: str
    schema_id: int
    fields: tuple[str, ...]
    required: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    domains: Mapping[str, tuple[str, ...]]
    parsed: Any

    @staticmethod
    @cache
    def load(topic: str) -> EventType:
        raw = json.loads(files("freshet.demo.flights").joinpath(f"{topic}.avsc").read_text())
        fields = raw["fields"]
        return EventType(
            topic,
            raw["schema_id"],
            tuple(field["name"] for field in fields),
            tuple(field["name"] for field in fields if field.get("required")),
            {
                field["name"]: (field["range"][0], field["range"][1])
                for field in fields
                if "range" in field
            },
            {field["name"]: tuple(field["domain"]) for field in fields if "domain" in field},
            fastavro.parse_schema(raw),
        )

    @property
    def id(self) -> str:
        return self.fields[0]

    @property
    def time(self) -> str:
        return self.fields[1]

    def encode(self, event: Mapping[str, Any], schema_id: int | None = None) -> bytes:
        """Magic byte 0, the schema's id (4 bytes, big-endian), the Avro body.

        Source: Confluent Schema Registry, "Wire format".
        """
        out = io.BytesIO()
        if schema_id is None:
            schema_id = self.schema_id
        out.write(b"\0" + schema_id.to_bytes(4, "big"))
        fastavro.schemaless_writer(out, self.parsed, event)
        return out.getvalue()
