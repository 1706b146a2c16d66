"""A view, built from the past: beside everything that runs, up to where what runs goes on with it.

The source topics are read from their start, or from the archive below the first record of the log,
and settled by an intake of its own as the app's intake has settled them: it takes on what that has
recorded, where that was, and never reads beyond what that has saved. So is what was sent again of
their dead letters, each at the time at which it was sent. What comes of the records is
folded at once; there is no log in between. In the end the state is that of a view which has read
its log up to the first record. The app's own view task goes on from there: events that both have
are passed over by the cursors of their origins.

    source log, archive ─▶ intake, again ─▶ rows ─▶ state ─▶ the app's view task
    letters sent again ─────▲▲ settings, turns                ▲
    checkpoints of intake ───┘             clean log ─────────┘

State is saved now and then: a part for each partition of the view, then that of all intakes, which
says which version of the parts counts.

    {url}/hydrate/{view}.{digest}/{partition}/…     {url}/hydrate/{view}.{digest}/sources/…
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from freshet.features.cold.memory import RowMemory
from freshet.features.packed import Packed
from freshet.features.stores.contract import RowKeys, Rows
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.hydration import record
from freshet.hydration.live_heads import LiveHeads
from freshet.hydration.past_reader import PastReader
from freshet.hydration.record import Hydration
from freshet.hydration.sources import Arrays, Crashed, Source, SourceLog
from freshet.schemas.errors import CheckpointError, RegistryError
from freshet.schemas.wire.blocks import topic_of
from freshet.schemas.wire.facts import one_line
from freshet.streams.log.contract import Batch, Headers, Log, TopicPartition
from freshet.streams.operators.checkpoints import START_ANEW, Checkpoints
from freshet.streams.operators.task import Append
from freshet.streams.outages import Outages

# There is more to read; all that intake has settled is read; all is there; nothing comes on.
HYDRATING = "hydrating"
LAGGING = "lagging"
READY = "ready"
FAILING = "failing"
SOURCES = "sources"
# No position of a log: a task that is to reach it never says that its rows are complete.
NEVER_REACHED = 1 << 62


@dataclass(frozen=True)
class Work:
    """What is built, of what, and where: `clean` is the view's own log, `dead` that of dead
    letters."""

    view: View
    clean: str
    dead: str
    sources: Sequence[SourceLog]
    headers: Headers
    log: Log
    url: str
    memory: RowMemory
    outages: Outages = field(default_factory=Outages)


@dataclass(frozen=True)
class Rhythm:
    """How often it does what it does now and then, by the clock `wall` (seconds)."""

    save_seconds: float = 10.0  # what is read again after a kill
    look_seconds: float = 1.0  # between two looks at what intake has settled by now
    stuck_seconds: float = 60.0  # without a record, before it counts as failing
    wall: Callable[[], float] = time.monotonic


class Hydrator:
    """Builds one view, step by step. Not thread-safe.

    Raises:
        CheckpointError: what was saved of it is of other logs, or not whole.
        LogError: a log cannot be reached.
    """

    def __init__(self, work: Work, known: Hydration, rhythm: Rhythm | None = None) -> None:
        self.known = known
        self.records = 0
        self.waits_for = ""
        self._read_here = 0  # records, by this process
        self._lags = False
        self._moved_at = (rhythm or Rhythm()).wall()
        self._work = work
        self._rhythm = rhythm or Rhythm()
        self._worked_seconds = 0.0
        self._saved_at = self._rhythm.wall()
        self._looked_at = float("-inf")  # never
        self._version = 0
        self._identity = work.log.bounds(work.clean).identity
        self._views = [self._task(partition) for partition in range(work.view.partitions)]
        self._commits = Checkpoints(
            work.url, _kept_as(work.view, SOURCES), self._identity, work.outages
        )
        self._parts = [
            Checkpoints(
                work.url,
                _kept_as(work.view, partition),
                self._identity,
                work.outages,
            )
            for partition in range(work.view.partitions)
        ]
        self._sources = self._opened()
        self._resume()
        self._crashed = Crashed(work.log, work.dead)
        self._heads = LiveHeads(work.log, work.clean)
        self._reader = self._read()

    def _task(self, partition: int) -> ViewTask:
        work = self._work
        return ViewTask(
            work.view,
            "",
            partition,
            _Nowhere(),
            NEVER_REACHED,
            work.memory,
        )

    def _opened(self) -> list[Source]:
        work = self._work
        return [
            source for own in work.sources for source in own.open(work.log, work.url, work.outages)
        ]

    def _read(self) -> PastReader:
        positions = {source.key: source.at for source in self._sources}
        apart = [source.key for source in self._sources if source.of.is_of_people]
        return PastReader(
            self._work.log,
            self._work.headers,
            positions,
            apart,
        )

    @property
    def done(self) -> bool:
        return self.known.finished_ms is not None

    def step(self, max_wait_seconds: float, now_ms: int) -> bool:
        """Read on, or, where all is read that intake has settled, see whether that is all; whether
        there was anything to do."""
        began_at = self._rhythm.wall()
        batches = self._reader.poll(self._limits(), max_wait_seconds)
        for batch in batches:
            self._take(batch)
        if batches:
            self._worked_seconds += self._rhythm.wall() - began_at
            self.waits_for = ""
            self._lags = False
            self._moved_at = self._rhythm.wall()
            self._tick()
            if self._rhythm.wall() - self._saved_at >= self._rhythm.save_seconds:
                self.save()
            return True
        is_due = self._rhythm.wall() - self._looked_at >= self._rhythm.look_seconds
        # Not more often: it reads all that intake remembers.
        if is_due and self._reader.is_at(self._limits()):
            self._look()
            if self._reader.is_at(self._limits()):
                self._lags = True
                self._end(max_wait_seconds, now_ms)
        return self.done

    def _limits(self) -> dict[TopicPartition, int]:
        return {source.key: source.limit for source in self._sources}

    def save(self) -> None:
        """So that whoever goes on after a kill reads from here."""
        version = self._version + 1
        for task, kept in zip(self._views, self._parts):
            # One of that version may be there, of somebody who was killed before it counted.
            kept.save(
                version,
                task.dump_in_parts(),
                full=True,
                again=True,
                files=task.files(),
            )
        state = {"records": np.array([self.records])}
        for source in self._sources:
            own = source.dump()
            state |= {f"{_name(source)} {name}": values for name, values in own.items()}
        # After its parts: it says that they count.
        self._commits.save(version, state, full=True, again=True)
        self._version = version
        self._saved_at = self._rhythm.wall()

    def close(self) -> None:
        self._reader.close()
        self._heads.close()
        self._crashed.close()

    @property
    def _rate(self) -> float:
        """Records a second, of the time that it worked on them."""
        return self._read_here / max(self._worked_seconds, 1e-3)

    @property
    def state(self) -> str:
        """One of the four."""
        if self.done:
            return READY
        if self._rhythm.wall() - self._moved_at >= self._rhythm.stuck_seconds:
            return FAILING
        if self._lags:
            return LAGGING
        return HYDRATING

    def facts(self) -> dict[str, Any]:
        """For status: how far it is, how fast, and how long it will take (seconds)."""
        left = sum(max(0, source.known.until - source.at) for source in self._sources)
        rate = self._rate
        return {
            "state": self.state,
            "records": self.records,
            "records_left": left,
            "records_a_second": round(rate),
            "seconds_left": round(left / rate) if rate else None,
            "waits_for": one_line(self.waits_for),
        }

    # ------------------------------------------------------------------------------------- steps

    def _look(self) -> None:
        """See what intake has settled by now, and whether partitions came."""
        self._looked_at = self._rhythm.wall()
        work = self._work
        if sum(len(work.log.bounds(own.log).spans) for own in work.sources) > len(self._sources):
            known = {source.key: source for source in self._sources}
            self._sources = [known.get(source.key, source) for source in self._opened()]
            self._reader.close()
            self._reader = self._read()
        # Before intake's checkpoints: a letter is there before what lies behind it is saved.
        for source in self._sources:
            source.look()
        self._crashed.look()
        for source in self._sources:
            source.crashed = self._crashed.of(source.of.told_as, source.key[1])

    def _take(self, batch: Batch) -> None:
        key = (batch.topic, batch.partition)
        (source,) = (source for source in self._sources if source.key == key)
        self._prepare(source, batch)
        for append in source.settle(batch):
            self._fold(append)
        self.records += len(batch)
        self._read_here += len(batch)

    def _prepare(self, source: Source, batch: Batch) -> None:
        """Wait until its records can be understood."""
        while True:
            try:
                source.task.prepare(batch)
                return
            except RegistryError as error:
                self.waits_for = str(error)
                if self._work.outages.ending.wait(self._rhythm.look_seconds):
                    raise

    def _tick(self) -> None:
        """Tell the time up to which all partitions are read that held anything."""
        read = [source for source in self._sources if source.newest_ms is not None]
        # Nothing is read beyond the next record of people.
        events = [source for source in read if not source.of.is_of_people]
        now_ms = min(source.newest_ms or 0 for source in events or read)
        for source in self._sources:
            partitions = sum(1 for other in self._sources if other.of is source.of)
            for append in source.tick(now_ms, partitions).appends:
                self._fold(append)
        # Once they were written, rows that are over are let go, and others may go to disk.
        if self._work.view.keep is not None or self._work.memory.most_bytes:
            for task in self._views:
                task.write()

    def _fold(self, append: Append) -> None:
        self._views[append.partition].apply(_as_batch(append))

    def _end(self, max_wait_seconds: float, now_ms: int) -> None:
        """All that intake has settled is read. The app's view task may go on from here once the
        view's own log has all that comes after."""
        limits = {
            origin: source.limit for source in self._sources for origin in source.task.origins()
        }
        if not self._heads.meet(limits, max_wait_seconds):
            topics = sorted({topic_of(name) for name, _ in limits})
            self.waits_for = (
                f"intake of {', '.join(topics)}: it has not saved yet what it gives the view"
            )
            return
        self.save()
        # Last: the app's view task goes on from what was saved.
        done = replace(
            self.known,
            finished_ms=now_ms,
            version=self._version,
            records=self._read_here,
            records_a_second=round(self._rate),
            fates=self._fates(),
        )
        self.known = record.finish(self._work.url, done)
        self.waits_for = ""

    def _fates(self) -> dict[str, dict[str, int]]:
        """What became of what was read, by topic, where some of it is left out."""
        found: dict[str, Counter[str]] = {}
        if not self._work.view.excluded:
            return {}
        for source in self._sources:
            for name, counts in source.task.counts().items():
                found.setdefault(name, Counter()).update(counts)
        return {name: dict(counts) for name, counts in found.items()}

    def _resume(self) -> None:
        """Go on from what was saved."""
        found = self._commits.load()
        if found is None:
            return
        self._version, state, _ = found
        self.records = int(state["records"][0])
        for source in self._sources:
            prefix = f"{_name(source)} "
            own: Arrays = {
                name.removeprefix(prefix): values
                for name, values in state.items()
                if name.startswith(prefix)
            }
            if own:  # else it came since
                source.load(own)
        for task, kept in zip(self._views, self._parts):
            task.load(_part(task, kept, self._version), [])


