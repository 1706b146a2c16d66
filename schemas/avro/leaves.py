"""A record's columns: every value in it that is not itself made of fields, named by its path.

- A field of a record within adds `.name`: `address.city`.
- A union of null and one type is that type, and may be missing; one of numbers alone is the widest
  of them (a double where one is; whole numbers beyond 2^53 are rounded to it, as Avro does).
- Of another union each branch has a column of its own, named by its type or, where it is a named
  one, its name: `value.string`, `value.long`, `payment.Card.number`. It is missing where another
  branch stands.
- An array or map is one column.
- What is only null has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from freshet.schemas.avro.tree import (
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
)

# Of a decimal of 128 bits; one with more stays the bytes that it is.
MOST_DIGITS = 38
_NUMBERS = ("int", "long", "float", "double")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One column.

    `type` is string, int, long, float, double, boolean, enum, bytes, decimal, array or map; `node`
    is its type in the tree, and of a union of numbers that union. `field` is the innermost field
    that it stands in. `null_branch` is where null stands in that field's own union of two;
    `nullable` says whether it may be missing at all, be it that something above it is. `alone`: its
    field is this one column.
    """

    path: str
    type: str
    node: Type
    field: RecordField
    null_branch: int | None = None
    nullable: bool = False
    alone: bool = True


def leaves(record: Record) -> list[Leaf]:
    """The columns of a record that is not recursive, in the order of its fields."""
    return _of_record(record, "", False)


def leaves_at(type_: Type, path: str) -> list[str]:
    """The paths of the columns of what stands at a path."""
    alone: Type | None = type_
    if isinstance(type_, Union):
        alone = alone_in(type_)
    # Nearly always it is one, which an auditor asks of every value.
    if alone is not None and not isinstance(alone, Record):
        return [] if is_null(alone) else [path]
    return [
        leaf.path
        for leaf in _of_type(
            type_,
            Leaf(
                path,
                "",
                type_,
                _NOWHERE,
            ),
        )
    ]


def is_flat(record: Record) -> bool:
    """Whether each of its fields is one text, number, boolean or enum, or a union of one with
    null."""
    return all(_is_scalar(own.type) for own in record.fields)


def alone_in(union: Union) -> Type | None:
    """The one type that a union is beside null; a union of numbers stands for itself."""
    others = [branch for branch in union.branches if not is_null(branch)]
    if len(others) == 1:
        return others[0]
    if others and all(_is_number(branch) for branch in others):
        return union
    return None


def widest(union: Union) -> str:
    """The number that holds those of all branches: of two kinds of whole numbers the longer, else
    a double."""
    kinds = {branch.kind for branch in union.branches if not is_null(branch)}
    if kinds <= {"int", "long"}:
        return "long"
    # A float has too few digits for whole numbers.
    if len(kinds) > 1:
        return "double"
    return kinds.pop()


def is_uuid_of_bytes(leaf: Leaf) -> bool:
    """Whether it is 16 bytes that stand for a text."""
    return leaf.type == "string" and isinstance(leaf.node, Fixed)


def logical_of(node: Type) -> Logical | None:
    if isinstance(node, Primitive | Fixed):
        return node.logical
    return None


def _of_record(record: Record, path: str, nullable: bool) -> list[Leaf]:
    found: list[Leaf] = []
    for own in record.fields:
        at = Leaf(
            joined(path, f".{own.name}"),
            "",
            own.type,
            own,
            nullable=nullable,
        )
        found += _of_type(own.type, at)
    return found


def _of_type(type_: Type, at: Leaf) -> list[Leaf]:
    """`at` is what is known of the leaf so far: its path, its field, and what is above it."""
    if isinstance(type_, Record):
        return _of_record(type_, at.path, at.nullable)
    if isinstance(type_, Union):
        return _of_union(type_, at)
    if is_null(type_):
        return []
    return [replace(at, type=_kind(type_), node=type_)]


