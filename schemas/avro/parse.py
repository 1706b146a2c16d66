"""An Avro schema's JSON as a tree of types. Names, namespaces and aliases are resolved as the
specification says: a name with dots says its own namespace, another is meant in the one that it
stands in, and a type is named only after it was defined.

Source: Apache Avro 1.12 specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from freshet.schemas.avro.defaults import default_fits
from freshet.schemas.avro.logical import logical_of
from freshet.schemas.avro.tree import (
    NO_DEFAULT,
    PRIMITIVES,
    Array,
    Enum,
    Fixed,
    Map,
    Named,
    Primitive,
    Record,
    RecordField,
    Type,
    Union,
    joined,
    told,
)
from freshet.schemas.errors import SchemaError

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RECORDS = ("record", "error")  # the second is a protocol's, and read like the first
_COMPLEX = (*_RECORDS, "enum", "fixed", "array", "map")
LARGEST_FIXED = 1 << 31
DEEPEST = 64  # types within types: far beyond what people write, and within Python's own bound


def parse(raw: Any, name: str) -> Type:
    """The type that a schema's JSON (already read: texts, lists, mappings) stands for.

    Args:
        raw: The schema.
        name: How errors call it.

    Raises:
        SchemaError: it is no Avro schema; the text names the field, by its path, and says what to
            do.
    """
    return _Parser(name).type(raw, "", "")


def full_name(name: str, namespace: object) -> str:
    """A name as the specification resolves it."""
    return f"{namespace}.{name}" if namespace and "." not in name else name


class _Parser:
    """Reads one schema: it knows the types named so far, by their full names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._named: dict[str, Named] = {}
        self._depth = 0

    def refuse(self, path: str, cause: str, next_step: str) -> NoReturn:
        resource = f"{self._name}, field {path!r}" if path else self._name
        raise SchemaError(
            resource,
            cause,
            next_step,
            field=path,
        )

    def type(self, raw: Any, path: str, namespace: str) -> Type:
        self._depth += 1
        if self._depth > DEEPEST:
            self.refuse(path[:80], f"is nested more than {DEEPEST} deep", "Leave levels out.")
        made = self._type(raw, path, namespace)
        self._depth -= 1
        return made

    def _type(self, raw: Any, path: str, namespace: str) -> Type:
        if isinstance(raw, list):
            return self._union(raw, path, namespace)
        attributes: Mapping[str, Any] = {}
        # A type may be wrapped as often as one likes; the attributes are those next to its name.
        while isinstance(raw, Mapping):
            attributes = raw
            raw = raw.get("type")
        if isinstance(raw, list):
            return self._union(raw, path, namespace)
        if not isinstance(raw, str):
            self._unknown(path, type(raw).__name__)
        if raw in PRIMITIVES:
            return Primitive(raw, logical_of(raw, attributes))
        # Of a complex type there is more to say than its name, which others may have, too.
        if raw not in _COMPLEX or not attributes:
            known = self._named.get(full_name(raw, namespace))
            if known is None:
                self._unknown(path, raw)
            return known
        if raw == "array":
            return Array(
                self._inner(
                    attributes,
                    "items",
                    joined(path, "[]"),
                    namespace,
                )
            )
        if raw == "map":
            return Map(
                self._inner(
                    attributes,
                    "values",
                    joined(path, "{}"),
                    namespace,
                )
            )
        if raw == "enum":
            return self._enum(attributes, path, namespace)
        if raw == "fixed":
            return self._fixed(attributes, path, namespace)
        return self._record(attributes, path, namespace)

    def _unknown(self, path: str, text: str) -> NoReturn:
        self.refuse(
            path,
            f"type {text!r} is not known",
            f"Use one of {', '.join((*PRIMITIVES, *_COMPLEX[:1], *_COMPLEX[2:]))}, or a name that "
            "was defined before.",
        )

    def _inner(
        self,
        raw: Mapping[str, Any],
        what: str,
        path: str,
        namespace: str,
    ) -> Type:
        if what not in raw:
            self.refuse(
                path, f"says not of what: {what!r} is missing", f'Write "{what}": "string".'
            )
        return self.type(raw[what], path, namespace)

    def _union(self, raw: list[Any], path: str, namespace: str) -> Union:
        branches = tuple(self.type(branch, path, namespace) for branch in raw)
        seen = set()
        for branch in branches:
            if isinstance(branch, Union):
                self.refuse(path, "is a union within a union", "Write one union of all the types.")
            # Records, enums and fixed may be several, of different names.
            key = (branch.kind, getattr(branch, "name", ""))
            if key in seen:
                self.refuse(
                    path, f"is a union that has {told(branch)} twice", "Leave one of them out."
                )
            seen.add(key)
        if not branches:
            self.refuse(path, "is a union of nothing", 'Write one such as ["null", "string"].')
        return Union(branches)

    def word(self, path: str, what: str, value: Any) -> str:
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            self.refuse(
                path,
                f"{what} {value!r} is not a name",
                "Use letters, digits and _, no digit first.",
            )
        return value

    def _define(self, raw: Mapping[str, Any], path: str, namespace: str) -> str:
        """The full name of a type that is being defined."""
        name = raw.get("name")
        kind = raw["type"]
        if name is None and path:
            self.refuse(
                path,
                f"is {_article(kind)} without a name",
                f'Write {{"type": "{kind}", "name": …}}.',
            )
        plain = name
        # Only that after the last dot is the name itself.
        if isinstance(name, str):
            plain = name.rsplit(".", 1)[-1]
        self.word(path, "name", plain)
        own = raw.get("namespace", namespace)
        full = full_name(str(name), own)
        if full in self._named:
            self.refuse(path, f"type {full!r} is defined twice", "Define it once, then name it.")
        return full

    def _aliases(self, raw: Mapping[str, Any], path: str, namespace: str) -> tuple[str, ...]:
        value = raw.get("aliases", [])
        if not isinstance(value, list) or not all(isinstance(alias, str) for alias in value):
            self.refuse(
                path, f"aliases {value!r} is not a list of names", 'Write "aliases": ["old_name"].'
            )
        return tuple(full_name(alias, namespace) for alias in value)

    def _enum(self, raw: Mapping[str, Any], path: str, namespace: str) -> Enum:
        full = self._define(raw, path, namespace)
        symbols = raw.get("symbols")
        default = raw.get("default")
        if (
            not isinstance(symbols, list)
            or not symbols
            or len(set(map(str, symbols))) < len(symbols)
        ):
            self.refuse(
                path,
                f"symbols {symbols!r} is not a list of distinct names",
                'Write "symbols": ["A", "B"].',
            )
        for symbol in symbols:
            self.word(path, "symbol", symbol)
        if default is not None and default not in symbols:
            self.refuse(
                path,
                f"the enum's default {default!r} is not a symbol",
                f"Use one of {', '.join(symbols)}.",
            )
        aliases = self._aliases(raw, path, full.rpartition(".")[0])
        made = self._named[full] = Enum(
            full,
            tuple(symbols),
            aliases,
            default,
        )
        return made

    def _fixed(self, raw: Mapping[str, Any], path: str, namespace: str) -> Fixed:
        full = self._define(raw, path, namespace)
        size = raw.get("size")
        # True and false are whole numbers to Python.
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < LARGEST_FIXED:
            self.refuse(path, f"size is {size!r}", "Write how many bytes it has, as a number.")
        aliases = self._aliases(raw, path, full.rpartition(".")[0])
        made = self._named[full] = Fixed(
            full,
            size,
            aliases,
            logical_of("fixed", raw, size),
        )
        return made

    def _record(self, raw: Mapping[str, Any], path: str, namespace: str) -> Record:
        full = self._define(raw, path, namespace)
        inner = full.rpartition(".")[0]
        made = Record(full, self._aliases(raw, path, inner))
        # Before its fields are read: they may name it.
        self._named[full] = made
        items = raw.get("fields")
        if not isinstance(items, list):
            self.refuse(
                path, "has no fields", 'Give it a list: "fields": [{"name": …, "type": …}].'
            )
        made.fields = tuple(self._field(item, path, inner) for item in items)
        self._check_names(made, path)
        return made

    def _field(self, raw: Any, path: str, namespace: str) -> RecordField:
        if not isinstance(raw, Mapping):
            self.refuse(path, f"{raw!r} is not a field", 'Write {"name": …, "type": …}.')
        name = self.word(path, "field name", raw.get("name"))
        inner = joined(path, f".{name}")
        type_ = self.type(raw.get("type"), inner, namespace)
        # Fields have no namespaces: a dot in an alias is one of a column's name.
        aliases = self._aliases(raw, inner, "")
        default = raw.get("default", NO_DEFAULT)
        if default is not NO_DEFAULT and not default_fits(default, type_):
            self.refuse(
                inner,
                f"default {default!r} is no {told(type_)}",
                "Give a default of the field's own type.",
            )
        return RecordField(
            name,
            type_,
            aliases,
            default,
            raw,
        )

    def _check_names(self, record: Record, path: str) -> None:
        taken = set()
        for own in record.fields:
            if own.name in taken:
                self.refuse(
                    joined(path, f".{own.name}"),
                    "is declared twice",
                    "Give each field a name of its own.",
                )
            taken.add(own.name)
        for own in record.fields:
            for alias in own.aliases:
                if alias in taken:
                    self.refuse(
                        joined(path, f".{own.name}"),
                        f"alias {alias!r} already names a field",
                        "Remove the alias.",
                    )
                # Of two fields with one alias none could say which of them old data meant.
                taken.add(alias)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
