"""Whether what was written by one schema can be read by another. Source: Apache Avro 1.12
specification, schema resolution and aliases.

Where fastavro (1.13.1) and the specification differ, or this and fastavro:
- a record is no enum and no fixed, whatever their names are; fastavro compares the names alone;
- decimals of other scales do not match, and neither do decimals and texts; fastavro reads the
  digits of one as those of the other;
- of a union's branches one of the writer's own kind comes before one that it is promoted to, as in
  Avro's Java: else one more field in a record would move its texts from one branch to another;
  fastavro takes the first that matches;
- aliases of types are compared by their last names, as names are; fastavro compares texts.
One thing is more than it says: a decimal may be read with more digits of precision, as nothing is
lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freshet.schemas.avro.tree import (
    NAMED,
    Array,
    Enum,
    Fixed,
    Logical,
    Map,
    Primitive,
    Record,
    RecordField,
    Type,
    Union,
    branch_names,
    is_null,
    joined,
    last_name,
    told,
)

PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why some record cannot be read: the field, by its path, what is between writer and reader,
    and how to mend it."""

    field: str
    change: str
    fix: str

    @property
    def cause(self) -> str:
        return f"field {self.field!r} {self.change}" if self.field else self.change

    def __str__(self) -> str:
        return f"{self.cause}. {self.fix}"


def obstacles(writer: Type, reader: Type) -> list[Obstacle]:
    """What keeps `reader` from reading every value of `writer`; empty where it can.

    Args:
        writer: The type that values were written by, as `parse` gives it; it may be recursive.
        reader: That by which they are to be read.

    Returns:
        Each obstacle once, in the order of the reader's fields. A path has a `.` before a field of
        a record and before a branch of a union of several types, `[]` after an array and `{}`
        after a map, for what is in them.
    """
    return list(
        dict.fromkeys(
            _between(
                writer,
                reader,
                "",
                set(),
            )
        )
    )


def source_of(reader: RecordField, writer: Record) -> RecordField | None:
    """The writer's field that a reader's field is read from: by name, else by one of its
    aliases."""
    written = {own.name: own for own in writer.fields}
    for name in (reader.name, *reader.aliases):
        if name in written:
            return written[name]
    return None


def branch_for(writer: Type, reader: Type) -> Type | None:
    """What a value of `writer`, which is no union, is read as: of a reader's union the first branch
    that matches without being promoted, else the first that matches; None: nothing does."""
    if not isinstance(reader, Union):
        return reader if matches(writer, reader) else None
    found = [branch for branch in reader.branches if matches(writer, branch)]
    return next((branch for branch in found if branch.kind == writer.kind), next(iter(found), None))


def matches(writer: Type, reader: Type) -> bool:
    """Whether two types match, as the specification has it: of named ones it asks the kind and
    name, not what is in them."""
    if isinstance(writer, Union) or isinstance(reader, Union):
        return True
    if isinstance(writer, Array) and isinstance(reader, Array):
        return matches(writer.items, reader.items)
    if isinstance(writer, Map) and isinstance(reader, Map):
        return matches(writer.values, reader.values)
    if isinstance(writer, NAMED) and isinstance(reader, NAMED):
        return _same_name(writer, reader)
    return writer.kind == reader.kind or (writer.kind, reader.kind) in PROMOTIONS


def _same_name(writer: Fixed | Enum | Record, reader: Fixed | Enum | Record) -> bool:
    if isinstance(writer, Fixed) and isinstance(reader, Fixed) and writer.size != reader.size:
        return False
    known = {last_name(name) for name in (reader.name, *reader.aliases)}
    return writer.kind == reader.kind and last_name(writer.name) in known


def _between(
    writer: Type, reader: Type, path: str, seen: set[tuple[Type, Type]]
) -> Iterator[Obstacle]:
    if isinstance(writer, Union):
        names = branch_names(writer)
        several = sum(not is_null(branch) for branch in writer.branches) > 1
        for name, branch in zip(names, writer.branches):
            within = joined(path, f".{name}") if several and not is_null(branch) else path
            yield from _between(
                branch,
                reader,
                within,
                seen,
            )
        return
    chosen = branch_for(writer, reader)
    if chosen is None:
        yield from _mismatch(writer, reader, path)
    # A pair of records within itself is judged already, further out.
    elif (writer, chosen) not in seen:
        seen.add((writer, chosen))
        yield from _inside(
            writer,
            chosen,
            path,
            seen,
        )


