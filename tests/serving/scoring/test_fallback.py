"""Rungs as a table: what is there, and which rung answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from freshet.schemas.errors import DefinitionError
from freshet.serving.scoring.fallback import Conditions, Declared, choose, constant, heuristic

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
    fallback: tuple[Declared, ...],
    rung: str | None,
    declared: Declared | None,
) -> None:
    choice = choose(conditions, fallback)
    assert (choice.rung if choice else None) == rung
    assert (choice.declared if choice else None) is declared


def test_a_model_without_view_features_does_not_need_the_store() -> None:
    choice = choose(Conditions(features=False), ALL, reads_views=False)
    assert choice is not None
    assert choice.rung == "champion"


def test_a_heuristic_gives_a_probability_or_a_truth_and_never_a_gap() -> None:
    frame = pl.DataFrame({"x": [30.0, 10.0, None, float("nan")], "t": [True, False, None, True]})
    assert heuristic(pl.col("x") > 20, 0.7, 0.1).answer(frame).tolist() == [0.7, 0.1, 0.1, 0.1]
    assert heuristic(pl.col("t"), 0.7, 0.1).answer(frame).tolist() == [0.7, 0.1, 0.1, 0.7]
    p = heuristic(pl.col("x") / 40, p_false=0.3).answer(frame)
    np.testing.assert_allclose(p, [0.75, 0.25, 0.3, 0.3])
    p = heuristic(pl.col("x") / 10).answer(frame)
    assert ((p > 0) & (p < 1)).all()
    assert constant(0.25).answer(frame).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    "make", [lambda: constant(0.0), lambda: constant(24), lambda: heuristic(pl.col("x"), p_true=1)]
)
def test_what_is_no_probability_is_refused_when_the_app_is_built(
    make: Callable[[], Declared],
) -> None:
    with pytest.raises(DefinitionError, match="is no probability"):
        make()
