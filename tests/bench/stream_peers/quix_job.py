"""In Quix Streams: state with a changelog, repeats by a state with a time to live, Redis sink.

    python quix_job.py BROKERS TOPIC EVENTS REDIS DIRECTORY

Source: quix.io/docs/quix-streams, "Stateful processing", "Redis sink".
"""

from __future__ import annotations

import logging
import sys
import uuid
from typing import Any

from flight_job import Meter, State, decoded, is_valid
from quixstreams import Application
from quixstreams.models import Deserializer
from quixstreams.sinks.community.redis import RedisSink

IDLE_SECONDS = 5.0
meter = Meter()


class Avro(Deserializer):
    def __call__(self, value: bytes, ctx: Any) -> Any:
        meter.count()
        return decoded(value)


def is_new(event: Any, state: Any) -> bool:
    key = "id:" + event["event_id"]
    if state.exists(key):
        return False
    state.set(key, 1)
    return True


def fold(event: Any, state: Any) -> dict[str, float]:
    """Its state is JSON: a state's slots, by name."""
    own = State()
    for name, value in (state.get("features") or {}).items():
        setattr(own, name, value)
    own.fold(event["ts"], event["arr_delay"], event["dep_delay"] or 0.0)
    state.set("features", {name: getattr(own, name) for name in State.__slots__})
    return own.row(event["ts"])


def main(brokers: str, topic: str, events: str, address: str, directory: str) -> None:
    logging.disable(logging.INFO)
    app = Application(
        broker_address=brokers,
        consumer_group=f"quix-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        state_dir=directory,
        commit_interval=1.0,
        loglevel="ERROR",
    )
    source = app.topic(topic, value_deserializer=Avro(), key_deserializer="str")
    host, port = address.split(":")
    sink = RedisSink(host=host, port=int(port), db=0, key_serializer=lambda key, _: f"quix:{key}")
    stream = app.dataframe(source).filter(is_valid)
    stream.filter(is_new, stateful=True).apply(fold, stateful=True).sink(sink)
    app.run(count=int(events), timeout=IDLE_SECONDS)
    meter.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
