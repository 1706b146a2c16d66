"""What a person sends again of dead letters, in blocks of a log of freshet's own: rows as of
records that were moved (`freshet.streams.repartition.records`), of which the origin is the letter's
topic and partition, and `_offset` and `_index` the place of its event there. Beside those a row has

    given_up   the letter is to be counted as settled, and nothing of it is sent (bool)
    label      its label alone is sent, since the event itself was applied (bool); only there
               where it is so of one
    element    of a record that holds several events the place of the one that is sent (int32; -1:
               all that it holds); only of topics of such records
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.repartition.records import HEADER

GIVEN_UP = "given_up"
ELEMENT = "element"
LABEL = "label"
ALL = -1


@dataclass(frozen=True, slots=True)
class Again:
    """A letter's event that is sent again: its place in its topic, when its record was appended
    (ms), its bytes (None: it is given up), and the headers that its topic reads; of a record that
    holds several events which one is sent (`ALL`: whatever it holds). Of an event that was applied
    its `label` alone."""

    partition: int
    offset: int
    index: int
    time_ms: int
    value: bytes | None
    headers: tuple[bytes | None, ...] = ()
    element: int | None = None
    label: bool = False


def blocks_of(topic: str, sent: Sequence[Again]) -> list[bytes]:
    """Letters of a topic as records of the log, in their order: a block for each run of letters of
    one partition."""
    partitions = np.array([one.partition for one in sent], np.int64)
    edges = np.flatnonzero(np.diff(partitions, prepend=-1, append=-1))
    return [
        value
        for first, after in zip(edges.tolist(), edges[1:].tolist())
        for value in blocks.encode_parts(_block(topic, sent[first:after]))
    ]


def _block(topic: str, sent: Sequence[Again]) -> Block:
    columns: dict[str, pa.Array] = {
        "value": pa.array([one.value or b"" for one in sent], pa.binary()),
        "time": pa.array([one.time_ms for one in sent], pa.int64()),
        "_offset": pa.array([one.offset for one in sent], pa.int64()),
        "_index": pa.array([one.index for one in sent], pa.int32()),
        GIVEN_UP: pa.array([one.value is None for one in sent], pa.bool_()),
    }
    if any(one.element is not None for one in sent):
        columns[ELEMENT] = pa.array([one.element for one in sent], pa.int32())
    if any(one.label for one in sent):
        columns[LABEL] = pa.array([one.label for one in sent], pa.bool_())
    for number in range(len(sent[0].headers)):
        own = [one.headers[number] for one in sent]
        columns[f"{HEADER}{number}"] = pa.array(own, pa.binary())
    return Block(
        blocks.RECORDS,
        topic,
        sent[0].partition,
        pa.RecordBatch.from_pydict(columns),
    )


def elements_of(rows: pa.RecordBatch) -> npt.NDArray[np.int32] | None:
    """Which event of each record is sent; None where each is one."""
    if ELEMENT not in rows.schema.names:
        return None
    found: npt.NDArray[np.int32] = rows.column(ELEMENT).fill_null(ALL).to_numpy()
    return found


def are_labels(rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Of which the label alone is sent."""
    if LABEL not in rows.schema.names:
        return np.zeros(rows.num_rows, np.bool_)
    found: npt.NDArray[np.bool_] = rows.column(LABEL).to_numpy(zero_copy_only=False)
    return found


def are_given_up(rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = rows.column(GIVEN_UP).to_numpy(zero_copy_only=False)
    return found
