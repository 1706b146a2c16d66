"""Event schemas: Avro records, of which each value is a column (see `freshet.schemas.avro.leaves`).
Beside Avro's own attributes a record may carry `"schema_id"` (the id in the Confluent wire header,
1 where not given) and `"version"`; what its fields may carry says `field`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from freshet.schemas.avro.leaves import alone_in, bytes_at_least, canonical, is_flat, leaves
from freshet.schemas.avro.parse import parse
from freshet.schemas.avro.tree import (
    Array,
    Map,
    Record,
    RecordField,
    Type,
    Union,
    joined,
    last_name,
    parts,
    recursive_at,
    values_in,
)
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.field import Field, field_of
from freshet.schemas.json_schema.translate import is_json_schema, translated

MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class EventSchema:
    """A parsed event schema. `fields` are its columns, a nested one by its path; `tree` is how they
    are nested. `digest` (16 hex digits) changes when a field, type, default or rule does; ids,
    versions and descriptions leave it as it is. `avro` is the schema as Avro libraries read it,
    `path` the file that it was loaded from."""

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
    tree: Record = field(default_factory=lambda: Record(""), compare=False, repr=False)

    @staticmethod
    def parse(source: str | bytes | Mapping[str, Any], name: str) -> EventSchema:
        """Read a schema from its JSON: an Avro record, or a JSON Schema of objects, which is told
        by its content; `name` is how errors call it.

        Raises:
            SchemaError: it is no Avro record, or a recursive one, or a rule does not fit its field;
                the text names the field and says what to do.

        >>> fields = '[{"name": "x", "type": "int"}]'
        >>> record = '{"type": "record", "name": "n", "fields": ' + fields + "}"
        >>> EventSchema.parse(record, "n")["x"].type
        'int'
        """
        raw = _json(source, name)
        if is_json_schema(raw):
            raw = translated(raw, name)
        return _read(raw, name)

    @staticmethod
    def of_tree(tree: Record, name: str) -> EventSchema:
        """A record without ids, rules and a digest: of what is in an array, say."""
        fields = tuple(field_of(leaf, name) for leaf in leaves(tree))
        positions = {own.name: i for i, own in enumerate(fields)}
        return EventSchema(
            name,
            0,
            1,
            fields,
            "",
            positions=positions,
            tree=tree,
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Types are compared by identity, so they are read once more rather than copied.
        if not self.avro:
            bare = (self.name, self.schema_id, self.version, self.fields, self.digest)
            return EventSchema, bare
        return EventSchema.parse, (dict(self.avro), self.name)

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


def _read(raw: Any, name: str) -> EventSchema:
    if not isinstance(raw, Mapping) or raw.get("type") != "record":
        _refuse(
            name,
            "",
            "is not an Avro record",
            'Write {"type": "record", "name": …, "fields": […]}.',
        )
    tree = parse(raw, name)
    assert isinstance(tree, Record)
    if not tree.fields:
        _refuse(
            name,
            "",
            "has no fields",
            'Give it a list of at least one: "fields": [{"name": …, "type": …}].',
        )
    _check_shape(tree, name)
    fields = tuple(field_of(leaf, name) for leaf in leaves(tree))
    positions = {own.name: i for i, own in enumerate(fields)}
    _check_columns(fields, positions, name)
    record = last_name(tree.name)
    return EventSchema(
        name=record,
        schema_id=_number(
            name,
            "schema_id",
            raw.get("schema_id", 1),
            0,
        ),
        version=_number(
            name,
            "version",
            raw.get("version", 1),
            1,
        ),
        fields=fields,
        digest=_digest(record, fields, tree),
        aliases=tuple(map(last_name, tree.aliases)),
        description=str(raw.get("doc", "")),
        # A copy, which nobody else can change.
        avro=json.loads(json.dumps(dict(raw))),
        positions=positions,
        tree=tree,
    )


def _refuse(
    name: str,
    path: str,
    cause: str,
    next_step: str,
) -> NoReturn:
    resource = f"{name}, field {path!r}" if path else name
    raise SchemaError(
        resource,
        cause,
        next_step,
        field=path,
    )


def _check_shape(tree: Record, name: str) -> None:
    found = recursive_at(tree)
    if found is not None:
        path, record = found
        _refuse(
            name,
            path,
            f"record {record!r} holds itself, and columns have an end",
            "Write out as many levels as are needed, or publish one event for each record.",
        )
    count = values_in(tree)
    # A few types that name each other twice are millions of columns.
    if count > MOST_VALUES:
        _refuse(
            name,
            "",
            f"is made of {count} values, with its types written out wherever they are named",
            f"Use at most {MOST_VALUES}.",
        )
    _check_within(tree, "", name)


def _check_within(type_: Type, path: str, name: str) -> None:
    if isinstance(type_, Array | Map):
        inner = type_.items if isinstance(type_, Array) else type_.values
        # Of an array that has bytes for none of them any number could be said to be there.
        if isinstance(type_, Array) and bytes_at_least(inner) == 0:
            _refuse(
                name,
                path,
                "is an array of nothing",
                "Give its items a type with values.",
            )
    if isinstance(type_, Record):
        for own in type_.fields:
            _check_rules_of_record(own, joined(path, f".{own.name}"), name)
    for part, child in parts(type_):
        _check_within(child, joined(path, part), name)


def _check_rules_of_record(own: RecordField, path: str, name: str) -> None:
    """Rules are those of values, and a record within is none."""
    type_: Type | None = own.type
    if isinstance(type_, Union):
        type_ = alone_in(type_)
    rules = [rule for rule in ("required", "range", "domain") if own.attributes.get(rule)]
    if isinstance(type_, Record) and rules:
        _refuse(
            name,
            path,
            f"has {rules[0]!r}, but is a record",
            f'Give "{rules[0]}" to a field within it, which is missing where the record is.',
        )


def _check_columns(fields: tuple[Field, ...], positions: Mapping[str, int], name: str) -> None:
    if not fields:
        _refuse(
            name,
            "",
            "has no values: all of its fields are null",
            "Give it one that is not.",
        )
    for i, own in enumerate(fields):
        if positions[own.name] != i:
            _refuse(
                name,
                own.name,
                "is the name of two columns",
                "Rename a field or a type: branches of a union are columns named by their types.",
            )


def _number(
    name: str,
    what: str,
    value: Any,
    lowest: int,
) -> int:
    # True and false are whole numbers to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 1 << 31:
        _refuse(
            name,
            "",
            f"{what} is {value!r}",
            f"Write a whole number from {lowest} to 2147483647.",
        )
    return int(value)


def _digest(record: str, fields: tuple[Field, ...], tree: Record) -> str:
    facts: list[Any] = [
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
    # Of flat records the columns say all; of others their order and branches are more than that.
    if not is_flat(tree):
        facts.append(canonical(tree))
    return hashlib.sha256(json.dumps([record, facts]).encode()).hexdigest()[:16]
