"""The archive's operator over single partitions: what comes back is what was read, however it was
cut, joined or killed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.archive import compaction, manifest
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import DAY_MS, ArchivedFile, named
from freshet.streams.archive.parquet_files import facts_of, table_of
from freshet.streams.archive.stored import batch_of
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch, headers_type, joined
from tests.streams import toy_events

IDENTITY = "one/log"
START = 1_357_000_000_000
FEW = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def source() -> ArchivePlan:
    topic = toy_events.topic()
    intake = IntakePlan("app.landings", topic, EventCodec(topic.events), (), (), "dead")
    return ArchivePlan("app", "source", "app.landings", intake)


EVENT = {
    "id": "a",
    "at": START,
    "gate": "a",
    "carrier": None,
    "runway": "L",
    "delay": 1.5,
    "wind": None,
    "temp": 2.0,
    "seats": 3,
    "mileage": None,
    "crew": 1,
    "gust": 20.0,
    "late": True,
}
GOOD = encode(toy_events.SCHEMA, [EVENT])[0]
VALUES = st.one_of(
    st.none(), st.just(b""), st.binary(max_size=12), st.just(GOOD), st.just(GOOD[:-1])
)
HEADERS = st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=2)
RECORDS = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=4),
        VALUES,
        HEADERS,
        st.integers(1, 3),  # how far behind the one before it: more is a gap
        st.integers(-2 * DAY_MS, 2 * DAY_MS),
    ),
    min_size=1,
    max_size=30,
)


def as_batch(found: Sequence[tuple[Any, ...]], first: int = 5) -> Batch:
    values = pa.array([value for _, value, *_ in found], pa.binary())
    texts = Texts.from_arrow(values)
    headers = [[{"name": name, "value": value} for name, value in record[2]] for record in found]
    steps = np.array([record[3] for record in found], np.int64)
    return Batch(
        "app.landings",
        0,
        texts.data.copy(),
        texts.start,
        texts.end,
        first - 1 + np.cumsum(steps),
        np.array([START + record[4] for record in found], np.int64),
        ~texts.valid,
        Texts.from_arrow(pa.array([record[0] for record in found], pa.binary())),
        all_headers=pa.array(headers, headers_type()),
    )


def contents(batch: Batch) -> list[tuple[Any, ...]]:
    count = len(batch)
    nulls = [False] * count if batch.nulls is None else batch.nulls.tolist()
    keys: list[Any] = [None] * count
    if batch.keys is not None:
        keys = batch.keys.to_arrow().view(pa.binary()).to_pylist()
    headers: list[Any] = [None] * count
    if batch.all_headers is not None:
        headers = batch.all_headers.to_pylist()
    return [
        (
            int(batch.offsets[i]),
            int(batch.times[i]),
            nulls[i],
            bytes(batch.value(i)),
            keys[i],
            headers[i],
        )
        for i in range(count)
    ]


class Kept:
    """The checkpoints of one task, in memory: what an operator would have saved."""

    def __init__(self, plan: ArchivePlan, url: str, rhythm: Rhythm) -> None:
        self.plan = plan
        self.url = url
        self.rhythm = rhythm
        self.chain: list[Any] = []
        self.position = 0
        self.saved_at = 0
        self.begin()

    def begin(self) -> None:
        """As a new process would."""
        folder = ArchiveFolder(self.url)
        self.task = ArchiveTask(self.plan, Start(0, 0, IDENTITY), folder, self.rhythm)
        if self.chain:
            self.task.load(self.chain[0], self.chain[1:])
        self.position = self.saved_at

    def save(self, full: bool = False) -> None:
        full = full or not self.chain
        state = self.task.dump(full)
        if state:
            self.chain = [state] if full else [*self.chain, state]
            self.saved_at = self.position

    @property
    def files(self) -> list[ArchivedFile]:
        return manifest.loaded(self.chain[0], self.chain[1:]) if self.chain else []

    def batches(self) -> list[Batch]:
        folder = ArchiveFolder(self.url)
        place = self.plan.place(0)
        return [batch_of(folder.read(place, file), self.plan.log, 0) for file in self.files]


def due() -> Rhythm:
    return Rhythm(age_seconds=0.0)


def played(kept: Kept, batch: Batch, draw: random.Random) -> None:
    """In pieces, with checkpoints, kills and turns in between."""
    while kept.saved_at < len(batch):
        after = min(len(batch), kept.position + draw.randint(1, 6))
        kept.task.apply(batch.rows(kept.position, after))
        kept.position = after
        for _ in range(draw.randint(0, 3)):
            kept.task.write()
        what = draw.random()
        if what < 0.2:
            kept.begin()
        elif what < 0.8:
            kept.save(full=draw.random() < 0.3)


@FEW
@given(found=RECORDS, seed=st.integers(0, 1 << 30))
def test_a_source_comes_back_bit_equal_however_it_was_cut_and_killed(
    tmp_path: Path, found: list[Any], seed: int
) -> None:
    url = str(tmp_path / f"{seed}-{random.random()}")
    batch = as_batch(found)
    rhythm = Rhythm(age_seconds=0.0, file_bytes=60)
    kept = Kept(source(), url, rhythm)
    played(kept, batch, random.Random(seed))
    (again,) = joined(kept.batches())
    assert contents(again) == contents(batch)
    files = kept.files
    assert files[0].first == 0
    assert all(one.after == other.first for one, other in pairwise(files))
    assert files[-1].after == int(batch.offsets[-1]) + 1


@FEW
@given(found=RECORDS, seed=st.integers(0, 1 << 30))
def test_a_file_holds_the_same_in_whatever_pieces_it_was_encoded(
    tmp_path: Path, found: list[Any], seed: int
) -> None:
    batch = as_batch([(*record[:4], 0) for record in found])
    tables = []
    for piece_bytes in (1, 40, 1 << 20):
        rhythm = Rhythm(age_seconds=0.0, piece_bytes=piece_bytes)
        url = str(tmp_path / f"{seed}-{piece_bytes}-{random.random()}")
        kept = Kept(source(), url, rhythm)
        draw = random.Random(seed)
        while kept.position < len(batch):
            after = min(len(batch), kept.position + draw.randint(1, 6))
            rows = batch.rows(kept.position, after)
            if draw.random() < 0.2:
                kept.task.skip(rows)
            else:
                kept.task.apply(rows)
            kept.position = after
        kept.save()
        (file,) = kept.files
        assert (file.first, file.after) == (0, int(batch.offsets[-1]) + 1)
        data = ArchiveFolder(url).read(kept.plan.place(0), file)
        assert contents(batch_of(data, kept.plan.log, 0)) == contents(batch)
        tables.append(table_of(data))
        assert facts_of(tables[-1].schema)["records"] == file.rows == len(batch)
    assert tables[0].equals(tables[2], check_metadata=True)
    assert tables[1].equals(tables[2], check_metadata=True)


def block(draw: random.Random) -> bytes:
    """Of one of several kinds of columns, some of them of one name and other types."""
    count = draw.randint(0, 3)
    numbers = pa.array([draw.choice([None, draw.random()]) for _ in range(count)], pa.float64())
    texts = pa.array([draw.choice([None, "", "ü" * draw.randint(1, 9)]) for _ in range(count)])
    columns: list[dict[str, pa.Array]] = [
        {"key": texts.cast(pa.string()), "_offset": pa.array(range(count), pa.int64())},
        {"key": numbers, "flag": pa.array([True, None, False][:count], pa.bool_())},
        {"list": pa.array([[1.5], None, []][:count], pa.list_(pa.float64()))},
        {"wide": pa.array([b"12", None, b"34"][:count], pa.binary(2)), "key": numbers},
        # As the versions of a question are where its model has no view.
        {"none": pa.array([b""] * count, pa.binary(0)), "key": numbers},
    ]
    rows = pa.RecordBatch.from_pydict(draw.choice(columns))
    if draw.random() < 0.3:
        rows = rows.replace_schema_metadata({"layout": draw.choice("ab")})
    tick = draw.choice([blocks.NO_TICK, START + draw.randint(0, 9), -5])
    return blocks.encode(Block(draw.randint(1, 8), draw.choice("ab"), 0, rows, tick, 2))


@FEW
@given(seed=st.integers(0, 1 << 30))
def test_blocks_come_back_bit_equal_as_rows(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    values = [block(draw) for _ in range(draw.randint(1, 30))]
    values += [b"", b"no block", values[0][:-3]]
    found = [(None, value, [], draw.randint(1, 2), draw.randint(0, 9)) for value in values]
    plain = replace(as_batch(found), nulls=None, keys=None, all_headers=None)
    kept = Kept(
        ArchivePlan("app", "examples", "app.e", blocks=True), str(tmp_path / f"{seed}"), due()
    )
    played(kept, plain, draw)
    (again,) = joined(kept.batches())
    assert contents(again) == contents(plain)


def test_what_cannot_be_made_again_keeps_its_bytes_and_is_counted(tmp_path: Path) -> None:
    rows = pa.RecordBatch.from_pydict({"x": pa.array([1.0, 2.0])})
    # A value that nobody sees under a null: Parquet does not keep it.
    hidden = pa.Array.from_buffers(
        pa.float64(), 2, [pa.py_buffer(b"\x01"), rows.column(0).buffers()[1]]
    )
    value = blocks.encode(Block(1, "a", 0, pa.RecordBatch.from_arrays([hidden], ["x"])))
    plain = as_batch([(None, value, [], 1, 0), (None, block(random.Random(3)), [], 1, 0)])
    plain = replace(plain, nulls=None, keys=None, all_headers=None)
    kept = Kept(ArchivePlan("app", "dead", "app.dead", blocks=True), str(tmp_path), due())
    kept.task.apply(plain)
    kept.save()
    (again,) = kept.batches()
    assert contents(again) == contents(plain)
    assert kept.task.facts()["archive"]["kept"] == 1


def test_the_columns_of_events_stand_beside_their_bytes(tmp_path: Path) -> None:
    found = [
        (b"k", GOOD, [(b"h", b"1")], 1, 0),
        (None, b"\x00\x00\x00\x00\x63rest", [], 1, 1),
        (None, None, [], 2, 2),
        (None, b"{", [], 1, 3),
    ]
    kept = Kept(source(), str(tmp_path), due())
    kept.task.apply(as_batch(found))
    kept.save()
    frame = pl.scan_parquet(f"{tmp_path}/**/*.parquet", hive_partitioning=True).collect()
    assert frame["app"].to_list() == ["app"] * 4
    assert frame["kind"].unique().to_list() == ["source"]
    assert frame["offset"].to_list() == [5, 6, 8, 9]
    assert frame["schema_id"].to_list() == [7, 0x63, None, None]
    assert frame["reason"].to_list() == [None, "unknown_type", None, "undecodable"]
    assert frame["event.id"].to_list() == ["a", None, None, None]
    assert frame["event.seats"].to_list() == [3, None, None, None]
    assert frame["value"].to_list() == [value for _, value, *_ in found]
    assert frame["day"].dtype in (pl.Date, pl.String)
    seen = ds.dataset(str(tmp_path), format="parquet", partitioning="hive").to_table()
    assert seen.num_rows == 4
    sql = "SELECT count(*) AS n FROM self WHERE reason IS NOT NULL"
    assert frame.sql(sql)["n"].item() == 2


def test_a_file_says_of_which_log_it_is(tmp_path: Path) -> None:
    kept = Kept(source(), str(tmp_path), due())
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)]))
    kept.save()
    (file,) = kept.files
    data = ArchiveFolder(str(tmp_path)).read(kept.plan.place(0), file)
    facts = facts_of(table_of(data).schema)
    assert facts == {
        "format": 1,
        "app": "app",
        "kind": "source",
        "log": "app.landings",
        "partition": 0,
        "identity": IDENTITY,
        "first": 0,
        "after": 6,
        "records": 1,
        "schemas": {"7": toy_events.SCHEMA.digest},
    }


def test_a_file_ends_with_its_day_and_once_only(tmp_path: Path) -> None:
    at = [0, DAY_MS, 0, DAY_MS, 2 * DAY_MS, DAY_MS]
    kept = Kept(source(), str(tmp_path), due())
    kept.task.apply(as_batch([(None, GOOD, [], 1, time_ms) for time_ms in at]))
    kept.save()
    first = START // DAY_MS
    assert [(file.day - first, file.rows) for file in kept.files] == [(0, 1), (1, 3), (2, 2)]


def test_nothing_but_the_first_file_is_named_before_it_is_due(tmp_path: Path) -> None:
    now = [0.0]
    ends = [False]
    rhythm = Rhythm(ends=lambda: ends[0], now=lambda: now[0])
    kept = Kept(source(), str(tmp_path), rhythm)
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)]))
    kept.save()
    assert len(kept.files) == 1
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)], first=6))
    now[0] = 59.0
    kept.save()
    assert len(kept.files) == 1
    assert kept.task.facts()["archive"]["waiting_seconds"] == 59.0
    now[0] = 60.0
    kept.save()
    assert len(kept.files) == 2
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)], first=12))
    kept.save()
    assert len(kept.files) == 2
    ends[0] = True
    kept.save()
    assert len(kept.files) == 3


def test_small_files_become_large_ones_and_go_once_a_checkpoint_says_so(tmp_path: Path) -> None:
    kept = Kept(source(), str(tmp_path), due())
    count = compaction.FAN + 1
    for at in range(count):
        kept.task.apply(as_batch([(None, GOOD, [], 1, at)], first=at))
        kept.save()
    kept.task.write()
    there = sorted(tmp_path.rglob("*.parquet"))
    assert len(there) == count + 1, "none is gone before a checkpoint names the new one"
    assert len(kept.files) == count
    assert kept.task.settles()
    kept.save()
    kept.task.write()
    assert [file.rows for file in kept.files] == [compaction.FAN, 1]
    assert len(sorted(tmp_path.rglob("*.parquet"))) == 2
    (again,) = joined(kept.batches())
    assert contents(again) == contents(
        as_batch([(None, GOOD, [], 1, at) for at in range(count)], 0)
    )


def test_what_was_written_and_never_named_is_swept_after_a_while(tmp_path: Path) -> None:
    kept = Kept(source(), str(tmp_path), Rhythm(age_seconds=1e9, file_bytes=1))
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)]))
    (path,) = tmp_path.rglob("*.parquet")
    assert named(str(path)).first == 0
    folder = ArchiveFolder(str(tmp_path))
    place = kept.plan.place(0)
    assert folder.sweep(place, [], datetime.now(UTC) - timedelta(hours=1)) == 0
    assert folder.sweep(place, [], datetime.now(UTC) + timedelta(hours=1)) == 1
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_file_whose_bytes_were_changed_is_refused(tmp_path: Path) -> None:
    kept = Kept(source(), str(tmp_path), due())
    kept.task.apply(as_batch([(None, GOOD, [], 1, 0)]))
    kept.save()
    (path,) = tmp_path.rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="its bytes are others than were written"):
        kept.batches()


def test_a_record_that_crashes_is_kept_without_a_look_into_it(tmp_path: Path) -> None:
    kept = Kept(source(), str(tmp_path), due())
    kept.task.skip(as_batch([(None, GOOD, [], 1, 0)]))
    kept.save()
    frame = pl.read_parquet(sorted(tmp_path.rglob("*.parquet"))[0])
    assert frame["reason"].to_list() == ["crash"]
    assert frame["event.id"].to_list() == [None]
    assert frame["value"].to_list() == [GOOD]


FILES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, compaction.LARGE), st.integers(0, 1)), max_size=30
)


@given(FILES)
def test_small_files_are_joined_within_their_day_and_shape_until_nothing_is_left_to_join(
    found: list[tuple[int, int, int]],
) -> None:
    files = [
        ArchivedFile(at, at + 1, day, 1, size, f"{at:016x}", shape)
        for at, (day, size, shape) in enumerate(sorted(found, key=lambda one: one[0]))
    ]
    for _ in range(len(files) + 1):
        run = compaction.run_to_join(files)
        if run is None:
            break
        parts = files[run]
        assert len({(file.day, file.shape) for file in parts}) == 1
        assert max(file.size for file in parts) < compaction.LARGE_ENOUGH, "it is written once"
        size = sum(file.size for file in parts)
        assert size <= compaction.LARGE
        files[run] = [parts[0]._replace(after=parts[-1].after, size=size)]
    assert compaction.run_to_join(files) is None
    last_day = max((file.day for file in files), default=0)
    for one, other in pairwise(files):
        if (one.day, one.shape) == (other.day, other.shape) and one.day < last_day:
            is_large = max(one.size, other.size) >= compaction.LARGE_ENOUGH
            assert is_large or one.size + other.size > compaction.LARGE


def test_a_store_of_objects_does_as_well_as_a_folder() -> None:
    url = f"memory://archive-{random.random()}"
    kept = Kept(source(), url, due())
    batch = as_batch([(b"k", GOOD, [], 1, at) for at in range(compaction.FAN)], first=0)
    for at in range(len(batch)):
        kept.task.apply(batch.rows(at, at + 1))
        kept.save()
    kept.task.write()
    kept.save()
    kept.task.write()
    (again,) = kept.batches()
    assert contents(again) == contents(batch)
    swept = ArchiveFolder(url).sweep(kept.plan.place(0), [], datetime.now(UTC) + timedelta(hours=1))
    assert swept == 1
