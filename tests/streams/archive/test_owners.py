"""Two processes that both take a partition of the archive for theirs lose nothing of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.streams.archive.folder import ArchiveError, ArchiveFolder
from freshet.streams.archive.layout import task_of
from freshet.streams.archive.manifest import named_files
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.log.contract import Batch
from freshet.streams.operators.assignment import Assignment, Since
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import Claiming

PLAN = ArchivePlan("app", "control", "control")
TASK = task_of("control", "control", 0)
IDENTITY = "a/b"
LAST = 60  # records that there are


def record(at: int) -> Batch:
    edges = np.array([0, 1])
    data = np.frombuffer(bytearray(b"x"), np.uint8)
    return Batch("control", 0, data, edges[:1], edges[1:], np.array([at]), np.array([at]))


class Owner:
    """A process that does what an operator does, one step at a time. `between` runs wherever it has
    asked whether it still is the last one."""

    def __init__(self, place: Path, between: Callable[[], None]) -> None:
        self.place = place
        self.between = between
        self.assigned: Assignment | None = None

    def begin(self) -> None:
        task = ArchiveTask(
            PLAN,
            Start(0, 0, IDENTITY),
            ArchiveFolder(str(self.place / "archive")),
            Rhythm(age_seconds=0.0, file_bytes=1),
        )
        checkpoints = Checkpoints(str(self.place / "checkpoints"), TASK, IDENTITY)
        assert isinstance(task, Claiming)
        self.assigned = Assignment.resumed(task, checkpoints, 0, Since(0, 0))

        def is_last() -> bool:
            found = checkpoints.is_last()
            self.between()
            return found

        task.claimed(is_last)

    def step(self, draw: random.Random) -> None:
        if self.assigned is None or draw.random() < 0.05:
            self.begin()
        assigned = self.assigned
        assert assigned is not None
        try:
            self._work(assigned, draw)
        except ArchiveError as error:
            if "another process has its partition" not in str(error):
                raise
            self.assigned = None

    def _work(self, assigned: Assignment, draw: random.Random) -> None:
        for _ in range(draw.randint(0, 3)):
            if assigned.position < LAST:
                assigned.task.apply(record(assigned.position))
                assigned.next = assigned.position + 1
        assigned.task.write()
        if draw.random() < 0.7:
            settling = assigned.settling
            assigned.save(settling is not None and settling.settles())


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 1 << 30))
def test_two_owners_that_take_turns_anywhere_remove_nothing_that_counts(
    tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    place = tmp_path / f"{seed}-{random.random()}"
    depth = 0

    def by_the_other(number: int) -> Callable[[], None]:
        def between() -> None:
            nonlocal depth
            # No deeper: each would wait for the other one.
            if depth or draw.random() < 0.5:
                return
            depth += 1
            for _ in range(draw.randint(1, 4)):
                owners[1 - number].step(draw)
            depth -= 1

        return between

    owners = [Owner(place, by_the_other(number)) for number in range(2)]
    for _ in range(60):
        owners[draw.randint(0, 1)].step(draw)
        files = named_files(str(place / "checkpoints"), TASK, IDENTITY)
        for file in files:
            assert (place / "archive" / file.path(PLAN.place(0))).exists()
        assert all(one.after == other.first for one, other in pairwise(files))
        assert not files or files[0].first == 0


def test_who_comes_later_is_believed_however_far_the_one_before_gets(tmp_path: Path) -> None:
    first = Checkpoints(str(tmp_path), TASK, IDENTITY)
    first.claim()
    first.save(10, {"a": np.arange(1)}, full=True)
    later = Checkpoints(str(tmp_path), TASK, IDENTITY)
    later.claim()
    assert not first.is_last()
    assert later.is_last()
    found = later.load()
    assert found is not None
    assert found[0] == 10
    assert later.wants_full, "nothing follows an object of another claim"
    first.save(90, {"a": np.arange(2)}, full=True)
    later.save(20, {"a": np.arange(3)}, full=True)
    first.save(95, {"a": np.arange(2)}, full=True)
    found = Checkpoints(str(tmp_path), TASK, IDENTITY).load()
    assert found is not None
    assert found[0] == 20
    assert len(found[1]["a"]) == 3


def test_a_process_whose_partition_was_taken_over_says_so(tmp_path: Path) -> None:
    owner = Owner(tmp_path, lambda: None)
    owner.begin()
    assert owner.assigned is not None
    owner.assigned.task.apply(record(0))
    owner.assigned.next = 1
    Owner(tmp_path, lambda: None).begin()
    with pytest.raises(ArchiveError, match="another process has its partition by now"):
        owner.assigned.save()