def _of_union(union: Union, at: Leaf) -> list[Leaf]:
    nulls = [i for i, branch in enumerate(union.branches) if is_null(branch)]
    alone = alone_in(union)
    if nulls:
        at = replace(at, nullable=True)
    if alone is union:
        return [replace(at, type=widest(union), node=union)]
    if alone is not None:
        if nulls:
            at = replace(at, null_branch=nulls[0])
        return _of_type(alone, at)
    found: list[Leaf] = []
    for name, branch in zip(branch_names(union), union.branches):
        # Missing wherever another branch stands.
        part = replace(
            at,
            path=joined(at.path, f".{name}"),
            nullable=True,
            alone=False,
        )
        found += _of_type(branch, part)
    return found


def _kind(type_: Type) -> str:
    logical = logical_of(type_)
    if logical is not None and logical.name == "decimal" and logical.precision <= MOST_DIGITS:
        return "decimal"
    if isinstance(type_, Fixed):
        if logical is not None and logical.name == "uuid":
            return "string"
        return "bytes"
    return type_.kind


def _is_number(type_: Type) -> bool:
    # What counts from 1970, say, is not the same as a plain number.
    return isinstance(type_, Primitive) and type_.kind in _NUMBERS and type_.logical is None


def _is_scalar(type_: Type) -> bool:
    if isinstance(type_, Union):
        others = [branch for branch in type_.branches if not is_null(branch)]
        return len(type_.branches) == 2 and len(others) == 1 and _is_scalar(others[0])
    if isinstance(type_, Primitive):
        return type_.kind not in ("null", "bytes")
    return isinstance(type_, Enum)


def bytes_at_least(type_: Type) -> int:
    """How many bytes a value of this type takes at the least."""
    if isinstance(type_, Record):
        return sum(bytes_at_least(own.type) for own in type_.fields)
    if isinstance(type_, Union):
        return 1 + min(map(bytes_at_least, type_.branches))
    if isinstance(type_, Fixed):
        return type_.size
    if isinstance(type_, Array | Map):
        return 1
    return {"null": 0, "float": 4, "double": 8}.get(type_.kind, 1)


def canonical(type_: Type) -> Any:
    """All of a type that its values depend on, as JSON."""
    if isinstance(type_, Record):
        return [type_.kind, [_canonical_field(own) for own in type_.fields]]
    if isinstance(type_, Union):
        return [canonical(branch) for branch in type_.branches]
    if isinstance(type_, Array):
        return [type_.kind, canonical(type_.items)]
    if isinstance(type_, Map):
        return [type_.kind, canonical(type_.values)]
    logical = logical_of(type_)
    told: list[Any] = [type_.kind]
    if logical is not None:
        told += [logical.name, logical.precision, logical.scale]
    if isinstance(type_, Fixed):
        return [*told, type_.size]
    if isinstance(type_, Enum):
        return [*told, list(type_.symbols), type_.default]
    return told


def _canonical_field(own: RecordField) -> list[Any]:
    told = [own.name, canonical(own.type)]
    if own.has_default:
        told.append(own.default)
    return told


def wire(type_: Type) -> Any:
    """All of a type that its bytes depend on, and the names of fields and symbols, as JSON."""
    if isinstance(type_, Record):
        return [type_.kind, [[own.name, wire(own.type)] for own in type_.fields]]
    if isinstance(type_, Union):
        return [wire(branch) for branch in type_.branches]
    if isinstance(type_, Array):
        return [type_.kind, wire(type_.items)]
    if isinstance(type_, Map):
        return [type_.kind, wire(type_.values)]
    if isinstance(type_, Fixed):
        return [type_.kind, type_.size]
    if isinstance(type_, Enum):
        return [type_.kind, list(type_.symbols)]
    return type_.kind


# Of leaves that are asked for by path alone.
_NOWHERE = RecordField("", Primitive("null"))
