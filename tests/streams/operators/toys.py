"""Tasks that count and echo, and operators of them over a log of two partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freshet.audit import kept as kept_by_run
from freshet.schemas.errors import StoreError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Message
from freshet.streams.control.channels import Follower
from freshet.streams.operators.loop import Job, Operator, Place, Rhythm, Steering
from freshet.streams.operators.task import Append, Outputs, as_json, from_json
from freshet.streams.sqlite.log import SqliteLog
from tests.streams.operators.deaths import CHANNELS

ROUNDS, STEP_MS = 8, 3_000


class Toy:
    """A task that counts, echoes, and says when it was asked to write."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name, self.journal, self.seen, self.finished = name, journal, 0, blocks.NO_TICK
        self.refusals = 0

    def apply(self, batch: Any) -> Outputs:
        self.journal.append(f"{self.name} applies {len(batch)}")
        self.seen += len(batch)
        self.finished = self.seen
        return Outputs([Append("out", 0, [batch.value(i).tobytes() for i in range(len(batch))], 5)])

    def write(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("store", "is away", "Wait.")
        self.journal.append(f"{self.name} writes")

    def configure(self, settings: Any, at: int) -> bool:
        return False

    def skip(self, batch: Any) -> Outputs:
        self.journal.append(f"{self.name} skips {int(batch.offsets[0])}")
        self.finished += 1
        return Outputs()

    def dump(self, full: bool) -> dict[str, Any]:
        return {"seen": np.array([self.seen])}

    def load(self, base: Any, deltas: Any) -> None:
        self.seen = self.finished = int((deltas[-1] if deltas else base)["seen"][0])

    def facts(self) -> dict[str, Any]:
        return {"seen": self.seen}


class GivingLog:
    """A log that gives and takes partitions when a test says so."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.writer = log.writer

    def bounds(self, topic: str) -> Any:
        return self.log.bounds(topic)

    def reader(self, topics: Any, group: Any, *callbacks: Any, **asked: Any) -> Any:
        reader = self.log.reader(topics, group, *callbacks, **asked)
        # Of a group's member all three; a follower only says where it begins.
        if len(callbacks) == 3:
            self.member = reader
            self.on_assign, self.give_over, self.take_away = callbacks
        return reader

    def give_back(self, partitions: Sequence[tuple[str, int]]) -> None:
        for key, offset in self.on_assign(partitions).items():
            self.member.seek(*key, offset)


@dataclass
class Bench:
    """A log with topics `in` (two partitions) and `out`, and operators of toys over it."""

    directory: Path
    journal: list[str] = field(default_factory=list)
    made: dict[int, Any] = field(default_factory=dict)
    kind: type[Toy] = Toy
    given: list[GivingLog] = field(default_factory=list)  # of its operators, in turn

    def __post_init__(self) -> None:
        self.log = SqliteLog(self.directory / "log")
        for topic, n in (("in", 2), ("out", 1), ("dead", 1), ("control", 1), ("reports", 1)):
            self.log.ensure(topic, n)
        self.writer = self.log.writer()

    @property
    def checkpoints_url(self) -> str:
        return str(self.directory / "state")

    def toy(self, topic: str, partition: int) -> Toy:
        self.made[partition] = self.kind(f"toy:{partition}", self.journal)
        return self.made[partition]

    def operator(
        self,
        rhythm: Rhythm | None = None,
        steering: Steering | None = None,
        **more: Any,
    ) -> Operator:
        job = Job("toys", ["in"], self.toy, **more)
        giving: Any = GivingLog(self.log)
        self.given.append(giving)
        place = Place(giving, CHANNELS, self.checkpoints_url, lambda: 77)
        return Operator(job, place, steering, rhythm)

    def records(self, topic: str) -> list[bytes]:
        return [r.value for r in kept_by_run.records(self.log, topic, 0)]

    def put(self, partition: int, *values: bytes) -> None:
        self.writer.append("in", partition, values, 1)
        self.writer.flush()

    def told(self) -> list[Message]:
        follower = Follower(self.log, *CHANNELS)
        found = follower.poll(0.0)
        follower.close()
        return found

    def close(self) -> None:
        self.writer.close()
        self.log.close()


class Fragile(Toy):
    """Crashes on some values."""

    def apply(self, batch: Any) -> Outputs:
        if any(batch.value(i).tobytes() == b"bad" for i in range(len(batch))):
            raise ZeroDivisionError("on a bad record")
        return super().apply(batch)


def settle(op: Operator) -> None:
    for _ in range(20):
        op.step(0.0)


class Patient(Toy):
    """Takes on the lateness of `landings`, and remembers from which offset on."""

    def __init__(self, name: str, journal: list[str]) -> None:
        super().__init__(name, journal)
        self.lateness, self.taken = "5m", list[tuple[int, str]]()

    def configure(self, settings: Any, at: int) -> bool:
        now = settings["landings"].lateness
        if now == self.lateness:
            return False
        self.lateness = now
        self.taken.append((at, now))
        return True

    def dump(self, full: bool) -> dict[str, Any]:
        return {**super().dump(full), "taken": as_json(self.taken)}

    def load(self, base: Any, deltas: Any) -> None:
        super().load(base, deltas)
        self.taken = [(at, v) for at, v in from_json((deltas[-1] if deltas else base)["taken"])]
        self.lateness = self.taken[-1][1] if self.taken else "5m"


LANDINGS = {"landings": Freshness()}
AT_EVERY_STEP = Rhythm(listen_seconds=0.0)
