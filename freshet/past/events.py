"""The events of a topic as frames: as they came, decoded by the schemas that they were written by,
each with what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from freshet.audit.kept import start, taken_on
from freshet.declared.exclusions import Exclusion, every, in_force, numbers_of
from freshet.past.columns import TIME, times
from freshet.past.letters import CRASH, letters_of
from freshet.past.once_more import OnceMore
from freshet.past.own_logs import blocks_in
from freshet.roles.plans import intake_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.events.columns import OK, Columns, arrow_type
from freshet.schemas.events.decode import decode
from freshet.schemas.topics import headers
from freshet.schemas.topics.topic import Topic
from freshet.streams.admission import events as admitted
from freshet.streams.admission.excluded import EXCLUDED, places_of, together
from freshet.streams.archive.events import EVENT
from freshet.streams.intake.fates import fates
from freshet.streams.intake.task import IntakePlan, Settled
from freshet.streams.log.contract import Batch
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.origins import Cursors
from freshet.streams.repartition.records import read

PLACE = ["partition", "offset", "index"]


def lazy_frame_of(
    run: OpenedRun, topic: Topic, until: Mapping[int, int] | None = None
) -> pl.LazyFrame:
    """A row for each event, partition after partition in the order of the log; of each partition of
    the log that is settled `until` an offset (None: all). It is read when it is collected, batch by
    batch."""
    schema = schema_of(topic)
    held = in_force(every(run.settings.checkpoints_url), numbers_of(run.app))
    taken_out = [own for own in held if own.topic == topic.name]

    def read_batches(
        wanted: Sequence[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        columns = list(wanted) if wanted is not None else list(schema)
        left = most
        for frame in _frames(run, topic, columns, until or {}):
            frame = _as_excluded(
                frame,
                taken_out,
                topic,
            )
            if predicate is not None:
                frame = frame.filter(predicate)
            if left is not None:
                frame = frame.head(left)
                left -= len(frame)
            yield frame.select(columns)
            if left == 0:
                return

    return register_io_source(
        read_batches,
        schema=schema,
    )


def schema_of(topic: Topic) -> dict[str, Any]:
    """The types of an event's columns."""
    plain: dict[str, Any] = {"partition": pl.Int32, "offset": pl.Int64, "index": pl.Int32}
    plain |= {"appended_at": TIME, "event_at": TIME, "fate": pl.Enum(_fates(topic))}
    plain["exclusion"] = pl.String
    for field in topic.events.fields:
        plain[EVENT + field.name] = pl.Series(pa.array([], arrow_type(field))).dtype
    return plain


def _fates(topic: Topic) -> list[str]:
    return [*fates(topic), EXCLUDED]


def _as_excluded(frame: pl.DataFrame, held: Sequence[Exclusion], topic: Topic) -> pl.DataFrame:
    """With the fate of what was taken out of views since, and who did that, and why."""
    told = np.full(len(frame), None, object)
    places = [frame[name].to_numpy() for name in PLACE]
    for own in held:
        found = together([own.number], [places_of(own.runs)])
        told[found.at(*places)] = own.told
    exclusion = pl.Series("exclusion", told.tolist(), dtype=pl.String)
    kind = pl.Enum(_fates(topic))
    fate = pl.when(pl.col("exclusion").is_null()).then("fate").otherwise(pl.lit(EXCLUDED, kind))
    return frame.with_columns(exclusion).with_columns(fate=fate)


def _frames(
    run: OpenedRun, topic: Topic, columns: Sequence[str], until: Mapping[int, int]
) -> Iterator[pl.DataFrame]:
    plan = intake_plan(run.app, topic, run.earlier(topic))
    letters = letters_of(
        run,
        topic,
    )
    wanted = [name.removeprefix(EVENT) for name in columns if name.startswith(EVENT)]
    log = run.app.settled_log_of(topic)
    for partition in sorted(run.log.bounds(log).spans):
        recorded = taken_on(
            run.log,
            run.settings.checkpoints_url,
            topic,
            log,
            partition,
        )
        if topic.by_id:
            found = _moved(
                run,
                plan,
                OnceMore(plan, partition, recorded),
                partition,
                until.get(partition),
            )
        else:
            own = letters.filter(pl.col("reason") == CRASH, pl.col("partition") == partition)
            skipped = set(own["offset"].to_list())
            found = _plain(
                run,
                plan,
                OnceMore(plan, partition, recorded, skipped),
                partition,
                until.get(partition),
            )
        for settled in found:
            frame = _frame(
                plan,
                settled,
                partition,
                wanted,
            )
            yield frame.join(letters, on=PLACE, how="left", maintain_order="left").with_columns(
                fate=pl.coalesce("dead:" + pl.col("reason"), pl.col("fate").cast(pl.String)).cast(
                    pl.Enum(_fates(topic))
                )
            )


