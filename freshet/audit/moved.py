"""Whether a topic's records were moved to where their ids belong: each once and whole, and all of
an id to one partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from freshet.audit.kept import Record
from freshet.audit.ledger import canonical, event_id_of, read_whole
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Topic
from freshet.streams.operators.dead_letters import KEPT_BYTES


def faults(
    topic: Topic,
    sources: Mapping[int, Iterable[Record]],
    moved: Mapping[int, Iterable[Record]],
    earlier: Mapping[int, EventSchema] | None = None,
) -> Iterator[str]:
    """What is wrong, a sentence each. `sources` are the records of each source partition, `moved`
    those of each partition that they were moved to, once however often they stand there."""
    found: dict[tuple[int, int], bytes | None] = {}
    homes: dict[str, int] = {}
    for home, records in moved.items():
        for record in records:
            assert record.source is not None
            source, offset = record.source
            if record.source in found:
                yield f"offset {offset} of partition {source} was moved to two partitions"
            found[record.source] = _value(record)
            event, _ = read_whole(record, topic, earlier or {})
            if event is None:
                continue
            event_id = event_id_of(canonical(event, topic.events), topic, offset, 0)
            if homes.setdefault(event_id, home) != home:
                yield f"id {event_id} is in partition {homes[event_id]}, and in {home}"
    for source, records in sources.items():
        for record in records:
            place = (source, record.offset)
            if place not in found:
                yield f"offset {record.offset} of partition {source} was not moved"
            elif not _is_same(found.pop(place), record):
                yield f"offset {record.offset} of partition {source} was moved as other bytes"
    for source, offset in found:
        yield f"offset {offset} of partition {source} is no record there"


def _is_same(moved: bytes | None, record: Record) -> bool:
    # Of one that was too large to be moved its beginning is there.
    if moved is not None and len(moved) == KEPT_BYTES:
        return record.value.startswith(moved)
    return moved == _value(record)


def _value(record: Record) -> bytes | None:
    if record.is_null:
        return None
    return record.value
