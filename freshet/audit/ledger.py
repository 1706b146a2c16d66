"""The auditor: recomputes the ledger of a topic from its log, the slow and obvious way, and
compares.

Shares no kernel with intake: plain Python decodes and judges, dictionaries deduplicate. Filters
alone are evaluated by Polars, since they are the users' own expressions, and JSON is made Avro by
the code that intake uses. Records of other schemas than the topic's are `unknown_type` to it, but
for those that it is given.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import fastavro
import numpy as np
import polars as pl
import pyarrow as pa

from freshet.audit.avro import Unreadable, has_overlong, read_values
from freshet.audit.kept import NOTHING, OF_RECORDS, Record, TakenOn
from freshet.audit.moments import moment
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import REASONS, arrow_type
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import (
    EventWriter,
    Misfit,
    is_json,
)
from freshet.schemas.text.keys import key_of
from freshet.schemas.topics.topic import Topic
from freshet.streams.admission.excluded import EXCLUDED
from freshet.streams.admission.sources import MOST_SOURCES
from freshet.streams.intake.expressions import fields_of
from freshet.streams.intake.fates import EMPTY, fates, tombstone_fate
from freshet.streams.intake.ledger import (
    LEDGER_BLOCK,
    Entry,
    Ledger,
)

MASK = (1 << 64) - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SEEDS = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)


def recompute(
    topic: Topic,
    found: Iterator[Record],
    told: Mapping[Any, str] | None = None,
    taken_on: TakenOn = NOTHING,
    earlier: Mapping[int, EventSchema] | None = None,
    excluded: Collection[tuple[Any, int]] | None = None,
) -> Ledger:
    """The ledger that a partition's records should have led to. `told` are events (the place of the
    record, and theirs in that) with the reasons of their dead letters, where those do not follow
    from the topic alone (as `kept.told` finds them), `taken_on` is what intake recorded beside the
    log; `earlier` are schemas of records by the other ids that they bear. Where a view is built
    without some events, `excluded` are those, named as letters are."""
    names = fates(topic)
    if excluded is not None:
        names = (*names, EXCLUDED)
    code = {name: i for i, name in enumerate(names)}
    counts: dict[int, list[int]] = {}
    sums: dict[int, int] = {}
    for one in judged(topic, found, told, taken_on, earlier, excluded or ()):
        block = one.offset // LEDGER_BLOCK
        counts.setdefault(block, [0] * len(names))[code[one.fate]] += 1
        if one.event_id is not None:
            sums[block] = (sums.get(block, 0) + identity(one.event_id)) % (1 << 128)
    return {block: Entry(tuple(counted), sums.get(block, 0)) for block, counted in counts.items()}


class Judged(NamedTuple):
    """What became of an event: of the record at `offset`, its place in that, and of an applied one
    its id."""

    offset: int
    place: int
    fate: str
    event_id: str | None = None


def judged(
    topic: Topic,
    found: Iterator[Record],
    told: Mapping[Any, str] | None = None,
    taken_on: TakenOn = NOTHING,
    earlier: Mapping[int, EventSchema] | None = None,
    excluded: Collection[tuple[Any, int]] = (),
) -> Iterator[Judged]:
    """What should have become of each event of a partition's records, as `recompute` counts them:
    those that reach the filters come last, in their order."""
    letters = told or {}
    seen = _Seen(taken_on.turns)
    # Of records that were moved, those of each source partition have sources of their own.
    sources: dict[int, _Sources] = {}
    lateness = topic.freshness.ms("lateness")
    max_future = topic.freshness.ms("max_future")
    open_rows: list[tuple[Record, int, dict[str, Any]]] = []
    changes = list(taken_on.settings)
    for record in found:
        while changes and record.offset >= changes[0][0]:
            _, lateness, max_future = changes.pop(0)
        reason_told = letters.get((record.place, 0))
        # These are of records as a whole, however many events they would have been.
        if reason_told in OF_RECORDS or (reason_told is not None and record.is_null):
            yield Judged(record.offset, 0, f"dead:{reason_told}")
            continue
        if record.is_null:
            yield Judged(record.offset, 0, tombstone_fate(topic))
            continue
        whole, reason = read_whole(record, topic, earlier or {})
        if whole is None:
            yield Judged(record.offset, 0, f"dead:{reason}")
            continue
        appended = taken_on.appended(record)
        events = events_of(whole, topic)
        came_from = record.source[0] if record.source is not None else 0
        own = sources.setdefault(came_from, _Sources(topic.source))
        if not events:
            yield Judged(record.offset, 0, EMPTY)
        for place, event in enumerate(events):
            reason_told = letters.get((record.place, place), "")
            # A bad label is found last, when the event has had its part in what comes before.
            if reason_told and reason_told != "bad_label":
                yield Judged(record.offset, place, f"dead:{reason_told}")
                continue
            time_ms = moment(event, topic.time, appended)
            reason = judge_whole(event, topic) or judge_time(time_ms, appended + max_future)
            if reason:
                yield Judged(record.offset, place, f"dead:{reason}")
                continue
            if (record.place, place) in excluded:
                yield Judged(record.offset, place, EXCLUDED)
                continue
            event = canonical(event, topic.events)
            event_id = event_id_of(event, topic, record.offset, place)
            assert time_ms is not None
            # Repeats first, as intake does: one of a late event is a duplicate, not late again.
            if topic.event_id is not None and seen.again(event_id, record.offset):
                yield Judged(record.offset, place, "deduplicated")
            elif time_ms < own.compared(event, time_ms, appended) - lateness:
                yield Judged(record.offset, place, "dropped:late")
            else:
                open_rows.append((record, place, event))
    # All at once: one call of Polars an event would take hours for a year of flights.
    hits = _filtered(topic, [event for _, _, event in open_rows])
    for (record, place, event), hit in zip(open_rows, hits):
        offset = record.offset
        if hit:
            yield Judged(offset, place, f"dropped:{hit}")
        elif (record.place, place) in letters:
            yield Judged(offset, place, f"dead:{letters[record.place, place]}")
        else:
            yield Judged(offset, place, "applied", event_id_of(event, topic, offset, place))


def read_whole(
    record: Record, topic: Topic, earlier: Mapping[int, EventSchema]
) -> tuple[dict[str, Any] | None, str]:
    """What is in a record, with the fields that come from its headers."""
    known = {**earlier, **topic.written}
    event, reason = read_event(record.value, topic.records, known, topic.explode)
    if event is None:
        return event, reason
    for name, header in zip(topic.headers, record.headers):
        if header is None:
            continue
        try:
            event[name] = header.decode()
        except UnicodeDecodeError:
            return None, "wrong_type"
    return event, ""


def events_of(whole: Mapping[str, Any], topic: Topic) -> list[dict[str, Any]]:
    """The events of what was read of a record, in the order of its array."""
    if topic.explode is None:
        return [dict(whole)]
    shared = {name: value for name, value in whole.items() if name != topic.explode}
    return [{**shared, **element} for element in whole[topic.explode] or []]


def judge_whole(event: Mapping[str, Any], topic: Topic) -> str:
    """The first rule that an event breaks; of one of several in a record its numbers first, which
    can be read of a record only as a whole."""
    if topic.explode is not None and has_overlong(event):
        return "out_of_range"
    return judge(event, topic.events)


def read_event(
    value: bytes,
    schema: EventSchema,
    earlier: Mapping[int, EventSchema] | None = None,
    exploded: str | None = None,
) -> tuple[dict[str, Any] | None, str]:
    """The event in a record, or why there is none. Of the array at the path `exploded` the columns
    of each element."""
    if is_json(value):
        try:
            value = _writer(schema.digest, schema).transcode(value)
        except Misfit as misfit:
            return None, REASONS[misfit.reason]
    if value[:1] != b"\0" or len(value) < 5:
        return None, "undecodable"
    known = {**(earlier or {}), schema.schema_id: schema}
    writer = known.get(struct.unpack(">I", value[1:5])[0])
    if writer is None:
        return None, "unknown_type"
    stream = io.BytesIO(value[5:])
    try:
        event = dict(read_values(stream, writer.tree, "", exploded))
    except Unreadable:
        return None, "undecodable"
    if stream.read(1):
        return None, "undecodable"  # bytes follow the last field
    if writer is not schema:
        again = io.BytesIO(_resolved(value[5:], writer, schema))
        event = dict(read_values(again, schema.tree, "", exploded))
    if has_overlong(event):
        return None, "out_of_range"
    return event, ""


def _resolved(body: bytes, writer: EventSchema, reader: EventSchema) -> bytes:
    """What a sound body of one schema is in another, by another library: read by both, then written
    by the second."""
    written = fastavro.schemaless_reader(
        io.BytesIO(body), _plain(writer.avro), _plain(reader.avro), return_named_type=True
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _plain(reader.avro), written)
    return out.getvalue()


def _plain(raw: Any) -> Any:
    """A schema without logical types: their values stay as they are written."""
    if isinstance(raw, list):
        return [_plain(part) for part in raw]
    if not isinstance(raw, Mapping):
        return raw
    return {name: _plain(part) for name, part in raw.items() if name != "logicalType"}


_WRITERS: dict[str, EventWriter] = {}


def _writer(digest: str, schema: EventSchema) -> EventWriter:
    if digest not in _WRITERS:
        _WRITERS[digest] = EventWriter(schema)
    return _WRITERS[digest]


def judge(event: Mapping[str, Any], schema: EventSchema) -> str:
    """The first rule that an event breaks, or nothing: presence, UUIDs, domains, ranges."""
    # One rule over all fields, then the next: so intake's kernels do, and the reason depends on it.
    for field in schema.fields:
        if field.required and event[field.name] is None:
            return "missing_required"
    for field in schema.fields:
        value = event[field.name]
        if field.logical == "uuid" and value is not None and not _UUID.fullmatch(value):
            return "wrong_type"
    for field in schema.fields:
        value = event[field.name]
        if field.domain and value is not None and value not in field.domain:
            return "out_of_domain"
    for field in schema.fields:
        value = event[field.name]
        if isinstance(value, float) and not math.isfinite(value):
            return "out_of_range"
        bounds = field.bounds
        if bounds and value is not None and not bounds[0] <= value <= bounds[1]:
            return "out_of_range"
    return ""


def judge_time(time_ms: int | None, latest: int) -> str:
    """After all others: what is wrong with an event's time, or nothing."""
    if time_ms is None or time_ms < EARLIEST_MS:
        return "bad_time"
    if time_ms > latest:
        return "far_future"
    return ""


