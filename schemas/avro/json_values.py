"""Values as JSON and Python have them, to what an Avro writer takes.

Both ways of writing a union are understood: Avro's own JSON encoding, `{"string": "x"}`, and the
bare value, which is the first branch that it fits (whole numbers are tried as such before they are
tried as floats). A record is an object, or its fields' paths: `{"address.city": "Bonn"}`; an array
is a list, a map an object. Bytes are a text of which each character is one byte, as in Avro's JSON
encoding; a decimal is a number or its digits as a text, a UUID its text.

Source: Apache Avro 1.12 specification, JSON encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from freshet.schemas.avro.defaults import default_value, fits, tag_of
from freshet.schemas.avro.leaves import logical_of
from freshet.schemas.avro.tree import (
    Array,
    Enum,
    Fixed,
    Logical,
    Map,
    Record,
    Type,
    Union,
    branch_names,
    is_null,
    joined,
    last_name,
)

MISSING = "missing"
WRONG_TYPE = "wrong type"
UNKNOWN_SYMBOL = "unknown symbol"
LONGEST_DECIMAL = 400  # digits, far beyond those that any decimal may have
Convert = Callable[[Any], Any]


class NoFit(Exception):
    """A value does not fit its type: why, and at which path."""

    def __init__(self, why: str, path: str) -> None:
        self.why = why
        self.path = path
        super().__init__(why, path)


class ByPath(dict[str, Any]):
    """An object that was given by the paths of what is in it: of a union each branch may have one,
    and all but one of them are null."""

    def is_null(self) -> bool:
        return all(
            value is None or (isinstance(value, ByPath) and value.is_null())
            for value in self.values()
        )


def nested(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event with the paths among its names taken apart."""
    if not any("." in name for name in event):
        return event
    out: dict[str, Any] = {}
    for name, value in event.items():
        first, *within = name.split(".")
        into = out
        for part in within:
            found = into.setdefault(first, ByPath())
            # A field and what is in it were both given: what was given as a whole counts.
            if not isinstance(found, ByPath):
                break
            into = found
            first = part
        else:
            into[first] = value
    return out


def value_at(event: Mapping[str, Any], path: str) -> Any:
    """What stands at a path, by that name or in objects; None where there is nothing."""
    if path in event:
        return event[path]
    found: Any = event
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def converter(type_: Type, path: str, written: Any) -> Convert:
    """A function that makes what fastavro writes of a value; it raises `NoFit`.

    Args:
        type_: The value's type.
        path: Where it stands.
        written: The same type as fastavro has parsed it, all names written out.
    """
    if isinstance(type_, Record):
        return _record(type_, path, written)
    if isinstance(type_, Union):
        return _union(type_, path, written)
    if isinstance(type_, Array):
        return _array(converter(type_.items, joined(path, "[]"), written["items"]), path)
    if isinstance(type_, Map):
        return _map(converter(type_.values, joined(path, "{}"), written["values"]), path)
    if isinstance(type_, Enum):
        return _enum(frozenset(type_.symbols), path)
    logical = logical_of(type_)
    if isinstance(type_, Fixed):
        return _bytes(path, type_.size, logical)
    if type_.kind == "bytes":
        return _bytes(path, None, logical)
    return _scalar(type_.kind, path)


def _record(record: Record, path: str, written: Mapping[str, Any]) -> Convert:
    steps = []
    for own, parsed in zip(record.fields, written["fields"]):
        inner = joined(path, f".{own.name}")
        default = (own.has_default, None)
        if own.has_default:
            default = (True, default_value(own.default, own.type, parsed["type"]))
        convert = converter(own.type, inner, parsed["type"])
        steps.append((own.name, (own.name, *own.aliases), convert, default, inner))

    def of_object(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _misfit(value, path)
        out = {}
        for name, names, convert, (has_default, default), inner in steps:
            for known in names:
                if known in value:
                    out[name] = convert(value[known])
                    break
            else:
                if not has_default:
                    raise NoFit(MISSING, inner)
                out[name] = default
        return out

    return of_object


def _union(union: Union, path: str, written: Sequence[Any]) -> Convert:
    branches: list[tuple[set[str], Convert, Any, str]] = []
    nullable = False
    several = sum(not is_null(branch) for branch in union.branches) > 1
    names = branch_names(union)
    for name, branch, parsed in zip(names, union.branches, written):
        if is_null(branch):
            nullable = True
            continue
        at = path
        if several:
            at = joined(path, f".{name}")
        full = getattr(branch, "name", branch.kind)
        convert = converter(branch, at, parsed)
        branches.append(({name, full, last_name(full)}, convert, tag_of(parsed), branch.kind))
    if len(branches) == 1:
        return _or_null(branches[0], nullable, path)

    def of_any(value: Any) -> Any:
        if value is None or (isinstance(value, ByPath) and value.is_null()):
            return _null(nullable, path)
        if isinstance(value, ByPath):
            value = {name: own for name, own in value.items() if not _is_null(own)}
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, inner),) = value.items()
            for known, convert, tag, _ in branches:
                if name in known:
                    return tag, convert(inner)
        for _, convert, tag, _ in sorted(branches, key=lambda branch: _order(branch[3], value)):
            try:
                return tag, convert(value)
            except NoFit:
                continue
        raise NoFit(WRONG_TYPE, path)

    return of_any


