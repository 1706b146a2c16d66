"""The archive's operator: one partition of one log to files of Parquet.

Where a file ends is decided by the clock and by how records come: that changes the files, never
what they hold. A file is written, then a checkpoint names it; only then does it count. What is read
and not named is read once more by whoever goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.shown_text import address
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.streams.archive import block_rows, compaction, events, manifest, records
from freshet.streams.archive.folder import ArchiveError, ArchiveFolder
from freshet.streams.archive.layout import (
    DAY_MS,
    FORMAT,
    ArchivedFile,
    Place,
    day_at,
    digest_of,
    task_of,
)
from freshet.streams.archive.parquet_files import Draft, table_of
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch, joined
from freshet.streams.operators.task import Outputs

FILE_BYTES = 16 << 20  # of records, before they are compressed: what memory holds of a partition
# So many bytes of a topic's records are encoded at once: with their columns they stay in caches.
PIECE_BYTES = 1 << 20
HELD_BYTES = 256 << 20  # of all partitions of a process
# Of records that no checkpoint covers, and how long they may go uncovered.
UNCOVERED_BYTES = 256 << 20
AGE_SECONDS = 60.0
# Files that nobody names may be those of a process that is about to name them.
UNNAMED_SINCE = timedelta(hours=1)


@dataclass(frozen=True)
class ArchivePlan:
    """What is archived of one log: `source` says how its records are read, if it is a topic's, and
    `blocks` whether they are blocks of rows."""

    app: str
    kind: str
    log: str
    source: IntakePlan | None = None
    blocks: bool = False

    def place(self, partition: int) -> Place:
        return Place(self.app, self.kind, self.log, partition)


class Start(NamedTuple):
    """Where a partition begins of which nothing is archived, and its log's identity."""

    partition: int
    first: int
    identity: str


@dataclass(frozen=True)
class Rhythm:
    """When a file is closed, by the clock `now` (seconds), and whether the process `ends`; how many
    bytes of a topic's records are encoded at once."""

    ends: Callable[[], bool] = lambda: False
    now: Callable[[], float] = time.monotonic
    age_seconds: float = AGE_SECONDS
    file_bytes: int = FILE_BYTES
    piece_bytes: int = PIECE_BYTES


class _Held:
    """Records that no file has yet: what was encoded of them is in the `draft` of one, and the rest
    waits in batches, of each of which is known whether it crashed."""

    def __init__(self) -> None:
        self.draft = Draft()
        self.size = 0  # bytes of all records
        self.waiting = 0  # of those that are not encoded
        self._batches: list[Batch] = []
        self._crashed: list[bool] = []
        self._first_ms: int | None = None  # when the first of all was appended
        # The newest of all, and how many they are.
        self.last_ms = 0
        self.last_offset = 0
        self.records = 0

    def add(self, batch: Batch, crashed: bool) -> int:
        """Records that come next, one at least; how many bytes they are."""
        if self._first_ms is None:
            self._first_ms = int(batch.times[0])
        size = int((batch.end - batch.start).sum())
        self._batches.append(batch)
        self._crashed.append(crashed)
        self.last_ms = int(batch.times[-1])
        self.last_offset = int(batch.offsets[-1])
        self.records += len(batch)
        self.size += size
        self.waiting += size
        return size

    @property
    def day(self) -> int:
        assert self._first_ms is not None
        return day_at(self._first_ms)

    def __bool__(self) -> bool:
        return self._first_ms is not None

    @property
    def waits(self) -> bool:
        """Whether any is not encoded; it may have no bytes."""
        return bool(self._batches)

    def taken(self) -> tuple[Batch, npt.NDArray[np.bool_]]:
        """Those that wait, and which of them crashed; they wait no longer."""
        (batch,) = joined(self._batches)
        counts = [len(one) for one in self._batches]
        crashed = np.repeat(np.array(self._crashed), counts)
        self._batches = []
        self._crashed = []
        self.waiting = 0
        return batch, crashed


def always() -> bool:
    return True