def _plain(
    run: OpenedRun, plan: IntakePlan, once_more: OnceMore, partition: int, until: int | None
) -> Iterator[Settled]:
    """The records of a source partition, from where intake began it."""
    topic = plan.topic
    log = run.app.log_of(topic.name)
    first = start(
        run.log,
        run.settings.checkpoints_url,
        topic,
        log,
        partition,
    )
    with PartitionSpans(run.log, log, partition, list(topic.headers.values())) as spans:
        for batch in spans.read(max(first, spans.first), _end(spans, until)):
            yield from once_more.settle(batch)
            yield from _skipped(plan, once_more, batch)


def _end(spans: PartitionSpans, until: int | None) -> int:
    if until is None:
        return spans.after
    return min(until, spans.after)


def _skipped(plan: IntakePlan, once_more: OnceMore, batch: Batch) -> Iterator[Settled]:
    """Records that crashed intake, and are not looked into: their letters say what they are."""
    own = batch.where(once_more.is_skipped(batch))
    if len(own):
        columns = decode(own.data, own.start, own.start, plan.codec)
        yield Settled(
            columns,
            own.times,
            np.zeros(len(own), np.uint8),
            own,
        )


def _moved(
    run: OpenedRun, plan: IntakePlan, once_more: OnceMore, partition: int, until: int | None
) -> Iterator[Settled]:
    """The records of others that were moved to a partition."""
    cursors = Cursors()
    with PartitionSpans(run.log, run.app.by_id_log_of(plan.topic), partition) as spans:
        for batch in spans.read(spans.first, _end(spans, until)):
            for at, (_, block) in enumerate(blocks_in(batch)):
                if block.rows is None:
                    continue
                offsets = block.rows.column("_offset").to_numpy()
                indices = block.rows.column("_index").to_numpy()
                fresh = cursors.fresh(
                    block.origin,
                    block.partition,
                    offsets,
                    indices,
                )
                if fresh.start < fresh.stop:
                    place = batch.rows(at, at + 1)
                    rows = read(
                        block.rows,
                        block.partition,
                        place,
                        fresh.start,
                    )
                    yield from once_more.settle_moved(rows)


def _frame(
    plan: IntakePlan, settled: Settled, partition: int, wanted: Sequence[str]
) -> pl.DataFrame:
    batch = settled.batch
    count = len(settled.columns)
    offsets = batch.offsets
    partitions = np.full(count, partition, np.int32)
    index = batch.places
    if settled.moved is not None:
        offsets = settled.moved.offsets
        partitions = settled.moved.partitions.astype(np.int32)
    if index is None:
        index = np.zeros(count, np.int32)
    is_timed = settled.columns.reason == OK
    frame = pl.DataFrame(
        {
            "partition": partitions,
            "offset": offsets,
            "index": index,
            "appended_at": times(batch.times),
            "event_at": times(settled.times, is_timed),
            "fate": pl.Series(fates(plan.topic), dtype=pl.String).gather(settled.code),
        }
    )
    if not wanted:
        return frame
    columns = _as_they_came(plan, batch)
    rows = np.arange(count)
    values = [pl.Series(EVENT + name, columns.arrow(name, rows)) for name in wanted]
    return frame.hstack(values)


def _as_they_came(plan: IntakePlan, batch: Batch) -> Columns:
    """Events as they were sent: what settled them has put imputed values in place of missing
    ones."""
    # Of several events of a record each has its record here.
    firsts = np.flatnonzero(np.diff(batch.offsets, prepend=-1))
    records = batch
    if batch.places is not None:
        records = batch.where(firsts)
    columns = decode(
        records.data,
        records.start,
        records.end,
        plan.codec,
    )
    if records.headers:
        headers.fill(
            columns,
            list(plan.topic.headers),
            records.headers,
        )
    return admitted.events_of(columns, records, plan.topic)[0]
