"""Dead letters that were sent again, as the auditor reads them: the slow and obvious way."""

from __future__ import annotations

from collections.abc import Iterator

from freshet.audit.kept import Record, TakenOn, records
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import decode as decode_block
from freshet.streams.log.contract import Log

# Longer than there have been clocks.
FOR_EVER_MS = 1 << 60


def redriven_records(log: Log, redriven: str, topic: Topic) -> Iterator[Record]:
    """The letters of a topic that were sent again, in order, each once; without those that were
    given up."""
    seen: set[tuple[int, int, int]] = set()
    for record in records(log, redriven, 0):
        block = decode_block(record.value)
        if block.rows is None or block.origin != topic.name:
            continue
        for row in block.rows.to_pylist():
            place = (block.partition, row["_offset"], row["_index"])
            if place in seen:
                continue
            seen.add(place)
            if not row["given_up"]:
                headers = tuple(row[name] for name in row if name.startswith("header."))
                source = (block.partition, row["_offset"])
                yield Record(record.offset, row["time"], row["value"], False, headers, source)


def taken_on(topic: Topic) -> TakenOn:
    """What decides of their fates beside: nothing is late."""
    return TakenOn(settings=[[0, FOR_EVER_MS, topic.freshness.ms("max_future")]])
