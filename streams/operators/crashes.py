"""Records that crash a task: found one by one, tried three times, then skipped.

When a task fails on a batch it is built anew from its checkpoint, and the records of that batch are
given to it one at a time. The one at which it fails again is the culprit; after its third crash it
is settled as a dead letter instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from freshet.streams.log.contract import Batch, TopicPartition

log = structlog.get_logger()
CRASHES = 3
KEPT_TEXT = 1_000  # characters of an error


@dataclass
class _Trouble:
    """Of one partition: the offsets `first` to `last` in which its task crashed `crashes` times,
    and the records that are to be skipped, each with its error."""

    # No offset lies between these, so nothing counts as having crashed before.
    first: int = 0
    last: int = -1
    crashes: int = 0
    skipped: dict[int, str] = field(default_factory=dict)


@dataclass
class Crashes:
    """Of one operator."""

    _troubles: dict[TopicPartition, _Trouble] = field(default_factory=dict)

    def pieces(self, batch: Batch) -> Iterator[tuple[Batch, bool]]:
        """A batch in the pieces it must be applied in, each with whether it is to be skipped: all
        at once where nothing happened; record by record where a task crashed."""
        trouble = self._troubles.get((batch.topic, batch.partition))
        if trouble is None:
            yield batch, False
            return
        begun = 0
        for i, offset in enumerate(batch.offsets.tolist()):
            if trouble.first <= offset <= trouble.last or offset in trouble.skipped:
                if begun < i:
                    yield batch.rows(begun, i), False
                yield batch.rows(i, i + 1), offset in trouble.skipped
                begun = i + 1
        if begun < len(batch):
            yield batch.rows(begun, len(batch)), False

    def note(self, piece: Batch, error: BaseException) -> None:
        """A task crashed on this piece."""
        key = (piece.topic, piece.partition)
        first = int(piece.offsets[0])
        last = int(piece.offsets[-1])
        trouble = self._troubles.setdefault(key, _Trouble())
        within = trouble.first <= first and last <= trouble.last
        trouble.crashes = trouble.crashes + 1 if within else 1
        trouble.first = first
        trouble.last = last
        # One record alone: of several, all but the culprit are sound.
        if first == last and trouble.crashes >= CRASHES:
            trouble.skipped[first] = f"{type(error).__name__}: {error}"[:KEPT_TEXT]
        told = "records crash a task; they are tried one by one"
        if first == last:
            told = "a record crashes a task"
        log.error(
            told,
            topic=piece.topic,
            partition=piece.partition,
            offset=first,
            last=last,
            crashes=trouble.crashes,
            exc_info=error,
        )

    def error(self, piece: Batch) -> str:
        """By what the task crashed on this record, which is to be skipped."""
        return self._troubles[piece.topic, piece.partition].skipped[int(piece.offsets[0])]

    def passed(self, key: TopicPartition, offset: int) -> None:
        """A checkpoint at `offset` was saved: what lies before it will not be read again."""
        trouble = self._troubles.get(key)
        if trouble is not None and offset > max([trouble.last, *trouble.skipped]):
            del self._troubles[key]

    def forget(self, key: TopicPartition) -> None:
        """This partition went to another member."""
        self._troubles.pop(key, None)
