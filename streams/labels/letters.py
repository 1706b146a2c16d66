"""Dead letters of labels: the event itself goes on, into views and to other models.

What tells them from letters of events is their detail, which names the model; letters of before
there were tasks have none, and their events went nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from freshet.schemas.events.columns import BAD_LABEL, REASONS
from freshet.schemas.models.label_values import why_bad
from freshet.streams.labels.routes import Labelled, LabelRoute
from freshet.streams.log.contract import Batch
from freshet.streams.log.moved import Moved
from freshet.streams.operators.dead_letters import letters

REASON = REASONS[BAD_LABEL]
Found = Sequence[tuple[LabelRoute, Labelled]]


def is_of_label(reason: str, detail: str | None) -> bool:
    """Whether a letter is of a label, and not of its event."""
    return reason == REASON and detail is not None


def of_events(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Of letters those that are of events."""
    # Letters of early versions have no details, and none of labels.
    if "detail" not in rows.schema.names:
        return rows
    told = zip(rows.column("reason").to_pylist(), rows.column("detail").to_pylist())
    kept = [not is_of_label(reason, detail) for reason, detail in told]
    return rows.filter(pa.array(kept, pa.bool_()))


def label_letters(found: Found, batch: Batch, moved: Moved | None, topic: str) -> list[bytes]:
    """The letters of all bad labels of a batch, model by model."""
    if moved is not None:
        # Where they came from is what a person looks for.
        batch = replace(batch, offsets=moved.offsets)
    values = []
    for route, own in found:
        told = [f"model {route.model or route.to}: {why_bad(s, route.task)}" for s in own.said]
        partitions = np.full(len(own.bad), batch.partition)
        if moved is not None:
            partitions = moved.partitions[own.bad]
        # A block has one partition.
        for partition in np.unique(partitions).tolist():
            at = np.flatnonzero(partitions == partition)
            values += letters(
                replace(batch, partition=partition),
                own.bad[at],
                topic,
                [REASON] * len(at),
                [route.field] * len(at),
                [told[place] for place in at.tolist()],
            )
    return values
