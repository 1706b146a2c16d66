"""Fields that one version's topic has no more, and that another version still reads while both are
there: whoever takes the topic in for both reads them, too, and writes them for the other alone.

A field that has another name now is what that is: by its alias. One that is gone is read from
records whose writer had it, each by its own schema, and is missing in all others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl

from freshet.schemas.errors import FreshetError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.field import NUMBERS, TEXTS
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.headers import NO_ID
from freshet.streams.intake.task import IntakePlan
from freshet.versions.routes import TopicRoutes, lacking


class Carried(NamedTuple):
    """The fields of Avro to read beside those of the topic, and those that are there by another
    name: the new one by the old one."""

    fields: list[dict[str, Any]]
    renamed: Mapping[str, str]


def carried(routes: TopicRoutes, of: TopicRoutes) -> Carried | None:
    """What the topic `of` another version needs for these routes beside its own fields; None where
    it cannot have all of it: of a field within another one, or of one of another type now."""
    wanted = lacking(routes, of)
    if wanted and not (routes.record and of.record):
        return None
    before = _by_name(routes)
    now = _by_name(of)
    fields = []
    renamed = {}
    for name in wanted:
        # Within another field, of another type, or derived.
        if name not in before or name in now:
            return None
        alias = next((own for own in now if name in now[own].get("aliases", ())), None)
        if alias is None:
            fields.append(_may_be_missing(before[name]))
        elif of.fields.get(alias) in (*TEXTS, *NUMBERS):
            renamed[name] = alias
        else:
            return None
    found = Carried(fields, renamed)
    if fields:
        try:
            _with_fields(json.loads(of.record), found)
        # A named type, say, that is declared elsewhere.
        except FreshetError:
            return None
    return found


def carrying(plan: IntakePlan, every: Sequence[Carried | None]) -> IntakePlan:
    """Intake of a topic that reads these, too, each field once."""
    fields = {own["name"]: own for each in every if each for own in each.fields}
    renamed = {old: new for each in every if each for old, new in each.renamed.items()}
    found = Carried(list(fields.values()), renamed)
    if not fields and not renamed:
        return plan
    topic = plan.topic
    derive = {**topic.derive, **{old: pl.col(new) for old, new in found.renamed.items()}}
    schema = topic.declared
    if found.fields:
        # No record was written by it: each is read by the schema that its id names.
        schema = replace(_with_fields(topic.declared.avro, found), schema_id=NO_ID)
    topic = replace(topic, schema=schema, derive=derive)
    own = plan.codec.schema
    writers = dict(plan.codec.older)
    if found.fields:
        writers[own.schema_id] = own
    return replace(plan, topic=topic, codec=EventCodec(topic.records, writers))


def _by_name(routes: TopicRoutes) -> dict[str, dict[str, Any]]:
    record = json.loads(routes.record or "{}")
    return {field["name"]: field for field in record.get("fields", [])}


def _may_be_missing(field: Mapping[str, Any]) -> dict[str, Any]:
    """It is so in every record whose writer has it no more."""
    type_ = field["type"]
    branches = type_ if isinstance(type_, list) else [type_]
    others = [branch for branch in branches if branch != "null"]
    return {"name": field["name"], "type": ["null", *others], "default": None}


def _with_fields(avro: Mapping[str, Any], found: Carried) -> EventSchema:
    return EventSchema.parse({**avro, "fields": [*avro["fields"], *found.fields]}, "carried")
