"""Schemas as they would have to be: a patch for each anomaly is the whole field, and all of them
together are the schema's next version."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from freshet.anomalies import compare as found
from freshet.anomalies.compare import Anomaly
from freshet.samples.names import told_apart
from freshet.samples.proposal import MOST_WORDS, propose_field
from freshet.samples.values import BOOLEAN, HUGE, REAL, WHOLE
from freshet.schemas.avro_names import avro_name
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.evolution import BACKWARD, breaks
from freshet.schemas.events.schema import EventSchema

# Numbers that are read as others by what Avro promotes; each type with those it may become.
_WIDER = {"int": ("long", "double"), "long": ("double",), "float": ("double",)}
_HIGHEST = {"int": (1 << 31) - 1, "long": (1 << 63) - 1}
Avro = dict[str, Any]


def patched_field(avro: Avro, anomaly: Anomaly, as_text: bool) -> Avro | None:
    """A field as it would have to be so that the anomaly is none; None: no change of the field
    that could still read what was written before would do."""
    if anomaly.kind == found.NEW_COLUMN:
        return _new(anomaly, as_text)
    # Rows that are none have no field, and one within a record has no JSON of its own at the top.
    if not avro:
        return None
    match anomaly.kind:
        case found.MISSING_VALUES | found.MISSING_COLUMN:
            # An event without its id or time would be none, whatever its schema says.
            if anomaly.is_needed:
                return None
            return _nullable(avro)
        case found.WRONG_TYPE:
            return _wider(avro, anomaly)
        case found.BAD_UUID:
            return _with_type(avro, "string")
        case found.OUT_OF_DOMAIN:
            return _with_words(avro, anomaly)
        case found.OUT_OF_RANGE:
            return _with_range(avro, anomaly)
        case _:
            return None


def patch(schema: EventSchema, anomaly: Anomaly, as_text: bool) -> Avro | None:
    """The anomaly's own patch, as if it were the only one."""
    return patched_field(_field(schema.avro, anomaly.field), anomaly, as_text)


def next_version(
    schema: EventSchema, anomalies: Iterable[Anomaly], as_text: bool
) -> tuple[Avro, list[str]]:
    """The schema with all patches, its version and, where other bytes are written, its schema_id
    raised; and what of it old readers would not read.

    Raises:
        SchemaError: new readers could not read what was written before.
    """
    avro: Avro = json.loads(json.dumps(schema.avro))
    for anomaly in anomalies:
        before = _field(avro, anomaly.field)
        after = patched_field(before, anomaly, as_text)
        if after is not None:
            _put(avro, after, before)
    avro["version"] = schema.version + 1
    made = EventSchema.parse(avro, schema.name)
    # Rules are freshet's own: an id stands for bytes, and under one id these may not change.
    if [own.wire for own in made.fields] != [own.wire for own in schema.fields]:
        avro["schema_id"] = schema.schema_id + 1
        made = EventSchema.parse(avro, schema.name)
    told = []
    for direction, obstacle in breaks(schema, made):
        if direction == BACKWARD:
            raise SchemaError(
                schema.name, f"{direction}: {obstacle.cause}", obstacle.fix, field=obstacle.field
            )
        told.append(f"{direction}: {obstacle}")
    return avro, told


def _field(avro: Mapping[str, Any], name: str) -> Avro:
    """Empty where there is none."""
    return next((dict(own) for own in avro["fields"] if own["name"] == name), {})


def _put(avro: Avro, after: Avro, before: Avro) -> None:
    """Change a field in its place, or add it at the end under a name that is free."""
    if before:
        at = [own["name"] for own in avro["fields"]].index(before["name"])
        avro["fields"][at] = after
        return
    taken = [own["name"] for own in avro["fields"]]
    count = 2
    name = after["name"]
    while after["name"] in taken:
        after["name"] = f"{name}_{count}"
        count += 1
    after["type"] = told_apart(after["type"], _type_names(avro))
    avro["fields"] = [*avro["fields"], after]


