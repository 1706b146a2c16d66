"""The operator loop: its steps, their order, and what it does while it may not read."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.schemas.errors import CheckpointError, LogError, StoreError
from freshet.schemas.wire.messages import Progress, Status
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.loop import Rhythm, Steering
from freshet.streams.operators.task import Outputs
from tests.streams.operators.toys import Bench, Toy
from tests.streams.toy_events import batch_of

ROUNDS, STEP_MS = 8, 3_000


def test_every_task_applies_before_any_writes_and_all_write_before_progress_is_told(
    bench: Bench,
) -> None:
    bench.put(0, b"a", b"b")
    bench.put(1, b"c")
    op = bench.operator()
    assert op.step(0.0)
    assert sorted(bench.journal[:2]) == ["toy:0 applies 2", "toy:1 applies 1"]
    assert sorted(bench.journal[2:]) == ["toy:0 writes", "toy:1 writes"]
    assert not op.step(0.0)
    (progress,) = bench.told()
    assert isinstance(progress, Progress)
    assert progress.ticks == {"toy:0": 2, "toy:1": 1}
    op.close()


def test_a_resumed_task_writes_and_reports_before_anything_new_comes(bench: Bench) -> None:
    bench.put(0, b"a", b"b")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    op.close()
    before = len(bench.told())
    bench.journal.clear()
    again = bench.operator()
    assert not again.step(0.0)
    assert sorted(bench.journal) == ["toy:0 writes", "toy:1 writes"]
    assert [m.ticks for m in bench.told()[before:] if isinstance(m, Progress)] == [{"toy:0": 2}]
    assert bench.made[0].seen == 2
    bench.put(0, b"c")
    assert again.step(1.0)
    assert bench.made[0].seen == 3
    again.close()


def test_tasks_look_after_their_rows_at_their_start_and_now_and_then_where_nothing_comes(
    bench: Bench,
) -> None:
    now = [100.0]
    op = bench.operator(Rhythm(wall=lambda: now[0]))
    op.step(0.0)
    both = ["toy:0 writes", "toy:1 writes"]
    assert sorted(bench.journal) == both, "a task that is new has said that there are no rows"
    bench.put(0, b"a")
    now[0] += 0.9
    op.step(0.0)
    assert bench.journal[2:] == ["toy:0 applies 1", "toy:0 writes"], (
        "it is too early for the other one"
    )
    now[0] += 0.2
    op.step(0.0)
    assert bench.journal[4:] == ["toy:1 writes"], "the one has just written"
    for _ in range(3):
        now[0] += 1.1
        op.step(0.0)
    assert sorted(bench.journal[5:]) == sorted(3 * both)
    op.close()


def test_while_the_store_is_away_nothing_is_read_and_it_is_said(bench: Bench) -> None:
    bench.put(0, b"a")
    op = bench.operator(Rhythm(retry_seconds=0.001, status_seconds=0.0))
    op.step(0.0)
    bench.made[0].refusals = 3
    bench.put(0, b"b")
    assert op.step(1.0)
    bench.put(0, b"c")
    bench.put(1, b"d")
    for _ in range(2):
        assert not op.step(1.0), "it rests"
    (outage,) = op.vitals.outages.current()
    assert (outage.component, outage.cause, outage.next_step) == ("store", "is away", "Wait.")
    assert "reads nothing" in outage.meanwhile
    told = [m for m in bench.told() if isinstance(m, Status)]
    assert told[-1].facts["outages"][0]["cause"] == "is away"
    ticks = [m.ticks for m in bench.told() if isinstance(m, Progress)]
    assert all(t.get("toy:0", 0) <= 1 for t in ticks), "progress stands for rows that are safe"
    assert not op.step(1.0), "the rows are written"
    assert bench.journal[-1] == "toy:0 writes"
    assert not op.vitals.outages.current()
    assert op.step(1.0), "it reads on"
    assert {p: t.seen for p, t in bench.made.items()} == {0: 3, 1: 1}
    op.close()


def test_a_role_that_is_held_from_the_start_reads_nothing_in_its_first_step(bench: Bench) -> None:
    held = [True]
    bench.put(0, b"a")
    op = bench.operator(steering=Steering(held=lambda: held[0]))
    for _ in range(3):
        assert not op.step(0.0)
    assert bench.made[0].seen == 0
    held[0] = False
    assert op.step(1.0)
    assert bench.made[0].seen == 1
    op.close()


def test_a_held_role_reads_nothing_and_says_so(bench: Bench) -> None:
    held = [True]
    op = bench.operator(Rhythm(status_seconds=0.0), Steering(held=lambda: held[0]))
    op.step(0.0)
    bench.put(0, b"a")
    assert not op.step(0.0)
    assert [m.facts["held"] for m in bench.told() if isinstance(m, Status)][-1]
    held[0] = False
    assert op.step(1.0)
    assert bench.made[0].seen == 1
    op.close()


def test_when_stopped_while_the_store_is_away_nothing_is_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(0, b"a")
    op = bench.operator(Rhythm(retry_seconds=60.0))
    stop = threading.Event()
    honest = Toy.write

    def refuse(self: Toy) -> None:
        stop.set()
        raise StoreError("store", "is away", "Wait.")

    monkeypatch.setattr(Toy, "write", refuse)
    op.run(stop)
    monkeypatch.setattr(Toy, "write", honest)
    again = bench.operator()
    assert again.step(0.0)
    assert bench.made[0].seen == 1
    again.close()


class Stopping(Toy):
    """Is the last to be given anything."""

    stop = threading.Event()

    def apply(self, batch: Any) -> Outputs:
        self.stop.set()
        return super().apply(batch)


def test_a_stop_checkpoints_all_that_was_done(bench: Bench) -> None:
    bench.put(0, b"a")
    bench.put(1, b"b")
    stop = threading.Event()
    bench.kind = Stopping
    Stopping.stop = stop
    op = bench.operator()
    op.run(stop)
    again = bench.operator()
    assert not again.step(0.0)
    assert {p: t.seen for p, t in bench.made.items()} == {0: 1, 1: 1}
    again.close()


def test_partitions_that_go_to_another_member_are_saved_and_lost_ones_are_not(bench: Bench) -> None:
    bench.put(0, b"a")
    bench.put(1, b"b")
    op = bench.operator()
    op.step(0.0)
    bench.given[0].give_over([("in", 0)])
    bench.given[0].take_away([("in", 1)])
    assert op.finished() == []
    op.close()
    again = bench.operator()
    assert again.step(0.0)
    assert bench.journal[-3:-2] == ["toy:1 applies 1"]
    assert sorted(bench.journal[-2:]) == ["toy:0 writes", "toy:1 writes"]
    again.close()


def test_a_status_tells_of_every_task_about_once_a_second(bench: Bench) -> None:
    bench.put(0, b"a")
    op = bench.operator(Rhythm(status_seconds=0.0))
    op.step(0.0)
    (status,) = [m for m in bench.told() if isinstance(m, Status)]
    assert status.facts["toy:0"] == {"seen": 1}
    assert status.facts["records"] == 1
    assert status.instance == op.vitals.instance
    op.close()


def test_figures_that_fail_stop_no_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "facts", lambda self: {"mean": 1 / 0})
    bench.put(0, b"a")
    op = bench.operator(Rhythm(status_seconds=0.0))
    assert op.step(0.0)
    (status,) = [m for m in bench.told() if isinstance(m, Status)]
    assert (status.facts["toy:0"], status.facts["records"]) == ({}, 1)
    op.close()


def test_a_recreated_log_or_one_that_starts_later_is_an_error_that_names_both(
    bench: Bench, tmp_path: Path
) -> None:
    bench.put(0, b"a")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    op.close()
    bench.close()
    for path in (tmp_path / "log").glob("in*"):
        path.unlink()
    other = Bench(tmp_path)
    with pytest.raises(CheckpointError, match=r"is of log .* and the log now is"):
        other.operator().step(0.0)
    other.close()


def test_a_checkpoint_beyond_the_end_of_the_log_is_an_error(bench: Bench) -> None:
    identity = bench.log.bounds("in").identity
    checkpoints = Checkpoints(bench.checkpoints_url, "toy:0", identity)
    checkpoints.save(5, {"seen": np.array([5])}, True)
    op = bench.operator()
    with pytest.raises(LogError):
        op.step(0.0)
    op.close()


def test_batches_of_the_toys_are_what_they_seem() -> None:
    assert Toy("x", []).apply(batch_of([b"a"], [0], [0])).appends[0].values == [b"a"]
