"""Intake: one source partition in; clean events by view key, labels by prediction id, and dead
letters out.

It is here that time enters: intake is told by its operator that all is read which stood in the
partition at a time of the app's clock, and writes that time, a tick, into each of its outputs.
Nobody after it asks a clock.

The stages, in order, over the columns of a batch; each settles a fate for some rows and passes the
rest on: decode → validate → deduplicate and judge lateness → filter → impute → derive → route. The
ledger counts every record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from freshet.schemas.errors import CheckpointError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import OK
from freshet.schemas.events.decode import (
    REASONS,
    Columns,
    EventCodec,
    decode,
)
from freshet.schemas.events.masks import Masked, masked_arrays
from freshet.schemas.events.validation import timed
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import joined, without_key
from freshet.schemas.topics import headers
from freshet.schemas.topics.derived_columns import derive
from freshet.schemas.topics.exploding import without_event
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.admission import events
from freshet.streams.admission.admission import Admission, When
from freshet.streams.admission.excluded import EXCLUDED, Excluded
from freshet.streams.admission.kernels import APPLIED
from freshet.streams.admission.recorded import Recorded
from freshet.streams.admission.vouched import (
    Vouched,
    ahead_of,
    latest_ms,
)
from freshet.streams.fates.runs import FateRuns
from freshet.streams.filters.conditions import Condition, condition_of
from freshet.streams.filters.truth import truth
from freshet.streams.intake import kernels, tombstones
from freshet.streams.intake.expressions import fields_of
from freshet.streams.intake.fates import (
    FIRST_FILTER,
    empty_code,
    fates,
    first_dead,
    tombstone_code,
)
from freshet.streams.intake.field_statistics import TopicStatistics
from freshet.streams.intake.imputation import Imputer
from freshet.streams.intake.ledger import LEDGER_BLOCK, LedgerBook, totals
from freshet.streams.intake.refusals import refuse_large
from freshet.streams.labels.counts import LabelCounts
from freshet.streams.labels.letters import label_letters
from freshet.streams.labels.routes import Labelled, LabelRoute, labelled
from freshet.streams.log.contract import Batch
from freshet.streams.log.moved import Moved
from freshet.streams.operators.checkpoints import START_ANEW
from freshet.streams.operators.dead_letters import letters
from freshet.streams.operators.origins import Origin
from freshet.streams.operators.task import Append, Outputs, as_json, from_json
from freshet.streams.operators.ticks import strides
from freshet.streams.registry.writers import Writers
from freshet.streams.sketches.piece import Placed, TopicSketches

I64 = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CleanRoute:
    """Clean events of a topic, written to the log `to`, partitioned by the text of the key: their
    `fields` as they are, and `masked` ones, which are there where one of the `conditions` is
    true."""

    to: str
    partitions: int
    keys: tuple[str, ...]
    fields: tuple[str, ...]
    conditions: tuple[pl.Expr, ...] = ()
    masked: tuple[Masked, ...] = ()


@dataclass(frozen=True)
class IntakePlan:
    """What intake does with one topic. `source` and `dead` are full names of logs. By `writers`
    what its records were written by is found out, in place of the `codec`; None: all of it is
    known. Sketches of the topic's values go to the log `statistics`; None: none are made. What
    became of each record goes to the log `fates`; None: that is not told. Of its outputs those to
    the logs `written` alone are made (None: all): what becomes of an event hangs on where it would
    go, too. What it appends comes from `origin`, by which its readers tell it from other things
    (None: the topic). Events that are `excluded` are as if they had never come (None: none
    are)."""

    source: str
    topic: Topic
    codec: EventCodec
    clean: tuple[CleanRoute, ...]
    labels: tuple[LabelRoute, ...]
    dead: str
    writers: Writers | None = None
    statistics: str | None = None
    fates: str | None = None
    written: frozenset[str] | None = None
    origin: str | None = None
    excluded: Excluded | None = None

    def writes(self, log: str) -> bool:
        """Whether outputs to this log are made."""
        return self.written is None or log in self.written

    @property
    def appends_as(self) -> str:
        """Where what it appends comes from."""
        return self.origin or self.topic.name


def keys_of(plan: IntakePlan) -> set[tuple[str, ...]]:
    """The fields of every key and id that is made of the topic's events, derived ones too."""
    ids = {(label.id,) for label in plan.labels}
    if plan.topic.event_id is not None:
        ids.add((plan.topic.event_id,))
    return ids | {route.keys for route in plan.clean}


