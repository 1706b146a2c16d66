"""The logs that a view is built from: its topics, and the dead letters that were sent again. Each
partition has a task of its own, which settles the records as the app's own has settled them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from freshet.schemas.errors import SchemaError
from freshet.schemas.wire import blocks
from freshet.streams.admission.recorded import UNBOUNDED, Recorded, recorded
from freshet.streams.log.contract import Batch, Log, TopicPartition
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.origins import Origin
from freshet.streams.operators.task import Append, Outputs, Task, Ticking
from freshet.streams.outages import Outages

Arrays = dict[str, npt.NDArray[Any]]
NOTHING = Recorded(0, [], [], UNBOUNDED)
CRASH = "crash"


class PastIntake(Task, Protocol):
    """A task of intake that can settle records as another one has."""

    def recall(self, known: Recorded, at: int) -> None:
        """Take on what that one had taken on by offset `at`."""
        ...

    def prepare(self, batch: Batch) -> None:
        """Have what the batch is to be understood by."""
        ...

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many events became what, by what their ledger is called."""
        ...

    def origins(self) -> Sequence[Origin]:
        """Of whom what it appends is, by now: each of them tells the app's views the time."""
        ...


@dataclass
class Source:
    """One partition of the log `of`. `task` is fed with what lies before `known.until`: so far the
    app's intake, whose checkpoints these are, has settled it. `at` is the offset that comes next,
    `newest_ms` the time up to which all was read (None: nothing was)."""

    key: TopicPartition
    of: SourceLog
    task: PastIntake
    checkpoints: Checkpoints
    first: int
    at: int
    known: Recorded = NOTHING
    newest_ms: int | None = None
    crashed: set[int] = field(default_factory=set)

    @property
    def limit(self) -> int:
        """Where the past ends, as far as that is known."""
        return max(self.at, self.known.until)

    def look(self) -> None:
        """See how far intake is by now."""
        found = recorded(self.checkpoints)
        if found is not None:
            self.known = found

    def settle(self, batch: Batch) -> Iterator[Append]:
        """What comes of the records that are next."""
        self.at = int(batch.offsets[-1]) + 1
        newest = int(batch.times.max())
        self.newest_ms = max(newest, self.newest_ms or newest)
        for piece in self.known.pieces(batch):
            self.task.recall(self.known, int(piece.offsets[0]))
            for part, is_crash in self._parts(piece):
                out = self.task.skip(part) if is_crash else self.task.apply(part)
                yield from out.appends

    def _parts(self, piece: Batch) -> Iterator[tuple[Batch, bool]]:
        """A piece, with each record on which the app's intake crashed by itself: tried by nobody,
        but what follows may depend on that."""
        crashes = np.flatnonzero(np.isin(piece.offsets, list(self.crashed))).tolist()
        begun = 0
        for at in crashes:
            if begun < at:
                yield piece.rows(begun, at), False
            yield piece.rows(at, at + 1), True
            begun = at + 1
        if begun < len(piece):
            yield piece.rows(begun, len(piece)), False

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        """All of the partition up to this time was settled."""
        if isinstance(self.task, Ticking):
            return self.task.tick(now_ms, partitions)
        return Outputs()  # what was moved brings its ticks

    def dump(self) -> Arrays:
        state = self.task.dump(full=True)
        newest = self.newest_ms
        if newest is None:
            newest = blocks.NO_TICK
        return {**state, "_place": np.array([self.first, self.at, newest], np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.task.load(state, [])
        self.first, self.at, newest = state["_place"].tolist()
        self.newest_ms = None
        if newest != blocks.NO_TICK:
            self.newest_ms = newest


class Crashed:
    """Records that the app's intake could not settle, by their dead letters: nobody else tries."""

    def __init__(self, log: Log, dead: str) -> None:
        self._log = log
        self._dead = dead
        self._reader = log.reader([dead], None)
        self._at = 0
        self._found: dict[tuple[str, int], set[int]] = {}

    def look(self) -> None:
        """Read what letters there are by now."""
        first, end = self._log.bounds(self._dead).spans[0]
        self._at = max(self._at, first)
        while self._at < end:
            for batch in self._reader.poll(10_000, 1.0):
                for i in range(len(batch)):
                    self._note(batch.value(i))
            # Nothing is assigned before the first poll.
            self._at = self._reader.position(self._dead, 0)

    def of(self, topic: str, partition: int) -> set[int]:
        """The offsets of those of a partition."""
        return self._found.get((topic, partition), set())

    def close(self) -> None:
        self._reader.close()

    def _note(self, value: memoryview) -> None:
        try:
            block = blocks.decode(value)
        except SchemaError:  # somebody else's
            return
        if block.rows is None:
            return
        is_crash = pc.equal(block.rows.column("reason"), pa.scalar(CRASH))
        offsets = block.rows.column("_offset").filter(is_crash).to_pylist()
        if offsets:
            self._found.setdefault((block.origin, block.partition), set()).update(offsets)


@dataclass(frozen=True)
class SourceLog:
    """A log that a view is built from: what dead letters call it, how the task of a partition is
    made, under which name intake keeps its checkpoints, and where partitions begin (those that are
    left out: at their first record). Where it `is_of_people`, who send when they like, its silence
    says nothing: time goes on without it, and each of its records has its own place among those of
    the others."""

    log: str
    told_as: str
    make: Callable[[int], PastIntake]
    kept_as: Callable[[int], str]
    starts: Callable[[], Mapping[int, int]]
    is_of_people: bool = False

    def open(self, log: Log, url: str, outages: Outages) -> list[Source]:
        """Each partition that is there now, from its start."""
        bounds = log.bounds(self.log)
        starts = self.starts()
        found = []
        for partition, (retained, _) in sorted(bounds.spans.items()):
            first = max(retained, starts.get(partition, retained))
            checkpoints = Checkpoints(
                url,
                self.kept_as(partition),
                bounds.identity,
                outages,
            )
            key = (self.log, partition)
            task = self.make(partition)
            found.append(Source(key, self, task, checkpoints, first, first))
        return found
