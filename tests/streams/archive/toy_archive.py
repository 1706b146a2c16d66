"""An archive in memory, and a log that copies and forgets as it goes, for what reads both."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freshet.streams.archive.log import ArchivedLog, PieceGone
from freshet.streams.log.contract import WHOLE, Batch, Log, TopicPartition, joined


@dataclass(frozen=True)
class ToyPiece:
    first: int
    after: int
    number: int  # another one for each that was ever written


@dataclass
class ToyArchive:
    """Copies what it is told to."""

    batches: dict[int, Batch | None] = field(default_factory=dict)
    listed: dict[tuple[TopicPartition, str], list[ToyPiece]] = field(default_factory=dict)
    number: int = 0
    reads: int = 0

    def holds(self, topic: str) -> bool:
        return True

    def pieces(self, part: TopicPartition, identity: str) -> Sequence[ToyPiece]:
        return list(self.listed.get((part, identity), ()))

    def read(self, part: TopicPartition, piece: Any) -> Batch:
        self.reads += 1
        if piece.number not in self.batches:
            raise PieceGone
        batch = self.batches[piece.number]
        if batch is None:
            nothing = np.zeros(0, np.int64)
            return Batch(*part, np.zeros(0, np.uint8), *[nothing] * 4)
        return batch

    def reached(self, part: TopicPartition, identity: str) -> int:
        listed = self.listed.get((part, identity))
        return listed[-1].after if listed else 0

    def copy(self, log: Log, part: TopicPartition, until: int) -> None:
        """What comes next, up to `until`, as a piece of its own."""
        identity = log.bounds(part[0]).identity
        first = self.reached(part, identity)
        topic, partition = part
        reader = log.reader([topic], None, headers={topic: [WHOLE]})
        found = log.bounds(topic).spans
        reader.pause([(topic, other) for other in found if other != partition])
        first = max(first, found[partition][0])
        read: list[Batch] = []
        if first < until:
            reader.seek(topic, partition, first)
        reached = first
        while reached < until:
            # Nothing is assigned before the first poll.
            read += reader.poll(10_000, 1.0)
            reached = reader.position(topic, partition)
        reader.close()
        if read:
            read[-1] = read[-1].rows(0, int(np.searchsorted(read[-1].offsets, until)))
        read = [batch for batch in read if len(batch)]
        if first < until:
            (batch,) = joined(read) or (None,)
            piece = self._written(first, until, batch)
            self.listed.setdefault((part, identity), []).append(piece)

    def _written(self, first: int, after: int, batch: Batch | None) -> ToyPiece:
        self.number += 1
        self.batches[self.number] = batch
        return ToyPiece(first, after, self.number)

    def join(self, part: TopicPartition, identity: str, first: int, after: int) -> None:
        """Make one of the pieces from one place in their list to another; they are gone then."""
        pieces = self.listed[part, identity]
        chosen = pieces[first:after]
        if len(chosen) < 2:
            return
        batches = [batch for piece in chosen if (batch := self.batches[piece.number]) is not None]
        (batch,) = joined(batches) or (None,)
        pieces[first:after] = [self._written(chosen[0].first, chosen[-1].after, batch)]
        for piece in chosen:
            del self.batches[piece.number]


class ForgettingLog(ArchivedLog):
    """Whatever is appended by its writers is copied in pieces at once, and most of it forgotten by
    the live log; now and then pieces are joined."""

    def __init__(self, live: Log, archive: ToyArchive) -> None:
        super().__init__(live, archive)
        self._toy = archive
        self._chance = random.Random(7)

    def writer(self) -> Any:
        return ForgettingWriter(self.live.writer(), self.forget)

    def forget(self, topics: Sequence[str]) -> None:
        for topic in topics:
            found = self.live.bounds(topic)
            kept: dict[int, int] = {}
            for partition, (first, after) in found.spans.items():
                part = (topic, partition)
                copied = self._chance.randint(first, after)
                self._toy.copy(self.live, part, copied)
                reached = self._toy.reached(part, found.identity)
                kept[partition] = self._chance.randint(first, max(first, reached))
                count = len(self._toy.pieces(part, found.identity))
                if count > 4:
                    self._toy.join(part, found.identity, 1, self._chance.randint(2, count))
            self.live.delete_before(topic, kept)


@dataclass
class ForgettingWriter:
    writer: Any
    forget: Callable[[Sequence[str]], None]
    topics: dict[str, None] = field(default_factory=dict)

    def append(self, topic: str, partition: int, values: Any, time_ms: int) -> None:
        self.writer.append(topic, partition, values, time_ms)
        self.topics[topic] = None

    def flush(self) -> None:
        self.writer.flush()
        self.forget(list(self.topics))

    def close(self) -> None:
        self.writer.close()


def forgotten(log: ArchivedLog, toy: ToyArchive, topic: str, kept: Mapping[int, int]) -> None:
    """Copy all before `kept`, by partition, and have the live log forget it."""
    for partition, offset in kept.items():
        toy.copy(log.live, (topic, partition), offset)
    log.live.delete_before(topic, kept)
