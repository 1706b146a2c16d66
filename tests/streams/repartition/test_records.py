"""Records come back as they were moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.events.columns import REASONS, TOO_LARGE
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.log.contract import Batch
from freshet.streams.operators.dead_letters import KEPT_BYTES
from freshet.streams.repartition import records
from tests.streams.toy_events import batch_of

RECORD = st.tuples(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=5),
    st.none() | st.binary(max_size=5),
    st.integers(-(1 << 62), 1 << 62),
)


def of_bytes(values: list[bytes | None]) -> Texts:
    return Texts.from_arrow(pa.array(values, pa.binary()))


def moved(batch: Batch, first: int = 0) -> records.Rows:
    block = Block(blocks.RECORDS, "t", 3, records.rows_of(batch))
    found = blocks.decode(blocks.encode(block)).rows
    assert found is not None
    return records.read(found, 3, batch_of([b""], [77], [0], "to", 1), first)


def values_of(batch: Batch) -> list[bytes | None]:
    out: list[bytes | None] = []
    for i in range(len(batch)):
        is_null = batch.nulls is not None and batch.nulls[i]
        out.append(None if is_null else bytes(batch.value(i)))
    return out


@given(st.lists(RECORD, min_size=1, max_size=12), st.data())
def test_values_keys_headers_and_times_come_back(
    given_: list[tuple[bytes | None, bytes | None, bytes | None, int]], data: st.DataObject
) -> None:
    values, keys, headers, times = (list(column) for column in zip(*given_))
    offsets = [5 + 2 * i for i in range(len(values))]
    batch = batch_of([value or b"" for value in values], offsets, times)
    batch = replace(
        batch,
        nulls=np.array([value is None for value in values]),
        keys=of_bytes(keys),
        headers=(of_bytes(headers),),
    )
    first = data.draw(st.integers(0, len(values) - 1))
    found = moved(batch, first)
    assert values_of(found.batch) == values[first:]
    assert found.batch.times.tolist() == times[first:]
    assert found.batch.keys is not None
    assert found.batch.keys.to_arrow().cast(pa.binary()).to_pylist() == keys[first:]
    assert found.batch.headers[0].to_arrow().cast(pa.binary()).to_pylist() == headers[first:]
    assert found.moved.offsets.tolist() == offsets[first:]
    assert found.moved.indices.tolist() == list(range(first, len(values)))
    assert set(found.moved.partitions.tolist()) == {3}
    assert set(found.batch.offsets.tolist()) == {77}
    both = records.together([found, found])
    assert values_of(both.batch) == values[first:] * 2
    middle = records.part(both, 1, len(both.batch))
    assert values_of(middle.batch) == (values[first:] * 2)[1:]


def test_what_no_log_takes_is_moved_as_its_beginning_and_refused() -> None:
    large = bytes(records.LARGEST + 1)
    found = moved(batch_of([b"small", large, large[:-1]], [0, 1, 2], [0, 0, 0]))
    assert [len(value or b"") for value in values_of(found.batch)] == [
        5,
        KEPT_BYTES,
        records.LARGEST,
    ]
    assert found.moved.refused.tolist() == [0, TOO_LARGE, 0]
    assert REASONS[TOO_LARGE] == "too_large"
