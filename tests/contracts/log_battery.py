"""What every `Log` promises. A subclass gives a `rig` fixture; see
`tests/contracts/test_log.py`."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import LogError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.sizes import RECORD_BYTES
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.log.contract import Batch, Bounds, Log, Reader
from freshet.streams.log.errors import OutOfRange, RecordTooLarge
from tests.contracts.log_writer import parse
from tests.streams.toy_events import batch_of

DEADLINE_SECONDS = 60.0
VISIT = EventSchema.parse(
    {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": name, "type": kind}
            for name, kind in (("id", "string"), ("at", "long"), ("user", "string"))
        ],
    },
    "visit",
)
Records = list[tuple[int, int, bytes]]  # offset, time, value


class Rig(Protocol):
    """An implementation under test, and what its operator could do to it."""

    url: str

    def open(self) -> Log: ...
    def topic(self) -> str:
        """A name that is not taken."""
        ...

    def recreate(self, topic: str, partitions: int) -> None: ...


def read(reader: Reader, count: int, max_records: int = 10_000) -> dict[int, Records]:
    """Exactly `count` records by partition, checked for order."""
    got: dict[int, Records] = {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while count > 0:
        assert time.monotonic() < deadline, f"{count} records did not come"
        # No more than are missing: a poll may return fewer than it is asked for.
        most = min(max_records, count)
        batches = reader.poll(most, 1.0)
        assert sum(len(b) for b in batches) <= most
        assert len({(b.topic, b.partition) for b in batches}) == len(batches), (
            "one batch a partition"
        )
        for b in batches:
            rows = got.setdefault(b.partition, [])
            rows += records(b)
            assert [r[0] for r in rows] == sorted({r[0] for r in rows}), "offsets rise"
            count -= len(b)
    assert count == 0, "more records than were appended"
    return got


def records(batch: Batch) -> Records:
    assert batch.data.dtype == np.uint8
    assert batch.data.flags.writeable
    assert {a.dtype for a in (batch.start, batch.end, batch.offsets, batch.times)} == {
        np.dtype(np.int64)
    }
    return [
        (int(batch.offsets[i]), int(batch.times[i]), bytes(batch.value(i)))
        for i in range(len(batch))
    ]


def raised(action: Callable[[], object]) -> LogError:
    """The error that `action` ends in, tried until it does: some changes take a moment to be
    noticed."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    error: LogError | None = None
    while error is None:
        assert time.monotonic() < deadline, "no LogError"
        try:
            action()
        except LogError as caught:
            error = caught
    assert all((error.resource, error.cause, error.next_step))
    return error


