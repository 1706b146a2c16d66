"""Values as JSON and Python have them, to what an Avro writer takes.

Both ways of writing a union are understood: Avro's own JSON encoding, `{"string": "x"}`, and the
bare value, which is the first branch that it fits (whole numbers are tried as such before they are
tried as floats). A record is an object, or its fields' paths: `{"address.city": "Bonn"}`; an array
is a list, a map an object. Bytes are a text of which each character is one byte, as in Avro's JSON
encoding; a decimal is a number or its digits as a text, a UUID its text.

Source: Apache Avro 1.12 specification, JSON encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from uuid import UUID

from freshet.schemas.avro.defaults import default_value, fits, tag_of
from freshet.schemas.avro.leaves import logical_of
from freshet.schemas.avro.parse import DEEPEST
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
# Parts of a path: types may be so deep, each a record within a branch of a union at the most.
LONGEST_PATH = 2 * DEEPEST
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
    """An event with the paths among its names taken apart, but for those that are longer than any
    schema is deep: they are nobody's, and would nest deeper than Python can follow."""
    if not any("." in name for name in event):
        return event
    out: dict[str, Any] = {}
    for name, value in event.items():
        first = name
        within: list[str] = []
        if name.count(".") < LONGEST_PATH:
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


def value_at(event: Mapping[str, Any], path: str, lacking: Any = None) -> Any:
    """What stands at a path, by that name or in objects; `lacking` where something on the way is
    not there.

    >>> value_at({"a": {"b": 1}}, "a.b"), value_at({"a": None}, "a.b"), value_at({"a.b": 2}, "a.b")
    (1, None, 2)
    """
    # A name may have dots, too.
    if path in event:
        return event[path]
    found: Any = event
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return lacking
        found = found[part]
    return found


def converter(type_: Type, path: str) -> Convert:
    """A function that makes what fastavro writes of a value at this path; it raises `NoFit`."""
    if isinstance(type_, Record):
        return _record(type_, path)
    if isinstance(type_, Union):
        return _union(type_, path)
    if isinstance(type_, Array):
        return _array(converter(type_.items, joined(path, "[]")), path)
    if isinstance(type_, Map):
        return _map(converter(type_.values, joined(path, "{}")), path)
    if isinstance(type_, Enum):
        return _enum(frozenset(type_.symbols), path)
    logical = logical_of(type_)
    if isinstance(type_, Fixed):
        return _bytes(path, type_.size, logical)
    if type_.kind == "bytes":
        return _bytes(path, None, logical)
    return _scalar(type_.kind, path)


def _record(record: Record, path: str) -> Convert:
    steps = []
    for own in record.fields:
        inner = joined(path, f".{own.name}")
        default = (own.has_default, None)
        if own.has_default:
            default = (True, default_value(own.default, own.type))
        convert = converter(own.type, inner)
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


class _Branch(NamedTuple):
    """A branch of a union: the name that it is written by, those that it may be told by, and, of a
    record, those of its fields."""

    tag: str
    names: frozenset[str]
    convert: Convert
    kind: str
    fields: frozenset[str]


def _union(union: Union, path: str) -> Convert:
    nullable = any(map(is_null, union.branches))
    several = len(union.branches) - nullable > 1
    branches = []
    for name, branch in zip(branch_names(union), union.branches):
        if is_null(branch):
            continue
        at = path
        if several:
            at = joined(path, f".{name}")
        tag = tag_of(branch)
        names = frozenset({name, tag, last_name(tag)})
        convert = converter(branch, at)
        branches.append(_Branch(tag, names, convert, branch.kind, _fields_of(branch)))
    if len(branches) == 1:
        return _or_null(branches[0], nullable, path)

    def of_any(value: Any) -> Any:
        if _is_null(value):
            return _null(nullable, path)
        if isinstance(value, ByPath):
            value = {name: own for name, own in value.items() if not _is_null(own)}
        told = None
        for branch in branches:
            if not _is_tagged(value, branch):
                continue
            try:
                return branch.tag, branch.convert(next(iter(value.values())))
            except NoFit as misfit:
                # Unless a map, say, has that for a key.
                told = misfit
        for branch in sorted(branches, key=lambda branch: _comes_last(branch, value)):
            try:
                return branch.tag, branch.convert(value)
            except NoFit:
                continue
        raise told or NoFit(WRONG_TYPE, path)

    return of_any


def _or_null(branch: _Branch, nullable: bool, path: str) -> Convert:
    """Of a union of one type, perhaps beside null."""
    tag = branch.tag

    def of_one(value: Any) -> Any:
        if value is None or (nullable and _is_null(value)):
            return _null(nullable, path)
        # As Avro's own JSON encoding has it; of a map it may be a key as well.
        if not _is_tagged(value, branch):
            return tag, branch.convert(value)
        inner = next(iter(value.values()))
        if branch.kind != "map":
            return tag, branch.convert(inner)
        try:
            return tag, branch.convert(value)
        except NoFit:
            return tag, branch.convert(inner)

    return of_one


def _fields_of(branch: Type) -> frozenset[str]:
    if not isinstance(branch, Record):
        return frozenset()
    return frozenset(name for own in branch.fields for name in (own.name, *own.aliases))


def _is_tagged(value: Any, branch: _Branch) -> bool:
    """Whether it is an object of one name, which is that of the branch and of none of its
    fields."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    name = next(iter(value))
    return name in branch.names and name not in branch.fields


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, ByPath) and value.is_null())


def _null(nullable: bool, path: str) -> None:
    if not nullable:
        raise NoFit(MISSING, path)


def _comes_last(branch: _Branch, value: Any) -> bool:
    """Of whole numbers floats, which would take them, too; of an object records that lack some of
    its names, since what a record does not know it passes over."""
    if isinstance(value, Mapping):
        return branch.kind == "record" and not branch.fields >= value.keys()
    return isinstance(value, int) and branch.kind in ("float", "double")


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
