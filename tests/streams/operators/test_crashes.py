"""A record that crashes its task is found, tried three times and skipped; its neighbours are
applied."""

from __future__ import annotations

from typing import Any

import pytest
from polars.exceptions import PanicException

from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Status
from freshet.streams.operators.crashes import KEPT_TEXT
from freshet.streams.operators.loop import Rhythm
from freshet.streams.operators.task import Outputs
from tests.streams.operators.deaths import NEVER
from tests.streams.operators.toys import Bench, Fragile, Toy, settle

ROUNDS, STEP_MS = 8, 3_000


def test_a_record_that_crashes_three_times_is_a_dead_letter_and_its_neighbours_are_applied(
    bench: Bench,
) -> None:
    bench.kind = Fragile
    bench.put(0, b"a", b"b")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    bench.put(0, b"c", b"bad", b"d")
    bench.put(1, b"x")
    settle(op)
    assert bench.made[0].seen == 4
    assert bench.made[1].seen == 1
    assert bench.journal.count("toy:0 skips 3") == 1
    (letter,) = [blocks.decode(v).rows for v in bench.records("dead")]
    assert letter is not None
    (row,) = letter.to_pylist()
    assert (row["reason"], row["_offset"], row["value"]) == ("crash", 3, b"bad")
    assert row["detail"] == "ZeroDivisionError: on a bad record"
    assert {bytes(v) for v in bench.records("out")} == {b"a", b"b", b"c", b"d", b"x"}
    op.checkpoint()
    op.close()


def test_nothing_is_told_of_what_follows_a_skipped_record_before_that_is_behind_a_checkpoint(
    bench: Bench,
) -> None:
    """It might be got over after a restart, and what readers have had of later ones would keep it
    out."""
    bench.kind = Fragile
    bench.put(0, b"a", b"bad", b"b", b"c")
    op = bench.operator(Rhythm(checkpoint_seconds=NEVER))
    while not bench.records("dead"):
        op.step(0.0)
    assert bench.records("out") == [b"a"]
    op.close()  # killed once its checkpoint was saved
    again = bench.operator(Rhythm(status_seconds=0.0))
    settle(again)
    assert bench.records("out") == [b"a", b"b", b"c"]
    assert len(bench.records("dead")) == 1
    statuses = [m for m in bench.told() if isinstance(m, Status)]
    assert statuses[-1].facts["records"] == 2
    again.close()


def test_the_text_of_an_error_is_kept_up_to_a_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Toy, batch: Any) -> Outputs:
        raise ValueError("x" * 2 * KEPT_TEXT)

    monkeypatch.setattr(Toy, "apply", fail)
    bench.put(0, b"a")
    op = bench.operator()
    settle(op)
    (letter,) = [blocks.decode(v).rows for v in bench.records("dead")]
    assert letter is not None
    assert len(letter.to_pylist()[0]["detail"]) == KEPT_TEXT
    op.close()


def test_after_a_restart_the_skipped_record_is_not_tried_again_once_it_is_behind_a_checkpoint(
    bench: Bench,
) -> None:
    bench.kind = Fragile
    bench.put(0, b"bad", b"a", b"bad")
    op = bench.operator()
    settle(op)
    op.checkpoint()
    op.close()
    again = bench.operator()
    settle(again)
    assert bench.made[0].seen == 1
    assert len(bench.records("dead")) == 2
    again.close()


def test_after_a_crash_nothing_is_saved_of_a_task_that_has_not_read_on(bench: Bench) -> None:
    now = [0.0]
    bench.kind = Fragile
    bench.put(0, b"a", b"b")
    op = bench.operator(Rhythm(checkpoint_seconds=1.0, wall=lambda: now[0]))
    op.step(0.0)
    now[0] = 1.0
    bench.put(0, b"c", b"bad")
    op.step(0.0)
    op.close()  # killed right after the checkpoint
    again = bench.operator()
    settle(again)
    assert bench.made[0].seen == 3
    again.close()


def test_a_panic_of_polars_is_a_crash_of_its_record(bench: Bench) -> None:
    class Panicking(Toy):
        def apply(self, batch: Any) -> Outputs:
            if any(batch.value(i).tobytes() == b"bad" for i in range(len(batch))):
                raise PanicException("index out of bounds")
            return super().apply(batch)

    bench.kind = Panicking
    bench.put(0, b"a", b"bad", b"b")
    op = bench.operator()
    settle(op)
    assert bench.made[0].seen == 2
    assert len(bench.records("dead")) == 1
    op.close()


def test_one_that_crashes_costs_the_other_partitions_of_its_step_nothing(bench: Bench) -> None:
    bench.kind = Fragile
    bench.put(0, b"bad")
    bench.put(1, b"x", b"y")
    op = bench.operator()
    assert op.step(0.0)
    assert bench.records("out") == [b"x", b"y"]
    assert bench.journal.index("toy:1 writes") > bench.journal.index("toy:1 applies 2")
    settle(op)
    assert bench.records("out") == [b"x", b"y"], "and nothing is read twice"
    assert bench.made[1].seen == 2
    op.close()


def test_a_full_disk_is_no_fault_of_a_record(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Toy, batch: Any) -> Outputs:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Toy, "apply", full)
    bench.put(0, b"a")
    op = bench.operator()
    with pytest.raises(OSError, match="No space"):
        op.step(0.0)
    assert not bench.records("dead")
    op.close()
