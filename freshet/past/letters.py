"""Dead letters as columns: which events of a topic they are about, and why."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from freshet.past.own_logs import blocks_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.topics.topic import Topic
from freshet.streams.labels.letters import of_events

CRASH = "crash"
_SCHEMA = {
    "partition": pl.Int32,
    "offset": pl.Int64,
    "index": pl.Int32,
    "reason": pl.String,
}


def letters_of(run: OpenedRun, topic: Topic) -> pl.DataFrame:
    """`partition`, `offset` and `index` of each event, and the `reason` why it was not taken. Where
    a letter was buried twice it counts once; letters of labels are not of their events."""
    parts = []
    for _, block in blocks_of(run.log, run.app.dead_log):
        if block.rows is None or block.origin != topic.name:
            continue
        rows = of_events(block.rows)
        own = [rows.column(name) for name in ("_offset", "_index", "reason")]
        partition = pa.array([block.partition] * rows.num_rows, pa.int32())
        parts.append(pa.table([partition, *own], names=list(_SCHEMA)))
    if not parts:
        return pl.DataFrame(schema=_SCHEMA)
    found = pl.DataFrame(pa.concat_tables(parts)).cast(_SCHEMA)  # type: ignore[arg-type]
    return found.unique(
        ["partition", "offset", "index"],
        keep="first",
        maintain_order=True,
    )
