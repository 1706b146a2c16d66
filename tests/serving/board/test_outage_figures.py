"""Several roles that miss one server are one outage."""

from __future__ import annotations

import itertools

from freshet.serving.board.outage_figures import outage_figures
from freshet.streams.outages import Outage


def outage(
    since: int, meanwhile: str = "waits", component: str = "store", cause: str = "refused"
) -> Outage:
    return Outage(
        component=component,
        resource="x:1",
        cause=cause,
        meanwhile=meanwhile,
        next_step="start it",
        since=since,
    )


def test_it_began_when_the_first_noticed_whose_cause_is_told() -> None:
    (told,) = outage_figures(
        [("view", outage(20, cause="timed out")), ("serve", outage(10)), ("view", outage(30))]
    )
    assert (told.since_ms, told.cause, told.roles, told.meanwhile) == (
        10,
        "refused",
        ["serve", "view"],
        "waits",
    )


def test_roles_that_do_different_things_meanwhile_are_named() -> None:
    (told,) = outage_figures(
        [("view", outage(1)), ("serve", outage(2, "answers by rung")), ("join", outage(3))]
    )
    assert told.meanwhile == "join, view: waits; serve: answers by rung"


def test_servers_are_told_apart_the_longest_away_first() -> None:
    told = outage_figures([("view", outage(20)), ("view", outage(10, component="log"))])
    assert [o.component for o in told] == ["log", "store"]


def test_the_order_in_which_roles_say_it_means_nothing() -> None:
    said = [
        ("view", outage(10)), ("serve", outage(10, "answers", cause="timed out")), ("join", outage(7, component="log"))
    ]  # fmt: skip
    assert len({repr(outage_figures(order)) for order in itertools.permutations(said)}) == 1
