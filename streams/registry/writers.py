"""The schemas that a topic's records were written by: those that are kept, and those that a
registry is asked for when a record first bears their id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.columns import REASONS, UNKNOWN_TYPE, UNREADABLE_SCHEMA
from freshet.schemas.events.decode import unknown_ids
from freshet.schemas.events.evolution import obstacles
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.registry.writers import read_writer
from freshet.schemas.topics.topic import NO_ID, Topic
from freshet.streams.disk import until_there_is_room
from freshet.streams.log.contract import Batch
from freshet.streams.outages import Outages
from freshet.streams.registry import kept
from freshet.streams.registry.asking import Asking

log = structlog.get_logger()
# Registries count in 32 bits with a sign. Of what lies beyond nobody needs to be asked, and some
# would not even understand.
LARGEST_ID = (1 << 31) - 1
HEAD = slice(1, 5)  # of a record: its schema's id


class Sorted(NamedTuple):
    """Schemas by id: those that a topic's own can read, and why it cannot read others."""

    readable: Mapping[int, EventSchema]
    unreadable: Mapping[int, SchemaError]


def sorted_out(topic: Topic, found: Mapping[int, kept.Kept]) -> Sorted:
    """What is kept of a topic's ids, by whether its own schema can read it.

    Raises:
        SchemaError: the id that the topic's own schema names is another schema.
    """
    readable: dict[int, EventSchema] = {}
    unreadable: dict[int, SchemaError] = {}
    assert topic.registry is not None
    for schema_id, raw in found.items():
        try:
            writer = read_writer(raw, topic.registry)
        except SchemaError as error:
            unreadable[schema_id] = error
            continue
        if schema_id == topic.declared.schema_id:
            _require_same(topic, writer)
            # Its own is read as it is, but where events have fields of headers beside.
            if not topic.headers:
                continue
        between = obstacles(writer, topic.records)
        if between:
            unreadable[schema_id] = SchemaError(
                _told(topic, raw),
                f"topic {topic.name} (version {topic.records.version} of its schema) cannot read "
                f"what is written by it: {between[0].cause}",
                between[0].fix,
                field=between[0].field,
            )
        else:
            readable[schema_id] = writer
    return Sorted(readable, unreadable)


def kept_writers(url: str, log: str, topic: Topic) -> Sorted:
    """What is kept of a topic's ids, without asking anybody. `log` is the topic's log, `url` where
    checkpoints lie."""
    unknown = kept.unknown(url, log)
    # No schema once, none for ever: records were settled by that.
    known = {number: raw for number, raw in kept.schemas(url, log).items() if number not in unknown}
    return sorted_out(topic, known)


def _told(topic: Topic, raw: kept.Kept) -> str:
    version = f", version {raw['version']}" if "version" in raw else ""
    return f"{raw['schema_id']} (subject {topic.registry}{version})"


def _require_same(topic: Topic, registered: EventSchema) -> None:
    own = topic.declared
    if [field.wire for field in own.fields] == [field.wire for field in registered.fields]:
        return
    raise SchemaError(
        f"of topic {topic.name}",
        f"says schema_id {own.schema_id}, which is another schema in the registry (subject "
        f"{topic.registry})",
        "Leave schema_id out: it is then only what events are read as; or write the registered "
        "one anew, by freshet registry pull.",
    )


class Writers:
    """Of one topic, for all partitions of it that a process reads. `log` is the topic's log,
    `url` where checkpoints lie."""

    def __init__(self, topic: Topic, log: str, url: str, asking: Asking, outages: Outages) -> None:
        self._topic = topic
        self._log = log
        self._url = url
        self._asking = asking
        self._outages = outages
        self._unreadable: Mapping[int, SchemaError] = {}
        self._take_on()
        assert topic.registry is not None
        # An id never means another schema. A registry that was set up anew gives ids once more.
        asking.look_at(topic.registry, kept.schemas(url, log))

    def prepare(self, batch: Batch) -> None:
        """Know every id in a batch, and keep what it stands for.

        Raises:
            RegistryError: the registry is away.
            SchemaError: an id is another schema there than it was.
        """
        self._asking.check()
        ids = self._unknown(batch)
        if not ids:
            return
        # Another process may have asked meanwhile: the first answer is everybody's.
        self._take_on()
        ids = self._unknown(batch)
        if not ids:
            return
        assert self._topic.registry is not None
        found = self._asking.answers(self._topic.registry, ids)
        schemas = {number: schema for number, schema in found.items() if schema is not None}
        unknown = [number for number, schema in found.items() if schema is None]
        keep = partial(kept.keep, self._url, self._log, schemas, unknown)
        until_there_is_room(keep, self._outages, self._url)
        self._take_on()
        self._say(schemas, unknown)

    def details(
        self, batch: Batch, rows: npt.NDArray[np.int64], reasons: Sequence[str]
    ) -> list[str | None]:
        """Of rows that are dead letters for their schema, what is wrong with that."""
        return [self._detail(batch, row, reason) for row, reason in zip(rows.tolist(), reasons)]

    def unreadable(self) -> list[str]:
        """What is wrong with each schema that the topic's own cannot read, by rising ids."""
        return [str(self._unreadable[number]) for number in sorted(self._unreadable)]

    def _detail(self, batch: Batch, row: int, reason: str) -> str | None:
        if reason not in (REASONS[UNKNOWN_TYPE], REASONS[UNREADABLE_SCHEMA]):
            return None
        schema_id = int.from_bytes(batch.value(row)[HEAD], "big")
        if reason == REASONS[UNREADABLE_SCHEMA]:
            return str(self._unreadable[schema_id])
        return (
            f"the registry knows no schema {schema_id} "
            f"(asked for subject {self._topic.registry} of topic {self._topic.name})"
        )

    def _unknown(self, batch: Batch) -> list[int]:
        found = unknown_ids(batch.data, batch.start, batch.end, self._known)
        return [schema_id for schema_id in found if schema_id <= LARGEST_ID]

    def _take_on(self) -> None:
        """What is kept by now."""
        known = kept_writers(self._url, self._log, self._topic)
        self.codec = EventCodec(self._topic.records, known.readable, known.unreadable.keys())
        self._unreadable = known.unreadable
        ids = {*kept.schemas(self._url, self._log), *kept.unknown(self._url, self._log)}
        # Its own id is asked of, too: the registry must say the same of it.
        self._known = np.array(sorted({NO_ID, *ids}), np.int64)

    def _say(self, schemas: Mapping[int, Any], unknown: Sequence[int]) -> None:
        named = {"topic": self._topic.name, "subject": self._topic.registry}
        for number in schemas:
            refused = self._unreadable.get(number)
            if refused is None:
                log.info("schema fetched", schema_id=number, **named)
            else:
                log.error(
                    "records of a schema cannot be read; they are dead letters",
                    schema_id=number,
                    error=str(refused),
                    **named,
                )
        if unknown:
            log.error(
                "the registry knows no such schemas; their records are dead letters",
                schema_ids=sorted(unknown)[:20],
                count=len(unknown),
                **named,
            )
