"""A process that dies at a point of its work, shown at the contracts of its log, its tasks and its
checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from freshet.streams.control.channels import Channels
from freshet.streams.sqlite.log import SqliteLog

ROUNDS, STEP_MS = 8, 3_000

CHANNELS = Channels("control", "reports")
NEVER = 1e9  # seconds


class Killed(Exception):
    """The process ends here."""


POINTS = {
    "applied, nothing written": ("write", "before"),
    "rows written": ("write", "after"),
    "rows written, nothing appended": ("append", "before"),
    "appended, not flushed": ("flush", "before"),
    "one topic flushed": ("flush", "half"),
    "all topics flushed": ("flush", "after"),
    "flushed, nothing told": ("tell", "before"),
    "told": ("tell", "after"),
    "before the first task's checkpoint": ("save", "before"),
    "first task's checkpoint saved": ("save", "after"),
    "checkpoints saved, nothing committed": ("commit", "before"),
    "committed, nothing reported": ("commit", "after"),
}


@dataclass
class Death:
    """Comes at the next work of the kind that its `point` names, once."""

    point: str | None = None

    def at(self, kind: str, work: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        its_kind, when = POINTS[self.point] if self.point is not None else ("", "")
        if kind != its_kind:
            return work()
        self.point = None
        if when == "after":
            work()
        if when == "half" and half is not None:
            half()
        raise Killed


class MortalWriter:
    """Holds what was queued itself, so that a death loses it."""

    def __init__(self, writer: Any, death: Death) -> None:
        self.writer, self.death = writer, death
        self.queued: list[tuple[Any, ...]] = []
        self.close = writer.close

    def append(self, topic: str, *record: Any) -> None:
        kind = "queue a message" if topic in CHANNELS else "append"
        self.death.at(kind, lambda: self.queued.append((topic, *record)))

    def flush(self) -> None:
        of_messages = all(topic in CHANNELS for topic, *_ in self.queued)
        kind = "tell" if self.queued and of_messages else "flush"
        self.death.at(kind, lambda: self.forward(self.queued), self.forward_one_topic)

    def forward(self, queued: list[tuple[Any, ...]]) -> None:
        for record in queued:
            self.writer.append(*record)
        self.queued = []
        self.writer.flush()

    def forward_one_topic(self) -> None:
        self.forward([record for record in self.queued if record[0] == self.queued[0][0]])


class MortalReader:
    def __init__(self, reader: Any, death: Death) -> None:
        self.reader, self.death = reader, death

    def commit(self, positions: Any) -> None:
        self.death.at("commit", lambda: self.reader.commit(positions))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)


class MortalLog:
    """A log whose user dies while it uses it."""

    def __init__(self, log: SqliteLog, death: Death) -> None:
        self.log, self.death = log, death
        self.bounds = log.bounds

    def writer(self) -> MortalWriter:
        return MortalWriter(self.log.writer(), self.death)

    def reader(self, *given: Any, **asked: Any) -> MortalReader:
        return MortalReader(self.log.reader(*given, **asked), self.death)
