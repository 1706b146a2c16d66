"""In Bytewax: Kafka source, one keyed step that drops repeats and folds, Redis sink, recovery on.

    python bytewax_job.py BROKERS TOPIC EVENTS REDIS DIRECTORY

Source: bytewax.io, "Connecting to Kafka", "Stateful operators", "Recovery".
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import redis
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from flight_job import Meter, Seen, State, decoded, is_valid

BATCH = 1000
meter = Meter()


class Rows(StatelessSinkPartition):
    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._client = redis.Redis(host=host, port=int(port))

    def write_batch(self, items: Any) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for origin, row in dict(items).items():
            pipeline.hset(f"bytewax:{origin}", mapping=row)
        pipeline.execute()


class RedisSink(DynamicSink):
    def __init__(self, address: str) -> None:
        self._address = address

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Rows:
        return Rows(self._address)


def decode(message: Any) -> Any:
    meter.count()
    return decoded(message.value)


def fold(kept: Any, event: Any) -> Any:
    """A repeat has the origin of the first, so both are of one key."""
    seen, state = kept or (Seen(), State())
    if seen.again(event["event_id"], event["ts"]):
        return (seen, state), None
    state.fold(event["ts"], event["arr_delay"], event["dep_delay"] or 0.0)
    return (seen, state), state.row(event["ts"])


def main(brokers: str, topic: str, events: str, address: str, directory: str) -> None:
    flow = Dataflow("flights")
    source = KafkaSource([brokers], [topic], batch_size=BATCH, tail=False)
    read = op.input("in", flow, source)
    valid = op.filter("valid", op.map("decode", read, decode), is_valid)
    keyed = op.key_on("key", valid, lambda event: event["origin"])
    rows = op.stateful_map("features", keyed, fold)
    fresh = op.filter("fresh", rows, lambda row: row[1] is not None)
    op.output("out", fresh, RedisSink(address))
    init_db_dir(Path(directory), 1)
    recovery = RecoveryConfig(directory)
    cluster_main(flow, [], 0, recovery_config=recovery, epoch_interval=timedelta(seconds=1))
    meter.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
