"""Processes are present while they are heard of, replaced by those that start after them, and lost
otherwise."""

from __future__ import annotations

from typing import Any

from freshet.schemas.wire.messages import Status
from freshet.serving.board.roll_call import GRACE_MS, LOST_MS, SILENT_MS, STUCK_MS, RollCall

NOW = 1_800_000_000_000


def status(instance: str, ago: int = 0, started_ago: int = 60_000, **facts: Any) -> Status:
    role = instance.split("/", 1)[0].split(".", 1)[0]
    return Status(role, instance, 1, NOW - ago, {"started_ms": NOW - started_ago, **facts})


def heard(*statuses: Status) -> RollCall:
    """By one that has listened for ten minutes."""
    roll = RollCall()
    roll.begin(NOW - 600_000)
    for m in statuses:
        roll.note(m)
    return roll


def states(roll: RollCall, now_ms: int = NOW, **children: Any) -> dict[str, str]:
    """Of one that looks every second, once it has looked at all."""
    if roll._looked_ms is not None:
        for at in (*range(roll._looked_ms + 1_000, now_ms, 1_000), now_ms):
            roll.look(at)
    return {r.instance: r.state for r in roll.figures(children, now_ms)}


def test_a_role_is_lost_beyond_its_bound_and_not_before() -> None:
    roll = heard(status("view/a"))
    assert states(roll, NOW + LOST_MS) == {"view": "running"}
    assert states(roll, NOW + LOST_MS + 1) == {"view": "lost"}


def test_one_whose_loop_is_quiet_is_busy_while_its_heartbeat_is_heard_and_lost_if_that_has_no_end() -> (
    None
):
    def quiet(ms: int) -> dict[str, str]:
        return states(heard(status("train.x/a", ago=500, told_ms=NOW - 500 - ms)))

    assert quiet(SILENT_MS) == {"train.x": "running"}
    assert quiet(SILENT_MS + 1) == quiet(STUCK_MS) == {"train.x": "busy"}
    assert quiet(STUCK_MS + 1) == {"train.x": "lost"}
    starting = heard(status("train.x/a", started_ago=9_000, told_ms=None))
    assert states(starting) == {"train.x": "busy"}, "it has never told: its loop has not begun"


def test_one_that_holds_still_says_so() -> None:
    assert states(heard(status("release/a", held=True), status("view/b", held=False))) == {
        "release": "held",
        "view": "running",
    }


def test_members_of_one_role_are_told_apart_and_one_that_is_lost_stays_shown() -> None:
    roll = heard(
        status("view/a", ago=LOST_MS + 1, started_ago=90_000), status("view/b", started_ago=80_000)
    )
    assert states(roll) == {"view/a": "lost", "view/b": "running"}


def test_a_restarted_role_takes_the_place_of_its_former_process() -> None:
    roll = heard(
        status("view/a", ago=SILENT_MS + 1, started_ago=90_000), status("view/b", started_ago=1_000)
    )
    assert states(roll) == {"view": "running"}
    roll.look(NOW)
    assert states(roll) == {"view": "running"}
    assert roll.state("view/a", NOW) == "lost"


def test_restarts_are_those_since_the_roll_is_called() -> None:
    roll = RollCall()
    for m in (
        status("view/a", ago=90_000, started_ago=95_000),
        status("view/b", started_ago=80_000),
    ):
        roll.note(m)
    roll.begin(NOW)
    roll.look(NOW)
    assert [r.restarts for r in roll.figures({}, NOW)] == [0], "the run before this one is no crash"
    for n, instance in enumerate(("view/c", "view/d"), start=1):
        later = NOW + n * (SILENT_MS + 1)
        roll.note(status(instance, ago=NOW - later, started_ago=NOW - later))
        roll.look(later)
        roll.look(later)
        assert [r.restarts for r in roll.figures({}, later)] == [n]


def test_a_member_that_merely_started_later_replaces_nobody_who_speaks() -> None:
    roll = heard(
        status("view/a", ago=SILENT_MS, started_ago=90_000), status("view/b", started_ago=100)
    )
    assert states(roll) == {"view/a": "running", "view/b": "running"}


