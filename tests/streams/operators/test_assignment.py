"""How far a recording task gets ahead of its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.streams.intake.task import IntakeTask
from freshet.streams.operators import assignment
from freshet.streams.operators.assignment import Assignment, Since
from freshet.streams.operators.checkpoints import Checkpoints
from tests.streams.toy_events import batch_of, plan


def test_a_gap_beyond_its_reach_is_passed_at_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "REACH", 100)
    checkpoints = Checkpoints(str(tmp_path), "intake", "log")
    assigned = Assignment.resumed(IntakeTask(plan(1), 0), checkpoints, 0, Since(0, 0))
    far = 10_000
    batch = batch_of([b"x", b"x", b"x"], [5, 99, far], [1, 1, 1], "landings")
    assert assigned.within_reach(batch).offsets.tolist() == [5, 99]
    assigned.next = 100
    rest = batch.rows(2, 3)
    # Nothing lies between, and the checkpoint says so.
    assert not len(assigned.within_reach(rest))
    assert assigned.save()
    assert assigned.saved == far
    assert assigned.within_reach(rest).offsets.tolist() == [far]
