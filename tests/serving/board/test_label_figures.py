"""What a join tells of its labels is a message that is believed, and adds up over partitions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from freshet.schemas.wire import messages
from freshet.serving.board.label_figures import label_figures
from freshet.streams.join.task import JoinTask
from tests.streams.join.test_task import plan


def told(came: int, newest_ms: int | None, **since: int) -> dict[str, Any]:
    """As a join with nothing behind it tells them, but for these."""
    facts = JoinTask(plan(), 0).facts()
    labels = {**facts["labels"], "came": came, "newest_ms": newest_ms, "used": 1}
    return {**facts, "labels": {**labels, "since_used": {**labels["since_used"], **since}}}


def said(facts: dict[str, Any]) -> messages.Message:
    status = messages.Status("join", "join/1", 1, 0, {"join:late:0": facts})
    return messages.decode(messages.encode(status))


def test_a_join_without_labels_and_one_with_old_ones_are_believed() -> None:
    assert said({**told(0, None), "finished": 0})
    assert said({**told(9, -2_051_222_400_000, late=9), "finished": 0})


def test_what_no_join_counts_is_not_believed() -> None:
    with pytest.raises(msgspec.DecodeError):
        said({**told(-1, None), "finished": 0})


def test_partitions_add_up_and_the_newest_label_is_that_of_any() -> None:
    parts = [told(9, 5, late=2), told(3, None), told(1, -7, late=1, empty=1)]
    found = label_figures(parts, [], "late")
    assert (found.came, found.used, found.newest_ms) == (13, 3, 5)
    assert {k: n for k, n in found.since_used.items() if n} == {"late": 3, "empty": 1}


def test_a_join_that_has_told_nothing_yet_has_no_labels() -> None:
    assert label_figures([], [], "late") == label_figures([{"asked": 3}], [{}], "late")


def test_what_became_of_events_as_labels_is_of_one_model_and_of_all_partitions() -> None:
    intake = [
        {"label_fates": {"late": {"used": 3, "bad": 1}, "other": {"used": 9}}},
        {"label_fates": {"late": {"used": 2, "null": 4}}},
        {"fates": {"applied": 7}},
    ]
    found = label_figures([], intake, "late")
    assert found.fates == {"used": 5, "bad": 1, "null": 4}