def canonical(event: Mapping[str, Any], schema: EventSchema) -> dict[str, Any]:
    """The event as filters see it: UUIDs in lower case."""
    uuids = [
        field.name
        for field in schema.fields
        if field.logical == "uuid" and event[field.name] is not None
    ]
    return {**event, **{name: event[name].lower() for name in uuids}}


def event_id_of(event: Mapping[str, Any], topic: Topic, offset: int, place: int) -> str:
    """An event's id as text: as it is, in decimal digits, or as `true` or `false`. Where a topic
    has none, its record's place in its partition stands for it. One of several of a record is told
    apart by its own place in that, too, but where it has an id of its own."""
    found = str(offset)
    if topic.event_id is not None:
        value = event[topic.event_id]
        found = str(value)
        if isinstance(value, bool):
            found = found.lower()  # Python writes True
    own = f"{topic.event_id}.".startswith(f"{topic.explode}.")
    if topic.explode is None or own:
        return found
    return key_of([found, str(place)])


class _Seen:
    """Ids of the two newest generations, as two dictionaries that take turns at the offsets that
    intake recorded."""

    def __init__(self, turns: Sequence[int]) -> None:
        self._turns = list(turns)
        self._new: OrderedDict[str, None] = OrderedDict()
        self._old: OrderedDict[str, None] = OrderedDict()

    def again(self, event_id: str, offset: int) -> bool:
        while self._turns and offset >= self._turns[0]:
            self._turns.pop(0)
            self._old = self._new
            self._new = OrderedDict()
        if event_id in self._new or event_id in self._old:
            return True
        self._new[event_id] = None
        return False


