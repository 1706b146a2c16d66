"""What stands aside is a thread of its own, and nobody else."""

from __future__ import annotations

import os

import pytest

from freshet.streams.aside import NICE, aside


def standing() -> tuple[int, int]:
    """Policy and niceness of this thread."""
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has this policy")
def test_who_is_aside_is_so_alone_and_whoever_asked_goes_on_as_before() -> None:
    before = standing()
    assert aside(standing)[0] == os.SCHED_IDLE
    assert standing() == before


def test_where_there_is_no_such_policy_it_is_as_nice_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    before = standing()
    assert aside(standing)[1] == NICE
    assert standing() == before


def test_its_value_and_its_error_are_those_of_the_work() -> None:
    assert aside(max, 3, 5) == 5
    with pytest.raises(ZeroDivisionError):
        aside(divmod, 1, 0)
