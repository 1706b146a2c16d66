"""How long records are gathered; and a partition whose records cannot be understood yet is read no
further, while the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from freshet.schemas.errors import RegistryError
from freshet.streams.log.contract import Batch
from freshet.streams.operators.reading import Reading, Waiting
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog


class Lacking:
    """Understands no record that begins with a question mark, until it is told."""

    def __init__(self) -> None:
        self.told = False

    def prepare(self, batch: Batch) -> None:
        if not self.told and any(bytes(batch.value(i))[:1] == b"?" for i in range(len(batch))):
            raise RegistryError("http://registry", "cannot be reached", "See whether it runs.")


def test_one_partition_waits_and_is_read_again_from_where_it_stopped(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.ensure("t", 2)
    writer = log.writer()
    writer.append("t", 0, [b"a", b"?"], 1)
    writer.append("t", 1, [b"b"], 1)
    writer.flush()
    seconds = [0.0]
    outages = Outages()
    reader = log.reader(["t"], "g")
    waiting = Waiting(reader, outages, lambda: seconds[0], retry_seconds=1.0)
    lacking = Lacking()

    def turn() -> dict[int, list[int]]:
        waiting.go_on()
        return {
            batch.partition: batch.offsets.tolist()
            for batch in reader.poll(10, 0.01)
            if waiting.may_apply((batch.topic, batch.partition), batch, lacking)
        }

    def until_there_is(partition: int) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        while partition not in found:
            found |= turn()
        return found

    assert until_there_is(1) == {1: [0]}
    for _ in range(3):
        assert turn() == {}
    (told,) = outages.current()
    assert (told.component, told.resource) == ("registry", "http://registry")
    writer.append("t", 1, [b"c"], 1)
    writer.flush()
    assert until_there_is(1) == {1: [1]}, "the other goes on"
    seconds[0] = 2.0
    assert turn() == {}, "asked again, and still away"
    assert outages.current() == [told]
    lacking.told = True
    seconds[0] = 4.0
    assert until_there_is(0) == {0: [0, 1]}
    assert outages.current() == []
    for closing in (writer, reader, log):
        closing.close()


def test_a_partition_that_goes_to_another_member_is_waited_for_no_longer() -> None:
    class Reader:
        def pause(self, partitions: Any, paused: bool = True) -> None: ...

        def seek(self, topic: str, partition: int, offset: int) -> None: ...

    outages = Outages()
    reader: Any = Reader()
    waiting = Waiting(reader, outages, lambda: 0.0, retry_seconds=1.0)
    edges = np.array([0, 1])
    batch = Batch("t", 0, np.frombuffer(b"?", np.uint8), edges[:1], edges[1:], edges[:1], edges[:1])
    assert not waiting.may_apply(("t", 0), batch, Lacking())
    assert outages.current()
    waiting.forget([("t", 0)])
    assert not outages.current()


def of_one(offset: int) -> Batch:
    places = np.array([0, 1])
    data = np.frombuffer(b"a", np.uint8)
    return Batch("t", 0, data, places[:1], places[1:], np.array([offset]), places[:1])


class Gathering:
    """Reading of what is `found`, by a clock that moves with its waits: those asleep, and those in
    the reader."""

    def __init__(self, most: int = 10) -> None:
        self.now = 100.0
        self.found: list[list[Batch]] = []
        self.slept: list[float] = []
        self.waited: list[float] = []
        self._reading = Reading(cast(Any, self), most, lambda: self.now, self._sleep)

    def poll(self, max_records: int, max_wait_seconds: float) -> list[Batch]:
        self.waited.append(round(max_wait_seconds, 6))
        if self.found:
            return self.found.pop(0)
        self.now += max_wait_seconds
        return []

    def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def __call__(self, max_wait_seconds: float = 5.0, more_seconds: float = 0.05) -> list[int]:
        self.slept.clear()
        self.waited.clear()
        batches = self._reading.gather(max_wait_seconds, lambda: more_seconds, lambda: False)
        return [offset for batch in batches for offset in batch.offsets.tolist()]


def test_records_wait_for_more_from_the_end_of_the_work_before_them() -> None:
    gathered = Gathering()
    gathered.found.append([of_one(0)])
    assert gathered() == [0]
    assert (gathered.slept, gathered.waited) == ([], [5.0]), "nothing was before it"
    gathered.now += 0.02  # of work
    gathered.found += [[of_one(1)], [of_one(2)]]
    gathered.found.append([])
    assert gathered() == [1, 2]
    assert (gathered.slept, gathered.waited) == ([0.02, 0.02, 0.01], [0.0, 0.0, 0.0])
    gathered.now += 0.06
    gathered.found.append([of_one(3)])
    assert gathered() == [3]
    assert (gathered.slept, gathered.waited) == ([], [5.0]), "the work took longer than the wait"


def test_where_nothing_came_in_the_wait_the_next_record_goes_at_once() -> None:
    gathered = Gathering()
    gathered.found.append([of_one(0)])
    assert gathered() == [0]
    gathered.found += [[], [], [], [of_one(1)]]
    assert gathered() == [1]
    assert gathered.slept == [0.02, 0.02, 0.01]
    assert gathered.waited == [0.0, 0.0, 0.0, 4.95]


def test_the_wait_for_more_begins_once_however_often_it_is_asked() -> None:
    gathered = Gathering()
    gathered.found.append([of_one(0)])
    assert gathered() == [0]
    gathered.found += [[], []]
    assert gathered(max_wait_seconds=0.03) == []
    gathered.found.append([of_one(1)])
    assert gathered(max_wait_seconds=0.03) == [1]
    assert (gathered.slept, gathered.waited) == ([0.02], [0.0])


def test_whoever_waits_for_nothing_is_back_in_time() -> None:
    gathered = Gathering()
    gathered.found.append([of_one(0)])
    assert gathered() == [0]
    assert gathered(max_wait_seconds=0.03, more_seconds=60.0) == []
    assert (gathered.slept, gathered.waited) == ([0.03], [0.0, 0.0])


def test_in_a_long_wait_it_is_looked_seldom_but_never_so_that_callbacks_wait() -> None:
    for more_seconds, look_seconds in ((0.1, 0.02), (0.5, 0.05), (60.0, 0.1)):
        gathered = Gathering()
        gathered.found.append([of_one(0)])
        assert gathered() == [0]
        gathered.found += [[of_one(1)]] * 3
        gathered(more_seconds=more_seconds)
        assert set(gathered.slept[:3]) == {look_seconds}


def test_whoever_is_behind_does_not_wait_for_more() -> None:
    gathered = Gathering(most=2)
    gathered.found += [[of_one(0), of_one(1)], [of_one(2), of_one(3)]]
    assert gathered() == [0, 1]
    assert gathered() == [2, 3]
    assert (gathered.slept, gathered.waited) == ([], [0.0])
