"""What a run has kept of a partition: its records, and what intake's newest checkpoint and its dead
letters say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freshet.schemas.errors import SchemaError
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import decode as decode_block
from freshet.streams.intake.fates import fates
from freshet.streams.intake.ledger import Ledger, LedgerBook
from freshet.streams.intake.starts import decided
from freshet.streams.intake.task import fates_known
from freshet.streams.labels.letters import of_events
from freshet.streams.log.contract import Log
from freshet.streams.operators.checkpoints import Checkpoints, kept_as
from freshet.streams.operators.task import from_json

Place = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """`is_null`: it has no value, not even an empty one. `headers` are those that were asked for,
    None where it has no such one. Of one that was moved to where its id belongs `source` is where
    it came from (partition and offset), and `offset` that of the record that holds it now."""

    offset: int
    time: int
    value: bytes
    is_null: bool = False
    headers: tuple[bytes | None, ...] = ()
    source: tuple[int, int] | None = None

    @property
    def place(self) -> Place:
        """By which its dead letter names it."""
        return self.offset if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class TakenOn:
    """What decides of fates beside the records of a partition, as intake recorded it: changes of
    `settings` (from which offset on, lateness and max_future, ms), the `turns` (from which offset
    on ids of a new generation are kept, and those of the one before the last forgotten), and bounds
    of append times (`vouched`: from which offset, up to which, the latest, ms)."""

    settings: Sequence[Sequence[int]] = ()
    turns: Sequence[int] = ()
    vouched: Sequence[Sequence[int]] = ()

    def appended(self, record: Record) -> int:
        """When a record was appended (ms), at the latest."""
        bounds = [latest for first, until, latest in self.vouched if first <= record.offset < until]
        return min([record.time, *bounds])


NOTHING = TakenOn()


def start(log: Log, checkpoints_url: str, topic: Topic, source: str, partition: int) -> int:
    """The offset at which intake began a partition, where that was decided; 0: at its first
    record."""
    found = decided(
        checkpoints_url,
        topic,
        source,
        log.bounds(source).identity,
    )
    if found is None:
        return 0
    return found.offsets.get(partition, 0)


def records(
    log: Log, topic: str, partition: int, start: int = 0, headers: Sequence[str] = ()
) -> Iterator[Record]:
    """Every record of a partition from offset `start` on, in order, with these headers."""
    # As of now: whoever writes on must not keep the auditor reading.
    first, end = log.bounds(topic).spans[partition]
    reader = log.reader([topic], None, headers={topic: headers})
    at = max(first, start)
    if at > first:
        reader.seek(topic, partition, at)
    while at < end:
        for batch in reader.poll(10_000, 1.0):
            if batch.partition != partition:
                continue
            for i in range(len(batch)):
                is_null = batch.nulls is not None and bool(batch.nulls[i])
                offset = int(batch.offsets[i])
                own = tuple(_header(header, i) for header in batch.headers)
                yield Record(offset, int(batch.times[i]), bytes(batch.value(i)), is_null, own)
        # Not from the last record: what ends a transaction has an offset of its own.
        at = reader.position(topic, partition)
    reader.close()


def _header(header: Texts, i: int) -> bytes | None:
    if not header.valid[i]:
        return None
    return bytes(header.data[header.start[i] : header.end[i]])


def moved_records(log: Log, topic: str, partition: int) -> Iterator[Record]:
    """The records of others that were moved to a partition, in order. What was moved twice counts
    where it stands first."""
    last: dict[int, int] = {}
    for record in records(log, topic, partition):
        block = decode_block(record.value)
        if block.rows is None:
            continue
        for row in block.rows.to_pylist():
            offset = row["_offset"]
            if offset <= last.get(block.partition, -1):
                continue
            last[block.partition] = offset
            headers = [name for name in row if name.startswith("header.")]
            yield Record(
                record.offset,
                row["time"],
                row["value"] or b"",
                row["value"] is None,
                tuple(row[name] for name in headers),
                (block.partition, offset),
            )


def ledger(
    log: Log, checkpoints_url: str, topic: Topic, source: str, partition: int
) -> tuple[int, Ledger]:
    """Intake's own ledger from its newest checkpoint, and the next offset it is as of."""
    found = _of_intake(log, checkpoints_url, topic, source, partition).load()
    if found is None:
        return 0, {}
    offset, base, deltas = found
    book = LedgerBook(fates(topic))
    state = _newest(base, deltas)
    book.load(state, fates_known(state))
    return offset, book.entries()


def redriven_ledger(
    log: Log, checkpoints_url: str, app_name: str, redriven: str, topic: Topic
) -> Ledger:
    """The ledger of a topic's dead letters that were sent again, from the newest checkpoint of the
    task that reads them."""
    identity = log.bounds(redriven).identity
    found = Checkpoints(checkpoints_url, f"redrive:{app_name}:0", identity).load()
    if found is None:
        return {}
    _, base, deltas = found
    own = f"{topic.name}/"
    state = {
        name.removeprefix(own): values
        for name, values in _newest(base, deltas).items()
        if name.startswith(own)
    }
    # The app has this topic only since then.
    if not state:
        return {}
    book = LedgerBook(fates(topic))
    book.load(state, fates_known(state))
    return book.entries()


def taken_on(log: Log, checkpoints_url: str, topic: Topic, source: str, partition: int) -> TakenOn:
    """What intake recorded in its newest checkpoint."""
    found = _of_intake(log, checkpoints_url, topic, source, partition).load()
    if found is None:
        return NOTHING
    _, base, deltas = found
    state = _newest(base, deltas)
    # The first is the tick as of which the newest generation began.
    turns = state["turns"].tolist()[1:]
    return TakenOn(
        from_json(state["settings"]),
        turns,
        state["vouched"].tolist(),
    )


def _newest(base: Mapping[str, Any], deltas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of a checkpoint: a delta has all that was touched since the base, so the last one
    alone counts."""
    state = dict(base)
    if deltas:
        state |= deltas[-1]
    return state


def _of_intake(
    log: Log, checkpoints_url: str, topic: Topic, source: str, partition: int
) -> Checkpoints:
    task = kept_as(f"intake:{topic.name}:{partition}", topic.digest)
    return Checkpoints(
        checkpoints_url,
        task,
        log.bounds(source).identity,
    )


# Reasons that do not follow from a topic alone: the auditor takes the dead letters' word for them.
OF_RECORDS = ("crash", "unreadable_schema")
TOLD = (*OF_RECORDS, "too_large", "bad_label")


def told(log: Log, dead: str, topic: Topic, partition: int) -> dict[tuple[int, int], str]:
    """Events of a partition that crashed intake, or that its views or models refuse, each with
    the reason of its dead letter; and of those without bytes, since which keys a tombstone may have
    is for views to say."""
    out: dict[tuple[int, int], str] = {}
    for record in records(log, dead, 0):
        try:
            block = decode_block(record.value)
        except SchemaError:  # somebody else's
            continue
        if block.rows is not None and (block.origin, block.partition) == (topic.name, partition):
            # Of a label its event knows nothing.
            rows = of_events(block.rows).to_pydict()
            places = zip(rows["_offset"], rows["_index"])
            for place, reason, size in zip(places, rows["reason"], rows["size"]):
                if reason in TOLD or not size:
                    out[place] = reason
    return out