def run_writer(rig: Rig, topic: str, name: str, count: int, chunk: int) -> subprocess.Popen[str]:
    args = [
        sys.executable,
        "-m",
        "tests.contracts.log_writer",
        rig.url,
        topic,
        name,
        str(count),
        str(chunk),
    ]
    return subprocess.Popen(args, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def log(rig: Rig):
    log = rig.open()
    yield log
    log.close()


@pytest.fixture
def topic(rig: Rig, log: Log) -> str:
    """A topic of three partitions."""
    name = rig.topic()
    log.ensure(name, 3)
    return name


def fill(
    log: Log, topic: str, count: int, partitions: Sequence[int] = (0, 1, 2), time_ms: int = 7
) -> None:
    writer = log.writer()
    for p in partitions:
        writer.append(topic, p, [f"{p}/{i}".encode() for i in range(count)], time_ms)
    writer.flush()
    writer.close()


class LogBattery:
    def test_records_come_back_as_appended_however_they_are_cut(self, log: Log, topic: str) -> None:
        lists = st.lists(
            st.tuples(
                st.integers(0, 2),
                st.lists(st.binary(max_size=40), max_size=8),
                st.integers(1, 2**41),
                st.booleans(),
            ),
            max_size=8,
        )

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(lists, st.integers(1, 7))
        def holds(appends: list[tuple[int, list[bytes], int, bool]], max_records: int) -> None:
            before = log.bounds(topic).spans
            expected: dict[int, list[tuple[int, bytes]]] = {}
            writer = log.writer()
            for partition, values, time_ms, flush in appends:
                writer.append(topic, partition, values, time_ms)
                expected.setdefault(partition, []).extend((time_ms, v) for v in values)
                if flush:
                    writer.flush()
            writer.flush()
            writer.close()
            reader = log.reader(
                [topic], None, on_assign=lambda new: {tp: before[tp[1]][1] for tp in new}
            )
            got = read(reader, sum(map(len, expected.values())), max_records)
            assert reader.poll(10, 0) == []
            reader.close()
            assert {p: [(t, v) for _, t, v in rows] for p, rows in got.items()} == {
                p: rows for p, rows in expected.items() if rows
            }
            after = log.bounds(topic).spans
            for p, rows in got.items():
                assert (rows[0][0], rows[-1][0] + 1) == (before[p][1], after[p][1])

        holds()

    def test_large_and_empty_values(self, log: Log, topic: str) -> None:
        values = [b"", bytes(900_000), b"x", b""]
        writer = log.writer()
        writer.append(topic, 1, values, 1)
        writer.flush()
        writer.close()
        reader = log.reader([topic], None)
        assert [v for _, _, v in read(reader, 4)[1]] == values
        reader.close()

    def test_the_first_record_of_a_time_or_later_is_found(self, log: Log, topic: str) -> None:
        # Times need not rise: what is asked for is a place in the log, not a time.
        for time_ms in (10, 30, 20, 40):
            fill(log, topic, 2, (0, 1), time_ms)
        ends = {0: 8, 1: 8, 2: 0}
        for asked, offset in ((-5, 0), (0, 0), (10, 0), (11, 2), (30, 2), (31, 6), (41, 8)):
            assert log.since(topic, asked) == {**ends, 0: offset, 1: offset}
        with pytest.raises(LogError, match="does not exist"):
            log.since(f"{topic}-not", 0)

    def test_a_record_of_before_1970_is_taken(self, log: Log, topic: str) -> None:
        """Kafka has no such times, and stamps it as of then."""
        then = -2_051_222_400_000
        writer = log.writer()
        writer.append(topic, 1, [b"of 1905"], then)
        writer.append(topic, 1, [b"of today"], 7)
        writer.flush()
        writer.close()
        reader = log.reader([topic], None)
        (_, old, first), (_, new, second) = read(reader, 2)[1]
        assert (first, second, new) == (b"of 1905", b"of today", 7)
        assert old in (then, 1)
        reader.close()

    def test_what_intake_makes_of_much_and_large_input_is_taken(self, log: Log, topic: str) -> None:
        """20,000 events whose keys are of 2 kB, and records that are no events: more than one
        record holds."""
        events = [{"id": str(i), "at": i, "user": "x" * 2_000 + str(i % 50)} for i in range(20_000)]
        waiting = [*encode(VISIT, events), *[b"\xff" * 100_000] * 300]
        visits = Topic("visits", VISIT, "id", "at")
        clean = (CleanRoute(topic, 1, ("user",), ()),)
        task = IntakeTask(IntakePlan("visits", visits, EventCodec(VISIT), clean, (), topic), 0)
        writer = log.writer()
        for a in task.apply(batch_of(waiting, range(len(waiting)), [0] * len(waiting))).appends:
            writer.append(a.topic, a.partition, a.values, a.time_ms)
        writer.flush()
        writer.close()
        reader = log.reader([topic], None)
        (found,) = read(reader, log.bounds(topic).spans[0][1]).values()
        reader.close()
        counted: dict[int, int] = {}
        for _, _, value in found:
            block = blocks.decode(value)
            assert block.rows is not None
            counted[block.kind] = counted.get(block.kind, 0) + block.rows.num_rows
        assert counted == {blocks.CLEAN: 20_000, blocks.DEAD: 300}

    def test_a_record_too_large_is_refused_and_nothing_beside_it_is_queued(
        self, log: Log, topic: str
    ) -> None:
        writer = log.writer()
        with pytest.raises(RecordTooLarge, match="is larger than its limit of") as caught:
            writer.append(topic, 0, [b"small", bytes(RECORD_BYTES + 1)], 1)
        writer.append(topic, 0, [bytes(caught.value.limit)], 1)
        writer.flush()
        writer.close()
        assert log.bounds(topic).spans[0] == (0, 1)

    def test_a_waiting_reader_wakes_when_something_is_appended(self, log: Log, topic: str) -> None:
        reader = log.reader([topic], None)
        reader.poll(1, 0.1)
        got: list[Batch] = []
        thread = threading.Thread(target=lambda: got.extend(reader.poll(10, 10 * DEADLINE_SECONDS)))
        thread.start()
        fill(log, topic, 1, [2])
        thread.join(DEADLINE_SECONDS)
        assert [(b.partition, len(b)) for b in got] == [(2, 1)]
        reader.close()

    def test_several_topics_in_one_reader(self, rig: Rig, log: Log, topic: str) -> None:
        other = rig.topic()
        log.ensure(other, 1)
        fill(log, topic, 5, [0])
        fill(log, other, 6, [0])
        reader = log.reader([topic, other], None)
        got: dict[str, int] = {topic: 0, other: 0}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while got != {topic: 5, other: 6} and time.monotonic() < deadline:
            for b in reader.poll(100, 1.0):
                got[b.topic] += len(b)
        assert got == {topic: 5, other: 6}
        reader.close()

    def test_a_busy_partition_does_not_starve_a_quiet_one(self, log: Log, topic: str) -> None:
        writer = log.writer()
        for _ in range(10):
            writer.append(topic, 0, [bytes(100)] * 5_000, 1)
        writer.append(topic, 1, [b"quiet"], 1)
        writer.flush()
        writer.close()
        reader = log.reader([topic], None)
        busy = 0
        deadline = time.monotonic() + DEADLINE_SECONDS
        quiet = False
        while not quiet and time.monotonic() < deadline:
            for b in reader.poll(500, 1.0):
                busy, quiet = busy + len(b) * (b.partition == 0), quiet or b.partition == 1
        assert quiet
        assert busy < 50_000
        reader.close()

    def test_on_assign_says_where_to_start_and_missing_means_the_first(
        self, log: Log, topic: str
    ) -> None:
        fill(log, topic, 10)
        assigned: list[tuple[str, int]] = []

        def on_assign(new: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
            assigned.extend(new)
            return {(topic, 0): 4, (topic, 1): 10}

        reader = log.reader([topic], rig_group(topic), on_assign)
        got = read(reader, 16)
        assert sorted(assigned) == [(topic, p) for p in range(3)]
        assert {p: [r[0] for r in rows] for p, rows in got.items()} == {
            0: list(range(4, 10)),
            2: list(range(10)),
        }
        reader.close()

    def test_seek_repeats_the_very_same_records(self, log: Log, topic: str) -> None:
        fill(log, topic, 50)
        reader = log.reader([topic], None)
        first = read(reader, 150, 40)
        reader.seek(topic, 1, 13)
        assert read(reader, 37, 10) == {1: first[1][13:]}
        reader.seek(topic, 2, 50)
        assert reader.poll(10, 0.2) == []
        reader.close()

    def test_seek_before_the_first_poll_holds(self, log: Log, topic: str) -> None:
        fill(log, topic, 10, [0])
        reader = log.reader([topic], None)
        reader.seek(topic, 0, 6)
        assert [r[0] for r in read(reader, 4)[0]] == [6, 7, 8, 9]
        reader.close()

    def test_a_reader_says_how_far_it_has_handed_out_all_that_is_there(
        self, log: Log, topic: str
    ) -> None:
        fill(log, topic, 4)
        reader = log.reader([topic], None, lambda parts: dict.fromkeys(parts, 1))
        read(reader, 9, max_records=2)
        assert [reader.position(topic, p) for p in range(3)] == [4, 4, 4]
        reader.seek(topic, 1, 2)
        assert [reader.position(topic, p) for p in range(3)] == [4, 2, 4]
        assert raised(lambda: reader.position(topic, 3)).cause
        reader.close()

    def test_pause_holds_back_and_loses_nothing(self, log: Log, topic: str) -> None:
        fill(log, topic, 30)
        reader = log.reader([topic], None)
        head = read(reader, 20, 5)
        reader.pause([(topic, 1)])
        seen = {p: len(rows) for p, rows in head.items()}
        rest = read(reader, 60 - sum(n for p, n in seen.items() if p != 1))
        assert set(rest) <= {0, 2}
        assert reader.poll(10, 0.2) == []
        reader.pause([(topic, 1)], False)
        tail = read(reader, 30 - seen.get(1, 0))
        assert [r[0] for r in head.get(1, []) + tail.get(1, [])] == list(range(30))
        reader.close()

    def test_commits_are_for_lag_tools_and_never_where_a_reader_starts(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        group = rig_group(topic)
        fill(log, topic, 5, [0])
        reader = log.reader([topic], group)
        read(reader, 5)
        reader.commit({(topic, 0): 5})
        reader.close()
        under = getattr(rig, "rig", rig).open()
        assert under.committed(group, topic) == {0: 5}
        under.close()
        reader = log.reader([topic], group)
        assert [r[0] for r in read(reader, 5)[0]] == [0, 1, 2, 3, 4]
        reader.close()

    def test_ensure_is_idempotent_and_counts_are_frozen(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        identity = log.bounds(topic).identity
        log.ensure(topic, 3)
        other = rig.open()
        other.ensure(topic, 3)
        assert other.bounds(topic).identity == identity
        assert set(other.bounds(topic).spans) == {0, 1, 2}
        error = raised(lambda: other.ensure(topic, 4))
        assert topic in str(error)
        assert error.facts["found"] == 3
        assert error.facts["wanted"] == 4
        other.close()

    def test_ensure_from_many_threads_makes_one_topic(self, rig: Rig) -> None:
        name = rig.topic()
        identities: set[str] = set()

        def make() -> None:
            log = rig.open()
            log.ensure(name, 2)
            identities.add(log.bounds(name).identity)
            log.close()

        threads = [threading.Thread(target=make) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(identities) == 1

    def test_a_missing_topic_or_partition_is_named(self, log: Log, rig: Rig, topic: str) -> None:
        absent = rig.topic()
        writer = log.writer()
        for action in (
            lambda: log.bounds(absent),
            lambda: log.reader([topic, absent], None),
            lambda: writer.append(absent, 0, [b"x"], 0),
        ):
            assert absent in raised(action).resource
        assert "3" in raised(lambda: writer.append(topic, 3, [b"x"], 0)).cause
        writer.close()

    def test_a_recreated_topic_has_another_identity_and_ends_its_readers_and_writers(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        fill(log, topic, 3)
        before = log.bounds(topic).identity
        reader, writer = log.reader([topic], None), log.writer()
        read(reader, 9)
        writer.append(topic, 0, [b"a"], 1)
        writer.flush()
        read(reader, 1)
        rig.recreate(topic, 3)
        after = log.bounds(topic).identity
        assert after != before

        def again() -> None:
            writer.append(topic, 0, [b"b"], 1)
            writer.flush()

        for error in (raised(lambda: reader.poll(10, 0.5)), raised(again)):
            assert topic in error.resource
            assert before in str(error)
        reader.close()
        writer.close()

    def test_an_offset_the_log_does_not_have_is_refused_naming_both(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        fill(log, topic, 20, [0])
        log.delete_before(topic, {0: 8})
        assert log.bounds(topic).spans[0] == (8, 20)
        for wanted, has in ((5, 8), (21, 20)):
            reader = log.reader([topic], None, on_assign=lambda new, w=wanted: {(topic, 0): w})
            error = raised(lambda r=reader: r.poll(10, 0.5))
            assert str(wanted) in error.cause
            assert str(has) in error.cause
            reader.close()
        reader = log.reader([topic], None)
        assert [r[0] for r in read(reader, 12)[0]] == list(range(8, 20))
        assert str(8) in raised(lambda: reader.seek(topic, 0, 7)).cause
        reader.close()

    def test_what_is_deleted_is_the_beginning_and_nothing_else(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        fill(log, topic, 20)
        identity = log.bounds(topic).identity
        log.delete_before(topic, {0: 8, 2: 20})
        # Again, and from before that: nothing comes back.
        log.delete_before(topic, {0: 8})
        log.delete_before(topic, {0: 3, 1: 0})
        assert log.bounds(topic) == Bounds(identity, {0: (8, 20), 1: (0, 20), 2: (20, 20)})
        assert log.since(topic, 0) == {0: 8, 1: 0, 2: 20}
        reader = log.reader([topic], None)
        got = read(reader, 32)
        assert {p: (rows[0][0], rows[-1][0]) for p, rows in got.items()} == {0: (8, 19), 1: (0, 19)}
        assert [reader.position(topic, p) for p in range(3)] == [20, 20, 20]
        reader.close()

    def test_an_emptied_partition_goes_on_where_it_ended(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        fill(log, topic, 7, [0])
        log.delete_before(topic, {0: 7})
        again = rig.open()
        assert again.bounds(topic).spans[0] == (7, 7)
        fill(again, topic, 2, [0])
        assert again.bounds(topic).spans[0] == (7, 9)
        again.delete_before(topic, {0: 9})
        fill(again, topic, 1, [0])
        reader = again.reader([topic], None)
        assert [r[0] for r in read(reader, 1)[0]] == [9]
        reader.close()
        again.close()

    def test_what_cannot_be_deleted_is_refused_and_nothing_is(self, log: Log, topic: str) -> None:
        fill(log, topic, 5)
        error = raised(lambda: log.delete_before(topic, {0: 2, 1: 6}))
        assert isinstance(error, OutOfRange)
        assert not error.is_before
        assert error.part == (topic, 1)
        assert "3" in raised(lambda: log.delete_before(topic, {0: 2, 3: 0})).cause
        assert "does not exist" in raised(lambda: log.delete_before(f"{topic}-not", {0: 0})).cause
        assert log.bounds(topic).spans == {0: (0, 5), 1: (0, 5), 2: (0, 5)}

    def test_a_reader_whose_next_record_was_deleted_says_so(self, log: Log, topic: str) -> None:
        reader = log.reader([topic], None)
        reader.poll(1, 0.5)
        reader.pause([(topic, 0)])
        fill(log, topic, 6, [0])
        log.delete_before(topic, {0: 4})
        reader.pause([(topic, 0)], False)
        error = raised(lambda: reader.poll(10, 0.5))
        assert isinstance(error, OutOfRange)
        assert error.is_before
        assert error.part == (topic, 0)
        reader.close()

    def test_writers_in_several_processes_lose_and_repeat_nothing(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        names = ["ann", "bob", "eve"]
        processes = [run_writer(rig, topic, name, 600, 7) for name in names]
        reader = log.reader([topic], None)
        got = read(reader, 1800, 100)
        for process in processes:
            process.communicate()
            assert process.returncode == 0
        reader.close()
        ids = [parse(value) for rows in got.values() for _, _, value in rows]
        assert sorted(ids) == sorted((name, n) for name in names for n in range(600))
        for p, rows in got.items():
            assert [r[0] for r in rows] == list(range(*log.bounds(topic).spans[p])), (
                "offsets are dense"
            )
            for name in names:
                mine = [n for who, n in (parse(value) for _, _, value in rows) if who == name]
                assert mine == sorted(mine), "each writer's order is kept"

    def test_what_a_killed_writer_had_acknowledged_is_there_whole(
        self, rig: Rig, log: Log, topic: str
    ) -> None:
        process = run_writer(rig, topic, "ann", 10**9, 50)
        assert process.stdout is not None
        acknowledged = -1
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged > 1_000:
                break
        process.kill()
        lines = process.communicate()[0].split("\n")
        acknowledged = max([acknowledged, *(int(line) for line in lines[:-1])])
        spans = log.bounds(topic).spans
        reader = log.reader([topic], None)
        got = read(reader, sum(b - a for a, b in spans.values()))
        reader.close()
        for p, rows in got.items():
            numbers = [parse(value)[1] for _, _, value in rows]
            assert numbers == list(range(p, numbers[-1] + 1, 3))
            assert numbers[-1] + 3 > acknowledged

    def test_a_reader_is_closed_once_and_a_log_twice(self, rig: Rig, topic: str) -> None:
        log = rig.open()
        log.reader([topic], None).close()
        log.writer().close()
        log.close()
        log.close()


def rig_group(topic: str) -> str:
    """A group of its own for each test."""
    return f"group-of-{topic}"
