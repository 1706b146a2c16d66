"""Rungs as a table: what is there, and which rung answers."""

from __future__ import annotations

import polars as pl
import pytest

from freshet.learners.rungs import Rung, constant, heuristic
from freshet.serving.scoring.fallback import Conditions, choose

VIEW = heuristic(pl.col("origin_delay.ewm") > 20, p_true=0.7, p_false=0.2)
OWN = heuristic(pl.col("distance") > 20)
LAST = constant(0.24)
ALL = (VIEW, OWN, LAST)

TABLE = [
    (Conditions(), ALL, "champion", None),
    (Conditions(last_good=True), ALL, "champion", None),
    (Conditions(champion=False, last_good=True), ALL, "last_good", None),
    (Conditions(champion=False), ALL, "heuristic", VIEW),
    # the switch "answer from models" and a stale model rule out both models
    (Conditions(last_good=True, models=False), ALL, "heuristic", VIEW),
    (Conditions(last_good=True, fresh_model=False), ALL, "heuristic", VIEW),
    # a rung that reads features does not cure missing ones
    (Conditions(last_good=True, features=False), ALL, "heuristic", OWN),
    (Conditions(last_good=True, features=False), (VIEW, LAST), "constant", LAST),
    (Conditions(features=False), (LAST,), "constant", LAST),
    # what is missing rules out models, and rungs that read it
    (Conditions(missing=frozenset(["wind"])), ALL, "heuristic", VIEW),
    (Conditions(missing=frozenset(["origin_delay.ewm"])), ALL, "heuristic", OWN),
    (Conditions(missing=frozenset(["origin_delay.ewm", "distance"])), ALL, "constant", LAST),
    (Conditions(missing=frozenset(["wind"])), (), None, None),
    # out of time
    (Conditions(last_good=True, time=False), (LAST,), "constant", LAST),
    # declared in this order, so this one answers
    (Conditions(champion=False), (LAST, OWN), "constant", LAST),
    # nothing left
    (Conditions(champion=False), (), None, None),
    (Conditions(features=False), (VIEW,), None, None),
]


@pytest.mark.parametrize(("conditions", "fallback", "rung", "declared"), TABLE)
def test_the_highest_rung_with_all_it_needs_answers(
    conditions: Conditions,
    fallback: tuple[Rung, ...],
    rung: str | None,
    declared: Rung | None,
) -> None:
    choice = choose(conditions, fallback)
    assert (choice.rung if choice else None) == rung
    assert (choice.declared if choice else None) is declared


def test_a_model_without_view_features_does_not_need_the_store() -> None:
    choice = choose(Conditions(features=False), ALL, reads_views=False)
    assert choice is not None
    assert choice.rung == "champion"