class _Sources:
    """The newest event time of each source that is known, as two dictionaries that take turns when
    one is full."""

    def __init__(self, field: str | None) -> None:
        self._field = field
        self._new: dict[Any, int] = {}
        self._old: dict[Any, int] = {}
        self._filled = 0

    def compared(self, event: Mapping[str, Any], t: int, appended: int) -> int:
        """The time that an event of time `t` must not lie behind by more than the lateness."""
        source = event[self._field] if self._field is not None else None
        if source is None:
            return appended
        known = self._new.get(source, self._old.get(source))
        if source not in self._new and len(self._new) == MOST_SOURCES:
            self._old = self._new
            self._new = {}
            self._filled += 1
        if known is None:
            self._new[source] = t
            # Once full twice, sources were forgotten: this may be one of them.
            return appended if self._filled > 1 else t
        self._new[source] = max(known, t)
        return known


def identity(text: str) -> int:
    """The 128-bit identity of an id: the sum that ledgers add up."""
    low, high = (_hash(text.encode(), seed) for seed in SEEDS)
    # Never 0, which would leave a sum as if the id were not there.
    return (high << 64) | low | 1


def _hash(data: bytes, seed: int) -> int:
    state = seed ^ len(data)
    for i in range(0, len(data), 8):
        state = ((state ^ int.from_bytes(data[i : i + 8], "little")) * 0xFF51AFD7ED558CCD) & MASK
        state ^= state >> 32
        state = (state * 0xC4CEB9FE1A85EC53) & MASK
        state ^= state >> 29
    return state


def _filtered(topic: Topic, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first filter that drops each event, or nothing."""
    out = [""] * len(events)
    for name, expression in topic.drop.items():
        used = fields_of(expression)
        rows = [i for i, hit in enumerate(out) if not hit]
        if rows:
            types = {
                field: pl.Series(pa.array([], arrow_type(topic.events[field]))).dtype
                for field in used
            }
            frame = pl.DataFrame({field: [events[i][field] for i in rows] for field in used}, types)
            hits = evaluated(frame, [expression.alias("x").fill_null(False)])["x"].to_numpy()
            for i in np.array(rows)[hits].tolist():
                out[i] = name
    return out