def _keys_of(columns: Columns, rows: I64, fields: tuple[str, ...]) -> Texts:
    if not fields:
        return without_key(len(rows))
    return joined([columns.key(name).take(rows) for name in fields])


class _Filter(NamedTuple):
    """The fields that it reads, and what it is as a plain condition, if it is one."""

    expression: pl.Expr
    fields: list[str]
    condition: Condition | None


@dataclass(frozen=True)
class _Routed:
    """Rows of one kind for the log `to`, in the partitions of their keys."""

    to: str
    partitions: int
    kind: int
    keys: Texts
    table: Mapping[str, pa.Array]


class _Read(NamedTuple):
    """What was read, and where that was moved from, if it was."""

    batch: Batch
    moved: Moved | None = None


class Settled(NamedTuple):
    """Events, with the time (int64 `[n]`, ms) and the fate (uint8 `[n]`, an index of `fates`) of
    each, and the record that each came in; where that was moved from, if it was."""

    columns: Columns
    times: I64
    code: Codes
    batch: Batch
    moved: Moved | None = None


LabelledRoute = tuple[LabelRoute, Labelled]


class IntakeTask:
    """Intake of one source partition; see `freshet.streams.operators.task.Task`. `start` is its
    first offset, where it was decided not to be that of the first record."""

    def __init__(self, plan: IntakePlan, partition: int, start: int | None = None) -> None:
        self.name = f"intake:{plan.topic.name}:{partition}"
        self._plan = plan
        self._partition = partition
        self._start = start
        topic = plan.topic
        self._lateness = topic.freshness.ms("lateness")
        self._max_future = topic.freshness.ms("max_future")
        # changes: from which offset on, lateness and max_future (ms)
        self._settings: list[list[int]] = []
        # What held before any of them: as it was declared when the partition was begun.
        self._begun_with = [self._lateness, self._max_future]
        self._admission = Admission(topic)
        self._vouched = Vouched()
        self._imputers = [Imputer(f, how) for f, how in topic.impute.items()]
        self._keys = keys_of(plan)
        self._erases = topic.tombstone == "delete" and bool(plan.clean)
        self._record_key: str | None = None
        if self._erases:
            # Of each view it is the same one.
            (key,) = plan.clean[0].keys
            self._record_key = topic.events[key].key_kind
        self._filters = [
            _Filter(e, fields_of(e), condition_of(e, topic.events)) for e in topic.drop.values()
        ]
        self.fates = fates_of(plan)
        self.ledger = LedgerBook(self.fates)
        self._labels = LabelCounts(plan.labels)
        self._runs: FateRuns | None = None
        if plan.fates is not None:
            self._runs = FateRuns(self.fates, topic.name, partition)
        self._statistics = TopicStatistics(topic)
        self._sketches: TopicSketches | None = None
        if plan.statistics is not None:
            self._sketches = TopicSketches(topic, partition)
        self._tick = blocks.NO_TICK

    @property
    def finished(self) -> int:
        return self._tick

    @property
    def _codec(self) -> EventCodec:
        """By what is known now of schemas."""
        if self._plan.writers is None:
            return self._plan.codec
        return self._plan.writers.codec

    def prepare(self, batch: Batch) -> None:
        """The schemas that its records were written by."""
        if self._plan.writers is not None:
            self._plan.writers.prepare(batch)

    def apply(self, batch: Batch) -> Outputs:
        if not len(batch):
            return Outputs()
        out = Outputs()
        for part in events.parts(self._vouched.bounded(batch), self._plan.topic):
            self.take(part, out)
        return out

    def take(self, batch: Batch, out: Outputs, moved: Moved | None = None) -> None:
        """Settle the events of these records, which were appended when they say, and put them where
        they go. Of those that were `moved` the batch has the places in the log that they were moved
        to."""
        settled = self.settle(batch, moved)
        columns, times, code, batch, _ = settled
        read = _Read(batch, moved)
        self._bury(columns, read, out)
        if self._runs is not None:
            self._runs.take(
                code,
                batch.offsets,
                _indices(read),
                moved,
            )
            if self._runs.are_many:
                self._append_fates(
                    self._runs.tell(),
                    int(batch.times[-1]),
                    out,
                )
        self._statistics.take(columns, code, batch.times)
        self._sketch(
            columns,
            np.flatnonzero(code == APPLIED),
            times,
            read,
            out,
        )
        found = self.route(settled, out)
        # Of labels, whose events are applied: what is no label takes no event from a view.
        if any(len(own.bad) for _, own in found) and self._plan.writes(self._plan.dead):
            values = label_letters(
                found,
                batch,
                moved,
                self._plan.topic.name,
            )
            out.appends.append(Append(self._plan.dead, 0, values, int(batch.times[-1])))

    def settle(self, batch: Batch, moved: Moved | None = None) -> Settled:
        """What becomes of the events of these records, which were appended when they say."""
        columns, read = self._decoded(_Read(batch, moved))
        times = timed(
            columns,
            self._plan.topic.time,
            read.batch.times,
            self._max_future,
        )
        code = self._settle(columns, times, read)
        return Settled(columns, times, code, *read)

    def route(self, settled: Settled, out: Outputs) -> list[LabelledRoute]:
        """Put what is applied of settled events where it goes; what they said to each model."""
        columns, times, code, batch, moved = settled
        read = _Read(batch, moved)
        found = self.label(settled, out)
        rows = np.flatnonzero(code == APPLIED)
        if self._erases and batch.nulls is not None:
            rows = np.flatnonzero((code == APPLIED) | (code == tombstone_code(self._plan.topic)))
        if len(rows):
            self._route(columns, rows, times[rows], read, out)
        return found

    def label(self, settled: Settled, out: Outputs) -> list[LabelledRoute]:
        """Put labels of what is applied where they go, and nothing else; what each model was
        told."""
        rows = np.flatnonzero(settled.code == APPLIED)
        if not len(rows):
            return []
        read = _Read(settled.batch, settled.moved)
        times = settled.times[rows]
        found = []
        # They see what was filled in, and derived of it.
        for route in self._plan.labels:
            if not self._plan.writes(route.to):
                continue
            own = labelled(settled.columns, rows, route)
            self._labels.note(route, own)
            found.append((route, own))
            if len(own.rows):
                self._spread_labels(
                    settled.columns,
                    own,
                    times[own.places],
                    route,
                    read,
                    out,
                )
        return found

    def reach(self, partition: int, tick: int) -> None:
        """Of records that are moved: all that a source partition held at `tick` was taken."""
        self._admission.reach(partition, tick)

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        """The time goes to every partition of every output, so that what is quiet moves on, too."""
        out = Outputs()
        # Told once more after a restart: the outputs have it already.
        if now_ms <= self._tick:
            return out
        by_strides = strides(self._tick, now_ms)
        self._tick = now_ms
        self._statistics.tick(now_ms)
        outputs = [(clean.to, clean.partitions, blocks.CLEAN) for clean in self._plan.clean]
        outputs += [(label.to, label.partitions, blocks.LABELS) for label in self._plan.labels]
        for to, count, kind in outputs:
            if not self._plan.writes(to):
                continue
            block = Block(
                kind,
                self._plan.appends_as,
                self._partition,
                None,
                now_ms,
                partitions,
            )
            value = blocks.encode(block)
            out.appends.extend(Append(to, p, [value], now_ms) for p in range(count))
        if self._sketches is not None:
            found = self._sketches.tell(
                now_ms,
                partitions,
                by_strides,
            )
            self._append_statistics(found, now_ms, out)
        if self._runs is not None and self._runs.due(now_ms, by_strides):
            self._append_fates(self._runs.tell(now_ms), now_ms, out)
        return out

    def write(self) -> None:
        """Intake writes to no store."""

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """`lateness` and `max_future` of its topic."""
        freshness = settings.get(self._plan.topic.name)
        if freshness is None:
            return False
        now = [freshness.ms("lateness"), freshness.ms("max_future")]
        if now == [self._lateness, self._max_future]:
            return False
        self._settings.append([at, *now])
        self._lateness, self._max_future = now
        return True

    def take_on(self, settings: Sequence[int]) -> None:
        """What was recorded before: from which offset on, lateness and max_future (ms)."""
        _, self._lateness, self._max_future = settings

    def turn_as_recorded(self, at: int) -> None:
        """A new generation of ids, from where there was one."""
        self._admission.turn_as_recorded(at)

    def believe(self, vouched: Sequence[Sequence[int]]) -> None:
        """Bounds of append times that were recorded before."""
        self._vouched.recall(vouched)

    def bounded(self, batch: Batch) -> Batch:
        """The records with the times at which they were appended at the latest."""
        return self._vouched.bounded(batch)

    def doubts(self, batch: Batch, now_ms: int) -> bool:
        batch = self._vouched.bounded(batch)
        latest = latest_ms(now_ms)
        # Nearly always: clocks agree.
        if int(batch.times.max()) <= latest:
            return False
        ahead = ahead_of(batch, now_ms)
        # So far ahead that no event of then would be taken: that is no clock, whatever it stamps.
        if int(ahead.times.max()) > latest + self._max_future:
            return True
        # In parts, as they will be applied: a record may be very many events.
        parts = events.parts(ahead, self._plan.topic)
        return any(self._is_doubtful(part, latest) for part in parts)

    def _is_doubtful(self, ahead: Batch, latest: int) -> bool:
        """Whether what becomes of these records rests on times that are after the `latest`."""
        try:
            columns, (ahead, _) = self._decoded(_Read(ahead))
            times = timed(
                columns,
                self._plan.topic.time,
                ahead.times,
                self._max_future,
            )
        except Exception:  # is found out when it is applied
            return True
        # What would be believed, or dropped as late, by the record's own word alone.
        believed = times > latest + self._max_future
        behind = times < ahead.times - self._lateness
        is_event = columns.reason == OK
        is_event[without_event(columns)] = False
        return bool((is_event & (believed | behind)).any())

    def vouch(self, batch: Batch, now_ms: int) -> None:
        self._vouched.note(batch, now_ms)

    def turn(self, at: int, bound_ms: int | None) -> bool:
        """A new generation of ids, when it is time for one."""
        return self._admission.turn(self._tick, bound_ms, at)

    def recall(self, known: Recorded, at: int) -> None:
        """Take on what another intake of this partition had taken on by offset `at`, the next one:
        called before the records of each of its `pieces`."""
        for change in known.settings[len(self._settings) :]:
            if change[0] > at:
                break
            self._settings.append(list(change))
            self._lateness, self._max_future = change[1:]
        self._vouched.load({"vouched": known.vouched})
        self._admission.recall(known.turns, self._tick, at)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many events became what, by the name of its topic."""
        return {self._plan.appends_as: totals(self.ledger.entries(), self.fates)}

    def origins(self) -> list[Origin]:
        """Of whom what it appends is."""
        return [(self._plan.appends_as, self._partition)]

    def skip(self, batch: Batch) -> Outputs:
        """The record's fate is a dead letter."""
        offset = int(batch.offsets[0])
        crashed = self.fates.index("dead:crash")
        self.ledger.span(offset, offset)
        self.ledger.counts[offset // LEDGER_BLOCK - self.ledger.first, crashed] += 1
        if self._runs is not None:
            code = np.array([crashed], np.uint8)
            self._runs.take(
                code,
                batch.offsets[:1],
                np.zeros(1, np.int32),
            )
        return Outputs()

    def _decoded(self, read: _Read) -> tuple[Columns, _Read]:
        """The events of these records, and the record of each."""
        batch, moved = read
        end = batch.end
        if moved is not None:
            end = np.where(moved.refused, batch.start, end)
        columns = decode(batch.data, batch.start, end, self._codec)
        if batch.headers:
            headers.fill(
                columns,
                list(self._plan.topic.headers),
                batch.headers,
            )
        if moved is not None:
            columns.reason = np.where(
                moved.refused,
                moved.refused,
                columns.reason,
            )
        columns, batch = events.events_of(
            columns,
            batch,
            self._plan.topic,
        )
        if moved is not None and batch.places is not None:
            moved = moved.as_events(batch.places)
        # Once, in place of a view of each part for every kernel that reads it.
        columns.freeze()
        return columns, _Read(batch, moved)

    def _settle(self, columns: Columns, times: I64, read: _Read) -> Codes:
        """The fate of every row; imputed values are put in the columns."""
        topic = self._plan.topic
        batch, moved = read
        refuse_large(columns, self._keys)
        no_event = without_event(columns)
        null = tombstones.rows_of(batch)
        ignored = null
        if len(null):
            ignored = tombstones.settle(
                columns,
                null,
                self._keys_of(batch, null),
            )
        code = np.zeros(columns.n, np.uint8)
        if np.count_nonzero(columns.reason):
            dead = columns.reason > 0
            code[dead] = columns.reason[dead] + (first_dead(topic) - 1)
        if len(no_event):
            code[no_event] = empty_code(topic)
        code[ignored] = tombstone_code(topic)
        if self._plan.excluded is not None:
            # Before all that remembers anything: no repeat, no late event and no impute knows them.
            gone = self._plan.excluded.of(batch, moved) & (code == APPLIED)
            code[gone] = len(self.fates) - 1
        meant = None
        if moved is not None and batch.places is not None:
            meant = moved.is_meant(batch.places)
        if meant is not None:
            # Settled already: nobody is to know of them once more.
            code[~meant] = tombstone_code(topic)
        ids = events.ids_of(columns, batch, topic)
        # Before filters and imputes: repeats and late ones must not move what gaps are filled with.
        when = When(times, batch.times)
        if moved is not None:
            when = When(times, batch.times, moved.partitions)
        self._admission.judge(
            columns,
            ids,
            when,
            code,
            self._lateness,
        )
        # Filters see events as they came; imputes see what filters leave.
        self._filter(columns, code)
        for imputer in self._imputers:
            imputer.fill(columns, code)
        if topic.derivations:
            derive(columns, topic, np.flatnonzero(code == APPLIED))
        self.ledger.span(int(batch.offsets[0]), int(batch.offsets[-1]))
        # Last, when no fate changes any more: every record is counted once.
        counted = slice(None) if meant is None else np.flatnonzero(meant)
        kernels.account(
            code[counted],
            ids[counted],
            batch.offsets[counted],
            LEDGER_BLOCK,
            self.ledger.first,
            self.ledger.counts,
            self.ledger.sums,
        )
        return code

    def _keys_of(self, batch: Batch, null: npt.NDArray[np.intp]) -> Texts | None:
        """Of rows without a value, whose rows they erase; None where they erase none."""
        if not self._erases:
            return None
        return tombstones.keys_of(batch, null, self._record_key)

    def _filter(self, columns: Columns, code: Codes) -> None:
        for k, (expression, names, condition) in enumerate(self._filters):
            if condition is not None:
                true = truth(condition, columns).true
                code[true & (code == APPLIED)] = FIRST_FILTER + k
                continue
            rows = np.flatnonzero(code == APPLIED)
            if len(rows):
                asked = expression.alias("x").fill_null(False)
                hit = evaluated(columns.frame(names, rows), [asked])["x"].to_numpy()
                code[rows[hit]] = FIRST_FILTER + k

    def _sketch(
        self, columns: Columns, rows: I64, times: I64, read: _Read, out: Outputs
    ) -> None:  # fmt: skip
        """Applied rows to sketches of their values as they were sent; those that are whole go
        out."""
        if self._sketches is None:
            return
        batch = read.batch
        found = self._sketches.take(
            columns,
            rows,
            times[rows],
            Placed(batch.topic, batch.offsets[rows], _indices(read)[rows]),
            batch.times[rows],
        )
        self._append_statistics(found, int(batch.times[-1]), out)

    def _append_statistics(self, values: list[bytes], time_ms: int, out: Outputs) -> None:
        if values:
            assert self._plan.statistics is not None
            out.appends.append(Append(self._plan.statistics, 0, values, time_ms))

    def _append_fates(self, values: list[bytes], time_ms: int, out: Outputs) -> None:
        assert self._plan.fates is not None
        out.appends.append(Append(self._plan.fates, 0, values, time_ms))

    def _bury(self, columns: Columns, read: _Read, out: Outputs) -> None:
        """Dead letters, each with its reason, the field, its origin and its bytes (the first 64
        KiB)."""
        batch, moved = read
        # Nearly always, and found out in a fifth of the time of looking for them.
        if not np.count_nonzero(columns.reason) or not self._plan.writes(self._plan.dead):
            return
        rows = np.flatnonzero(columns.reason)
        if moved is None:
            self._bury_rows(columns, rows, batch, out)
            return
        # Where they came from is what a person looks for: a block has one partition.
        batch = replace(batch, offsets=moved.offsets)
        for partition in np.unique(moved.partitions[rows]).tolist():
            own = rows[moved.partitions[rows] == partition]
            self._bury_rows(
                columns,
                own,
                replace(batch, partition=partition),
                out,
            )

    def _bury_rows(self, columns: Columns, rows: I64, batch: Batch, out: Outputs) -> None:
        fields = columns.at_fault(rows)
        reasons = [REASONS[r] for r in columns.reason[rows].tolist()]
        details = None
        if batch.nulls is not None:
            told = {False: None, True: tombstones.UNREADABLE}
            details = [told[is_null] for is_null in batch.nulls[rows].tolist()]
        if self._plan.writers is not None:
            of_schemas = self._plan.writers.details(
                batch,
                rows,
                reasons,
            )
            details = _first_told(details, of_schemas)
        values = letters(
            batch,
            rows,
            self._plan.topic.name,
            reasons,
            fields,
            details,
        )
        out.appends.append(Append(self._plan.dead, 0, values, int(batch.times[-1])))

    def _route(self, columns: Columns, rows: I64, times: I64, read: _Read, out: Outputs) -> None:
        """Applied rows, with the time of each, to each clean log; and tombstones, which erase."""
        batch = read.batch
        origin = _origin(read, rows)
        time = pa.array(times)
        for clean in self._plan.clean:
            if not self._plan.writes(clean.to):
                continue
            keys = _keys_of(columns, rows, clean.keys)
            arrays = {name: columns.plain_arrow(name, rows) for name in clean.fields}
            arrays |= masked_arrays(
                columns,
                rows,
                clean.conditions,
                clean.masked,
            )
            fields = {blocks.FIELD + name: array for name, array in arrays.items()}
            if self._erases and batch.nulls is not None:
                null = batch.nulls[rows]
                keys = _replaced(
                    keys,
                    null,
                    self._keys_of(batch, rows[null]),
                )
                fields[blocks.ERASED] = pa.array(null)
            table = {"key": keys.to_arrow(), "t": time, **fields, **origin}
            self._spread(
                _Routed(clean.to, clean.partitions, blocks.CLEAN, keys, table),
                batch,
                out,
            )

    def _spread_labels(
        self,
        columns: Columns,
        own: Labelled,
        times: I64,
        route: LabelRoute,
        read: _Read,
        out: Outputs,
    ) -> None:
        """Labels, with the time of each, to the log of the model."""
        ids = columns.key(route.id).take(own.rows)
        table = {
            "id": ids.to_arrow(),
            "t": pa.array(times),
            "label": own.values.to_arrow().cast(pa.float64()),
            **_origin(read, own.rows),
        }
        routed = _Routed(
            route.to,
            route.partitions,
            blocks.LABELS,
            ids,
            table,
        )
        self._spread(routed, read.batch, out)

    def _spread(self, routed: _Routed, batch: Batch, out: Outputs) -> None:
        """Rows to the partitions of their keys, in order: a block for each partition that gets
        any."""
        rows = pa.RecordBatch.from_pydict(routed.table)
        time_ms = int(batch.times[-1])
        # Of a single partition no row's hash needs to be known.
        parts = {0: rows}
        if routed.partitions > 1:
            where = routed.keys.partitions(routed.partitions)
            parts = {
                p: rows.take(pa.array(np.flatnonzero(where == p)))
                for p in np.unique(where).tolist()
            }
        for p, mine in parts.items():
            block = Block(
                routed.kind,
                self._plan.appends_as,
                self._partition,
                mine,
            )
            out.appends.append(Append(routed.to, p, blocks.encode_parts(block), time_ms))

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """Always everything but ids, which are many: groups of imputes, ledger, statistics."""
        state: dict[str, npt.NDArray[Any]] = {
            "declared": as_json([list(self.fates), _imputes(self._plan.topic)]),
            "tick": np.array([self._tick]),
            "settings": as_json(self._settings),
            "begun_with": np.array(self._begun_with),
            **self._admission.dump(full),
            **self._vouched.dump(),
            **self.ledger.dump(),
            **self._labels.dump(),
            **self._statistics.dump(),
        }
        if self._sketches is not None:
            state |= self._sketches.dump()
        if self._runs is not None:
            state |= self._runs.dump()
        for imputer in self._imputers:
            state |= imputer.dump()
        return state

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Raises `CheckpointError` if the topic's filters or imputes were others then: counts and
        groups would mean others."""
        state = deltas[-1] if deltas else base
        if not fits(self._plan.topic, base, deltas):
            raise CheckpointError(
                self.name,
                f"its state was saved when topic {self._plan.topic.name} was declared otherwise "
                "(its filters or imputes), or by another version of freshet",
                f"Declare them as they were. {START_ANEW}",
            )
        self._admission.load([base, *deltas])
        self._vouched.load(state)
        self._tick = int(state["tick"][0])
        self._load_settings(state)
        self.ledger.load(state, fates_known(state))
        self._labels.load(state)
        if self._runs is not None:
            self._runs.load(state, fates_known(state))
        self._statistics.load(state)
        if self._sketches is not None:
            self._sketches.load(state)
        for imputer in self._imputers:
            imputer.load(state)

    def _load_settings(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        if "settings" in state:
            self._settings = from_json(state["settings"])
        declared = self._begun_with
        # A checkpoint of an earlier version has none: then it was declared as it is now.
        if "begun_with" in state:
            self._begun_with = state["begun_with"].tolist()
        is_told = bool(self._settings) and self._settings[0][0] == 0
        if self._begun_with != declared and not is_told:
            # It is declared otherwise since: whoever settles once more cannot know from that.
            self._settings.insert(0, [0, *self._begun_with])
        if self._settings:
            self._lateness, self._max_future = self._settings[-1][1:]

    def facts(self) -> dict[str, Any]:
        counts = self.ledger.counts.sum(axis=0)
        return {
            "fates": {name: int(c) for name, c in zip(self.fates, counts)},
            "label_fates": self._labels.facts(),
            "imputed": {i.field: i.filled for i in self._imputers},
            "newest_event_ms": self._admission.newest_event_ms,
            "late_sources": self._admission.facts(),
            **self._statistics.facts(),
            "finished": self._tick,
            **self._facts_of_start(),
            **self._of_schemas(),
        }

    def _facts_of_start(self) -> dict[str, Any]:
        if self._start is None:
            return {}
        return {"start": [self._partition, self._start]}

    def _of_schemas(self) -> dict[str, Any]:
        if self._plan.writers is None:
            return {}
        return {"unreadable_schemas": self._plan.writers.unreadable()}


def _first_told(
    details: Sequence[str | None] | None, others: Sequence[str | None]
) -> list[str | None]:
    """Of each letter what there is to say, by one or by the other."""
    known = details or [None] * len(others)
    return [one or other for one, other in zip(known, others)]


def fits(
    topic: Topic,
    base: Mapping[str, npt.NDArray[Any]],
    deltas: Sequence[Mapping[str, npt.NDArray[Any]]],
) -> bool:
    """Whether a checkpoint of intake was made with the topic's filters and imputes of now."""
    state = deltas[-1] if deltas else base
    if "declared" not in state:
        return False
    known, imputes = from_json(state["declared"])
    now = [*fates(topic), EXCLUDED]
    imputes_now = _imputes(topic)
    # Fates may have been added since, by another version of freshet; filters are the user's.
    filters, filters_now = (
        [n for n in names if n.startswith("dropped:")] for names in (known, now)
    )
    return bool(imputes == imputes_now and filters == filters_now and set(known) <= set(now))


def fates_known(state: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """The fates that a checkpoint of intake counts, in its order."""
    names: list[str] = from_json(state["declared"])[0]
    return names


def fates_of(plan: IntakePlan) -> tuple[str, ...]:
    """The fates that events can have, in the order of their codes."""
    if plan.excluded is None:
        return fates(plan.topic)
    return (*fates(plan.topic), EXCLUDED)


def _imputes(topic: Topic) -> list[list[str | None]]:
    """What the state of imputes depends on."""
    return [[field, how.kind, how.by] for field, how in topic.impute.items()]


def _replaced(texts: Texts, where: npt.NDArray[np.bool_], by: Texts | None) -> Texts:
    """Texts, of which some are `by` others."""
    if by is None or not len(by):
        return texts
    found = Texts.concatenate([texts, by])
    rows = np.arange(len(texts))
    rows[where] = len(texts) + np.arange(len(by))
    return found.take(rows)


def _indices(read: _Read) -> npt.NDArray[np.int32]:
    """Where each row is in its record."""
    if read.moved is not None:
        return read.moved.indices
    if read.batch.places is not None:
        return read.batch.places
    return np.zeros(len(read.batch), np.int32)


def _origin(read: _Read, rows: I64) -> dict[str, pa.Array]:
    """Where each row stands in the partition that was read, and where it came from."""
    batch, moved = read
    own = {
        "_offset": pa.array(batch.offsets[rows]),
        "_index": pa.array(_indices(read)[rows]),
    }
    if moved is None:
        return own
    return {
        **own,
        blocks.SOURCE_PARTITION: pa.array(moved.partitions[rows].astype(np.int32)),
        blocks.SOURCE_OFFSET: pa.array(moved.offsets[rows]),
    }
