"""Reads a log whose beginning lies in an archive: each partition from there as long as it stands
below the live log, then from that."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from freshet.schemas.sizes import READ_BYTES
from freshet.schemas.text.columns import Texts
from freshet.streams.log.contract import (
    WHOLE,
    Batch,
    Bounds,
    Headers,
    Log,
    OnAssign,
    OnGone,
    Reader,
    TopicPartition,
)
from freshet.streams.log.errors import OutOfRange, outside

# How long the live log is waited for at most before what was assigned meanwhile is looked at.
SLICE_SECONDS = 0.5


class Whole(Protocol):
    """What is read: a log over its archive; see `ArchivedLog`."""

    live: Log

    def bounds(self, topic: str) -> Bounds: ...

    def read(
        self, part: TopicPartition, identity: str, offset: int
    ) -> tuple[Batch, int] | None: ...


class Wanted(NamedTuple):
    """What batches are to carry beside values, by topic; see `Log.reader`."""

    headers: Headers

    def is_whole(self, topic: str) -> bool:
        return WHOLE in self.headers.get(topic, ())

    def of(self, batch: Batch) -> Batch:
        """A batch that carries all which its records came with, with what is wanted alone."""
        names = [name for name in self.headers.get(batch.topic, ()) if name != WHOLE]
        headers = tuple(newest_of(batch, name.encode()) for name in names)
        if self.is_whole(batch.topic):
            return replace(batch, headers=headers)
        keys = batch.keys
        if keys is not None:
            nulls = batch.nulls
            assert nulls is not None
            # Of records without a value alone.
            keys = replace(keys, valid=keys.valid & nulls)
        return replace(
            batch,
            headers=headers,
            keys=keys,
            all_headers=None,
        )


def newest_of(batch: Batch, name: bytes) -> Texts:
    """Of each record the last of its headers of this name."""
    count = len(batch)
    if batch.all_headers is None:
        return Texts.missing(count)
    # Only here: it makes a thousand functions when it is imported, and all roles read through this.
    import pyarrow.compute as pc

    found = batch.all_headers
    lengths = pc.fill_null(pc.list_value_length(found), 0).to_numpy()
    whose = np.repeat(np.arange(count), lengths)
    flat = found.flatten()
    is_named = pc.equal(flat.field("name"), name).to_numpy(zero_copy_only=False)
    at = np.full(count, -1, np.int64)
    # Of several, what is written last stays.
    at[whose[is_named]] = np.flatnonzero(is_named)
    chosen = pa.array(at, mask=at < 0)
    return Texts.from_arrow(flat.field("value").take(chosen))


@dataclass
class _Below:
    """A partition that is read from the archive: the offset that comes next, and what is left of
    the piece that was read last, up to position `after`."""

    next: int
    left: Batch | None = None
    after: int = 0


class ArchivedReader:
    """A `Reader`. Partitions that are read from the archive are assigned in the live log, too, and
    held there at its end."""

    def __init__(
        self,
        log: Whole,
        topics: Sequence[str],
        group: str | None,
        callbacks: tuple[OnAssign | None, OnGone | None, OnGone | None],
        wanted: Wanted,
    ) -> None:
        self._log = log
        self._topics = topics
        self._group = group
        self._on_assign, self._on_revoke, self._on_lost = callbacks
        self._wanted_of_records = wanted
        self._below: dict[TopicPartition, _Below] = {}
        self._identities: dict[TopicPartition, str] = {}
        # What is assigned, and the offset after what was handed out.
        self._next: dict[TopicPartition, int] = {}
        self._wanted: dict[TopicPartition, int] = {}  # by seeks before the assignment
        self._paused: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set()  # in the live log, while they are below
        self._turn = 0
        self._is_assigned = False
        self._live = self._open()

    def _open(self) -> Reader:
        return self._log.live.reader(
            self._topics,
            self._group,
            self._assign,
            self._revoke,
            self._lose,
            self._wanted_of_records.headers,
        )

    def poll(self, max_records: int, max_wait: float) -> list[Batch]:
        deadline = time.monotonic() + max_wait
        while True:
            found = self._poll_archive(max_records)
            room = max_records - sum(map(len, found))
            left = deadline - time.monotonic()
            if room > 0:
                wait = 0.0 if found or self._has_below else max(0.0, min(left, SLICE_SECONDS))
                found += self._poll_live(room, wait)
            if found or left <= 0:
                return found

    @property
    def _has_below(self) -> bool:
        return any(part not in self._paused for part in self._below)

    # ----------------------------------------------------------------------------- the archive

    def _poll_archive(self, max_records: int) -> list[Batch]:
        """Equal shares for all that are read from there, and one for the live log."""
        parts = [part for part in self._below if part not in self._paused]
        if not parts:
            return []
        self._turn += 1
        # Where only one record may come, it is the archive's every other time.
        most = max_records * len(parts) // (len(parts) + 1) or self._turn % 2
        share = max(1, most // len(parts))
        found: list[Batch] = []
        for part in parts:
            room = min(share, most - sum(map(len, found)))
            if room > 0 and self._filled(part):
                found.append(self._taken(part, room))
        # Those that were served last come last, where there is not room for all.
        for batch in found:
            key = (batch.topic, batch.partition)
            if key in self._below:
                self._below[key] = self._below.pop(key)
        return found

    def _filled(self, part: TopicPartition) -> bool:
        """Whether there are records of a partition to be handed out from the archive. Where it
        stands in the live log by now, it goes on there."""
        below = self._below[part]
        while below.left is None:
            if self._rise(part, below.next):
                return False
            self._read_on(part, below)
        return True

    def _read_on(self, part: TopicPartition, below: _Below) -> None:
        """Read the piece that comes next."""
        topic, partition = part
        held = self._log.read(
            part,
            self._identities[part],
            below.next,
        )
        if held is None:
            first, after = self._log.live.bounds(topic).spans[partition]
            raise outside(topic, partition, below.next, first, after)
        batch, end = held
        batch = self._wanted_of_records.of(batch)
        batch = batch.rows(int(np.searchsorted(batch.offsets, below.next)), len(batch))
        if len(batch):
            below.left = batch
            below.after = end
        else:  # nothing but a gap
            below.next = end

    def _rise(self, part: TopicPartition, offset: int) -> bool:
        """Go on in the live log, if it has the offset (still)."""
        topic, partition = part
        try:
            self._live.seek(topic, partition, offset)
        except OutOfRange as error:
            if not error.is_before:
                raise
            return False
        self._let_go(part)
        return True

    def _let_go(self, part: TopicPartition) -> None:
        """It is read from the live log."""
        self._below.pop(part, None)
        if part in self._held:
            self._held.remove(part)
            if part not in self._paused:
                self._live.pause([part], False)

    def _hold(self) -> None:
        """Have the live log hand out nothing of what is read from the archive."""
        loose = [part for part in self._below if part not in self._held]
        if loose:
            self._live.pause(loose)
            self._held.update(loose)

    def _taken(self, part: TopicPartition, room: int) -> Batch:
        """The next records of a partition, and no more bytes than are read at once."""
        below = self._below[part]
        batch = below.left
        assert batch is not None
        size = int(np.searchsorted(batch.end - batch.start[0], READ_BYTES, "right"))
        count = min(room, max(1, size))
        rest = batch.rows(count, len(batch))
        below.left = rest if len(rest) else None
        below.next = int(rest.offsets[0]) if len(rest) else below.after
        self._next[part] = below.next
        is_whole = self._wanted_of_records.is_whole(batch.topic)
        return _compact(batch.rows(0, count), is_whole)

    # ----------------------------------------------------------------------------- the live log

    def _poll_live(self, max_records: int, max_wait: float) -> list[Batch]:
        try:
            batches = self._live.poll(max_records, max_wait)
        except OutOfRange as error:
            topic, partition = error.part
            first, after = self._log.bounds(topic).spans[partition]
            offset = int(str(error.facts["offset"]))
            if not first <= offset < after:
                raise outside(topic, partition, offset, first, after) from error
            self._reopen()
            return []
        found = []
        for batch in batches:
            part = (batch.topic, batch.partition)
            # Read before it was held; it is read again once the partition gets there.
            if part not in self._below:
                self._next[part] = int(batch.offsets[-1]) + 1
                found.append(batch)
        self._hold()
        return found

    def _reopen(self) -> None:
        """Records that were just about to be read are in the archive by now. A member of a group
        begins anew; who is alone goes on where it stood."""
        at = dict(self._next)
        self._live.close()
        if self._group is not None:
            self._lose(list(at))
        else:
            paused = set(self._paused)
            self._drop(list(at))
            self._paused = paused
            self._wanted = at
            self._on_assign = None
        self._is_assigned = False
        self._live = self._open()
        if self._paused:
            self._live.pause(list(self._paused))

    def _assign(self, gained: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where partitions start in the live log: at its end those that start below it."""
        starts = dict(self._wanted)
        if self._on_assign is not None:
            starts |= self._on_assign(gained)
        self._is_assigned = True
        whole = {topic: self._log.bounds(topic) for topic in {topic for topic, _ in gained}}
        live = {topic: self._log.live.bounds(topic) for topic in whole}
        found = {}
        for part in gained:
            topic, partition = part
            first, after = live[topic].spans[partition]
            start = starts.get(part, whole[topic].spans[partition][0])
            self._next[part] = start
            self._identities[part] = live[topic].identity
            found[part] = start
            if whole[topic].spans[partition][0] <= start < first:
                self._below[part] = _Below(start)
                found[part] = after
        return found

    def _revoke(self, going: Sequence[TopicPartition]) -> None:
        if self._on_revoke is not None:
            self._on_revoke(going)
        self._drop(going)

    def _lose(self, gone: Sequence[TopicPartition]) -> None:
        if self._on_lost is not None and gone:
            self._on_lost(gone)
        self._drop(gone)

    def _drop(self, gone: Sequence[TopicPartition]) -> None:
        for part in gone:
            self._below.pop(part, None)
            self._next.pop(part, None)
            self._held.discard(part)
            self._paused.discard(part)

    # ----------------------------------------------------------------------------- as it is asked

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `OutOfRange` if neither the live log nor the archive has the offset."""
        part = (topic, partition)
        if not self._is_assigned:
            # Told to the live log as well: it knows which partitions there are.
            self._seek_live(part, offset)
            self._wanted[part] = offset
            return
        if self._seek_live(part, offset):
            self._let_go(part)
        else:
            self._below[part] = _Below(offset)
            self._hold()
        self._next[part] = offset

    def _seek_live(self, part: TopicPartition, offset: int) -> bool:
        """Whether the live log has it. Raises `OutOfRange` if the archive has not, either."""
        topic, partition = part
        try:
            self._live.seek(topic, partition, offset)
        except OutOfRange as error:
            whole = self._log.bounds(topic)
            first, after = whole.spans[partition]
            if not first <= offset < after:
                raise outside(topic, partition, offset, first, after) from error
            self._identities[part] = whole.identity
            return False
        return True

    def position(self, topic: str, partition: int) -> int:
        below = self._below.get((topic, partition))
        if below is not None:
            return below.next
        return self._live.position(topic, partition)

    def pause(self, partitions: Iterable[TopicPartition], paused: bool = True) -> None:
        parts = list(partitions)
        # Those that are read from the archive stay held in the live log.
        self._live.pause([part for part in parts if part not in self._below], paused)
        if paused:
            self._paused.update(parts)
        else:
            self._paused.difference_update(parts)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        self._live.commit(positions)

    def close(self) -> None:
        self._live.close()


def _compact(batch: Batch, is_whole: bool) -> Batch:
    """The same records with no other bytes beside theirs, and bytes that may be written; without
    what none of them has, unless all is to be there."""
    first = int(batch.start[0])
    last = int(batch.end[-1])
    nulls = batch.nulls
    keys = batch.keys
    if nulls is not None and not nulls.any() and not is_whole:
        nulls = None
        keys = None
    return replace(
        batch,
        data=batch.data[first:last].copy(),
        start=batch.start - first,
        end=batch.end - first,
        nulls=nulls,
        keys=keys,
        headers=tuple(map(_own, batch.headers)),
    )


def _own(texts: Texts) -> Texts:
    return Texts.concatenate([texts])
