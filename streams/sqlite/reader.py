"""Reads topics of the embedded log: waits for their bells, then asks the files that may have
news."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from freshet.schemas.sizes import READ_BYTES
from freshet.streams.disk import is_full
from freshet.streams.log.contract import Batch, OnAssign, TopicPartition
from freshet.streams.log.errors import not_assigned, outside
from freshet.streams.sqlite.doorbell import Listener
from freshet.streams.sqlite.positions import Positions
from freshet.streams.sqlite.topic import OFFSET_MASK, Row, TopicFile, translated

SWEEP_SECONDS = 0.5  # every topic is looked at this often, bell or no bell
COMMIT_SECONDS = 0.5  # committed positions are for lag tools: no need to write them more often


class SqliteReader:
    """All partitions of some topics. Callbacks but `on_assign` never come: nobody takes partitions
    away."""

    def __init__(
        self,
        directory: Path,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
    ) -> None:
        self._directory = directory
        self._group = group
        self._on_assign = on_assign
        self._files = [TopicFile(directory, topic) for topic in topics]
        self._index = {topic: i for i, topic in enumerate(topics)}
        # By file and partition, the offset to read next.
        self._next = [[0] * file.partitions for file in self._files]
        self._sought: set[tuple[int, int]] = set()
        self._paused: set[tuple[int, int]] = set()
        self._listener = Listener([file.bell for file in self._files])
        self._due = set(range(len(topics)))  # topics that may have records
        self._turn = 0
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        self._assigned = False
        self._commits: dict[TopicPartition, int] = {}
        self._commit_at = 0.0

    def poll(self, max_records: int, max_wait: float) -> list[Batch]:
        if not self._assigned:
            self._assign()
        now = time.monotonic()
        deadline = now + max_wait
        self._due |= self._listener.wait(0)
        while True:
            if now >= self._sweep_at:
                self._due.update(range(len(self._files)))
                self._sweep_at = now + SWEEP_SECONDS
                self._write_commits(now)
            batches = self._take(max_records) if self._due else []
            if batches or now >= deadline:
                return batches
            self._due |= self._listener.wait(max(0.0, min(deadline, self._sweep_at) - now))
            now = time.monotonic()

    def _assign(self) -> None:
        self._assigned = True
        mine = [(file.topic, part) for file in self._files for part in range(file.partitions)]
        for i, part in self._parts_unsought():
            first, _ = self._files[i].span(part)
            self._next[i][part] = first
        starts = self._on_assign(mine) if self._on_assign is not None else {}
        for (topic, partition), offset in starts.items():
            self.seek(topic, partition, offset)

    def _parts_unsought(self) -> list[tuple[int, int]]:
        """Those that start at the first record which is retained when they are read first."""
        return [
            (i, part)
            for i, file in enumerate(self._files)
            for part in range(file.partitions)
            if (i, part) not in self._sought
        ]

    def _take(self, max_records: int) -> list[Batch]:
        """Equal shares for all partitions that may have records; what some leave over goes to the
        others."""
        got: dict[tuple[int, int], list[Row]] = {}
        asked = self._parts()
        room = max_records
        room_bytes = READ_BYTES
        while asked and room > 0 and room_bytes > 0:
            share = max(1, room // len(asked))
            hungry = []
            for i, part in asked:
                want = min(share, room)
                rows: list[Row] = []
                # The shares of others may have used up the room: it keeps its turn all the same.
                if room_bytes <= 0:
                    want = 0
                if want:
                    rows = self._files[i].read(part, self._next[i][part], want, room_bytes)
                    self._hold(i, part, rows, got)
                if rows:
                    last_position, _, _ = rows[-1]
                    self._next[i][part] = (last_position & OFFSET_MASK) + 1
                    got.setdefault((i, part), []).extend(rows)
                    room -= len(rows)
                    room_bytes -= sum(len(value) for _, _, value in rows)
                # Less than its share: there is no more of it now.
                if len(rows) == want or room_bytes <= 0:
                    hungry.append((i, part))
            asked = hungry
        # Those that may have more are asked again by the next poll, without a bell.
        self._due = {i for i, _ in asked}
        return [_batch(self._files[i].topic, part, rows) for (i, part), rows in got.items()]

    def _hold(
        self, i: int, part: int, rows: Sequence[Row], got: Mapping[tuple[int, int], Sequence[Row]]
    ) -> None:
        """Raise `OutOfRange` where what comes next was deleted before it was read. What this poll
        has read of others is read again by the next one."""
        wanted = self._next[i][part]
        file = self._files[i]
        if rows:
            position, _, _ = rows[0]
            is_there = position & OFFSET_MASK == wanted  # offsets have no gaps
        else:
            is_there = file.first_kept(part) <= wanted
        if not is_there:
            for (of_file, of_part), ((position, _, _), *_) in got.items():
                self._next[of_file][of_part] = position & OFFSET_MASK
            first, after = file.span(part)
            raise outside(file.topic, part, wanted, first, after)

    def _parts(self) -> list[tuple[int, int]]:
        """Partitions to ask, each time beginning with another one."""
        for i in self._due:
            self._files[i].check()
        parts = [
            (i, partition)
            for i in sorted(self._due)
            for partition in range(self._files[i].partitions)
        ]
        if self._paused:
            parts = [part for part in parts if part not in self._paused]
        self._turn += 1
        cut = self._turn % len(parts) if parts else 0
        return parts[cut:] + parts[:cut]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `LogError` if the log starts after `offset`, or ends before it."""
        i, file = self._place(topic, partition)
        first, after = file.span(partition)
        if not first <= offset <= after:
            raise outside(topic, partition, offset, first, after)
        self._next[i][partition] = offset
        self._sought.add((i, partition))
        self._due.add(i)

    def position(self, topic: str, partition: int) -> int:
        i, _ = self._place(topic, partition)
        return self._next[i][partition]

    def pause(self, partitions: Iterable[TopicPartition], paused: bool = True) -> None:
        for topic, partition in partitions:
            i, _ = self._place(topic, partition)
            if paused:
                self._paused.add((i, partition))
            else:
                self._paused.discard((i, partition))
                self._due.add(i)

    def _place(self, topic: str, partition: int) -> tuple[int, TopicFile]:
        i = self._index.get(topic, -1)
        if i < 0 or not 0 <= partition < self._files[i].partitions:
            raise not_assigned(topic, partition)
        return i, self._files[i]

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        if self._group is not None:
            self._commits.update(positions)

    def _write_commits(self, now: float) -> None:
        if self._commits and self._group is not None and now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            try:
                with Positions(self._directory) as positions:
                    positions.write(self._group, self._commits)
            except (sqlite3.OperationalError, OSError) as error:
                if not is_full(translated(error, "groups", self._directory)):
                    raise
                # They are for lag tools: the next ones will do.
                return
            self._commits = {}

    def close(self) -> None:
        self._write_commits(float("inf"))
        self._listener.close()
        for file in self._files:
            file.close()


def _batch(topic: str, partition: int, rows: Sequence[Row]) -> Batch:
    positions, times, values = zip(*rows)
    count = len(values)
    edges = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, count), out=edges[1:])
    # a bytearray, so that the array can be written to
    data = np.frombuffer(bytearray().join(values), np.uint8)
    offsets = np.array(positions, np.int64) & OFFSET_MASK
    return Batch(topic, partition, data, edges[:-1], edges[1:], offsets, np.array(times, np.int64))