def _part(task: ViewTask, kept: Checkpoints, version: int) -> Any:
    """What was saved of a partition of a view, for this task."""
    found = kept.load(task.folder, until=version)
    if found is None or found[0] != version:
        raise CheckpointError(
            "of a view that is built from the past",
            f"version {version} of its rows is not there",
            f"Restore the folder hydrate. {START_ANEW}",
        )
    return found[1]


def _kept_as(view: View, part_name: int | str) -> str:
    return f"hydrate:{view.name}.{view.digest}:{part_name}"


def _name(source: Source) -> str:
    topic, partition = source.key
    return f"{topic}:{partition}"


def _as_batch(append: Append) -> Batch:
    """Records as of the first offset of the view's own log."""
    sizes = np.array([0, *map(len, append.values)], np.int64)
    edges = np.cumsum(sizes)
    data = np.frombuffer(bytearray(b"".join(append.values)), np.uint8)
    count = len(append.values)
    return Batch(
        append.topic,
        append.partition,
        data,
        edges[:-1],
        edges[1:],
        np.zeros(count, np.int64),
        np.full(count, append.time_ms, np.int64),
    )


class _Nowhere:
    """A store that takes all rows and has none: the app's own view task writes them."""

    resource = "nowhere"

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        return len(keys)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return [Rows(Packed.of([b""] * len(each.keys))) for each in wanted]

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        return self.read(wanted)

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return len(keys)

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return len(keys)

    def generation(self) -> str:
        return self.resource

    def close(self) -> None: ...


def past_of(
    url: str, view: View, partition: int, identity: str, outages: Outages
) -> Callable[[ViewTask], Any] | None:
    """What a view's task is given of its past; None where it has none, or has gone on from it."""
    if record.of(url, view) is None:
        return None

    def past(task: ViewTask) -> Any:
        known = record.of(url, view)
        if known is None or known.finished_ms is None:
            return None
        kept = Checkpoints(
            url,
            _kept_as(view, partition),
            identity,
            outages,
        )
        return _part(task, kept, known.version)

    return past
