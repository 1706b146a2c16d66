"""Addresses of brokers, before any is asked."""

from __future__ import annotations

import pytest

from freshet.schemas.errors import LogError
from freshet.streams.kafka.cluster import KafkaCluster


@pytest.mark.parametrize(
    "brokers", ["localhost:9092", "[::1]:9092", "a.example:9092,[2001:db8::1]:9093", "kafka_1:9092"]
)
def test_names_and_addresses_of_both_families_are_brokers(brokers: str) -> None:
    found = KafkaCluster.of_address(f"user:secret@{brokers}?acks=all")
    assert found.client_settings()["bootstrap.servers"] == brokers


@pytest.mark.parametrize("brokers", ["", "a b:1", "[::1:9092", "a:port", "a:1:2", "a:1,,b:1"])
def test_what_is_no_address_is_refused_without_its_password(brokers: str) -> None:
    with pytest.raises(LogError, match="is no broker's address") as caught:
        KafkaCluster.of_address(f"user:secret@{brokers}")
    assert "secret" not in str(caught.value)
