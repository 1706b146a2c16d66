"""The contract of a log: topics of partitions of records, read in order, appended to, never
changed.

A record is bytes with an append time. What the bytes mean (an Avro event, a block of rows, a JSON
message) is not the log's business. Implementations are listed in `streams/catalog.py` and held to
`tests/contracts/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.text.columns import Texts

Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in offset order, as columns.

    Record `i` is `data[start[i]:end[i]]`; `offsets` and `times` (append time, ms since the epoch)
    are int64 `[n]`. Offsets rise, and may have gaps.

    Records of others may have no value at all: `nulls` bool `[n]` (None: each has one). Of these
    alone `keys` are the records' keys, bytes as they came, missing where a record has none.
    `headers` are those that the reader was asked for, in that order, likewise (empty: none were, or
    the log keeps none).

    Of a topic that is read whole, `keys` are those of all records, and `all_headers` all that
    each came with, in order: lists of structs of `name` and `value`, both binary (None: the log
    keeps none).

    Of events that are elements of an array in their record (see `as_events`), `places` int32 `[n]`
    are where in it (None: each record is one event).
    """

    topic: str
    partition: int
    data: npt.NDArray[np.uint8]
    start: I64
    end: I64
    offsets: I64
    times: I64
    nulls: Bools | None = None
    keys: Texts | None = None
    headers: tuple[Texts, ...] = ()
    places: npt.NDArray[np.int32] | None = None
    all_headers: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, i: int) -> memoryview:
        """The bytes of record `i`, without a copy."""
        return self.data.data[int(self.start[i]) : int(self.end[i])]

    def rows(self, first: int, after: int) -> Batch:
        """Records `first` to `after` (exclusive) as a batch of their own."""
        return self.where(slice(first, after))

    def where(self, chosen: slice | Bools | npt.NDArray[np.intp]) -> Batch:
        """The chosen records as a batch of their own."""
        nulls = self.nulls
        keys = self.keys
        places = self.places
        all_headers = self.all_headers
        if places is not None:
            places = places[chosen]
        if nulls is not None:
            nulls = nulls[chosen]
        if keys is not None:
            keys = keys.where(chosen)
        if all_headers is not None:
            all_headers = _chosen(all_headers, chosen)
        # The bytes stay whole: places in them count from their beginning.
        return Batch(
            self.topic,
            self.partition,
            self.data,
            self.start[chosen],
            self.end[chosen],
            self.offsets[chosen],
            self.times[chosen],
            nulls,
            keys,
            tuple(header.where(chosen) for header in self.headers),
            places,
            all_headers,
        )

    def as_events(self, parents: npt.NDArray[np.intp], places: npt.NDArray[np.int32]) -> Batch:
        """For each event its record (`parents` int64 `[n]`, rising), and where it is in that."""
        return replace(self.where(parents), places=places)


def _chosen(lists: pa.Array, chosen: slice | Bools | npt.NDArray[np.intp]) -> pa.Array:
    if isinstance(chosen, slice):
        first, after, _ = chosen.indices(len(lists))
        return lists.slice(first, after - first)
    return lists.take(pa.array(np.arange(len(lists))[chosen]))


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """Batches of several polls, in order, as one a partition."""
    parts: dict[TopicPartition, list[Batch]] = {}
    for batch in batches:
        parts.setdefault((batch.topic, batch.partition), []).append(batch)
    return [found[0] if len(found) == 1 else _one(found) for found in parts.values()]


def _one(parts: Sequence[Batch]) -> Batch:
    # Places in the bytes of each move on by the bytes of those before it.
    moved_by = np.cumsum([0, *(len(batch.data) for batch in parts[:-1])])
    return Batch(
        parts[0].topic,
        parts[0].partition,
        np.concatenate([batch.data for batch in parts]),
        np.concatenate([batch.start + by for batch, by in zip(parts, moved_by)]),
        np.concatenate([batch.end + by for batch, by in zip(parts, moved_by)]),
        np.concatenate([batch.offsets for batch in parts]),
        np.concatenate([batch.times for batch in parts]),
        *_nulls(parts),
        # Of one reader: either all have them or none has.
        tuple(map(Texts.concatenate, zip(*(batch.headers for batch in parts)))),
        all_headers=_all_headers(parts),
    )


def _all_headers(parts: Sequence[Batch]) -> pa.Array | None:
    found = [batch.all_headers for batch in parts if batch.all_headers is not None]
    # Of one reader, as above.
    return pa.concat_arrays(found) if found else None