def _type_names(avro: Any) -> set[str]:
    """The names that types of a schema have, which no other may have."""
    if isinstance(avro, list):
        return set().union(*map(_type_names, avro))
    if not isinstance(avro, dict):
        return set()
    names = set().union(*(_type_names(avro.get(part)) for part in ("type", "fields", "items")))
    if avro.get("type") in ("record", "enum", "fixed"):
        names.add(avro["name"])
    return names


def _new(anomaly: Anomaly, as_text: bool) -> Avro | None:
    """A field that may be missing, for a column that the schema does not know."""
    if anomaly.profile is None:
        return None
    proposed = propose_field(anomaly.field, anomaly.profile, as_text, [])
    if isinstance(proposed, str):
        return None
    avro = dict(proposed.avro)
    # Nobody wrote it before: what is read from then has to have something in its place.
    if not isinstance(avro["type"], list):
        avro["type"] = ["null", avro["type"]]
        avro["default"] = None
    return avro


def _nullable(avro: Avro) -> Avro:
    """The field as one that may be null, and is then no dead letter."""
    changed = {name: value for name, value in avro.items() if name != "required"}
    if not isinstance(changed["type"], list):
        changed["type"] = ["null", changed["type"]]
    # The default of a union was of its first type until Avro 1.12.
    if changed["type"][0] == "null":
        changed.setdefault("default", None)
    return changed


def _with_type(avro: Avro, type_: Any) -> Avro:
    """The field with another type beside null, if null was there."""
    now = avro["type"]
    if not isinstance(now, list):
        return {**avro, "type": type_}
    # Null stays where it stands in the union: a record names its type by the place.
    places = {0: ["null", type_], 1: [type_, "null"]}
    return {**avro, "type": places[now.index("null")]}


def _plain(avro: Avro) -> str:
    """The type's name beside null."""
    kind = avro["type"]
    if isinstance(kind, list):
        kind = next(inner for inner in kind if inner != "null")
    # What has a logicalType is no mere number.
    if isinstance(kind, str):
        return kind
    return ""


def _wider(avro: Avro, anomaly: Anomaly) -> Avro | None:
    """The next type that holds all numbers that were seen; nothing but numbers can be read as
    another type."""
    if not set(anomaly.kinds) <= {WHOLE, REAL, HUGE, BOOLEAN} or BOOLEAN in anomaly.kinds:
        return None
    for wider in _WIDER.get(_plain(avro), ()):
        if REAL in anomaly.kinds and wider != "double":
            continue
        most = _HIGHEST.get(wider, math.inf)
        if -most - 1 <= (anomaly.lowest or 0) and (anomaly.highest or 0) <= most:
            return _with_type(avro, wider)
    return None


def _with_words(avro: Avro, anomaly: Anomaly) -> Avro | None:
    """The domain with what was seen, the commonest first; where they are no longer few, none."""
    words = sorted(anomaly.values, key=lambda word: (-anomaly.values[word], word))
    if "domain" not in avro:
        return _with_symbols(avro, words)
    domain = [*avro["domain"], *words]
    changed = {name: value for name, value in avro.items() if name != "domain"}
    if len(domain) <= max(MOST_WORDS, len(avro["domain"]) + 1):
        changed["domain"] = domain
    return changed


def _with_symbols(avro: Avro, words: list[str]) -> Avro | None:
    """The field with more symbols of its enum, where it is the one that defines it."""
    # A symbol is a name, which not every text is.
    if not all(avro_name(word, ()) == word for word in words):
        return None
    kind = avro["type"]
    inner = kind
    if isinstance(kind, list):
        inner = next(each for each in kind if each != "null")
    while not (isinstance(inner, Mapping) and "symbols" in inner):
        # The enum is defined elsewhere in the schema, and named here.
        if not isinstance(inner, Mapping):
            return None
        inner = inner["type"]
    return _with_type(avro, {**inner, "symbols": [*inner["symbols"], *words]})


def _with_range(avro: Avro, anomaly: Anomaly) -> Avro | None:
    """The range, stretched to what was seen."""
    # What is not finite is out of any range.
    if anomaly.lowest is None or anomaly.highest is None or "range" not in avro:
        return None
    low, high = avro["range"]
    return {**avro, "range": [min(low, anomaly.lowest), max(high, anomaly.highest)]}
