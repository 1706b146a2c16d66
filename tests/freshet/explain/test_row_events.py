"""Reading a clean log back from a row's version finds the very events that reading all of it finds,
however it is cut."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.explain import row_events
from freshet.explain.row_events import Version, events_of, key_at
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.sqlite.log import SqliteLog

AHEAD, SLACK = 20, 5
ORIGINS = [("payments", 0), ("payments", 1)]
# Of each event: which source partition, which key, how much later than the last one it is read, how
# long before that it was (beside `AHEAD`).
EVENTS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["a", "b", ""]),
    st.integers(0, 15),
    st.integers(0, 3 * AHEAD),
)
BLOCKS = st.lists(
    st.tuples(st.lists(EVENTS, min_size=1, max_size=3), st.booleans()), min_size=1, max_size=25
)
SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "t": pa.int64(),
        "field.x": pa.float64(),
        "_offset": pa.int64(),
        "_index": pa.int32(),
    }
)
Row = dict[str, Any]


def clean_log(drawn: Any) -> list[tuple[int, list[Row]]]:
    """Blocks as intake makes them: of one source partition each, no event ahead of the clock by
    more than `AHEAD`; some appended twice."""
    newest, offsets = [1_000, 1_000], [0, 0]
    out: list[tuple[int, list[Row]]] = []
    for events, twice in drawn:
        p, rows = events[0][0], list[Row]()
        for _, key, more, late in events:
            newest[p] += more
            t = newest[p] + AHEAD - late
            rows.append({"key": key, "t": t, "field.x": float(offsets[p]), "_offset": offsets[p]})
            offsets[p] += 1
        out += [(p, rows)] * (1 + twice)
    return out


@settings(max_examples=80)
@given(BLOCKS, st.randoms(use_true_random=False), st.integers(1, 7), st.integers(0, 120))
def test_events_are_those_of_the_key_up_to_the_version_and_from_the_time_on(
    drawn: Any, random: Any, chunk: int, reach: int
) -> None:
    made = clean_log(drawn)
    at = random.randrange(len(made))
    check(made, (at, random.randrange(len(made[at][1]))), reach, chunk, ORIGINS)


@pytest.mark.parametrize("behind", [0, AHEAD, 50 * AHEAD])
def test_an_event_before_others_of_a_source_whose_clock_is_slow_is_found(behind: int) -> None:
    times = [1_000 + AHEAD, *[1_000 - behind] * 6, 1_030]
    made = [(0, [{"key": "a", "t": t, "field.x": 0.0, "_offset": i}]) for i, t in enumerate(times)]
    for since in (1_000 - behind, 1_000, 1_000 + AHEAD):
        check(made, (7, 0), 1_030 - since, 1, ORIGINS[:1])


def test_reading_back_ends_where_nothing_older_can_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = PartitionSpans.read
    monkeypatch.setattr(
        PartitionSpans, "read", lambda self, a, b: [read.append(a), *plain(self, a, b)][1:]
    )
    made = [
        (0, [{"key": "a", "t": 1_000 + 100 * i, "field.x": 0.0, "_offset": i}]) for i in range(100)
    ]
    check(made, (99, 0), 250, 1, ORIGINS[:1])
    assert min(read) > 80


def test_events_of_one_record_are_told_apart_by_their_places(tmp_path: Path) -> None:
    row = {"key": "a", "t": 1_000, "field.x": 1.0, "_offset": 7}
    table = pa.RecordBatch.from_pylist([{**row, "_index": place} for place in (0, 2)], SCHEMA)
    block = blocks.encode(Block(blocks.CLEAN, "payments", 0, table))
    with closing(SqliteLog(tmp_path)) as log, closing(log.writer()) as writer:
        log.ensure("clean", 1)
        # Twice, as after a restart.
        writer.append("clean", 0, [block, block], 0)
        writer.flush()
        with PartitionSpans(log, "clean") as spans:
            found = events_of(spans, "a", (1, 1), 0, ORIGINS[:1], AHEAD)
    assert [(event.offset, event.place, event.version) for event in found] == [
        (7, 0, (0, 0)),
        (7, 2, (0, 1)),
    ]


@pytest.mark.parametrize("erased_at", [0, 2, 3])
def test_what_was_erased_before_is_no_part_of_a_row(tmp_path: Path, erased_at: int) -> None:
    rows = [{"key": "a", "t": 1_000 + i, "field.x": 1.0, "_offset": i} for i in range(5)]
    schema = SCHEMA.append(pa.field(blocks.ERASED, pa.bool_()))
    with closing(SqliteLog(tmp_path)) as log, closing(log.writer()) as writer:
        log.ensure("clean", 1)
        for i, row in enumerate(rows):
            told = {**row, "_index": 0, blocks.ERASED: i == erased_at}
            table = pa.RecordBatch.from_pylist([told], schema)
            writer.append("clean", 0, [blocks.encode(Block(blocks.CLEAN, "payments", 0, table))], 0)
        writer.flush()
        with PartitionSpans(log, "clean") as spans:
            found = events_of(spans, "a", (4, 0), 0, ORIGINS[:1], AHEAD)
    assert [event.offset for event in found] == list(range(erased_at + 1, 5))


def check(
    made: list[tuple[int, list[Row]]], version: Version, reach: int, chunk: int, origins: list[Any]
) -> None:
    """Both ways to read find the same events of the row at `version`, from `reach` before its event
    on."""
    target = made[version[0]][1][version[1]]
    since = target["t"] - reach
    before, row_events.CHUNK_RECORDS = row_events.CHUNK_RECORDS, chunk
    slack, row_events.SLACK_MS = row_events.SLACK_MS, SLACK
    with tempfile.TemporaryDirectory() as folder, closing(SqliteLog(folder)) as log:
        log.ensure("clean", 1)
        with closing(log.writer()) as writer:
            clock = 0
            for p, rows in made:
                table = pa.RecordBatch.from_pylist([{**r, "_index": 0} for r in rows], SCHEMA)
                # The time as of which the block was read; it is told behind the rows, less what
                # it may be behind.
                clock = max([clock, *(r["t"] - AHEAD for r in rows)])
                block = Block(blocks.CLEAN, "payments", p, table, clock - SLACK)
                writer.append("clean", 0, [blocks.encode(block)], 0)
            writer.flush()
        try:
            with PartitionSpans(log, "clean") as spans:
                key = key_at(spans, version)
                assert key == target["key"]
                found = events_of(spans, key, version, since, origins, AHEAD)
                alone = events_of(spans, key, version, None, origins, AHEAD)
        finally:
            row_events.CHUNK_RECORDS = before
            row_events.SLACK_MS = slack
    assert [(e.version, e.partition, e.offset, e.t, e.fields) for e in found] == all_read(
        made, version, key, since
    )
    assert [e.version for e in alone] == [x[0] for x in all_read(made, version, key, target["t"])]


def all_read(
    made: list[tuple[int, list[Row]]], version: Version, key: str, since: int
) -> list[Any]:
    seen, out = set(), []
    for offset, (p, rows) in enumerate(made):
        for index, r in enumerate(rows):
            if (offset, index) > version or (p, r["_offset"]) in seen:
                continue
            seen.add((p, r["_offset"]))
            if r["key"] == key and r["t"] >= since:
                out.append(((offset, index), p, r["_offset"], r["t"], {"x": r["field.x"]}))
    return out
