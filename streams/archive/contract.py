"""What an archive is to those who read a log: pieces, each all records of one partition from one
position to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from freshet.streams.log.contract import Batch, TopicPartition


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
