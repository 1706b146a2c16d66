"""The newest records of a topic of Kafka that others write, in transactions, as a sample."""

from __future__ import annotations

import json
import uuid

from confluent_kafka import Producer
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.schemas.events.schema import EventSchema
from freshet.streams.kafka.log import KafkaLog

DEADLINE_SECONDS = 30.0
ROWS = 50


def test_a_schema_is_inferred_and_checked_from_the_newest_records(kafka: str) -> None:
    """The last offset of a transaction is its marker, which is no record; of one that was aborted
    there is nothing."""
    topic = f"orders.v1-{uuid.uuid4().hex[:8]}"
    log = KafkaLog(kafka)
    log.ensure(topic, 2)
    log.close()
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(DEADLINE_SECONDS)
    for round_, commits in enumerate((True, False, True)):
        producer.begin_transaction()
        for i in range(ROWS):
            row = {"id": f"{round_}.{i}", "at": 1_700_000_000_000 + i, "aborted": not commits}
            producer.produce(topic, json.dumps(row).encode(), partition=i % 2)
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    at = ["--topic", topic, "--last", "10000", "--log", f"kafka://{kafka}"]
    done = CliRunner().invoke(cli, ["schema", "infer", *at])
    assert done.exit_code == 0, done.exception
    assert f"{topic}: {2 * ROWS} rows, 3 fields" in done.stderr
    schema = EventSchema.parse(done.stdout, "orders")
    assert schema["at"].logical == "timestamp-millis"
    assert "'True'" not in done.stderr
