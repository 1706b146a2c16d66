"""Reads an app's dead letters: counted by topic and reason, and the newest of them one by one.
Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import LogError, RequestError
from freshet.schemas.events.columns import REASONS
from freshet.schemas.wire import blocks
from freshet.streams.log.spans import PartitionSpans

CHUNK_RECORDS = 256  # read backwards in steps of so many: the newest are wanted, the rest seldom


class Origin(NamedTuple):
    """Where a record came from; `place` is that of the event in it, where it is several."""

    topic: str
    partition: int
    offset: int
    place: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """Dead letters of one topic and reason: how many, when the first and the last were buried (app
    clock, ms; that is the append time of the newest record of their batch), the fields that were
    wrong, most first, and the newest one's origin."""

    topic: str
    reason: str
    n: int
    first_ms: int
    last_ms: int
    fields: dict[str, int]
    example: Origin


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `append_ms` is when the record was appended (None: its log does not hold it
    any more), `buried_ms` when its letter was; `field` is the field that was wrong, `detail` the
    text of the error, where there is one; `value` its bytes, of `size` in all; `place` is that of
    the event in its record, where that is several; `again` says what became of it when it was sent
    again (None: it was not, or nobody looked)."""

    topic: str
    partition: int
    offset: int
    append_ms: int | None
    buried_ms: int
    reason: str
    field: str | None
    detail: str | None
    size: int
    value: bytes
    place: int = 0
    again: str | None = None

    @property
    def origin(self) -> Origin:
        return Origin(self.topic, self.partition, self.offset, self.place)


def kinds(run: OpenedRun, topic: str | None = None, reason: str | None = None) -> list[Kind]:
    """Dead letters by topic and reason, most first.

    Raises:
        RequestError: there is no such topic or reason.
    """
    _check(run, topic, reason)
    parts = []
    with PartitionSpans(run.log, run.app.dead_log) as dead:
        for buried_ms, block, rows in _blocks(dead, dead.first, dead.after):
            count = rows.num_rows
            own = {
                "topic": [block.origin] * count,
                "partition": [block.partition] * count,
                "buried": [buried_ms] * count,
            }
            told = {name: rows.column(name) for name in ("reason", "field", "_offset", "_index")}
            parts.append(pa.table({**own, **told}))
    if not parts:
        return []
    # A role that was killed may have buried a letter twice; its first burial counts.
    once = (
        pa.concat_tables(parts)
        .group_by(["topic", "partition", "_offset", "_index", "reason", "field"])
        .aggregate([("buried", "min")])
    )
    found = _only(once, topic, reason).group_by(["topic", "reason", "field"], use_threads=False)
    by_field = found.aggregate(
        [("buried_min", "count"), ("buried_min", "min"), ("buried_min", "max")]
    ).to_pylist()
    out: dict[tuple[str, str], Kind] = {}
    # Most first, so that the fields of a kind come in that order, too.
    for group in sorted(by_field, key=lambda group: -group["buried_min_count"]):
        count = group["buried_min_count"]
        first = group["buried_min_min"]
        last = group["buried_min_max"]
        kind = out.get((group["topic"], group["reason"])) or Kind(
            group["topic"], group["reason"], 0, first, last, {}, Origin("", 0, 0)
        )
        fields = kind.fields
        if group["field"]:
            fields = {**fields, group["field"]: count}
        out[group["topic"], group["reason"]] = replace(
            kind,
            n=kind.n + count,
            first_ms=min(kind.first_ms, first),
            last_ms=max(kind.last_ms, last),
            fields=fields,
        )
    return [
        replace(kind, example=_newest(once, kind))
        for kind in sorted(out.values(), key=lambda kind: -kind.n)
    ]


def _only(letters: pa.Table, topic: str | None, reason: str | None) -> pa.Table:
    for column, wanted in (("topic", topic), ("reason", reason)):
        if wanted is not None:
            letters = letters.filter(pc.equal(letters.column(column), wanted))
    return letters


def _newest(letters: pa.Table, kind: Kind) -> Origin:
    mine = _only(letters, kind.topic, kind.reason)
    last = mine.filter(pc.equal(mine.column("buried_min"), kind.last_ms)).slice(0, 1).to_pylist()[0]
    return Origin(last["topic"], last["partition"], last["_offset"], last["_index"])


def newest(
    run: OpenedRun, topic: str | None = None, reason: str | None = None, limit: int = 10
) -> list[Letter]:
    """The newest dead letters, newest first.

    Raises:
        RequestError: there is no such topic or reason.
    """
    _check(run, topic, reason)
    found: dict[Origin, Letter] = {}
    with PartitionSpans(run.log, run.app.dead_log) as dead:
        stop = dead.after
        while stop > dead.first and len(found) < limit:
            start = max(dead.first, stop - CHUNK_RECORDS)
            chunk = [letter for part in _blocks(dead, start, stop) for letter in _letters(*part)]
            for letter in reversed(chunk):
                if topic in (None, letter.topic) and reason in (None, letter.reason):
                    # The newest burial of a record that was buried twice.
                    found.setdefault(letter.origin, letter)
            stop = start
    return _with_append_times(run, list(found.values())[:limit])


def every(run: OpenedRun, topic: str | None = None, reason: str | None = None) -> Iterator[Letter]:
    """All dead letters, each event's once, in the order in which they were buried.

    Raises:
        RequestError: there is no such topic or reason.
    """
    _check(run, topic, reason)
    seen: set[Origin] = set()
    with PartitionSpans(run.log, run.app.dead_log) as dead:
        for part in _blocks(dead, dead.first, dead.after):
            for letter in _letters(*part):
                is_wanted = topic in (None, letter.topic) and reason in (None, letter.reason)
                if is_wanted and letter.origin not in seen:
                    seen.add(letter.origin)
                    yield letter


def _check(run: OpenedRun, topic: str | None, reason: str | None) -> None:
    app = run.app
    # Besides topics, logs of the app's own are origins: a record of theirs may have crashed an
    # operator.
    own = [app.by_id_log_of(topic) for topic in app.topics if topic.by_id]
    own += [app.clean_log_of(view) for view in app.views]
    own += [
        log
        for model in app.models
        for log in (app.outcomes_log_of(model), app.examples_log_of(model))
    ]
    names = [topic.name for topic in app.topics]
    if topic is not None and topic not in (*names, *own):
        raise RequestError(
            f"topic {topic!r}", f"is none of app {app.name}", f"Its topics are {', '.join(names)}."
        )
    if reason is not None and reason not in REASONS[1:]:
        raise RequestError(
            f"reason {reason!r}", "is unknown", f"Reasons are {', '.join(REASONS[1:])}."
        )


def _blocks(
    dead: PartitionSpans, start: int, stop: int
) -> Iterator[tuple[int, blocks.Block, pa.RecordBatch]]:
    """Blocks of dead letters, each with its append time."""
    for batch in dead.read(start, stop):
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            if block.rows is not None:
                yield int(batch.times[i]), block, block.rows


def _letters(buried_ms: int, block: blocks.Block, rows: pa.RecordBatch) -> Iterator[Letter]:
    last: tuple[int, bytes] = (-1, b"")
    for row in rows.to_pylist():
        offset = row["_offset"]
        # Of several events of a record the first has its bytes.
        if offset != last[0]:
            last = (offset, row["value"])
        told = (row["reason"], row["field"], row.get("detail"), row["size"], last[1])
        place = row["_index"]
        yield Letter(block.origin, block.partition, offset, None, buried_ms, *told, place)


def _with_append_times(run: OpenedRun, letters: Sequence[Letter]) -> list[Letter]:
    """Each with the append time of its record, read from its own log."""
    logs = {topic.name: run.app.log_of(topic.name) for topic in run.app.topics}
    times: dict[tuple[str, int, int], int] = {}
    for topic, partition in dict.fromkeys((letter.topic, letter.partition) for letter in letters):
        wanted = [
            letter.offset
            for letter in letters
            if (letter.topic, letter.partition) == (topic, partition)
        ]
        try:
            with PartitionSpans(run.log, logs.get(topic, topic), partition) as spans:
                found = [spans.record(offset) for offset in wanted]
        except LogError:
            continue  # a log that was removed: its letters are told without an append time
        times |= {
            (topic, partition, record.offset): record.time_ms
            for record in found
            if record is not None
        }
    return [
        replace(letter, append_ms=times.get((letter.topic, letter.partition, letter.offset)))
        for letter in letters
    ]
