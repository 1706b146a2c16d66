"""What a Kafka consumer must do for the reader: the contract of the two clients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError

from freshet.streams.log.contract import WHOLE, Batch, Headers, TopicPartition


class Fault(NamedTuple):
    """What the client reports instead of a record: an error, or an end, and what it is about (no
    topic: the client itself)."""

    error: KafkaError
    topic: str | None
    partition: int
    offset: int


class Wanted(NamedTuple):
    """What batches are to carry beside values, by topic; see `Log.reader`."""

    headers: Headers = MappingProxyType({})
    whole: Collection[str] = frozenset()

    @classmethod
    def of(cls, asked: Headers) -> Wanted:
        """What a reader was asked for."""
        named = {topic: [name for name in names if name != WHOLE] for topic, names in asked.items()}
        return cls(named, {topic for topic, names in asked.items() if WHOLE in names})


Assigned = Callable[[list[TopicPartition]], Mapping[TopicPartition, int]]
Revoked = Callable[[list[TopicPartition], bool], None]


class Client(Protocol):
    """What a Kafka consumer must do for `KafkaReader`. Callbacks run inside `poll`, and never
    raise."""

    def subscribe(self, topics: Sequence[str], assigned: Assigned, revoked: Revoked) -> None:
        """Join the group. `assigned` answers with the offset of each new partition; `revoked` is
        told of partitions that go, and whether they are lost already."""
        ...

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions alone, in no group."""
        ...

    def poll(self, max_records: int, seconds: float) -> tuple[list[Batch], list[Fault]]:
        """What is there, as soon as anything is."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> KafkaError | None: ...
    def pause(self, parts: Sequence[TopicPartition], paused: bool) -> None: ...
    def commit(self, positions: Mapping[TopicPartition, int], wait: bool) -> None: ...
    def close(self) -> None: ...