def test_the_supervisor_knows_who_is_starting_or_restarting() -> None:
    roll = heard(status("view/a", ago=LOST_MS + 1))
    dead, new = (
        {"pid": None, "alive": False, "restarts": 3},
        {"pid": 7, "alive": True, "restarts": 0},
    )
    by_name = {r.instance: r for r in roll.figures({"view": dead, "train.m.x": new}, NOW)}
    assert (by_name["view"].state, by_name["view"].restarts) == ("restarting", 3)
    assert (by_name["train.m.x"].role, by_name["train.m.x"].state, by_name["train.m.x"].pid) == (
        "train",
        "starting",
        7,
    )


def test_a_role_that_ends_again_and_again_is_restarting_whether_it_was_heard_of_or_not() -> None:
    failing = {
        "pid": 7,
        "alive": True,
        "restarts": 4,
        "failing": True,
        "last_exit": "its key is torn",
    }
    roll = heard(status("view/a"))
    found = {r.instance: r for r in roll.figures({"view": failing, "train.m.x": failing}, NOW)}
    for role in found.values():
        assert (role.state, role.restarts, role.last_exit) == ("restarting", 4, "its key is torn")
    assert found.keys() == {"view", "train.m.x"}


def test_a_process_tells_its_own_figures() -> None:
    (role,) = heard(
        status("view/a", memory_mb=12.5, cpu_seconds=3.0, metrics="http://x:1/metrics")
    ).figures({}, NOW)
    assert (role.memory_mb, role.cpu_seconds, role.started_ms) == (12.5, 3.0, NOW - 60_000)
    assert (role.metrics, role.seen_ms, role.pid) == ("http://x:1/metrics", NOW, 1)


def requests(answered: int, failed: int = 0, p99_ms: float | None = None) -> dict[str, Any]:
    return {
        "answered": answered,
        "failed": failed,
        "rows": answered,
        "per_second": 2.0,
        "p99_ms": p99_ms,
    }


def test_requests_of_all_scorers_count_together_and_the_slowest_is_told() -> None:
    told = heard(
        status("serve/a", requests=requests(10, 1, 4.0)),
        status("serve/b", requests=requests(5, 0, 9.0)),
    ).requests(NOW)
    assert (told.answered, told.failed, told.rows, told.per_second) == (15, 1, 15, 4.0)
    assert (told.p99_ms, told.p99_swap_ms) == (9.0, None)
    assert (told.refused, told.in_error) == (0, 0), "an older scorer does not tell"
    more = {"refused": 4, "in_error": 7}
    told = heard(status("serve/a", requests={**requests(10, 1), **more})).requests(NOW)
    assert (told.answered, told.failed, told.total) == (10, 1, 22)
    assert (told.refused, told.in_error) == (4, 7)


def test_requests_that_a_former_process_failed_are_never_forgotten() -> None:
    roll = heard(
        status("serve/a", ago=SILENT_MS + 1, requests=requests(10, 1, 400.0)),
        status("serve/b", started_ago=1_000, requests=requests(5, 0, 9.0)),
    )
    before = roll.requests(NOW + LOST_MS)
    roll.look(NOW + LOST_MS)
    after = roll.requests(NOW + LOST_MS)
    assert before == after
    assert (after.answered, after.failed, after.per_second, after.p99_ms) == (15, 1, 2.0, 9.0)
    roll.note(status("serve/a", requests=requests(11, 1)))  # it was only slow
    assert roll.requests(NOW).answered == 16


def test_nobody_was_asked_anything_yet() -> None:
    told = RollCall().requests(NOW)
    assert (told.answered, told.failed, told.p50_ms) == (0, 0, None)


def test_a_status_that_comes_late_replaces_no_newer_one() -> None:
    (role,) = heard(
        status("view/a", memory_mb=2.0), status("view/a", ago=900, memory_mb=1.0)
    ).figures({}, NOW)
    assert (role.memory_mb, role.seen_ms) == (2.0, NOW)


