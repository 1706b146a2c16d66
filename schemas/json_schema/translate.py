"""A JSON Schema of objects as the Avro record that freshet reads: each property a field, `enum` a
domain, `minimum` and `maximum` a range.

What says something of values and has no counterpart is refused by its keyword: passed over, it
would be a promise that nobody keeps. What only describes (`title`, `examples`, most of `format`) is
passed over, and so is `additionalProperties`: events may always have more than their schema names.

Sources: JSON Schema 2020-12 and draft-07, Core and Validation; Apache Avro 1.12 specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from freshet.schemas.avro_names import avro_name
from freshet.schemas.json_schema.constraints import DOMAIN, Constraints, constraints_of
from freshet.schemas.json_schema.reading import Keywords, Place, own_keywords

Avro = dict[str, Any]
# They describe, or say of freshet what an Avro record's attributes say.
_OF_RECORDS = frozenset({"properties", "required", "additionalProperties", "type"})
_OWN = ("schema_id", "version")
_TYPES = {"integer": "long", "number": "double", "string": "string", "boolean": "boolean"}
# Of values that every reader can tell; other formats are annotations, as 2020-12 has them.
_LOGICAL = {"uuid": "uuid"}
_SUFFIX = re.compile(r"(\.schema)?\.json$")


def is_json_schema(raw: Any) -> bool:
    """Whether it is one, by its content: Avro has records where JSON Schema has objects."""
    if not isinstance(raw, Mapping) or raw.get("type") == "record":
        return False
    return "$schema" in raw or "properties" in raw or raw.get("type") == "object" or "$ref" in raw


def translated(raw: Mapping[str, Any], name: str) -> Avro:
    """The Avro record of a JSON Schema; `name` is how errors call it, and the record where the
    schema has no title.

    Raises:
        SchemaError: it is none of objects, or has a keyword that no rule of a field is for; the
            text names the property and the keyword.

    >>> schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}
    >>> translated(schema, "order.schema.json")["fields"][0]["range"]
    [0, 9223372036854775807]
    """
    keywords, place = own_keywords(raw, Place(name, raw))
    title = keywords.get("title") or _SUFFIX.sub("", name.rsplit("/", 1)[-1])
    record = _record(keywords, place, avro_name(str(title), ()))
    record |= {own: raw[own] for own in _OWN if own in raw}
    return record


def _record(keywords: Keywords, place: Place, name: str) -> Avro:
    if keywords.get("type", "object") != "object":
        place.refuse("type", f"is {keywords['type']!r}", 'An event is an object: "type": "object".')
    properties = keywords.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        place.refuse("properties", "has none", "Name at least one property.")
    place.expect_only(keywords, _OF_RECORDS)
    required = keywords.get("required", [])
    names = list(properties)
    # A text is no list of its letters.
    if not isinstance(required, list | tuple) or not all(own in names for own in required):
        place.refuse(
            "required", f"is {required!r}", "List names that are among the properties, or none."
        )
    fields: list[Avro] = []
    # A property that has such a name keeps it, wherever it stands.
    reserved = {own for own in properties if avro_name(str(own), ()) == own}
    for own, value in properties.items():
        taken = {field["name"] for field in fields} | reserved - {own}
        fields.append(_field(own, value, own in required, place, avro_name(own, taken)))
    record: Avro = {"type": "record", "name": name, "fields": fields}
    if "description" in keywords:
        record["doc"] = str(keywords["description"])
    return record


def _field(own: str, value: Any, is_required: bool, outer: Place, name: str) -> Avro:
    """A property as a field. One that may be missing is null where it is, unless it has a
    default."""
    keywords, place = own_keywords(value, outer.within(own))
    types, may_be_null = _types(keywords, place)
    rules = constraints_of(keywords, types, place)
    kinds = [_type(kind, keywords, place, rules) for kind in types]
    may_be_null = may_be_null or rules.null
    # One that is required is never filled in.
    has_default = "default" in keywords and not is_required
    absent_is_null = not is_required and not has_default
    field: Avro = {"name": name, "type": kinds[0]}
    if may_be_null or absent_is_null or len(kinds) > 1:
        nulls = ["null"] * (may_be_null or absent_is_null)
        field["type"] = [*nulls, *kinds]
    if has_default:
        field["default"] = _by_names(keywords["default"], field["type"])
    elif absent_is_null:
        field["default"] = None
    if name != own:
        field["aliases"] = [own]
    if "description" in keywords:
        field["doc"] = str(keywords["description"])
    if rules.range is not None:
        field["range"] = [*rules.range]
    if rules.domain is not None:
        field["domain"] = [*rules.domain]
    return field


def _by_names(value: Any, type_: Any) -> Any:
    """A default by the names of fields, where properties of other names became those."""
    kinds = [type_]
    if isinstance(type_, list):
        kinds = type_
    for kind in kinds:
        if not isinstance(kind, Mapping):
            continue
        if kind["type"] == "record" and isinstance(value, Mapping):
            return _record_by_names(value, kind["fields"])
        if kind["type"] == "array" and isinstance(value, list):
            return [_by_names(item, kind["items"]) for item in value]
    return value


def _record_by_names(value: Mapping[str, Any], fields: Sequence[Avro]) -> Avro:
    known = {own: field for field in fields for own in field.get("aliases", [field["name"]])}
    out = {}
    for own, within in value.items():
        field = known.get(own)
        if field is None:
            # Of no property: an object may have more, and nobody reads it.
            out[own] = within
        else:
            out[field["name"]] = _by_names(within, field["type"])
    return out


def _types(keywords: Keywords, place: Place) -> tuple[list[str], bool]:
    """The types beside null, and whether null is one."""
    said = keywords.get("type", _type_of_values(keywords))
    if isinstance(said, str):
        said = [said]
    if not isinstance(said, Sequence) or not said:
        place.refuse(
            "type", "is not given", 'Say which: "type": "string". Any value at all is no field.'
        )
    types = [kind for kind in said if kind != "null"]
    known = (*_TYPES, "object", "array")
    strange = [kind for kind in types if kind not in known]
    if strange:
        place.refuse("type", f"is {strange[0]!r}", f"Use one of {', '.join(known)}, null.")
    if not types:
        place.refuse("type", "is only null", "Add the type that values have.")
    # A whole number is a number, too.
    if "number" in types and "integer" in types:
        types.remove("integer")
    return types, "null" in said


def _type_of_values(keywords: Keywords) -> list[str] | None:
    """Where only values are listed: their types."""
    values = keywords.get("enum", [keywords["const"]] if "const" in keywords else [])
    if not isinstance(values, list) or not values:
        return None
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return [*dict.fromkeys(names.get(type(value), "object") for value in values)]


def _type(kind: str, keywords: Keywords, place: Place, rules: Constraints) -> Any:
    """The Avro type of a type: what is nested stays so, where event schemas take it."""
    if kind == "object":
        # Named by their paths: those of a schema are defined once.
        path = avro_name(place.path, ())
        return _record({**keywords, "type": "object"}, place, f"{path}_record")
    if kind == "array":
        return _array(keywords, place)
    place.expect_only(keywords, {"type", "format", *rules.keywords})
    logical = _LOGICAL.get(str(keywords.get("format")))
    if kind == "string" and logical is not None:
        return {"type": "string", "logicalType": logical}
    return _TYPES[kind]


def _array(keywords: Keywords, place: Place) -> Avro:
    place.expect_only(keywords, {"type", "items"})
    if "items" not in keywords:
        place.refuse("items", "is not given", 'Say what the list holds: "items": {"type": …}.')
    item = _field("items", keywords["items"], True, place, "items")
    for rule in ("range", DOMAIN):
        if rule in item:
            place.refuse("items", f"has a {rule}", "Only fields have rules: leave it out there.")
    return {"type": "array", "items": item["type"]}
