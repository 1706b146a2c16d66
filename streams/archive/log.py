"""A log whose beginning lies in an archive: what the live log has forgotten is read from there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from freshet.schemas.errors import LogError
from freshet.streams.archive.reader import ArchivedReader, Wanted
from freshet.streams.log.contract import (
    Batch,
    Bounds,
    Headers,
    Log,
    OnAssign,
    OnGone,
    Reader,
    TopicPartition,
    Writer,
)

# How soon an archive that does not reach up to the live log is looked at again: of what others
# delete by themselves, some may be copied only later.
LOOK_SECONDS = 5.0


class Piece(Protocol):
    """Positions `first` to `after` (exclusive) of a partition, gaps included."""

    @property
    def first(self) -> int: ...

    @property
    def after(self) -> int: ...


class PieceGone(Exception):
    """A piece is no longer there: its records are in another one, which a new look finds."""


class Archive(Protocol):
    """The records of partitions that were copied out of a log."""

    def holds(self, topic: str) -> bool:
        """Whether records of the topic are copied at all."""
        ...

    def pieces(self, part: TopicPartition, identity: str) -> Sequence[Piece]:
        """What it has of a partition of the log of this identity, as of now, by position and
        without overlaps; `[]` where there is nothing."""
        ...

    def read(self, part: TopicPartition, piece: Piece) -> Batch:
        """All records of a piece, as a reader of the log gives them whole: with all keys and all
        headers, where the log keeps any.

        Raises:
            PieceGone: it was made part of another one.
            LogError: it is not as it was written, or cannot be reached.
        """
        ...


class _Seen(NamedTuple):
    """What the archive had of a partition when it was looked at (monotonic, seconds), for what
    comes before offset `until`."""

    at: float
    until: int
    pieces: Sequence[Piece]


NEVER = _Seen(float("-inf"), -1, ())


class ArchivedLog:
    """A `Log`: what is `live`, and below its first offsets what the `archive` holds without a gap.

    It has the live log's identities. What is deleted from it is deleted from the live log, and goes
    on being read where it was archived before. Not thread-safe where the live log is not.
    """

    def __init__(self, live: Log, archive: Archive) -> None:
        self.live = live
        self.is_shared = live.is_shared
        self._archive = archive
        self._seen: dict[tuple[TopicPartition, str], _Seen] = {}

    def ensure(self, topic: str, partitions: int) -> None:
        self.live.ensure(topic, partitions)

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
        headers: Headers | None = None,
    ) -> Reader:
        if not any(map(self._archive.holds, topics)):
            return self.live.reader(
                topics,
                group,
                on_assign,
                on_revoke,
                on_lost,
                headers,
            )
        wanted = Wanted(headers or {})
        return ArchivedReader(
            self,
            topics,
            group,
            (on_assign, on_revoke, on_lost),
            wanted,
        )

    def writer(self) -> Writer:
        return self.live.writer()

    def bounds(self, topic: str) -> Bounds:
        found = self.live.bounds(topic)
        if not self._archive.holds(topic):
            return found
        spans = {}
        for partition, (first, after) in found.spans.items():
            archived = self._archived_first(
                (topic, partition),
                found.identity,
                first,
            )
            spans[partition] = (archived, after)
        return Bounds(found.identity, spans)

    def since(self, topic: str, time_ms: int) -> Mapping[int, int]:
        out = dict(self.live.since(topic, time_ms))
        if not self._archive.holds(topic):
            return out
        # After it was asked: what was deleted in between is in the archive.
        live = self.live.bounds(topic)
        for partition, (first, _) in live.spans.items():
            part = (topic, partition)
            at = self._archived_first(part, live.identity, first)
            while at < first:
                held = self.read(part, live.identity, at)
                if held is None:
                    break
                batch, after = held
                found = batch.offsets[(batch.offsets >= at) & (batch.times >= time_ms)]
                if len(found):
                    out[partition] = min(out[partition], int(found[0]))
                    break
                at = after
        return out

    def retention_ms(self, topic: str) -> int | None:
        return self.live.retention_ms(topic)

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        self.live.delete_before(topic, offsets)

    def close(self) -> None:
        self.live.close()

    # ----------------------------------------------------------------------------- for its readers

    def read(self, part: TopicPartition, identity: str, offset: int) -> tuple[Batch, int] | None:
        """The records of the archive's piece that holds a position, and where that piece ends; None
        if there is none.

        Raises:
            LogError: it cannot be read.
        """
        gone = None
        while True:
            piece = self._piece_at(part, identity, offset)
            if piece is None:
                return None
            try:
                return self._archive.read(part, piece), piece.after
            except PieceGone as error:
                # What is part of another one is named by that; what is not was lost.
                if piece == gone:
                    topic, partition = part
                    raise LogError(
                        f"topic {topic} partition {partition}",
                        f"its records from {piece.first} to {piece.after} are not in the archive "
                        "any more, which names them",
                        "Restore the archive's files.",
                        topic=topic,
                        partition=partition,
                    ) from error
                gone = piece
                self._seen.pop((part, identity), None)

    def _piece_at(self, part: TopicPartition, identity: str, offset: int) -> Piece | None:
        for piece in self._pieces(part, identity, offset + 1):
            if piece.first <= offset < piece.after:
                return piece
        return None

    def _archived_first(self, part: TopicPartition, identity: str, first: int) -> int:
        """Where what the archive has without a gap up to the live log's `first` begins."""
        if first == 0:
            return 0
        for piece in reversed(self._pieces(part, identity, first)):
            if piece.after < first:
                break
            first = min(first, piece.first)
        return first

    def _pieces(self, part: TopicPartition, identity: str, until: int) -> Sequence[Piece]:
        """What the archive has of a partition. It is looked at only where what was seen last does
        not reach up `until` there: what lies below the live log changes no more, but for the pieces
        that it is in."""
        seen = self._seen.get((part, identity), NEVER)
        if seen.pieces and seen.pieces[-1].after >= until:
            return seen.pieces
        now = time.monotonic()
        # The live log has forgotten more since, which was archived before that.
        is_new = until > seen.until
        if is_new or now - seen.at >= LOOK_SECONDS:
            seen = _Seen(
                now,
                until,
                self._archive.pieces(part, identity),
            )
            self._seen[part, identity] = seen
        return seen.pieces
