"""A task: the pure part of an operator. It reads one partition in order and says what should be
written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.spans import Span
from freshet.schemas.parted_arrays import PartedArrays
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Message
from freshet.streams.log.contract import Batch
from freshet.streams.operators.dead_letters import RefusedRow

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Append:
    """Records for one partition of a topic, stamped with the app's clock (ms)."""

    topic: str
    partition: int
    values: list[bytes]
    time_ms: int


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a batch led to. Appends are flushed before `messages` go to the app's logs of
    messages."""

    appends: list[Append] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


class Task(Protocol):
    """State over one partition. Nothing but the records it is given may enter it: no clock, no
    batch boundary."""

    name: str

    def apply(self, batch: Batch) -> Outputs:
        """Take records in order. Bad input is routed, not raised; an exception is a fault of
        ours."""
        ...

    def write(self) -> None:
        """Carry out pending writes to a store (a view's rows); called after `apply`, before the
        outputs are flushed. Also before the first `apply`, and about once a second where nothing
        comes: what a store lost is noticed here."""
        ...

    @property
    def finished(self) -> int:
        """The newest tick (ms) up to which all input has been taken, `NO_TICK` if none."""
        ...

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """Take on what is set for topics now (by their names), from offset `at` on; whether that
        changed anything for this task. What it takes on is part of its state: called again after
        `load`."""
        ...

    def skip(self, batch: Batch) -> Outputs:
        """Settle one record that `apply` failed on three times, and of which there is a dead letter
        now."""
        ...

    def dump(self, full: bool) -> Arrays:
        """State as arrays: everything, or (`full` false) what changed since the last dump, if the
        task can tell. Nothing at all from a task that cannot be saved: it starts over from the
        log's first record."""
        ...

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Become the task that was dumped."""
        ...

    def facts(self) -> dict[str, Any]:
        """Figures for status: JSON-like, cheap."""
        ...


@runtime_checkable
class Ticking(Protocol):
    """A task that is told the time: intake's. Everybody after it hears of time by what it
    writes."""

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        """All that the partition held at `now_ms` (app clock) was applied; its topic had so many
        partitions then. A time that it was told before, or a later one, leads to nothing."""
        ...


@runtime_checkable
class Refusable(Protocol):
    """A task of whose rows the store may refuse some: a view's."""

    def refused_rows(self) -> Sequence[RefusedRow]:
        """Rows that were refused, each once: those of which it has not told yet."""
        ...


@runtime_checkable
class Recording(Protocol):
    """A task whose result depends on something beside its log's records: intake's. It takes such a
    thing on at a checkpoint only, which records it, so that whoever goes on from there comes to the
    same. What it dumps holds all of that, in full or not."""

    def turn(self, at: int, bound_ms: int | None) -> bool:
        """The records before offset `at` are applied: whether it forgot something for good, as its
        newest tick says it may, or the time at which records were appended (`bound_ms` at the
        latest, by the app's clock; None: they all say rightly when)."""
        ...

    def doubts(self, batch: Batch, now_ms: int) -> bool:
        """Whether anything in the batch would rest on a record's time that is later than now (app
        clock). A later clock doubts no more than an earlier one. Nothing is raised: what `apply`
        would crash on is doubted."""
        ...

    def vouch(self, batch: Batch, now_ms: int) -> None:
        """All records of the batch were there at `now_ms`, so none was appended later, whatever its
        time says."""
        ...


class NotYet(Exception):
    """What a task needs is still being made. That is no outage, and nobody is told of one."""


@runtime_checkable
class Preparing(Protocol):
    """A task that needs something from beside its log: intake's, to understand some records, the
    schemas that they were written by; a view's, whose past is being built, that."""

    def prepare(self, batch: Batch) -> None:
        """Have all that the batch needs, and keep it: whoever reads the batch once more must have
        the same. Called before `apply`; nothing that was dumped changes.

        Raises:
            RegistryError: it cannot be had now. The batch is given once more, later.
            NotYet: likewise.
        """
        ...


@runtime_checkable
class Settling(Protocol):
    """A task that has something to save though no record led to it: the archive's, which joins
    files. What it dumps is nothing while it is too early for that."""

    def settles(self) -> bool:
        """Whether it has, now."""
        ...


@runtime_checkable
class Claiming(Protocol):
    """A task that removes what its checkpoints named: the archive's. Another process may have its
    partition, too, for a moment."""

    def claimed(self, is_last: Callable[[], bool]) -> None:
        """Its checkpoints are its own from now on, as long as `is_last`: nobody else has claimed
        them since. What it dumped by then, everybody who comes later goes on from."""
        ...


@runtime_checkable
class Filing(Protocol):
    """A task of whose state some may lie in files: a view's, with more rows than memory holds."""

    @property
    def wants_full(self) -> bool:
        """Whether what changed since the last dump would be too much for one that is not full."""
        ...

    def dump_in_parts(self) -> PartedArrays:
        """A full dump, whose large arrays are made part by part. It is good until the task takes
        anything, or is dumped once more."""
        ...

    def files(self) -> Sequence[Path]:
        """The files that belong to the full dump made last. Nobody writes them any more, and they
        are there until the next one is made."""
        ...

    def folder(self) -> Path:
        """A new empty folder, for the files of the base that `load` may be given next."""
        ...


@runtime_checkable
class Holdable(Protocol):
    """A task whose learning a person may hold: a trainer."""

    def hold(self, holds: Mapping[str, Sequence[Span]]) -> bool:
        """Take on when models were held, by their names; whether that changed anything for this
        task. As with `configure`, what it takes on is part of its state."""
        ...


@runtime_checkable
class Returnable(Protocol):
    """A task that a person may want to go back with: a trainer. It dumps all of itself each
    time."""

    @property
    def earlier_bytes(self) -> int:
        """How many bytes of its earlier checkpoints are kept for that."""
        ...


def without_rows(batch: Batch) -> Batch | None:
    """One record of a freshet-owned log as a block of its tick alone; None if it is no block, or
    has no tick."""
    try:
        block = blocks.decode(batch.value(0))
    except SchemaError:
        return None
    if block.tick == blocks.NO_TICK:
        return None
    value = blocks.encode(replace(block, rows=None))
    data = np.frombuffer(bytearray(value), np.uint8)
    edges = np.array([0, len(value)])
    return Batch(
        batch.topic, batch.partition, data, edges[:1], edges[1:], batch.offsets[:1], batch.times[:1]
    )


def as_json(value: Any) -> npt.NDArray[np.uint8]:
    """JSON as an array, for dumps."""
    import json

    return np.frombuffer(json.dumps(value).encode(), np.uint8).copy()


def from_json(array: npt.NDArray[Any]) -> Any:
    import json

    return json.loads(array.tobytes())