def _inside(
    writer: Type, reader: Type, path: str, seen: set[tuple[Type, Type]]
) -> Iterator[Obstacle]:
    """What is between two types that match."""
    if isinstance(writer, Record) and isinstance(reader, Record):
        for own in reader.fields:
            yield from _of_field(
                own,
                writer,
                joined(path, f".{own.name}"),
                seen,
            )
    elif isinstance(writer, Array) and isinstance(reader, Array):
        yield from _between(
            writer.items,
            reader.items,
            joined(path, "[]"),
            seen,
        )
    elif isinstance(writer, Map) and isinstance(reader, Map):
        yield from _between(
            writer.values,
            reader.values,
            joined(path, "{}"),
            seen,
        )
    elif isinstance(writer, Enum) and isinstance(reader, Enum):
        yield from _of_symbols(writer, reader, path)
    decimals = (_decimal_of(writer), _decimal_of(reader))
    if "string" in (writer.kind, reader.kind) and decimals != (None, None):
        yield _of_text_and_digits(writer, reader, path)
    yield from _of_decimals(*decimals, path)


def _of_field(
    reader: RecordField, writer: Record, path: str, seen: set[tuple[Type, Type]]
) -> Iterator[Obstacle]:
    written = source_of(reader, writer)
    if written is not None:
        yield from _between(
            written.type,
            reader.type,
            path,
            seen,
        )
    elif not reader.has_default:
        yield Obstacle(
            path, "is not written and has no default", "Give it a default, such as null."
        )


def _of_symbols(writer: Enum, reader: Enum, path: str) -> Iterator[Obstacle]:
    unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
    if unknown and reader.default is None:
        yield Obstacle(
            path,
            f"has symbols that readers lack: {', '.join(unknown)}",
            "Keep the symbols, or give the readers' enum a default symbol.",
        )


def _decimal_of(type_: Type) -> Logical | None:
    if not isinstance(type_, Primitive | Fixed) or type_.logical is None:
        return None
    return type_.logical if type_.logical.name == "decimal" else None


def _of_text_and_digits(writer: Type, reader: Type, path: str) -> Obstacle:
    """The bytes of a text are those of some number, which nobody meant."""
    kinds = ["text" if type_.kind == "string" else "a decimal" for type_ in (writer, reader)]
    return Obstacle(
        path,
        f"is {kinds[0]} for writers and {kinds[1]} for readers",
        "Keep its type, or add a field of another name.",
    )


def _of_decimals(writer: Logical | None, reader: Logical | None, path: str) -> Iterator[Obstacle]:
    # Without a scale of its own a reader gets the bytes, which mean nothing else.
    if writer is None or reader is None:
        return
    if writer.scale != reader.scale or writer.precision > reader.precision:
        yield Obstacle(
            path,
            f"is a decimal of precision {writer.precision} and scale {writer.scale} for writers "
            f"and of {reader.precision} and {reader.scale} for readers",
            "Keep the scale and at least as many digits, or add a field of another name.",
        )


def _mismatch(writer: Type, reader: Type, path: str) -> Iterator[Obstacle]:
    """Why no branch of the reader takes what was written."""
    subject = "" if path else "the schema "
    if is_null(writer):
        yield Obstacle(
            path,
            f"{subject}may be null for writers but not for readers",
            'Keep it a union with null; to refuse nulls set "required": true.',
        )
        return
    # What null stands beside is what is meant.
    if isinstance(reader, Union):
        others = [branch for branch in reader.branches if not is_null(branch)]
        if len(others) == 1:
            reader = others[0]
    if isinstance(writer, Fixed) and isinstance(reader, Fixed) and writer.size != reader.size:
        yield Obstacle(
            path,
            f"{subject}has {writer.size} bytes for writers and {reader.size} for readers",
            "Keep its size, or add a field of another name.",
        )
    elif isinstance(writer, NAMED) and writer.kind == reader.kind:
        yield _renamed(writer, reader, path)
    else:
        yield Obstacle(
            path,
            f"{subject}is {_kind(writer)} for writers and {_kind(reader)} for readers",
            "Keep its type, or add a field of another name.",
        )


def _renamed(writer: Fixed | Enum | Record, reader: Type, path: str) -> Obstacle:
    assert isinstance(reader, NAMED)
    written = last_name(writer.name)
    read = last_name(reader.name)
    if not path:
        return Obstacle(
            "",
            f"the record is named {written!r} for writers and {read!r} for readers",
            f'Keep the name, or add "aliases": ["{written}"] to the record.',
        )
    return Obstacle(
        path,
        f"is {writer.kind} {written!r} for writers and {read!r} for readers",
        f"Keep the {writer.kind}'s name, or add the old one to its aliases.",
    )


def _kind(type_: Type) -> str:
    """A primitive, array or map by its kind, and with what is in it; others with their names."""
    if isinstance(type_, Array):
        return f"array of {_kind(type_.items)}"
    if isinstance(type_, Map):
        return f"map of {_kind(type_.values)}"
    return told(type_)