class ArchiveTask:
    """Of one partition; see `freshet.streams.operators.task.Task`."""

    def __init__(
        self,
        plan: ArchivePlan,
        start: Start,
        folder: ArchiveFolder,
        rhythm: Rhythm | None = None,
    ) -> None:
        self.name = task_of(plan.kind, plan.log, start.partition)
        self._plan = plan
        self._place = plan.place(start.partition)
        self._identity = start.identity
        self._folder = folder
        self._rhythm = rhythm or Rhythm()
        self._files: list[ArchivedFile] = []  # by position
        self._named: set[ArchivedFile] = set()  # those of them that the last dump names
        self._replaced: list[ArchivedFile] = []  # whose place others took since then
        self._leaving: list[ArchivedFile] = []  # and before it: to be removed
        self._is_saved = False
        self._may_join = True
        self._is_swept = False
        self._is_last: Callable[[], bool] = always
        # What is known of its log's own retention, if there is any.
        self.retention: Callable[[], Mapping[str, float]] = dict
        self._held = _Held()
        self._next = start.first
        self._day: int | None = None  # the latest that a record was of
        self._since: float | None = None  # when the first came that no checkpoint covers
        self._uncovered = 0  # bytes of such
        self._archived = start.first
        self._archived_ms: int | None = None
        self._newest_ms: int | None = None
        self._kept = 0  # records whose bytes are kept beside their rows

    @property
    def finished(self) -> int:
        """It hears of no time."""
        return blocks.NO_TICK

    def prepare(self, batch: Batch) -> None:
        """The schemas that its records were written by."""
        source = self._plan.source
        if source is not None and source.writers is not None:
            source.writers.prepare(batch)

    def apply(self, batch: Batch) -> Outputs:
        self._hold(batch, crashed=False)
        return Outputs()

    def skip(self, batch: Batch) -> Outputs:
        """Kept as it is, without a look into it."""
        self._hold(batch, crashed=True)
        return Outputs()

    def claimed(self, is_last: Callable[[], bool]) -> None:
        self._is_last = is_last

    def write(self) -> None:
        """Join small files, and remove those whose place was taken."""
        if self._is_saved:
            self._is_saved = False
            self._clear()
        if self._may_join:
            self._join()

    def _clear(self) -> None:
        """Remove what no checkpoint names any more. What was dumped is saved before anything else
        is asked, and whoever claims the partition later goes on from that; who did before may name
        what it replaced, so nothing is removed then."""
        if not self._leaving and self._is_swept:
            return
        self._require_claim()
        for file in self._leaving:
            self._folder.remove(self._place, file)
        self._leaving = []
        # Once, and not before a checkpoint of this claim is there: what others saved is void then.
        if not self._is_swept:
            self._is_swept = True
            self._folder.sweep(
                self._place,
                self._files,
                datetime.now(UTC) - UNNAMED_SINCE,
            )

    def _require_claim(self) -> None:
        if not self._is_last():
            raise ArchiveError(
                f"task {self.name}",
                "another process has its partition by now",
                "Nothing is lost: the other one goes on from its newest checkpoint. If it stays "
                "so, two archives run under one run folder: stop one.",
            )

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """No setting changes what was."""
        return False

    def settles(self) -> bool:
        """Files were joined: that is to be saved though nothing new comes."""
        return bool(self._replaced) and self._since is None

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """The names of its files. Nothing while it is too early to close one."""
        if not self._is_due():
            return {}
        # It would be saved for nobody, and again and again.
        self._require_claim()
        self._close()
        state = manifest.dumped(self._files)
        if not full:
            new = [file for file in self._files if file not in self._named]
            gone = [file.first for file in self._replaced if file in self._named]
            state = manifest.dumped(new, gone)
        self._named = set(self._files)
        self._leaving += self._replaced
        self._replaced = []
        self._is_saved = True
        self._since = None
        self._uncovered = 0
        self._archived = self._next
        self._archived_ms = self._newest_ms
        return state

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        self._files = manifest.loaded(base, deltas)
        self._named = set(self._files)
        if self._files:
            self._next = self._files[-1].after
            self._archived = self._next
            self._day = max(file.day for file in self._files)

    def facts(self) -> dict[str, Any]:
        """How far it is, what it has, and for how long something has waited for its file."""
        waiting = 0.0
        if self._since is not None:
            waiting = self._rhythm.now() - self._since
        figures: dict[str, Any] = {
            "archived": self._archived,
            "archived_ms": self._archived_ms,
            "waiting_seconds": round(waiting, 1),
            "files": len(self._files),
            "bytes": sum(file.size for file in self._files),
            "kept": self._kept,
        }
        retention = self.retention()
        if retention:
            figures["retention"] = dict(retention)
        return {"archive": figures}

    def _is_due(self) -> bool:
        """Whether what is held is to become a file, or what was written to be named."""
        if self._since is None:
            return bool(self._replaced)
        # The first is small, so that whoever starts sees within seconds what is kept, and where.
        if not self._named:
            return True
        age = self._rhythm.now() - self._since
        is_old = age >= self._rhythm.age_seconds or self._uncovered >= UNCOVERED_BYTES
        return is_old or self._rhythm.ends()

    def _hold(self, batch: Batch, crashed: bool) -> None:
        """Take records; a file ends before the first of a later day, and when it has enough."""
        if not len(batch):
            return
        if self._since is None:
            self._since = self._rhythm.now()
        starts = self._new_days(batch)
        edges = [0, *starts, len(batch)]
        for first, after in pairwise(edges):
            if first in starts:
                self._close()
            if first == after:
                continue
            self._uncovered += self._held.add(batch.rows(first, after), crashed)
            if self._held.size >= self._rhythm.file_bytes:
                self._close()
            elif self._plan.source is not None and self._held.waiting >= self._rhythm.piece_bytes:
                self._encode(self._plan.source)

    def _new_days(self, batch: Batch) -> list[int]:
        """Which records are the first of a later day than all before them: times need not rise,
        and a day ends once."""
        # By far the most batches are of the day that goes on.
        newest = int(batch.times.max()) // DAY_MS
        if self._day is not None and newest <= self._day:
            return []
        days = batch.times // DAY_MS
        before = days[0] if self._day is None else self._day
        latest = np.maximum.accumulate(np.concatenate([[before], days]))
        self._day = int(latest[-1])
        starts: list[int] = np.flatnonzero(np.diff(latest) > 0).tolist()
        return starts

    def _close(self) -> None:
        """Make a file of what is held."""
        held = self._held
        if not held:
            return
        facts: dict[str, Any] = {
            "format": FORMAT,
            "app": self._plan.app,
            "kind": self._plan.kind,
            "log": self._plan.log,
            "partition": self._place.partition,
            "identity": self._identity,
            "first": self._next,
            "after": held.last_offset + 1,
            "records": held.records,
        }
        data = self._written(facts)
        file = ArchivedFile(
            facts["first"],
            facts["after"],
            held.day,
            held.draft.rows,
            len(data),
            digest_of(data),
            _shape_of(held.draft.schema),
        )
        self._folder.write(self._place, file, data)
        self._files.append(file)
        self._next = file.after
        self._newest_ms = held.last_ms
        self._held = _Held()
        self._may_join = True

    def _written(self, facts: dict[str, Any]) -> memoryview:
        """All that is held, as a file's bytes."""
        held = self._held
        source = self._plan.source
        if source is not None:
            if held.waits:
                self._encode(source)
            codec = events.codec_of(source)
            known = {codec.schema.schema_id: codec.schema, **codec.older}
            facts["schemas"] = {str(number): schema.digest for number, schema in known.items()}
            return held.draft.finished(facts)
        batch, _ = held.taken()
        if not self._plan.blocks:
            held.draft.add(pa.table(records.columns_of(batch)))
            return held.draft.finished(facts)
        table = block_rows.table_of(batch)
        held.draft.add(table)
        data = held.draft.finished(facts)
        # Of what a reader will read, not of what was meant.
        wrong = block_rows.differing(table_of(data), batch)
        if wrong:
            self._kept += len(wrong)
            held.draft = Draft()
            held.draft.add(block_rows.with_records(table, batch, wrong))
            data = held.draft.finished(facts)
        return data

    def _encode(self, source: IntakePlan) -> None:
        """Bring what waits of a topic's records into the draft of its file."""
        batch, crashed = self._held.taken()
        columns = records.columns_of(batch) | events.columns_of(batch, source, crashed)
        self._held.draft.add(pa.table(columns))

    def _join(self) -> None:
        """Join one run of files, if any is to be."""
        run = compaction.run_to_join(self._files)
        if run is None:
            self._may_join = False
            return
        parts = self._files[run]
        data = compaction.joined(self._read(file) for file in parts)
        file = ArchivedFile(
            parts[0].first,
            parts[-1].after,
            parts[0].day,
            sum(part.rows for part in parts),
            len(data),
            digest_of(data),
            parts[0].shape,
        )
        self._folder.write(self._place, file, data)
        self._files[run] = [file]
        self._replaced += parts

    def _read(self, file: ArchivedFile) -> bytes:
        try:
            return self._folder.read(self._place, file)
        except FileNotFoundError as error:
            # Whoever has the partition by now may have joined and removed it.
            self._require_claim()
            raise ArchiveError(
                f"file {file.path(self._place)} in {address(self._folder.url)}",
                "is not there any more, and the archive names it",
                "Restore it from a copy; what the log still holds can be archived once more.",
            ) from error


def _shape_of(schema: pa.Schema) -> int:
    """Equal where files can be joined."""
    digest = hashlib.sha256(schema.serialize().to_pybytes()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
