"""Random Avro schemas, others that are near them, and encoded values that reach every branch, symbol
and field of a schema."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st

from freshet.schemas.avro.leaves import alone_in, leaves_at, widest
from freshet.schemas.avro.resolution import PROMOTIONS
from freshet.schemas.avro.tree import (
    NAMED,
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Type,
    Union,
    branch_names,
    joined,
    parts,
)

# In the order in which a default of the same JSON fits them.
DEFAULTS: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 3,
    "long": 1 << 40,
    "float": 1.5,
    "double": 0.25,
    "bytes": "ab",
    "string": "cd",
}
PRIMITIVES = tuple(DEFAULTS)
DECIMAL = {"logicalType": "decimal", "precision": 6, "scale": 2}
FIELDS = ("a", "b", "c", "d")
SYMBOLS = ("A", "B", "C")
NAMESPACES = ("", "n", "m.o")


class Names:
    """Names given within one schema: each type is defined once, and may be named afterwards."""

    def __init__(self) -> None:
        self.given = 0
        self.defined: list[tuple[str, str]] = []  # full names, with kinds

    def define(self, draw: st.DrawFn, kind: str, namespace: str) -> tuple[dict[str, Any], str]:
        """What a definition says of its name, and the namespace that holds within."""
        self.given += 1
        name = f"{kind[0].upper()}{self.given}"
        own = draw(st.sampled_from([None, *NAMESPACES]))
        said: dict[str, Any] = {"type": kind, "name": name}
        if own is not None:
            said["namespace"] = own
            namespace = own
        return said, namespace


@st.composite
def types(draw: st.DrawFn, names: Names, namespace: str, depth: int) -> Any:
    """A type's JSON; unions only where they may stand."""
    kinds = [*PRIMITIVES, "enum", "fixed", "decimal", "fixed decimal", "uuid"]
    if depth > 0:
        kinds += ["array", "map", "record", "union", "array", "map", "record", "union", "record"]
    if names.defined:
        kinds.append("reference")
    kind = draw(st.sampled_from(kinds))
    if kind == "union":
        branches: dict[str, Any] = {}
        for _ in range(draw(st.integers(1, 4))):
            known = len(names.defined)
            branch = draw(types(names, namespace, depth - 1))
            if isinstance(branch, list) or key_of(branch) in branches:
                # What is left out defines nothing.
                del names.defined[known:]
            else:
                branches[key_of(branch)] = branch
        return list(branches.values()) or ["null", "int"]
    return draw(simple(kind, names, namespace, depth))


def key_of(branch: Any) -> str:
    if not isinstance(branch, dict):
        return str(branch).rsplit(".", 1)[-1]
    return str(branch.get("name", branch["type"]))


@st.composite
def simple(draw: st.DrawFn, kind: str, names: Names, namespace: str, depth: int) -> Any:
    if kind == "reference":
        return draw(st.sampled_from(names.defined))[0]
    if kind == "array":
        return {"type": "array", "items": draw(types(names, namespace, depth - 1))}
    if kind == "map":
        return {"type": "map", "values": draw(types(names, namespace, depth - 1))}
    if kind == "decimal":
        return {"type": "bytes", **DECIMAL}
    if kind == "fixed decimal":
        return {**names.define(draw, "fixed", namespace)[0], "size": 3, **DECIMAL}
    if kind == "uuid":
        said = names.define(draw, "fixed", namespace)[0]
        return {**said, "size": 16, "logicalType": "uuid"}
    if kind not in ("enum", "fixed", "record"):
        return kind
    said, inner = names.define(draw, kind, namespace)
    full = f"{inner}.{said['name']}" if inner else said["name"]
    if kind == "enum":
        said["symbols"] = list(SYMBOLS[: draw(st.integers(1, 3))])
    elif kind == "fixed":
        said["size"] = draw(st.integers(1, 3))
    else:
        said["fields"] = [
            {"name": field, "type": draw(types(names, inner, depth - 1))}
            for field in FIELDS[: draw(st.integers(1, 4))]
        ]
    # Of no namespace, a name cannot be told from one that is meant in a namespace.
    if inner:
        names.defined.append((full, kind))
    return said


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Any:
    """A record's JSON."""
    names = Names()
    fields = [
        {"name": field, "type": draw(types(names, "", depth - 1))}
        for field in FIELDS[: draw(st.integers(1, 4))]
    ]
    return {"type": "record", "name": "event", "fields": fields}


