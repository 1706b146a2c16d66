"""Holds by people and by conditions, side by side."""

from __future__ import annotations

from freshet.schemas.models.spans import Span
from freshet.schemas.wire.messages import Hold
from freshet.streams.control.holds import Holds


def told(held: bool, tick: int, by: str, condition: str = "") -> Hold:
    return Hold("late", held, tick, "why", by, 0, condition)


def test_each_holds_by_itself() -> None:
    holds = Holds()
    assert holds.note(told(True, 10, "condition a", "a"))
    assert holds.note(told(True, 20, "ann"))
    assert not holds.note(told(True, 30, "bob")), "it is held already"
    assert holds.note(told(False, 40, "bob"))
    assert holds.by_people("late") is None
    assert list(holds.by_conditions("late")) == ["a"]
    assert holds.all() == {
        "late": (Span(10, None, "condition a", "why"), Span(20, 40, "ann", "why"))
    }
    assert holds.note(told(False, 50, "condition a", "a"))
    assert not holds.by_conditions("late")


def test_a_condition_that_ends_does_not_end_what_somebody_holds() -> None:
    holds = Holds()
    holds.note(told(True, 10, "ann"))
    assert not holds.note(told(False, 20, "condition a", "a"))
    assert holds.by_people("late") == Span(10, None, "ann", "why")
