"""What stands aside, or behind, is a thread of its own, and nobody else."""

from __future__ import annotations

import os
import sys

import pytest

from freshet.streams.aside import BEHIND, NICE, behind, stand_aside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have this on Linux")


def standing() -> tuple[int, int]:
    """Policy and niceness of this thread."""
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


def aside() -> tuple[int, int]:
    stand_aside()
    return standing()


def test_who_stands_aside_or_behind_does_so_alone() -> None:
    before = standing()
    assert behind(standing) == (before[0], min(NICE, before[1] + BEHIND))
    assert behind(aside)[0] == os.SCHED_IDLE
    assert standing() == before


def test_where_there_is_no_such_policy_it_is_as_nice_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    before = standing()
    assert behind(aside)[1] == NICE
    assert standing() == before


def test_its_value_and_its_error_are_those_of_the_work() -> None:
    assert behind(max, 3, 5) == 5
    with pytest.raises(ZeroDivisionError):
        behind(divmod, 1, 0)
