"""How much faster does the compiled walker decode Avro records into columns than fastavro does one
by one?"""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro

from freshet.schemas.events.decode import EventCodec, decode
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, rates

DAYS = 20


def run() -> list[Row]:
    topic = inputs.app().topic("arrivals")
    found = inputs.records("arrivals", DAYS)
    batch, codec = inputs.batch("arrivals", found), EventCodec(topic.events)
    schema = fastavro.parse_schema(_numbers_as_they_are(json.loads(json.dumps(topic.events.avro))))
    values = [v for v, _ in found]

    def ours() -> Any:
        return decode(batch.data, batch.start, batch.end, codec)

    def plain() -> list[Any]:
        return [fastavro.schemaless_reader(io.BytesIO(v[5:]), schema, None) for v in values]

    columns, records = ours(), plain()
    assert not columns.reason.any()
    delays, there = columns.numbers("arr_delay")
    assert [d if v else None for d, v in zip(delays.tolist(), there.tolist())] == [
        r["arr_delay"] for r in records
    ]
    taken = in_turns(ours, plain)
    return [
        rates(
            "decode",
            "events/s",
            len(values),
            taken,
            "fastavro",
            bytes_an_event=len(batch.data) // len(values),
        )
    ]


def _numbers_as_they_are(node: Any) -> Any:
    """A schema whose times stay numbers, as in columns: fastavro need not make datetimes."""
    if isinstance(node, dict):
        return {k: _numbers_as_they_are(v) for k, v in node.items() if k != "logicalType"}
    return [_numbers_as_they_are(x) for x in node] if isinstance(node, list) else node
