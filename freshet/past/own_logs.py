"""Rows of the app's own logs, read as columns: all of a log at once, each row once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.outcomes import LAYOUT, TEXTS, ExampleRows, Fixed, layout_of
from freshet.streams.log.contract import Batch, Log
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.origins import Cursors


class Told(NamedTuple):
    """A block, and the record that it is."""

    offset: int
    block: Block


def blocks_of(log: Log, topic: str, partition: int = 0) -> Iterator[Told]:
    """The blocks of a partition, as of now, in order. What is no block is passed over: it is a dead
    letter of whoever read it first."""
    with PartitionSpans(log, topic, partition) as spans:
        for batch in spans.read(spans.first, spans.after):
            yield from blocks_in(batch)


def blocks_in(batch: Batch) -> Iterator[Told]:
    """The blocks of a batch."""
    for at in range(len(batch)):
        try:
            yield Told(int(batch.offsets[at]), blocks.decode(batch.value(at)))
        except SchemaError:
            continue


def once(told: Iterable[Told]) -> Iterator[tuple[int, Block, pa.RecordBatch]]:
    """The rows of blocks that were not had yet: whoever was killed appends some twice."""
    cursors = Cursors()
    for offset, block in told:
        rows = block.rows
        if rows is None:
            continue
        offsets = rows.column("_offset").to_numpy()
        indices = rows.column("_index").to_numpy()
        fresh = cursors.fresh(
            block.origin,
            block.partition,
            offsets,
            indices,
        )
        if fresh.start < fresh.stop:
            yield offset, block, rows.slice(fresh.start, fresh.stop - fresh.start)


class Examples(NamedTuple):
    """Rows of an examples log as one, and which of them were logged with all columns of the
    reader."""

    rows: ExampleRows
    whole: npt.NDArray[np.bool_]


def example_rows(told: Iterable[Told], layout: Layout) -> Examples:
    """The rows of an examples log."""
    found = list(_by_layout((rows for _, _, rows in once(told)), layout))
    whole = [np.full(each.num_rows, not layout.lacking(layout_of(each))) for each in found]
    return Examples(
        together([ExampleRows.from_arrow(rows, layout) for rows in found], layout),
        np.concatenate([np.empty(0, np.bool_), *whole]),
    )


def _by_layout(parts: Iterable[pa.RecordBatch], layout: Layout) -> Iterator[pa.RecordBatch]:
    """Rows of one layout after the other as one batch each; their order among layouts is told by
    their own columns."""
    groups: dict[bytes, list[pa.RecordBatch]] = {}
    for rows in parts:
        # What every answer has is not in them.
        if not layout.stamps_lacking(layout_of(rows)):
            groups.setdefault(rows.schema.metadata[LAYOUT], []).append(rows)
    for group in groups.values():
        yield joined(group)


def joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of one schema, at least one, as one."""
    (whole,) = pa.Table.from_batches(parts, parts[0].schema).combine_chunks().to_batches()
    return whole


def together(parts: list[ExampleRows], layout: Layout) -> ExampleRows:
    """Several as one."""
    if len(parts) == 1:
        return parts[0]
    nothing = Texts.missing(0)
    return ExampleRows(
        np.concatenate([np.empty(0, np.int8), *(part.kind for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.ask for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.t for part in parts)]),
        np.concatenate([np.empty(0), *(part.label for part in parts)]),
        np.concatenate([np.empty(0, np.bool_), *(part.saw_future for part in parts)]),
        all_fixed([part.fixed for part in parts], layout),
        {
            name: Texts.concatenate([nothing, *(part.texts[name] for part in parts)])
            for name in TEXTS
        },
    )


def all_fixed(parts: list[Fixed], layout: Layout) -> Fixed:
    """Fixed parts of rows, by one layout, as one."""
    out: npt.NDArray[np.void] = np.concatenate([np.empty(0, layout.dtype), *parts])
    return out
