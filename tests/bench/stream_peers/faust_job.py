"""In Faust: an agent that takes batches, dictionaries as state, Redis once a batch.

    python faust_job.py BROKERS TOPIC EVENTS REDIS DIRECTORY

Source: faust-streaming.github.io/faust, "Agents", "Streams: take".
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import faust
import redis.asyncio
from faust.serializers import codecs
from flight_job import Meter, Seen, State, decoded, is_valid

BATCH = 1000
WITHIN_SECONDS = 0.5


class Avro(faust.Codec):
    def _loads(self, value: bytes) -> Any:
        return decoded(value)

    def _dumps(self, value: Any) -> bytes:
        raise NotImplementedError("nothing is written")


def main(brokers: str, topic: str, events: str, address: str, directory: str) -> None:
    codecs.register("flight", Avro())
    app = faust.App(
        f"faust-{uuid.uuid4().hex}",
        broker=f"kafka://{brokers}",
        store="memory://",
        topic_partitions=1,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=directory,
    )
    source = app.topic(topic, key_serializer="raw", value_serializer="flight", value_type=None)
    host, port = address.split(":")
    meter = Meter()
    seen = Seen()
    states: dict[str, State] = {}

    @app.agent(source)
    async def fold(stream: Any) -> None:
        client = redis.asyncio.Redis(host=host, port=int(port))
        async for batch in stream.take(BATCH, within=WITHIN_SECONDS):
            meter.count(len(batch))
            touched = {}
            for event in batch:
                if seen.again(event["event_id"], event["ts"]) or not is_valid(event):
                    continue
                state = states.setdefault(event["origin"], State())
                state.fold(event["ts"], event["arr_delay"], event["dep_delay"] or 0.0)
                touched[event["origin"]] = state.row(event["ts"])
            pipeline = client.pipeline(transaction=False)
            for origin, row in touched.items():
                pipeline.hset(f"faust:{origin}", mapping=row)
            await pipeline.execute()
            if meter.events >= int(events):
                meter.tell()
                # A worker has no other end.
                os._exit(0)

    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