@st.composite
def near(draw: st.DrawFn, node: Any) -> Any:
    """The schema, with a few things changed that schemas change by."""
    change = draw(st.integers(0, 11))
    if isinstance(node, list):
        branches = [draw(near(branch)) for branch in node]
        flat = [branch for branch in branches if not isinstance(branch, list)]
        kept = list({key_of(branch): branch for branch in flat}.values()) or ["null"]
        if change == 0 and len(kept) > 1:
            kept.pop(draw(st.integers(0, len(kept) - 1)))
        elif change == 1 and "null" not in kept:
            kept.append("null")
        elif change == 2:
            kept = draw(st.permutations(kept))
        elif change == 3 and len(kept) == 1:
            return kept[0]
        return kept
    if not isinstance(node, dict):
        wider = {
            "int": ["long", "float", "double", "string"],
            "long": ["float", "double", "int"],
            "float": ["double", "int"],
            "string": ["bytes", "int"],
            "bytes": ["string"],
        }
        if change < 4 and node in wider:
            return draw(st.sampled_from(wider[node]))
        if change == 4 and node in PRIMITIVES and node != "null":
            return ["null", node]
        if change == 5 and node == "int":
            return ["double", "long"]
        return node
    made = {**node}
    if made["type"] == "enum":
        if change == 0:
            made["symbols"] = made["symbols"][1:] or ["Z"]
        if change in (1, 2):
            made["symbols"] = [*made["symbols"][1:], "Z"]
            made["default"] = "Z"
    if made["type"] == "fixed" and change == 0:
        made["size"] += 1
    if "name" in made and change == 3:
        made["name"] += "x"
        if draw(st.booleans()):
            made["aliases"] = [node["name"]]
    for inner in ("items", "values"):
        if inner in made:
            made[inner] = draw(near(made[inner]))
    if made["type"] == "record":
        made["fields"] = draw(near_fields(made["fields"]))
    if change == 4 and made["type"] != "record":
        return [made, "null"]
    return made


