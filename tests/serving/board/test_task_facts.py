"""What a task told last is known, whichever process told it."""

from __future__ import annotations

from typing import Any

from freshet.schemas.wire.messages import Progress, Status
from freshet.serving.board.task_facts import TaskFacts


def status(instance: str, at: int, **facts: Any) -> Status:
    return Status("view", instance, 1, at, {"memory_mb": 3.0, "outages": [], **facts})


def test_a_partition_that_moved_is_known_from_its_new_process_and_others_stay() -> None:
    tasks = TaskFacts()
    tasks.note(
        status(
            "view/a",
            10,
            **{"view:v:0": {"keys": 1}, "view:v:1": {"keys": 2}, "view:other:0": {"keys": 9}},
        )
    )
    tasks.note(status("view/b", 20, **{"view:v:1": {"keys": 5}}))
    tasks.note(status("view/a", 15, **{"view:v:0": {"keys": 3}, "view:v:1": {"keys": 2}}))
    assert [(t.instance, t.facts) for t in tasks.of("view", "v")] == [
        ("view/a", {"keys": 3}),
        ("view/b", {"keys": 5}),
    ]
    assert tasks.of("intake", "v") == tasks.of("view", "none") == []


def test_a_topic_is_finished_up_to_its_slowest_partition_once_all_are_known() -> None:
    tasks = TaskFacts()
    tasks.note(Progress("view", "view/a", {"view:v:0": 30, "view:w:0": 1}))
    assert (tasks.finished("view", "v", 2), tasks.finished("view", "v")) == (None, 30)
    tasks.note(Progress("view", "view/b", {"view:v:1": 20}))
    assert tasks.finished("view", "v", 2) == 20


def test_a_topic_is_finished_up_to_the_slowest_of_the_partitions_that_were_added_too() -> None:
    tasks = TaskFacts()
    tasks.note(Progress("intake", "intake/a", {"intake:t:0": 30, "intake:t:2": 10}))
    assert (tasks.finished("intake", "t", 1), tasks.finished("intake", "t", 2)) == (10, None)
    assert tasks.finished("intake", "other", 1) is None


def test_names_of_lineages_may_hold_dots_and_dashes() -> None:
    tasks = TaskFacts()
    tasks.note(status("train/a", 1, **{"train:late.river-1a2b3c4d:0": {"learned": 3}}))
    assert tasks.of("train", "late.river-1a2b3c4d")[0].facts == {"learned": 3}
