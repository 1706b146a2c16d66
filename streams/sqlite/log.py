"""The embedded log: a directory with one SQLite file per topic, for the processes of one machine.

A group has one reader, which gets all partitions; who may run at all is settled by
`freshet/runs/lock.py`. Durability is that of `streams/sqlite/topic.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from freshet.schemas.errors import DiskError, LogError
from freshet.schemas.sizes import RECORD_BYTES
from freshet.streams.disk import until_there_is_room
from freshet.streams.log.contract import (
    Bounds,
    Headers,
    OnAssign,
    OnGone,
)
from freshet.streams.log.errors import (
    frozen,
    no_partition,
    outside,
    too_large,
)
from freshet.streams.outages import Outages
from freshet.streams.sqlite import topic as sqlite_topic
from freshet.streams.sqlite.doorbell import Bell
from freshet.streams.sqlite.positions import Positions
from freshet.streams.sqlite.reader import SqliteReader
from freshet.streams.sqlite.topic import TopicFile


class SqliteLog:
    """A `Log` in `directory` (made if missing)."""

    is_shared = False  # the directory is a run's own

    def __init__(self, directory: str | Path, outages: Outages | None = None) -> None:
        self.directory = Path(directory)
        self._outages = outages or Outages()
        self._files: dict[str, TopicFile] = {}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(
                str(directory),
                f"cannot make the directory: {error.strerror}",
                "Choose another directory.",
            ) from error

    def ensure(self, topic: str, partitions: int) -> None:
        if not sqlite_topic.path_of(self.directory, topic).exists():
            sqlite_topic.create(self.directory, topic, partitions)
        found = self._file(topic).partitions
        if found != partitions:
            raise frozen(topic, found, partitions)

    def _file(self, topic: str) -> TopicFile:
        """The open topic as it is now: a recreated one is opened anew."""
        file = self._files.get(topic)
        if file is not None:
            try:
                file.check()
                return file
            except LogError:
                self._files.pop(topic).close()
        self._files[topic] = file = TopicFile(self.directory, topic)
        return file

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
        headers: Headers | None = None,
    ) -> SqliteReader:
        # Its records have neither keys nor headers: freshet appends them, and writes whole events.
        # A group has one reader: nobody takes its partitions, so the others are never called.
        return SqliteReader(self.directory, topics, group, on_assign)

    def writer(self) -> SqliteWriter:
        return SqliteWriter(self.directory, self._outages)

    def bounds(self, topic: str) -> Bounds:
        file = self._file(topic)
        return Bounds(
            file.identity, {partition: file.span(partition) for partition in range(file.partitions)}
        )

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        file = self._file(topic)
        out = {}
        for partition in range(file.partitions):
            out[partition] = file.since(partition, time_ms)
        return out

    def retention_ms(self, topic: str) -> int | None:
        return None

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        file = self._file(topic)
        for partition, offset in offsets.items():
            if not 0 <= partition < file.partitions:
                raise no_partition(topic, partition, file.partitions)
            first, after = file.span(partition)
            if offset > after:
                raise outside(topic, partition, offset, first, after)
        for partition, offset in offsets.items():
            file.delete_before(partition, offset)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Next offsets by partition as committed by `group`, at most half a second behind; for lag
        tools."""
        with Positions(self.directory) as positions:
            return positions.read(group, topic)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


class _Open(NamedTuple):
    """A topic that is appended to, and the bell to ring then."""

    file: TopicFile
    bell: Bell


class SqliteWriter:
    """Appends to any topics of the directory. A flush is one transaction per topic, in order of
    first use.

    While the disk is full, `flush` waits, and `outages` is told. After a failed flush, what was not
    acknowledged is still queued: flush again, or close and forget it.
    """

    def __init__(self, directory: Path, outages: Outages) -> None:
        self._directory = directory
        self._outages = outages
        self._topics: dict[str, _Open] = {}
        # By topic and partition, times and values.
        self._queued: dict[str, dict[int, tuple[list[int], list[bytes]]]] = {}

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        """Raises `LogError` if there is no such topic or partition, and `RecordTooLarge` for a
        record that Kafka would not take either: an app can move from one log to the other."""
        queue = self._queued.get(topic)
        if queue is None:
            self._topics[topic] = self._topics.get(topic) or self._open(topic)
            queue = self._queued[topic] = {}
        partitions = self._topics[topic].file.partitions
        if not 0 <= partition < partitions:
            raise no_partition(topic, partition, partitions)
        largest = max(map(len, values), default=0)
        if largest > RECORD_BYTES:
            raise too_large(topic, largest, RECORD_BYTES)
        times, data = queue.setdefault(partition, ([], []))
        times.extend(repeat(time_ms, len(values)))
        data.extend(values)

    def _open(self, topic: str) -> _Open:
        file = TopicFile(self._directory, topic)
        return _Open(file, Bell(file.bell))

    def flush(self) -> None:
        committed: list[Bell] = []
        try:
            for topic in list(self._queued):
                self._commit(topic)
                committed.append(self._topics[topic].bell)
        finally:
            # After the commits: a reader that woke before them would find nothing, and sleep on.
            # And after all of them: one that reads several of these topics has one turn then, and
            # not one for each.
            for bell in committed:
                bell.ring()

    def _commit(self, topic: str) -> None:
        opened = self._topics[topic]
        # One transaction: all of it, or nothing.
        append = partial(opened.file.append, self._queued[topic])
        try:
            until_there_is_room(append, self._outages, str(self._directory.parent.absolute()))
        except DiskError as error:
            raise LogError(
                f"topic {topic}", f"disk {error.resource}: {error.cause}", error.next_step
            ) from error
        del self._queued[topic]

    def close(self) -> None:
        """Forgets what was not flushed."""
        for opened in self._topics.values():
            opened.file.close()
            opened.bell.close()
        self._topics.clear()
        self._queued.clear()
