"""Blocks come back as they were written; what is no block says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import SchemaError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK, Block

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ROWS = st.lists(
    st.tuples(st.none() | st.text(max_size=9), INT64, st.none() | st.floats(allow_nan=False)),
    max_size=5,
)


def batch(rows: list[tuple[str | None, int, float | None]]) -> pa.RecordBatch:
    columns = {
        "key": pa.array([r[0] for r in rows], pa.string()),
        "_offset": pa.array([r[1] for r in rows], pa.int64()),
        "x": pa.array([r[2] for r in rows], pa.float64()),
    }
    return pa.RecordBatch.from_pydict(columns)


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.text(max_size=30),
    st.integers(0, 4096),
    st.none() | ROWS,
    INT64,
    st.integers(1, 4096),
    st.booleans(),
)
def test_a_block_comes_back_whole(
    kind: int,
    origin: str,
    partition: int,
    rows: list[tuple[str | None, int, float | None]] | None,
    tick: int,
    partitions: int,
    compressed: bool,
) -> None:
    made = None if rows is None else batch(rows)
    value = blocks.encode(Block(kind, origin, partition, made, tick, partitions), compressed)
    found = blocks.decode(memoryview(value))
    assert (found.kind, found.origin, found.partition) == (kind, origin, partition)
    assert (found.tick, found.partitions) == (tick, partitions)
    if rows:
        assert found.rows is not None
        assert found.rows.equals(made)
    else:
        assert found.rows is None
    assert blocks.encode(found, compressed) == value


@settings(deadline=None)
@given(ROWS)
def test_rows_are_written_as_arrows_own_stream_is(
    rows: list[tuple[str | None, int, float | None]],
) -> None:
    made = batch(rows)
    value = blocks.encode(Block(blocks.CLEAN, "landings", 0, made))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_batch(made)
    if rows:
        assert value.endswith(sink.getvalue().to_pybytes())
    alone = blocks.encode(Block(blocks.CLEAN, "landings", 0, None))
    assert value.startswith(alone)


def test_rows_with_a_dictionary_come_back_too() -> None:
    made = pa.RecordBatch.from_pydict({"x": pa.array(["a", "b", "a"]).dictionary_encode()})
    value = blocks.encode(Block(blocks.CLEAN, "landings", 0, made))
    found = blocks.decode(memoryview(value)).rows
    assert found is not None
    assert found.equals(made)


@settings(deadline=None)
@given(ROWS, st.integers(0, 400), st.sampled_from([NO_TICK, 7]))
def test_a_block_in_parts_is_the_same_rows_and_a_tick_after_the_last(
    rows: list[tuple[str | None, int, float | None]], most_bytes: int, tick: int
) -> None:
    made = batch(rows)
    found = [
        blocks.decode(v)
        for v in blocks.encode_parts(Block(blocks.CLEAN, "t", 3, made, tick), most_bytes)
    ]
    kept = [b.rows for b in found if b.rows is not None]
    assert pa.Table.from_batches(kept, made.schema).to_pylist() == made.to_pylist()
    assert [b.tick for b in found] == [NO_TICK] * (len(found) - 1) + [tick]
    assert {(b.kind, b.origin, b.partition) for b in found} == {(blocks.CLEAN, "t", 3)}
    assert all(b.num_rows == 1 or b.nbytes <= most_bytes for b in kept)


def test_parts_fit_into_a_record_of_a_topic_that_was_told_nothing() -> None:
    rows = batch([("x" * 2_000 + str(i), i, 1.0) for i in range(20_000)])
    values = blocks.encode_parts(Block(blocks.CLEAN, "a topic", 0, rows))
    assert max(map(len, values)) <= 1_000_000
    assert len(values) < 120  # and are no smaller than need be


@given(st.text(max_size=30))
def test_rows_begin_at_a_multiple_of_eight_bytes(origin: str) -> None:
    alone = blocks.encode(Block(blocks.CLEAN, origin, 0, None))
    assert len(alone) % 8 == 0
    assert blocks.encode(Block(blocks.CLEAN, origin, 0, batch([("a", 1, 1.0)]))).startswith(alone)


def test_rows_are_read_without_a_copy() -> None:
    value = np.frombuffer(
        bytearray(blocks.encode(Block(blocks.CLEAN, "t", 0, batch([("a", 7, 1.0)])))), np.uint8
    )
    found = blocks.decode(memoryview(value))
    assert found.rows is not None
    for buffer in (
        found.rows.column("_offset").buffers()[1:] + found.rows.column("key").buffers()[1:]
    ):
        assert value.ctypes.data <= buffer.address < value.ctypes.data + len(value)


def test_a_block_is_told_from_an_event() -> None:
    for value in (
        b"",
        b"FRB",
        b"\0\0\0\0\1event of some length that is enough",
        b"FRB3" + bytes(40),
    ):
        with pytest.raises(
            SchemaError,
            match=f"{len(value)} bytes do not start a block. Is this topic freshet's own",
        ):
            blocks.decode(value)


def test_no_tick_is_no_time_that_a_tick_could_have() -> None:
    assert (
        blocks.decode(blocks.encode(Block(blocks.CLEAN, "t", 0, None))).tick
        == NO_TICK
        == -(1 << 63)
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [30, 40, 90, 200])
def test_a_block_that_is_cut_off_is_an_error_of_ours(cut: int, compressed: bool) -> None:
    block = Block(blocks.CLEAN, "a topic with a name", 0, batch([("a", 1, 1.0)]))
    value = blocks.encode(block, compressed)
    with pytest.raises(SchemaError, match=r"block.* are not a whole one"):
        blocks.decode(value[:cut])


def test_a_block_of_an_earlier_version_is_refused_for_what_it_is() -> None:
    earlier = b"FRB1" + blocks.encode(Block(blocks.CLEAN, "landings", 0, None, 1))[4:]
    with pytest.raises(SchemaError, match="was written by an earlier version of freshet"):
        blocks.decode(earlier)
