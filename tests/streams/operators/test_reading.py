"""How long records are gathered; and a partition whose records cannot be understood yet is read no
further, while the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def test_records_that_came_while_the_last_ones_were_worked_on_wait_only_for_the_rest() -> None:
    """Waits are those that the reader is asked for, by a clock that moves with them."""
    now = [100.0]
    waits: list[float] = []
    found: list[list[Batch]] = []

    class Reader:
        def poll(self, max_records: int, max_wait_seconds: float) -> list[Batch]:
            waits.append(round(max_wait_seconds, 6))
            if found:
                return found.pop(0)
            now[0] += max_wait_seconds
            return []

    reader: Any = Reader()
    reading = Reading(reader, wall=lambda: now[0])

    def gathered() -> list[int]:
        waits.clear()
        batches = reading.gather(5.0, lambda: 0.05, lambda: False)
        return [offset for batch in batches for offset in batch.offsets.tolist()]

    found.append([of_one(0)])
    assert (gathered(), waits) == ([0], [5.0]), "nothing was before it, so it waits for nothing"
    now[0] += 0.02  # of work
    found += [[of_one(1)], [of_one(2)]]
    assert (gathered(), waits) == ([1, 2], [5.0, 0.03, 0.03])
    now[0] += 0.06
    found.append([of_one(3)])
    assert (gathered(), waits) == ([3], [5.0]), "the work took longer than the wait"