@st.composite
def near_fields(draw: st.DrawFn, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fields = [{**field, "type": draw(near(field["type"]))} for field in given]
    change = draw(st.integers(0, 5))
    if change == 0 and len(fields) > 1:
        fields.pop(draw(st.integers(0, len(fields) - 1)))
    elif change == 1:
        kind = draw(st.sampled_from(PRIMITIVES))
        added: dict[str, Any] = {"name": "added", "type": kind}
        if draw(st.integers(0, 3)):
            added["default"] = DEFAULTS[kind]
        fields.append(added)
    elif change == 2:
        at = draw(st.integers(0, len(fields) - 1))
        renamed = {**fields[at], "name": "renamed", "aliases": [fields[at]["name"]]}
        if not draw(st.integers(0, 2)):
            del renamed["aliases"]
        fields[at] = renamed
    elif change == 3:
        fields = draw(st.permutations(fields))
    return fields


def whole(value: int) -> bytes:
    """A number as Avro writes it."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def samples(type_: Type) -> list[bytes]:
    """Encoded values that, together, reach everything in a type that is not recursive."""
    if isinstance(type_, Union):
        return [
            whole(at) + sample
            for at, branch in enumerate(type_.branches)
            for sample in samples(branch)
        ]
    if isinstance(type_, Enum):
        return [whole(at) for at in range(len(type_.symbols))]
    if isinstance(type_, Fixed):
        if type_.logical is not None and type_.logical.name == "decimal":
            return [b"\x0f\x42\x3f"[: type_.size], b"\xff" * type_.size]
        return [bytes(range(97, 97 + type_.size))]
    if isinstance(type_, Array):
        items = samples(type_.items)
        return [whole(len(items)) + b"".join(items) + b"\0"]
    if isinstance(type_, Map):
        values = samples(type_.values)
        keyed = [whole(1) + b"%c" % (97 + at % 26) + value for at, value in enumerate(values)]
        return [whole(len(values)) + b"".join(keyed) + b"\0"]
    if isinstance(type_, Record):
        return list(rows_of(type_))
    assert isinstance(type_, Primitive)
    if type_.logical is not None:
        return [whole(2) + b"\xff\x01", whole(3) + b"\x0f\x42\x3f", whole(0)]
    made = {
        "null": b"",
        "boolean": b"\1",
        "int": whole(5),
        "long": whole(7),
        "float": struct.pack("<f", 1.5),
        "double": struct.pack("<d", 2.5),
        "bytes": whole(1) + b"x",
        "string": whole(1) + b"y",
    }
    return [made[type_.kind]]


def rows_of(record: Record) -> Iterator[bytes]:
    """Values of a record in which each field has had each of its own samples."""
    columns = [samples(own.type) for own in record.fields]
    most = max(map(len, columns), default=1)
    cycles = [itertools.islice(itertools.cycle(column), most) for column in columns]
    return map(b"".join, zip(*cycles))


# ------------------------------------------------------------ columns as another reader has them
def flattened(value: Any, type_: Type, path: str = "") -> dict[str, Any]:
    """What fastavro read, told which named type each value of a union is, as columns by path."""
    if isinstance(type_, Record):
        out: dict[str, Any] = {}
        for own in type_.fields:
            out |= flattened(value[own.name], own.type, joined(path, f".{own.name}"))
        return out
    if isinstance(type_, Union):
        out = dict.fromkeys(leaves_at(type_, path))
        alone = alone_in(type_)
        if value is None:
            return out
        if alone is not None and alone is not type_:
            return out | flattened(untagged(value), alone, path)
        if alone is type_:
            wide = widest(type_)
            return {path: narrowed(value, wide)}
        name, branch = taken(value, type_)
        return out | flattened(untagged(value), branch, joined(path, f".{name}"))
    return {} if type_.kind == "null" else {path: shaped(value, type_)}


def shaped(value: Any, type_: Type) -> Any:
    """A value as Arrow has it in a list."""
    value = untagged(value)
    if isinstance(type_, Array):
        return [shaped(item, type_.items) for item in value]
    if isinstance(type_, Map):
        return [{"key": key, "value": shaped(own, type_.values)} for key, own in value.items()]
    if isinstance(type_, Record):
        return {
            own.name: shaped(None if value is None else value[own.name], own.type)
            for own in type_.fields
        }
    if value is None and not isinstance(type_, Union):
        return None
    if isinstance(type_, Union):
        alone = alone_in(type_)
        if alone is type_:
            return None if value is None else narrowed(value, widest(type_))
        if alone is not None:
            return shaped(value, alone)
        raise AssertionError("is shaped with its tag")
    # fastavro knows UUIDs of texts alone.
    if isinstance(type_, Fixed) and type_.logical is not None and type_.logical.name == "uuid":
        return str(UUID(bytes=value))
    return narrowed(value, type_.kind)


def narrowed(value: Any, kind: str) -> Any:
    if kind in ("float", "double") and value is not None:
        return float(np.float32(value)) if kind == "float" else float(value)
    # A default of bytes comes as the JSON has it.
    if kind in ("bytes", "fixed") and isinstance(value, str):
        return value.encode("latin-1")
    if kind == "string" and isinstance(value, bytes):
        return value.decode()
    return value


def untagged(value: Any) -> Any:
    return value[1] if isinstance(value, tuple) else value


def taken(value: Any, union: Union) -> tuple[str, Type]:
    """The branch that a value is of, by the name it came with or by its Python type."""
    names = branch_names(union)
    for name, branch in zip(names, union.branches):
        if isinstance(value, tuple):
            if getattr(branch, "name", None) == value[0]:
                return name, branch
        elif branch.kind in _KINDS[type(value)]:
            return name, branch
    raise AssertionError(f"{value!r} is none of {names}")


_KINDS = {
    bool: ("boolean",),
    int: ("int", "long"),
    float: ("float", "double"),
    bytes: ("bytes",),
    Decimal: ("bytes",),
    str: ("string",),
    list: ("array",),
    dict: ("map",),
}


def is_told_apart(type_: Type) -> bool:
    """Whether the branch of each value can be told by its Python type, and nothing is in a list
    that would have to be."""
    return _is_told_apart(type_, False)


def _is_told_apart(type_: Type, in_list: bool) -> bool:
    if isinstance(type_, Union) and alone_in(type_) is None:
        kinds = [branch.kind for branch in type_.branches]
        if in_list or {"int", "long"} <= {*kinds} or {"float", "double"} <= {*kinds}:
            return False
    in_list = in_list or isinstance(type_, Array | Map)
    return all(_is_told_apart(child, in_list) for _, child in parts(type_))


def promotes_within(type_: Type) -> bool:
    """Whether a union of several has a branch that another could be promoted to: of these fastavro
    takes the first, and freshet the exact one."""
    if isinstance(type_, Union) and alone_in(type_) is None:
        kinds = {branch.kind for branch in type_.branches}
        if any({one, other} <= kinds for one, other in PROMOTIONS):
            return True
    return any(promotes_within(child) for _, child in parts(type_))


def are_unions_of_named(type_: Type) -> bool:
    """Whether fastavro, when it writes, is told the branch of each value that has several: of other
    types it takes one that the value may be."""
    if isinstance(type_, Union):
        others = [branch for branch in type_.branches if branch.kind != "null"]
        if len(others) > 1 and not all(isinstance(branch, NAMED) for branch in others):
            return False
    return all(are_unions_of_named(child) for _, child in parts(type_))
