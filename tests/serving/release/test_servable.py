"""Of each lineage one snapshot is chosen, and those before it are there to go back to."""

from __future__ import annotations

import pytest

from freshet.schemas.models.manifest import Identity
from freshet.serving.release.servable import Servable


def snapshot(number: int, lineage: str = "river-1") -> Identity:
    return Identity("parcels", "late", lineage, number, f"{number:064x}")


@pytest.fixture
def servable() -> Servable:
    made = Servable(keep=3)
    for number in (1, 2, 3):
        made.choose(snapshot(number))
    return made


def test_the_one_that_was_chosen_last_is_served_and_no_other_lineage_is_concerned(
    servable: Servable,
) -> None:
    servable.choose(snapshot(9, "baseline-1"))
    assert servable.current("river-1") == snapshot(3)
    assert servable.current("baseline-1") == snapshot(9, "baseline-1")
    assert servable.current("never") is None


def test_an_earlier_one_that_is_chosen_again_is_served_and_stands_there_once(
    servable: Servable,
) -> None:
    servable.choose(snapshot(2))
    assert servable.current("river-1") == snapshot(2)
    servable.withdraw("river-1", 2)
    assert servable.current("river-1") == snapshot(3)


def test_what_is_withdrawn_leaves_the_one_before_it_until_none_is_left(
    servable: Servable,
) -> None:
    for number, left in ((3, 2), (2, 1)):
        servable.withdraw("river-1", number)
        assert servable.current("river-1") == snapshot(left)
    servable.withdraw("river-1", 1)
    assert servable.current("river-1") is None


def test_as_many_are_gone_back_to_as_are_kept(servable: Servable) -> None:
    servable.choose(snapshot(4))
    for number in (4, 3, 2):
        servable.withdraw("river-1", number)
    assert servable.current("river-1") is None, "the first of four is forgotten"


def test_those_that_are_gone_are_dropped_from_the_newest_on_down_to_one_that_is_there(
    servable: Servable,
) -> None:
    servable.drop_missing("river-1", lambda which: which.number == 1)
    assert servable.current("river-1") == snapshot(1)
    servable.drop_missing("never", lambda which: False)