def _or_null(branch: tuple[set[str], Convert, Any, str], nullable: bool, path: str) -> Convert:
    names, convert, _, kind = branch

    def of_one(value: Any) -> Any:
        if value is None or (isinstance(value, ByPath) and nullable and value.is_null()):
            return _null(nullable, path)
        # As Avro's own JSON encoding has it; of a map or record it may be a field as well.
        if isinstance(value, Mapping) and len(value) == 1 and kind not in ("map", "record"):
            ((name, inner),) = value.items()
            if name in names:
                return convert(inner)
        try:
            return convert(value)
        except NoFit:
            if not _is_tagged(value, names):
                raise
        ((_, inner),) = value.items()
        return convert(inner)

    return of_one


def _is_tagged(value: Any, names: set[str]) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in names


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, ByPath) and value.is_null())


def _null(nullable: bool, path: str) -> None:
    if not nullable:
        raise NoFit(MISSING, path)


def _order(kind: str, value: Any) -> bool:
    """Of whole numbers floats come last, which would take them, too."""
    return isinstance(value, int) and kind in ("float", "double")


def _array(item: Convert, path: str) -> Convert:
    def of_list(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _misfit(value, path)
        return [item(one) for one in value]

    return of_list


def _map(item: Convert, path: str) -> Convert:
    def of_object(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _misfit(value, path)
        return {key: item(one) for key, one in value.items()}

    return of_object


def _enum(symbols: frozenset[str], path: str) -> Convert:
    def of_symbol(value: Any) -> Any:
        if isinstance(value, str):
            if value in symbols:
                return value
            # It is of the right type all the same.
            raise NoFit(UNKNOWN_SYMBOL, path)
        raise _misfit(value, path)

    return of_symbol


def _scalar(kind: str, path: str) -> Convert:
    is_float = kind in ("float", "double")

    def of_scalar(value: Any) -> Any:
        if not fits(value, kind):
            raise _misfit(value, path)
        if is_float:
            return float(value)
        return value

    return of_scalar


def _misfit(value: Any, path: str) -> NoFit:
    """Of a value that is not of its type."""
    if value is None:
        return NoFit(MISSING, path)
    return NoFit(WRONG_TYPE, path)


def _bytes(path: str, size: int | None, logical: Logical | None) -> Convert:
    def of_bytes(value: Any) -> Any:
        found = _bytes_of(value, logical, size)
        if found is None or (size is not None and len(found) != size):
            raise _misfit(value, path)
        return found

    return of_bytes


def _bytes_of(value: Any, logical: Logical | None, size: int | None) -> bytes | None:
    """None where it stands for none."""
    if isinstance(value, bytes):
        return value
    meant = ""
    if logical is not None:
        meant = logical.name
    if logical is not None and meant == "decimal":
        return _of_decimal(value, logical, size)
    if not isinstance(value, str):
        return None
    try:
        # Either its text, or, as of other bytes, a character for each.
        if meant == "uuid" and len(value) != size:
            return UUID(value).bytes
        return value.encode("latin-1")
    except ValueError:
        return None


def _of_decimal(value: Any, logical: Logical, size: int | None) -> bytes | None:
    """The two's complement of its digits; None where it has more than it may have."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = str(value)
    if len(text) > LONGEST_DECIMAL:
        return None
    try:
        # By its shortest digits: those that whoever wrote it meant.
        number = Decimal(text)
    except InvalidOperation:
        return None
    # Beyond that its exponent alone could make a number of a billion digits.
    if not number.is_finite() or abs(number.adjusted()) > LONGEST_DECIMAL:
        return None
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + logical.scale
    whole: int = int("".join(map(str, digits)))
    if shift < 0:
        whole, rest = divmod(whole, 10**-shift)
        if rest:
            return None
    else:
        whole *= 10**shift
    if whole >= 10**logical.precision:
        return None
    if sign:
        whole = -whole
    if size is None:
        # As few as hold it, with a bit for the sign.
        size = whole.bit_length() // 8 + 1
    return whole.to_bytes(size, "big", signed=True)
