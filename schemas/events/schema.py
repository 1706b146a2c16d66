"""Event schemas: flat Avro records. Beside Avro's own attributes a record may carry `"schema_id"`
(the id in the Confluent wire header, 1 where not given) and `"version"`; what its fields may be
says `event_field`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.field import Field, FieldReader, full_name
from freshet.schemas.json_schema.translate import is_json_schema, translated


@dataclass(frozen=True, slots=True)
class EventSchema:
    """A parsed event schema. `digest` (16 hex digits) changes when a field, type, default or rule
    does; ids, versions and descriptions leave it as it is. `avro` is the schema as Avro libraries
    read it, `path` the file that it was loaded from."""

    name: str
    schema_id: int
    version: int
    fields: tuple[Field, ...]
    digest: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    avro: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    positions: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    path: str = field(default="", compare=False, repr=False)

    @staticmethod
    def parse(source: str | bytes | Mapping[str, Any], name: str) -> EventSchema:
        """Read a schema from its JSON: an Avro record, or a JSON Schema of objects, which is told
        by its content; `name` is how errors call it.

        Raises:
            SchemaError: it is no flat Avro record of supported types, or a rule does not fit its
                field; the text names the field and says what to do.

        >>> fields = '[{"name": "x", "type": "int"}]'
        >>> record = '{"type": "record", "name": "n", "fields": ' + fields + "}"
        >>> EventSchema.parse(record, "n")["x"].type
        'int'
        """
        raw = _json(source, name)
        if is_json_schema(raw):
            raw = translated(raw, name)
        return _read(raw, FieldReader(name))

    @staticmethod
    def load(path: str | Path) -> EventSchema:
        """Read a schema file. Raises `SchemaError` where it is missing, or as `parse` does."""
        path = Path(path)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise SchemaError(
                str(path),
                f"cannot be read ({error.strerror})",
                "Check the path; a relative one starts where the app's file is.",
            ) from error
        return replace(EventSchema.parse(text, path.name), path=str(path))

    def __getitem__(self, name: str) -> Field:
        return self.fields[self.position(name)]

    def position(self, name: str) -> int:
        """The index of a field; raises `SchemaError` for an unknown one."""
        at = self.positions.get(name)
        if at is None:
            raise SchemaError(
                self.name, f"has no field {name!r}", f"Its fields are {', '.join(self.positions)}."
            )
        return at


def _json(source: str | bytes | Mapping[str, Any], name: str) -> Any:
    if isinstance(source, Mapping):
        return source
    try:
        return json.loads(source)
    # Brackets within brackets without end stop the parser by its depth, not as wrong JSON.
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            name, f"is not JSON ({error})", "Write an Avro record as JSON."
        ) from error


def _read(raw: Any, reader: FieldReader) -> EventSchema:
    if not isinstance(raw, Mapping) or raw.get("type") != "record":
        reader.refuse(
            "", "is not an Avro record", 'Write {"type": "record", "name": …, "fields": […]}.'
        )
    record = reader.word("", "name", raw.get("name"))
    # Before the fields: names of enums in them are meant within it.
    reader.namespace = full_name(str(raw["name"]), raw.get("namespace")).rpartition(".")[0]
    items = raw.get("fields")
    if not isinstance(items, list) or not items:
        reader.refuse(
            "",
            "has no fields",
            'Give it a list of at least one: "fields": [{"name": …, "type": …}].',
        )
    fields = tuple(reader.field(item) for item in items)
    positions = {field.name: i for i, field in enumerate(fields)}
    if len(positions) < len(fields):
        twice = next(field.name for i, field in enumerate(fields) if positions[field.name] != i)
        reader.refuse(twice, "is declared twice", "Give each field a name of its own.")
    _check_aliases(fields, reader)
    return EventSchema(
        name=record,
        schema_id=_number(reader, "schema_id", raw.get("schema_id", 1), 0),
        version=_number(reader, "version", raw.get("version", 1), 1),
        fields=fields,
        digest=_digest(record, fields),
        aliases=reader.names("", raw.get("aliases", [])),
        description=str(raw.get("doc", "")),
        # A copy, which nobody else can change.
        avro=json.loads(json.dumps(dict(raw))),
        positions=positions,
    )


def _check_aliases(fields: tuple[Field, ...], reader: FieldReader) -> None:
    taken = {own.name for own in fields}
    for own in fields:
        for alias in own.aliases:
            if alias in taken:
                reader.refuse(
                    own.name, f"alias {alias!r} already names a field", "Remove the alias."
                )
            # Of two fields with one alias none could say which of them old data meant.
            taken.add(alias)


def _number(reader: FieldReader, what: str, value: Any, lowest: int) -> int:
    # True and false are whole numbers to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 1 << 31:
        reader.refuse(
            "", f"{what} is {value!r}", f"Write a whole number from {lowest} to 2147483647."
        )
    return int(value)


def _digest(record: str, fields: tuple[Field, ...]) -> str:
    facts = [
        [
            *field.wire,
            field.has_default,
            field.default,
            field.required,
            field.range,
            field.domain,
            field.fallback,
            field.logical,
        ]
        for field in fields
    ]
    return hashlib.sha256(json.dumps([record, facts]).encode()).hexdigest()[:16]
