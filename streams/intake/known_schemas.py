"""The schemas that a topic has had, kept beside the checkpoints: each record in its log was written
under one of them.

{url}/schemas/{topic}/{schema_id}-{digest}.json
"""

from __future__ import annotations

import json
from typing import Any

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.evolution import FORWARD, breaks
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Topic
from freshet.streams.objects import opened, put
from freshet.streams.registry.writers import kept_writers


def keep(url: str, topic: str, schema: EventSchema) -> None:
    """Keep the schema of a topic, to be asked of every later one.

    Raises:
        SchemaError: records of a kept schema could not be read by this one; nothing is kept.
    """
    refuse_unreadable(url, topic, schema)
    fs, folder = _folder(url, topic)
    path = f"{folder}/{schema.schema_id}-{schema.digest}.json"
    if not fs.exists(path):
        fs.makedirs(folder, exist_ok=True)
        # Written once, and needed for as long as there are records under it.
        put(fs, path, json.dumps(schema.avro).encode(), durable=True)


def refuse_unreadable(url: str, topic: str, schema: EventSchema) -> None:
    """See that a schema of a topic can read what was written under each one that is kept.

    Raises:
        SchemaError: records of a kept schema could not be read by this one.
    """
    for old in _kept(url, topic):
        _check(topic, old, schema)


def refuse_declared(url: str, log: str, topic: Topic) -> None:
    """As `keep_declared`, and keep nothing.

    Raises:
        SchemaError: records of a kept schema could not be read by what the topic declares.
    """
    if topic.registry is None:
        for schema in (*topic.written.values(), topic.records):
            refuse_unreadable(url, log, schema)


def keep_declared(url: str, log: str, topic: Topic) -> None:
    """Keep what a topic declares, as events are read and as producers write them. Of a topic whose
    records have ids of a registry nothing: what that knows of is kept as intake meets it.

    Raises:
        SchemaError: records of a kept schema could not be read by it.
    """
    if topic.registry is not None:
        return
    for written in topic.written.values():
        keep(url, log, written)
    keep(url, log, topic.records)


def earlier(url: str, topic: str, schema: EventSchema) -> dict[int, EventSchema]:
    """Schemas of the topic under other wire ids than this one's, by wire id."""
    return {old.schema_id: old for old in _kept(url, topic) if old.schema_id != schema.schema_id}


def earlier_of(url: str, log: str, topic: Topic) -> dict[int, EventSchema]:
    """Schemas that records in a topic's log bear beside its own, by wire id, as far as its own can
    read them: those that it declared, or those that its registry said."""
    if topic.registry is None:
        return earlier(url, log, topic.records)
    return dict(kept_writers(url, log, topic).readable)


def _check(topic: str, old: EventSchema, new: EventSchema) -> None:
    # All roles read by the new schema: what old readers could not read is not asked.
    found = [obstacle for direction, obstacle in breaks(old, new) if direction != FORWARD]
    if found:
        before = f"version {old.version}, schema_id {old.schema_id}"
        now = f"version {new.version}, schema_id {new.schema_id}"
        raise SchemaError(
            f"of topic {topic}",
            f"as it is declared now ({now}) it cannot read what was written before ({before}): "
            f"{found[0].cause}",
            found[0].fix,
            topic=topic,
            field=found[0].field,
        )


def _kept(url: str, topic: str) -> list[EventSchema]:
    fs, folder = _folder(url, topic)
    if not fs.isdir(folder):
        return []
    names = sorted(n for n in fs.ls(folder, detail=False) if n.endswith(".json"))
    return [EventSchema.parse(fs.cat_file(n), topic) for n in names]


def _folder(url: str, topic: str) -> tuple[Any, str]:
    fs, root = opened(url)
    return fs, f"{root.rstrip('/')}/schemas/{topic}"
