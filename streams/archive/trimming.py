"""How short a live log may be: what of its beginning is safe in the archive, and needed by nobody
who reads the live log.

What may go is a pure function of what is durable: the archive's files that were read back and have
their digests, the checkpoints of all tasks that read the log, and for how long its records are to
be kept. It only grows, so whoever is killed in the middle, or does it twice, forgets nothing that
another one would have kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from freshet.schemas.errors import LogError
from freshet.streams.archive.log import Archive, Piece, PieceGone
from freshet.streams.log.contract import Log, TopicPartition
from freshet.streams.operators import checkpoints


class Needs(NamedTuple):
    """Of one partition, up to which offset each would let it go: the `archived` copy, whose digest
    was verified, the durable checkpoints of all that read it (`read`: none for a reader that has
    none yet), and the time that records are kept for (`kept_from`, the first one that is)."""

    archived: int
    read: Sequence[int | None]
    kept_from: int


def first_kept(span: tuple[int, int], needs: Needs) -> int:
    """The offset that the live log may begin at; its own first where nothing may go.

    >>> first_kept((10, 90), Needs(80, [70, 75], 60))
    60
    >>> first_kept((10, 90), Needs(80, [70, None], 60))
    10
    """
    first, after = span
    least = min(after, needs.archived, needs.kept_from)
    for read in needs.read:
        # It begins at the first record.
        least = min(least, first if read is None else read)
    return max(first, least)


@dataclass(frozen=True, slots=True)
class Rule:
    """How long records of a log are kept in it (ms of the app's clock, by their append times), and
    under which names the tasks that read a partition of it keep their checkpoints."""

    topic: str
    keep_ms: int
    readers: Callable[[int], Sequence[str]]


class Verified(Protocol):
    """An archive whose copies can be read back."""

    def verify(self, part: TopicPartition, piece: Piece) -> bool:
        """Whether a piece's bytes are those that it was written with, read back from where they
        lie. Raises `PieceGone` where it is part of another one by now."""
        ...


class VerifiedArchive(Archive, Verified, Protocol):
    """What trimming needs of an archive."""


class Trimmer:
    """Shortens logs as far as it is allowed. `now_ms` is the app's clock: a time that every record
    which is appended from now on has, or a later one."""

    def __init__(
        self,
        live: Log,
        archive: VerifiedArchive,
        checkpoints_url: str,
        now_ms: Callable[[], int | None],
    ) -> None:
        self._live = live
        self._archive = archive
        self._url = checkpoints_url
        self._now_ms = now_ms
        # What was read back, by partition and identity. Pieces that are joined are new files.
        self._verified: dict[tuple[TopicPartition, str], set[Piece]] = {}

    def trim(self, rule: Rule) -> dict[int, int]:
        """Shorten a log; by partition the offset that it begins at now, of those that changed.

        Raises:
            LogError: the log or the archive cannot be reached, or a copy is not what was written.
        """
        now_ms = self._now_ms()
        if now_ms is None:
            return {}
        found = self._live.bounds(rule.topic)
        # After the bounds: what is appended in between is newer.
        kept_from = self._live.since(rule.topic, now_ms - rule.keep_ms)
        shorter = {}
        for partition, span in found.spans.items():
            part = (rule.topic, partition)
            read = self._read(rule.readers(partition), found.identity)
            # What cannot go for another reason need not be read back.
            wanted = first_kept(span, Needs(span[1], read, kept_from[partition]))
            if wanted <= span[0]:
                continue
            archived = self._archived(
                part,
                found.identity,
                span[0],
                wanted,
            )
            first = first_kept(span, Needs(archived, read, kept_from[partition]))
            if first > span[0]:
                shorter[partition] = first
        if shorter:
            self._live.delete_before(rule.topic, shorter)
        return shorter

    def _read(self, tasks: Sequence[str], identity: str) -> list[int | None]:
        """How far each task's oldest checkpoint is that it may go on from."""
        read: list[int | None] = []
        for task in tasks:
            offsets = [
                offset for of, offset in checkpoints.positions(self._url, task) if of == identity
            ]
            # The oldest: it falls back to that where the newer ones turn out to be torn.
            read.append(min(offsets, default=None))
        return read

    def _archived(self, part: TopicPartition, identity: str, first: int, wanted: int) -> int:
        """Up to which position, `wanted` at most, the archive holds all from `first` on, in files
        that were read back."""
        while True:
            try:
                return self._verified_up_to(
                    part,
                    identity,
                    first,
                    wanted,
                )
            except PieceGone:
                continue

    def _verified_up_to(self, part: TopicPartition, identity: str, first: int, wanted: int) -> int:
        before = self._verified.get((part, identity), set())
        verified: set[Piece] = set()
        # What it has read back by the time that another piece turns out to be gone stays so.
        self._verified[part, identity] = verified
        reached = first
        for piece in self._archive.pieces(part, identity):
            if piece.after <= reached:
                continue
            if piece.first > reached or reached >= wanted:
                break
            if piece not in before and not self._archive.verify(part, piece):
                topic, partition = part
                raise LogError(
                    f"archive of {topic} partition {partition}",
                    f"its records from {piece.first} to {piece.after} are not as they were written",
                    "Nothing more of the log is deleted. Restore the file that the archive has of "
                    "them, or begin another archive.",
                    topic=topic,
                    partition=partition,
                )
            verified.add(piece)
            reached = piece.after
        return min(reached, wanted)
