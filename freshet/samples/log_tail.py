"""The newest records of a topic as a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from freshet.datafiles.files import DataError, Lines, parsed
from freshet.samples.sample import Sample
from freshet.streams.log.contract import Log
from freshet.streams.log.spans import PartitionSpans

NEWEST = 10_000  # records, where nobody says how many


def of_log(log: Log, topic: str, newest: int) -> Sample:
    """The newest records of a topic: of its partitions alike, that many together.

    Raises:
        LogError: there is no such topic, or it cannot be read.
        DataError: its records do not say what their fields are.
    """
    partitions = log.bounds(topic).spans
    # Rounded up: one record of each, where fewer are asked for than there are partitions.
    of_each = -(-newest // max(1, len(partitions)))
    rows: list[dict[str, Any] | bytes] = []
    for partition in partitions:
        rows += _newest(log, topic, partition, of_each)
    # Avro in the wire format begins with a zero byte, and has no names in it.
    framed = all(isinstance(row, bytes) and row[:1] == b"\0" for row in rows)
    if rows and framed:
        raise DataError(
            f"topic {topic}",
            "holds Avro in Confluent's wire format, whose records do not name their fields",
            "Take its schema from whoever writes it, or from their schema registry.",
        )
    return Sample(topic, [[Lines(rows)]], of_log=True)


def _newest(log: Log, topic: str, partition: int, count: int) -> Iterator[dict[str, Any] | bytes]:
    with PartitionSpans(log, topic, partition) as spans:
        for batch in spans.read(spans.after - count, spans.after):
            for i in range(len(batch)):
                yield parsed(bytes(batch.value(i)))
