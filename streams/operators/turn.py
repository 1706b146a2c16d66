"""A turn of an operator: what was applied and is not yet written, appended and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from freshet.schemas.wire.messages import Message
from freshet.streams.log.contract import TopicPartition, Writer
from freshet.streams.operators.task import Append, Outputs, Task


@dataclass
class Turn:
    """It is whole or it is kept: while rows cannot be written nothing of it is appended or told,
    since whoever hears of an event may ask for its row."""

    tasks: dict[TopicPartition, Task] = field(default_factory=dict)
    appends: list[Append] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.appends or self.messages)

    def add(self, key: TopicPartition, task: Task, outputs: Outputs) -> None:
        """What a task made of its partition's records, or of the time."""
        self.tasks[key] = task
        self.appends += outputs.appends
        self.messages += outputs.messages

    def drop(self, key: TopicPartition) -> None:
        """A partition's task is no longer ours, or is built anew: its rows are not ours to write.
        What it appended stays, since records of its past are the same whoever appends them."""
        self.tasks.pop(key, None)


def append_all(writer: Writer, appends: Sequence[Append]) -> None:
    """Append, and flush: what comes after may rely on it."""
    for append in appends:
        writer.append(append.topic, append.partition, append.values, append.time_ms)
    if appends:
        writer.flush()
