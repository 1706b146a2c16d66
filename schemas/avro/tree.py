"""The types of Avro schemas as a tree, with every name resolved. Source: Apache Avro 1.12
specification.

A recursive schema is a graph: a record stands in its own fields as the very same object, so types
are compared by identity, and whoever walks them has to remember which records they are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
# In place of a default: null is one.
NO_DEFAULT: Any = object()


@dataclass(frozen=True, slots=True)
class Logical:
    """What a type's values mean; `precision` and `scale` are a decimal's."""

    name: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    kind: str
    logical: Logical | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """`size` bytes. `name` is in full, as those of other named types and of `aliases` are."""

    name: str
    size: int
    aliases: tuple[str, ...] = ()
    logical: Logical | None = None
    kind: str = "fixed"


@dataclass(frozen=True, slots=True, eq=False)
class Enum:
    """`default` is the symbol that stands for those that a reader does not know."""

    name: str
    symbols: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    default: str | None = None
    kind: str = "enum"


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    items: Type
    kind: str = "array"


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    values: Type
    kind: str = "map"


@dataclass(frozen=True, slots=True, eq=False)
class Union:
    branches: tuple[Type, ...]
    kind: str = "union"


@dataclass(frozen=True, slots=True, eq=False)
class RecordField:
    """`default` as its JSON is, or `NO_DEFAULT`; `attributes` are all that the schema says of the
    field, with those that Avro does not know."""

    name: str
    type: Type
    aliases: tuple[str, ...] = ()
    default: Any = NO_DEFAULT
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_default(self) -> bool:
        return self.default is not NO_DEFAULT


@dataclass(slots=True, eq=False)
class Record:
    """Not frozen, as its fields, which may name it, are read after it."""

    name: str
    aliases: tuple[str, ...] = ()
    fields: tuple[RecordField, ...] = ()
    kind: str = "record"


Type = Primitive | Fixed | Enum | Array | Map | Union | Record
Named = Fixed | Enum | Record
NAMED = (Fixed, Enum, Record)


def last_name(full: str) -> str:
    """A name without its namespace."""
    return full.rsplit(".", 1)[-1]


def is_null(type_: Type) -> bool:
    return type_.kind == "null"


def branch_names(union: Union) -> list[str]:
    """What each branch is called: by its type, a named one by its name, which is in full where two
    would share it."""
    short = [_branch_name(branch) for branch in union.branches]
    names = []
    for branch, name in zip(union.branches, short):
        if isinstance(branch, NAMED) and short.count(name) > 1:
            name = branch.name
        names.append(name)
    return names


def _branch_name(branch: Type) -> str:
    if isinstance(branch, NAMED):
        return last_name(branch.name)
    return branch.kind


def told(type_: Type) -> str:
    """A type for people."""
    if isinstance(type_, NAMED):
        return f"{type_.kind} {last_name(type_.name)!r}"
    if isinstance(type_, Union):
        return f"a union of {', '.join(branch_names(type_)) or 'nothing'}"
    return type_.kind


def recursive_at(type_: Type) -> tuple[str, str] | None:
    """The path at which a record holds itself, and the record's name; None where none does."""
    return _recursion(type_, "", set(), set())


def _recursion(
    type_: Type, path: str, inside: set[Record], sound: set[Record]
) -> tuple[str, str] | None:
    """`sound` are records that were looked through: each is once, however often it is named."""
    if isinstance(type_, Record):
        if type_ in inside:
            return path, last_name(type_.name)
        if type_ in sound:
            return None
        inside = inside | {type_}
    for part, child in parts(type_):
        found = _recursion(child, joined(path, part), inside, sound)
        if found is not None:
            return found
    if isinstance(type_, Record):
        sound.add(type_)
    return None


def values_in(type_: Type) -> int:
    """Of how many values a type that is not recursive is made, with each type written out wherever
    it is named."""
    return _values_in(type_, {})


def _values_in(type_: Type, known: dict[Record, int]) -> int:
    if isinstance(type_, Record) and type_ in known:
        return known[type_]
    count = 1 + sum(_values_in(child, known) for _, child in parts(type_))
    if isinstance(type_, Record):
        known[type_] = count
    return count


def parts(type_: Type) -> list[tuple[str, Type]]:
    """What a type is made of, each with what its path adds: `.name` of a field or branch, `[]` of
    items, `{}` of a map's values. Beside null the only other branch of a union adds nothing."""
    if isinstance(type_, Record):
        return [(f".{own.name}", own.type) for own in type_.fields]
    if isinstance(type_, Array):
        return [("[]", type_.items)]
    if isinstance(type_, Map):
        return [("{}", type_.values)]
    if isinstance(type_, Union):
        names = branch_names(type_)
        alone = sum(not is_null(branch) for branch in type_.branches) == 1
        return [
            ("" if alone else f".{name}", branch)
            for name, branch in zip(names, type_.branches)
            if not is_null(branch)
        ]
    return []


def joined(path: str, part: str) -> str:
    """A path with one of `parts` behind it."""
    return f"{path}{part}".removeprefix(".")


def record_of_item(type_: Array | Map) -> Record:
    """What an array or map is made of, as a record: of one field `item`, or of `key` and
    `value`."""
    if isinstance(type_, Array):
        return Record("item", fields=(RecordField("item", type_.items),))
    key = RecordField("key", Primitive("string"))
    return Record("item", fields=(key, RecordField("value", type_.values)))
