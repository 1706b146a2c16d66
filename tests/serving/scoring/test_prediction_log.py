"""The prediction log's near end: nothing waits for the log, nothing is lost unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from freshet.schemas.errors import DefinitionError, LogError
from freshet.schemas.wire.messages import Logged
from freshet.serving.scoring.prediction_log import SPOOL_BYTES, PredictionLog, Spooled
from freshet.streams.log.errors import too_large
from freshet.streams.operators.task import Append
from freshet.streams.sqlite.log import SqliteLog


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


class Gate:
    """A writer that keeps what is flushed; it waits while `open` is not set, and fails `faults`
    times."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.faults = self.closed = 0
        self.flushed: list[bytes] = []
        self._queued: list[bytes] = []

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        self._queued += values

    def flush(self) -> None:
        self.open.wait()
        if self.faults:
            self.faults -= 1
            raise LogError("t", "away", "Wait.")
        self.flushed += self._queued
        self._queued = []

    def close(self) -> None:
        self.closed += 1
        self._queued = []


def pack(spooled: Sequence[Spooled[str]]) -> list[Append]:
    return [Append("t", 0, [f"{s.first}:{s.n}:{s.rows}".encode()], s.time_ms) for s in spooled]


def test_predictions_are_numbered_logged_in_order_and_reported(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.ensure("t", 1)
    told: list[Logged] = []
    predictions: PredictionLog[str] = PredictionLog("s1", log.writer, pack, told.append)
    assert [predictions.append("a", 3, 7), predictions.append("b", 2, 8)] == [0, 3]
    wait_for(lambda: bool(told) and told[-1] == Logged("s1", 4, 0))
    predictions.close()
    reader = log.reader(["t"], None)
    batch = reader.poll(100, 5.0)[0]
    assert [bytes(batch.value(i)) for i in range(len(batch))] == [b"0:3:a", b"3:2:b"]
    assert batch.times.tolist() == [7, 8]
    reader.close()
    log.close()


def test_an_append_never_waits_and_what_overflows_is_counted_and_leaves_a_gap() -> None:
    gate, told = Gate(), list[Logged]()
    gate.open.clear()
    predictions: PredictionLog[str] = PredictionLog(
        "s1", lambda: gate, pack, told.append, capacity=10
    )
    firsts = [predictions.append(x, 4, 0) for x in "abcde"]
    assert firsts == [0, 4, 8, 12, 16]
    assert predictions.lost == 12
    assert predictions.held == 8
    gate.open.set()
    wait_for(lambda: predictions.held == 0)
    assert predictions.append("f", 1, 0) == 20
    wait_for(lambda: bool(told) and told[-1] == Logged("s1", 20, 12))
    predictions.close()
    assert gate.flushed == [b"0:4:a", b"4:4:b", b"20:1:f"]


def test_a_log_that_fails_is_tried_again_with_a_new_writer() -> None:
    gate, told = Gate(), list[Logged]()
    gate.faults = 3
    predictions: PredictionLog[str] = PredictionLog("s1", lambda: gate, pack, told.append)
    predictions.append("a", 1, 0)
    wait_for(lambda: bool(told))
    predictions.close()
    assert gate.flushed == [b"0:1:a"]
    assert gate.closed == 4
    assert told == [Logged("s1", 0, 0)]


def test_the_spool_is_bounded_in_bytes_too() -> None:
    gate = Gate()
    gate.open.clear()
    predictions: PredictionLog[str] = PredictionLog("s1", lambda: gate, pack, lambda _: None)
    half = SPOOL_BYTES // 2
    assert [
        predictions.append(x, 1, 0, size) for x, size in (("a", half), ("b", half), ("c", 1))
    ] == [0, 1, 2]
    assert (predictions.held, predictions.lost) == (2, 1)
    gate.open.set()
    wait_for(lambda: predictions.held == 0)
    predictions.append("d", 1, 0, 2 * half)
    predictions.close()
    assert gate.flushed == [b"0:1:a", b"1:1:b", b"3:1:d"]


def test_what_the_log_never_takes_is_lost_and_what_follows_is_logged() -> None:
    class Refuses(Gate):
        def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
            if b"0:1:a" in values:
                raise too_large(topic, 5, 4)
            super().append(topic, partition, values, time_ms)

    gate, told = Refuses(), list[Logged]()
    predictions: PredictionLog[str] = PredictionLog("s1", lambda: gate, pack, told.append)
    predictions.append("a", 1, 0)
    wait_for(lambda: told == [Logged("s1", 0, 1)])
    predictions.append("b", 1, 0)
    predictions.close()
    assert gate.flushed == [b"1:1:b"]
    assert told == [Logged("s1", 0, 1), Logged("s1", 1, 1)]


def test_a_log_that_cannot_be_opened_yet_is_waited_for(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    told: list[Logged] = []
    predictions: PredictionLog[str] = PredictionLog("s1", log.writer, pack, told.append)
    predictions.append("a", 1, 0)
    log.ensure("t", 1)
    wait_for(lambda: told == [Logged("s1", 0, 0)])
    predictions.close()
    log.close()


def test_closing_flushes_the_rest_and_gives_up_on_a_dead_log() -> None:
    gate = Gate()
    predictions: PredictionLog[str] = PredictionLog("s1", lambda: gate, pack, lambda _: None)
    predictions.append("a", 1, 0)
    predictions.close()
    assert gate.flushed == [b"0:1:a"]
    assert predictions.append("b", 2, 0) == 1
    assert predictions.lost == 2
    dead = Gate()
    dead.faults = 1 << 30
    predictions = PredictionLog("s2", lambda: dead, pack, lambda _: None)
    predictions.append("a", 1, 0)
    predictions.close(seconds=10.0)
    assert predictions.held == 1


def test_a_fault_of_the_packer_loses_its_rows_and_nothing_else() -> None:
    def faulty(spooled: Sequence[Spooled[str]]) -> list[Append]:
        if any(s.rows == "bad" for s in spooled):
            raise ValueError("bad")
        return pack(spooled)

    gate, told = Gate(), list[Logged]()
    predictions: PredictionLog[str] = PredictionLog("s1", lambda: gate, faulty, told.append)
    predictions.append("bad", 2, 0)
    wait_for(lambda: predictions.lost == 2)
    predictions.append("good", 1, 0)
    wait_for(lambda: told == [Logged("s1", 2, 2)])
    predictions.close()


def test_many_threads_get_numbers_of_their_own() -> None:
    gate = Gate()
    predictions: PredictionLog[str] = PredictionLog(
        "s1", lambda: gate, pack, lambda _: None, linger_seconds=0.001
    )
    firsts: list[int] = []

    def ask() -> None:
        mine = [predictions.append("x", 2, 0) for _ in range(200)]
        firsts.extend(mine)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    predictions.close()
    assert sorted(firsts) == list(range(0, 1600, 2))
    assert [int(v.split(b":")[0]) for v in gate.flushed] == list(range(0, 1600, 2))


def test_a_linger_beyond_the_promise_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"at most 0\.05 s"):
        PredictionLog("s1", Gate, pack, lambda _: None, linger_seconds=0.2)
