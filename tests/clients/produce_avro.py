"""Publishes events to Kafka by confluent-kafka's own serialiser, as producers with a schema registry
do; runs where that is installed.

    python produce_avro.py BROKERS REGISTRY TOPIC < JOB

where JOB is JSON: the Avro schema, and the events. Prints the id of the schema."""

from __future__ import annotations

import json
import sys


def main(brokers: str, registry: str, topic: str) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    job = json.load(sys.stdin)
    client = SchemaRegistryClient({"url": registry})
    serialise = AvroSerializer(client, json.dumps(job["schema"]))
    producer = Producer({"bootstrap.servers": brokers})
    context = SerializationContext(topic, MessageField.VALUE)
    for event in job["events"]:
        producer.produce(topic, serialise(event, context), partition=0)
    left = producer.flush(30.0)
    assert left == 0, f"{left} events were not delivered"
    print(json.dumps(client.get_latest_version(f"{topic}-value").schema_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
