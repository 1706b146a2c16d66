"""What is read over the seam of archive and live log is what the log held before it forgot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import LogError
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.log.contract import Batch, Bounds, Log, Reader, joined
from freshet.streams.log.errors import OutOfRange
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.sqlite.log import SqliteLog
from tests.contracts.log_battery import fill, raised, read
from tests.streams.archive.toy_archive import ToyArchive, forgotten

TOPIC = "t"


class Place(NamedTuple):
    log: ArchivedLog
    archive: ToyArchive


@pytest.fixture
def place(tmp_path: Path):
    live = SqliteLog(tmp_path / "log")
    live.ensure(TOPIC, 2)
    archive = ToyArchive()
    log = ArchivedLog(live, archive)
    yield Place(log, archive)
    log.close()


def columns(batch: Batch) -> list[tuple[Any, ...]]:
    return [
        (int(batch.offsets[i]), int(batch.times[i]), bytes(batch.value(i)))
        for i in range(len(batch))
    ]


def whole(log: Log, partition: int, start: int = 0) -> list[tuple[Any, ...]]:
    with PartitionSpans(log, TOPIC, partition) as spans:
        return [row for batch in spans.read(start, 1 << 40) for row in columns(batch)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 9), st.integers(0, 50)),
        st.tuples(st.just("copy"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("trim"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("join"), st.integers(0, 5), st.integers(0, 5)),
        st.tuples(st.just("read"), st.integers(1, 7), st.just(0)),
        st.tuples(st.just("seek"), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_a_reader_sees_what_the_whole_log_held_whatever_happens_meanwhile(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[str, int, int]]
) -> None:
    live = SqliteLog(tmp_path_factory.mktemp("log"))
    live.ensure(TOPIC, 1)
    archive = ToyArchive()
    log = ArchivedLog(live, archive)
    part = (TOPIC, 0)
    identity = live.bounds(TOPIC).identity
    held: list[tuple[int, int, bytes]] = []
    reader = log.reader([TOPIC], None)
    reader.poll(1, 0)
    at = 0
    for step, first, second in steps:
        end = len(held)
        if step == "append":
            writer = log.writer()
            values = [f"{end + i}".encode() * (i + 1) for i in range(first)]
            writer.append(TOPIC, 0, values, second)
            writer.flush()
            writer.close()
            held += [(end + i, second, value) for i, value in enumerate(values)]
        elif step == "copy":
            archive.copy(live, part, min(first, end))
        elif step == "trim":
            live.delete_before(TOPIC, {0: min(first, archive.reached(part, identity))})
        elif step == "join":
            if archive.pieces(part, identity):
                archive.join(part, identity, first, second)
        elif step == "seek":
            at = min(first, end)
            reader.seek(TOPIC, 0, at)
        else:
            for batch in reader.poll(first, 0):
                assert batch.data.flags.writeable
                assert columns(batch) == held[at : at + len(batch)]
                at += len(batch)
        assert reader.position(TOPIC, 0) == at
        assert log.bounds(TOPIC) == Bounds(identity, {0: (0, len(held))})
        expected = next((o for o, time_ms, _ in held if time_ms >= 25), len(held))
        assert log.since(TOPIC, 25) == {0: expected}
    # Nothing but an empty turn is between two of them where one changes to the live log.
    for _ in range(len(held) + 2):
        for batch in reader.poll(1_000, 0):
            assert columns(batch) == held[at : at + len(batch)]
            at += len(batch)
    assert at == len(held)
    reader.close()
    assert whole(log, 0) == held
    log.close()


def test_a_reader_that_was_about_to_read_live_records_finds_them_in_the_archive(
    place: Place,
) -> None:
    fill(place.log, TOPIC, 10, [0, 1])
    reader = place.log.reader([TOPIC], None)
    head = read(reader, 4, 4)
    forgotten(place.log, place.archive, TOPIC, {0: 9, 1: 10})
    tail = read(reader, 16)
    offsets = {p: [r[0] for r in head.get(p, []) + tail.get(p, [])] for p in (0, 1)}
    assert offsets == {0: list(range(10)), 1: list(range(10))}
    fill(place.log, TOPIC, 1, [1])
    assert [r[0] for r in read(reader, 1)[1]] == [10]
    reader.close()


def test_a_member_of_a_group_begins_anew_from_its_checkpoint_and_misses_nothing(
    place: Place,
) -> None:
    fill(place.log, TOPIC, 10, [0])
    lost: list[Any] = []
    starts = {(TOPIC, 0): 2}
    reader = place.log.reader([TOPIC], "g", lambda gained: starts, on_lost=lost.append)
    assert [r[0] for r in read(reader, 3, 3)[0]] == [2, 3, 4]
    starts[TOPIC, 0] = 4
    forgotten(place.log, place.archive, TOPIC, {0: 8})
    assert [r[0] for r in read(reader, 6, 3)[0]] == [4, 5, 6, 7, 8, 9]
    assert [sorted(parts) for parts in lost] == [[(TOPIC, 0), (TOPIC, 1)]]
    reader.close()


def test_bounds_begin_where_the_archive_reaches_the_live_log_without_a_gap(place: Place) -> None:
    fill(place.log, TOPIC, 20, [0, 1])
    for until in (3, 7, 12):
        place.archive.copy(place.log.live, (TOPIC, 0), until)
    place.archive.copy(place.log.live, (TOPIC, 1), 5)
    place.log.live.delete_before(TOPIC, {0: 10, 1: 8})
    # What lies behind a gap is none that a reader could go on from.
    assert place.log.bounds(TOPIC).spans == {0: (0, 20), 1: (8, 20)}
    identity = place.log.bounds(TOPIC).identity
    del place.archive.listed[(TOPIC, 0), identity][0]
    other = ArchivedLog(place.log.live, place.archive)
    assert other.bounds(TOPIC).spans == {0: (3, 20), 1: (8, 20)}
    for wanted, partition, first in ((2, 0, 3), (7, 1, 8)):
        reader = other.reader([TOPIC], None)
        error = raised(lambda r=reader, p=partition, w=wanted: r.seek(TOPIC, p, w))
        assert isinstance(error, OutOfRange)
        assert error.is_before
        assert f"starts at {first}" in error.cause
        reader.close()


def test_records_that_neither_has_are_an_error_and_no_silent_gap(place: Place) -> None:
    fill(place.log, TOPIC, 10, [0])
    reader = place.log.reader([TOPIC], None)
    assert len(read(reader, 2, 2)[0]) == 2
    place.archive.copy(place.log.live, (TOPIC, 0), 2)
    place.log.live.delete_before(TOPIC, {0: 6})
    error = raised(lambda: reader.poll(10, 0.1))
    assert isinstance(error, OutOfRange)
    assert "starts at 6, after the wanted offset 2" in error.cause
    reader.close()


def test_a_file_that_the_archive_names_and_has_not_is_named(place: Place) -> None:
    fill(place.log, TOPIC, 10, [0])
    forgotten(place.log, place.archive, TOPIC, {0: 6})
    place.archive.batches.clear()
    reader = place.log.reader([TOPIC], None)
    with pytest.raises(LogError, match="from 0 to 6 are not in the archive any more") as caught:
        read(reader, 10)
    assert "Restore" in caught.value.next_step
    reader.close()


def test_what_is_below_is_handed_out_in_pieces_that_hold_their_own_bytes_alone(
    place: Place,
) -> None:
    fill(place.log, TOPIC, 100, [0])
    forgotten(place.log, place.archive, TOPIC, {0: 100})
    reader = place.log.reader([TOPIC], None)
    batches = []
    while sum(map(len, batches)) < 100:
        batches += reader.poll(7, 0)
    assert max(map(len, batches)) <= 7
    assert [len(batch.data) for batch in batches] == [
        int((batch.end - batch.start).sum()) for batch in batches
    ]
    (batch,) = joined(batches)
    assert batch.offsets.tolist() == list(range(100))
    assert place.archive.reads == 1
    reader.close()


def test_both_logs_are_served_while_one_partition_is_far_behind(place: Place) -> None:
    fill(place.log, TOPIC, 1_000, [0])
    forgotten(place.log, place.archive, TOPIC, {0: 1_000})
    fill(place.log, TOPIC, 10, [1])
    for most in (1, 2, 50):
        reader = place.log.reader([TOPIC], None)
        live = archived = 0
        while live < 5 or not archived:
            for batch in reader.poll(most, 0):
                live += len(batch) * batch.partition
                archived += len(batch) * (1 - batch.partition)
        assert archived < 1_000
        reader.close()


def test_a_paused_partition_stays_paused_over_the_seam(place: Place) -> None:
    fill(place.log, TOPIC, 10, [0])
    forgotten(place.log, place.archive, TOPIC, {0: 5})
    reader = place.log.reader([TOPIC], None)
    assert len(read(reader, 3, 3)[0]) == 3
    reader.pause([(TOPIC, 0)])
    assert reader.poll(10, 0) == []
    reader.seek(TOPIC, 0, 7)  # live
    assert reader.poll(10, 0) == []
    reader.seek(TOPIC, 0, 1)
    assert reader.poll(10, 0) == []
    reader.pause([(TOPIC, 0)], False)
    assert [r[0] for r in read(reader, 9)[0]] == list(range(1, 10))
    reader.close()


def test_a_topic_that_is_not_archived_is_the_live_log(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr(place.archive, "holds", lambda topic: False)
    fill(place.log, TOPIC, 3, [0])
    place.log.delete_before(TOPIC, {0: 2})
    reader: Reader = place.log.reader([TOPIC], None)
    assert type(reader) is type(place.log.live.reader([TOPIC], None))
    assert place.log.bounds(TOPIC).spans[0] == (2, 3)
    assert place.log.since(TOPIC, 0) == {0: 2, 1: 0}
    reader.close()


def test_an_unread_archive_costs_no_look_as_long_as_the_live_log_is_whole(
    place: Place, monkeypatch: Any
) -> None:
    looks: list[Any] = []
    monkeypatch.setattr(place.archive, "pieces", lambda *asked: looks.append(asked) or [])
    fill(place.log, TOPIC, 3, [0])
    reader = place.log.reader([TOPIC], None)
    read(reader, 3)
    assert place.log.bounds(TOPIC).spans[0] == (0, 3)
    assert not looks
    assert np.int64(reader.position(TOPIC, 0)) == 3
    reader.close()