def test_who_was_heard_of_only_before_this_one_listened_is_starting_and_lost_after_a_grace() -> (
    None
):
    roll = RollCall()
    for m in (
        status("view/a", ago=3_600_000),
        status("serve/a", ago=3_600_000, requests=requests(7)),
    ):
        roll.note(m)
    assert set(states(roll).values()) == {"starting"}, "it still reads what was said"
    roll.begin(NOW)
    roll.look(NOW)
    for at in (NOW, NOW + GRACE_MS - 1):
        assert states(roll, at) == {"serve": "starting", "view": "starting"}
    (told,) = (r for r in roll.figures({}, NOW) if r.role == "view")
    assert (told.pid, told.seen_ms, told.metrics, told.restarts) == (None, None, "", 0), (
        "that process is gone"
    )
    roll.note(status("view/b", ago=-5_000, started_ago=-4_000))
    assert states(roll, NOW + 5_000) == {"serve": "starting", "view": "running"}
    roll.note(status("view/b", ago=-GRACE_MS))
    assert states(roll, NOW + GRACE_MS) == {"serve": "lost", "view": "running"}
    assert roll.requests(NOW + GRACE_MS).answered == 7


def test_who_was_heard_of_since_is_lost_as_soon_as_ever() -> None:
    roll = RollCall()
    roll.begin(NOW)
    roll.note(status("view/a", ago=-1))
    assert states(roll, NOW + 1 + LOST_MS) == {"view": "running"}
    assert states(roll, NOW + 2 + LOST_MS) == {"view": "lost"}


def test_one_that_says_that_it_ends_is_stopped_and_gives_way_to_whoever_speaks_after_it() -> None:
    roll = heard(status("serve/a", requests=requests(7)), status("serve/a", ended=True))
    assert states(roll) == states(roll, NOW + 10 * LOST_MS) == {"serve": "stopped"}
    assert roll.requests(NOW).answered == 7, "what it had told stays"
    roll.note(status("serve/b", ago=-500, started_ago=90_000))
    assert states(roll, NOW + 500) == {"serve": "running"}
    roll.look(NOW + 500)
    assert roll.requests(NOW + 500).answered == 7
    assert [r.restarts for r in roll.figures({}, NOW + 500)] == [0], "that was no crash"


def test_a_role_that_the_app_does_not_declare_any_more_is_shown_only_while_it_speaks() -> None:
    roll = RollCall(lambda name: name != "train.late.river-1")
    roll.begin(NOW - 600_000)
    roll.note(status("train.late.river-1/a"))
    roll.note(status("train.late.river-2/b"))
    assert states(roll, NOW + LOST_MS) == {
        "train.late.river-1": "running",
        "train.late.river-2": "running",
    }
    assert states(roll, NOW + LOST_MS + 1) == {"train.late.river-2": "lost"}
    roll.look(NOW + LOST_MS + 1)
    assert states(roll, NOW + LOST_MS + 1) == {"train.late.river-2": "lost"}


def test_nobody_is_lost_for_a_pause_of_this_process_or_of_the_whole_machine() -> None:
    roll = heard(status("view/a"), status("control/a"))
    roll.look(NOW)
    awake = NOW + 24_000
    assert {r.state for r in roll.figures({}, awake)} == {"running"}, "as of the last look"
    roll.look(awake)
    assert states(roll, awake + LOST_MS) == {"control": "running", "view": "running"}
    roll.note(status("control/a", ago=NOW - awake))
    assert states(roll, awake + LOST_MS + 1) == {"control": "lost", "view": "lost"}


def test_if_this_process_looks_no_more_all_are_lost_in_the_end() -> None:
    roll = heard(status("view/a"))
    roll.look(NOW)
    assert {r.state for r in roll.figures({}, NOW + STUCK_MS)} == {"running"}
    assert {r.state for r in roll.figures({}, NOW + STUCK_MS + 1)} == {"lost"}
