"""The order in which the past is read."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.hydration import past_reader
from freshet.hydration.past_reader import PastReader
from freshet.streams.sqlite.log import SqliteLog

TIMES = st.lists(st.integers(0, 30), max_size=12).map(sorted)


@given(st.lists(TIMES, min_size=1, max_size=3), st.data())
def test_partitions_are_read_up_to_their_limits_in_the_order_of_their_times(
    partitions: list[list[int]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(str(Path(folder) / "log"))
        log.ensure("t", len(partitions))
        writer = log.writer()
        for partition, times in enumerate(partitions):
            for number, time_ms in enumerate(times):
                writer.append("t", partition, [b"%d" % number], time_ms)
        writer.flush()
        limits = {
            ("t", partition): data.draw(st.integers(0, len(times)))
            for partition, times in enumerate(partitions)
        }
        reader = PastReader(log, {}, dict.fromkeys(limits, 0))
        found: list[tuple[int, int, int]] = []
        rounds = []
        while not reader.is_at(limits):
            batches = reader.poll(limits, 0.01)
            at = [int(time_ms) for batch in batches for time_ms in batch.times]
            if at:
                rounds.append((min(at), max(at)))
            for batch in batches:
                found += [
                    (batch.partition, int(offset), int(time_ms))
                    for offset, time_ms in zip(batch.offsets, batch.times)
                ]
        expected = [
            (partition, offset, partitions[partition][offset])
            for (_, partition), limit in limits.items()
            for offset in range(limit)
        ]
        assert sorted(found) == expected, "each once, in order of its partition"
        for before, after in pairwise(rounds):
            assert before[1] <= after[0], "what was appended later is never read before"
        reader.close()
        writer.close()
        log.close()


@settings(max_examples=40)  # each opens a log
@given(st.lists(TIMES, min_size=2, max_size=3))
def test_each_record_that_stands_apart_comes_after_all_that_is_older_and_before_the_rest(
    partitions: list[list[int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(str(Path(folder) / "log"))
        log.ensure("t", len(partitions))
        writer = log.writer()
        for partition, times in enumerate(partitions):
            for time_ms in times:
                writer.append("t", partition, [b"x"], time_ms)
        writer.flush()
        limits = {("t", partition): len(times) for partition, times in enumerate(partitions)}
        reader = PastReader(log, {}, dict.fromkeys(limits, 0), [("t", 0)])
        found: list[tuple[bool, int]] = []
        while not reader.is_at(limits):
            for batch in reader.poll(limits, 0.01):
                found += [(batch.partition == 0, int(time_ms)) for time_ms in batch.times]
        assert len(found) == sum(map(len, partitions))
        for place, (is_apart, at) in enumerate(found):
            if is_apart:
                assert all(other < at for apart, other in found[:place] if not apart)
                assert all(other >= at for apart, other in found[place:] if not apart)
        reader.close()
        writer.close()
        log.close()


def test_a_limit_that_moves_on_is_followed() -> None:
    assert past_reader.MAX_RECORDS > 1
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(str(Path(folder) / "log"))
        log.ensure("t", 1)
        writer = log.writer()
        writer.append("t", 0, [b"a", b"b", b"c"], 1)
        writer.flush()
        reader = PastReader(log, {}, {("t", 0): 0})
        read = []
        for limit in (1, 1, 3):
            for batch in reader.poll({("t", 0): limit}, 0.01):
                read += batch.offsets.tolist()
            assert reader.is_at({("t", 0): limit})
        assert read == [0, 1, 2]
        reader.close()
        writer.close()
        log.close()
