"""What comes while a model is held is not learned, is told, and can be learned later."""

from __future__ import annotations

import pytest

from freshet.lineages.hold import hold, learned_later, resume
from freshet.lineages.rewind import go_back
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError
from freshet.streams.control.holds import Holds
from tests.freshet.lineages.test_rewind import equal, saved_each_hour
from tests.freshet.lineages.test_start import _task, learned_by
from tests.freshet.toy_day import toy_day

HELD, FREED = 4, 7  # hours at whose beginning somebody says so


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A day that was held for three hours, and what was learned of it later; and one that was
    not."""
    folder = tmp_path_factory.mktemp("held")
    found: dict[str, object] = {}

    def by_hand(hour: int, local: object) -> None:
        saved_each_hour(hour, local)  # type: ignore[arg-type]
        with opened(folder) as run:
            model = run.app.models[0]
            if hour == HELD:
                hold(run, model, "ann", "a storm")
                with pytest.raises(RequestError, match="is held already, by ann: a storm"):
                    hold(run, model, "bob", "again")
            if hour == FREED:
                skipped = resume(run, model, "bob", "over")
                found["names"] = [
                    go_back(run, back) for back in learned_later(run, model, skipped, "bob")
                ]
                with pytest.raises(RequestError, match="is not held"):
                    resume(run, model, "bob", "over")

    with toy_day(folder, hours=10, before=by_hand) as (app, local):
        model = app.models[0]
        declared = model.lineage(model.learners[1])
        later = [name for name in found["names"] if name.startswith("hashed")]  # type: ignore[attr-defined]
        found["held"] = learned_by(local, declared)
        found["later"] = learned_by(local, later[0])
        found["facts"] = _task(local, declared).facts()
        found["facts later"] = _task(local, later[0]).facts()
    with toy_day(tmp_path_factory.mktemp("free"), hours=10) as (_, local):
        found["free"] = learned_by(local, declared)
        found["facts free"] = _task(local, declared).facts()
    return found


def test_what_is_skipped_is_counted_with_who_and_why(days: dict[str, dict[str, object]]) -> None:
    facts, free = days["facts"], days["facts free"]
    (skip,) = facts["skips"]  # type: ignore[misc]
    assert (skip["by"], skip["why"]) == ("ann", "a storm")
    assert skip["examples"] > 0
    assert facts["learned"] == free["learned"] - skip["examples"]  # type: ignore[operator]
    assert skip["until"] is not None
    assert facts["all"]["n"] == free["all"]["n"]  # type: ignore[index]
    assert not equal(days["held"], days["free"])  # type: ignore[arg-type]


def test_what_was_skipped_can_be_learned_later(days: dict[str, dict[str, object]]) -> None:
    assert equal(days["later"], days["free"])  # type: ignore[arg-type]
    assert days["facts later"]["learned"] == days["facts free"]["learned"]


def test_nothing_is_held_that_nobody_held() -> None:
    assert Holds().all() == {}
