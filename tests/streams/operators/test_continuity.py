"""Checkpoints that no longer fit their log are told before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freshet.schemas.errors import CheckpointError
from freshet.streams.log.contract import Bounds
from freshet.streams.operators import continuity
from freshet.streams.operators.checkpoints import Checkpoints, positions
from freshet.streams.sqlite.log import SqliteLog

TASK, READS = "intake:orders:0", ("shop.orders", 0)


class OneTopic(SqliteLog):
    """A log whose only topic has given bounds."""

    def __init__(self, directory: Path, identity: str, first: int, after: int) -> None:
        super().__init__(str(directory))
        self.now = Bounds(identity, {0: (first, after)})

    def bounds(self, topic: str) -> Bounds:
        assert topic == READS[0]
        return self.now


def check(folder: Path, identity: str, first: int, after: int) -> None:
    continuity.check(str(folder), OneTopic(folder / "log", identity, first, after), {TASK: READS})


def save(folder: Path, identity: str, *offsets: int) -> None:
    checkpoints = Checkpoints(str(folder), TASK, identity)
    for i, offset in enumerate(offsets):
        checkpoints.save(offset, {"a": np.arange(3)}, full=i == 0)


def test_positions_are_those_of_all_objects(tmp_path: Path) -> None:
    assert positions(str(tmp_path), TASK) == []
    save(tmp_path, "a/b-c=", 5, 9)
    assert sorted(positions(str(tmp_path), TASK)) == [("a/b-c=", 5), ("a/b-c=", 9)]


@pytest.mark.parametrize(("first", "after"), [(0, 9), (0, 20), (9, 9), (9, 20)])
def test_a_log_that_holds_what_comes_next_fits(tmp_path: Path, first: int, after: int) -> None:
    save(tmp_path, "one", 5, 9)
    check(tmp_path, "one", first, after)


def test_without_a_checkpoint_any_log_fits(tmp_path: Path) -> None:
    check(tmp_path, "one", 7, 9)


def test_a_topic_made_anew_is_refused_until_its_own_state_is_there(tmp_path: Path) -> None:
    save(tmp_path, "one", 5)
    with pytest.raises(CheckpointError, match=r"intake:orders:0: topic shop\.orders was recreated"):
        check(tmp_path, "two", 0, 20)
    save(tmp_path, "two", 3)
    check(tmp_path, "two", 0, 20)


def test_records_that_are_gone_are_counted(tmp_path: Path) -> None:
    save(tmp_path, "one", 5, 9)
    with pytest.raises(
        CheckpointError, match="starts at offset 12: the 3 records from offset 9 on are gone"
    ):
        check(tmp_path, "one", 12, 20)


def test_a_log_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "one", 5, 9)
    with pytest.raises(CheckpointError, match="ends at offset 8, before its 9"):
        check(tmp_path, "one", 0, 8)