def _nulls(parts: Sequence[Batch]) -> tuple[Bools | None, Texts | None]:
    """Of several batches, as of one."""
    if all(batch.nulls is None for batch in parts):
        return None, None
    nulls = []
    keys = []
    for batch in parts:
        none = np.zeros(len(batch), np.bool_)
        nulls.append(none if batch.nulls is None else batch.nulls)
        keys.append(Texts.missing(len(batch)) if batch.keys is None else batch.keys)
    return np.concatenate(nulls), Texts.concatenate(keys)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A topic as it is now: its identity (changes when the topic is recreated) and, by partition,
    the first retained offset and the one after the last."""

    identity: str
    spans: Mapping[int, tuple[int, int]]


def headers_type() -> pa.DataType:
    """Of the column of all headers: names need not be text either."""
    header = pa.struct([("name", pa.binary()), ("value", pa.binary())])
    return pa.list_(header)


OnAssign = Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]]
# Among the names of headers: the whole record. No header is called so.
WHOLE = "\0"
Headers = Mapping[str, Sequence[str]]
OnGone = Callable[[Sequence[TopicPartition]], None]


class Reader(Protocol):
    """One member of a group. Not thread-safe."""

    def poll(self, max_records: int, max_wait: float) -> list[Batch]:
        """At most one batch a partition, as soon as anything is there; `[]` after `max_wait`
        seconds of nothing.

        Partitions are served in turn, so that a busy one does not starve a quiet one. Rebalance
        callbacks run inside this call. Raises `LogError` when the log cannot be reached or the
        partition is gone.
        """
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """The next poll of this partition starts at `offset`."""
        ...

    def position(self, topic: str, partition: int) -> int:
        """The offset up to which `poll` has handed out all that is there: also past offsets that
        hold no record, such as the end of a transaction. Raises `LogError` if it is not
        assigned."""
        ...

    def pause(self, partitions: Iterable[TopicPartition], paused: bool = True) -> None:
        """Stop (or resume) returning records of these partitions, without losing their
        assignment."""
        ...

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Record next offsets for lag tools. freshet never starts from them: checkpoints hold the
        truth."""
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """Appends. Not thread-safe."""

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        """Queue records, stamped with the app's clock; one before 1970 may be stamped as of then.
        They are safe only after `flush` has returned. Raises `RecordTooLarge`, and queues none of
        them, if the topic can never take one."""
        ...

    def flush(self) -> None:
        """Return once all queued records are acknowledged, in order; raise `LogError` if any was
        not."""
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """A place of topics. Whether it `is_shared`: others have topics there, too, and may write
    them."""

    is_shared: bool

    def ensure(self, topic: str, partitions: int) -> None:
        """Create the topic if it is missing; `LogError` if it exists with another partition count
        (it is frozen)."""
        ...

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
        headers: Headers | None = None,
    ) -> Reader:
        """Read topics as a member of `group`, or all their partitions alone when it is None;
        `headers` are the names of those that batches of a topic are to carry. Where `WHOLE` is
        among them they carry all keys and all headers, too.

        `on_assign` gets the new partitions and answers with the offset to start each at (missing:
        the first retained); `on_revoke` is called before partitions go to another member (finish,
        checkpoint), `on_lost` when they are gone already (drop the state). The typical mistake is
        to write in `on_lost`.
        """
        ...

    def writer(self) -> Writer: ...

    def bounds(self, topic: str) -> Bounds:
        """Raises `LogError` if there is no such topic."""
        ...

    def since(self, topic: str, time_ms: int) -> Mapping[int, int]:
        """By partition, the offset of the first record whose append time is `time_ms` or later; the
        one after the last where there is none. Raises `LogError` if there is no such topic."""
        ...

    def retention_ms(self, topic: str) -> int | None:
        """After how long (ms) the log itself deletes records of the topic, whoever still needs
        them; None: never."""
        ...

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Forget the records before `offsets`, by partition, for good. Each becomes the first that
        is retained there (one that lies before that already changes nothing); where a partition
        ends never changes, also where nothing is left of it.

        A reader that stands before it raises `OutOfRange`, once it has handed out what it holds.
        Raises `OutOfRange`, and forgets nothing, if the log ends before one of `offsets`;
        `LogError` if there is no such topic or partition."""
        ...

    def close(self) -> None: ...
