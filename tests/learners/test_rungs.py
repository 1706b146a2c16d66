"""What rungs answer, and what they are declared of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

import freshet as fr
from freshet.learners.rungs import Rung, constant, heuristic
from freshet.schemas.errors import DefinitionError


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
def test_what_is_no_probability_is_refused_when_the_model_is_built(
    make: Callable[[], Rung],
) -> None:
    with pytest.raises(DefinitionError, match=r"fallback.0.: .* is no probability"):
        make().check("fallback[0]", fr.Binary())
    with pytest.raises(DefinitionError, match=r"inf is no answer. Use a finite number"):
        constant(float("inf"))


COLOURS = fr.Classes(["red", "green", "blue"])
SHARES = {"blue": 0.2, "red": 0.5, "green": 0.3}


def test_a_constant_answers_by_the_task() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    assert constant(SHARES).answer(frame, COLOURS).tolist() == [[0.5, 0.3, 0.2]] * 2
    named = constant("green").answer(frame, COLOURS)
    assert named.argmax(axis=1).tolist() == [1, 1]
    assert ((named > 0) & (named < 1)).all()
    np.testing.assert_allclose(named.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert constant(-3e9).answer(frame, fr.Regression()).tolist() == [-3e9] * 2


def test_a_heuristic_answers_by_the_task() -> None:
    frame = pl.DataFrame({"x": [30.0, None, float("nan")], "said": ["blue", "grey", None]})
    rung = heuristic(pl.col("x") > 20, "red", SHARES)
    assert rung.answer(frame, COLOURS).argmax(axis=1).tolist() == [0, 0, 0]
    assert rung.answer(frame, COLOURS)[1:].tolist() == [[0.5, 0.3, 0.2]] * 2
    told = heuristic(pl.col("said"), "red", SHARES).answer(frame, COLOURS)
    assert told.argmax(axis=1).tolist() == [2, 0, 0]
    assert told[1:].tolist() == [[0.5, 0.3, 0.2]] * 2
    numbers = heuristic(pl.col("x") * 2, p_false=-1.0).answer(frame, fr.Regression())
    assert numbers.tolist() == [60.0, -1.0, -1.0]


@pytest.mark.parametrize(
    ("p", "task", "why"),
    [
        (0.2, COLOURS, "is no answer of 3 classes. Name one, or give each its probability: red"),
        ("grey", COLOURS, "is no answer of 3 classes"),
        ({"red": 0.5, "green": 0.5}, COLOURS, "is no answer of 3 classes"),
        ({**SHARES, "red": 0.6}, COLOURS, "are no probabilities"),
        ({"red": 1.0, "green": 0.0, "blue": 0.0}, COLOURS, "are no probabilities"),
        ("red", fr.Regression(), "is no finite number"),
        (True, fr.Regression(), "is no finite number"),
        ("red", fr.Binary(), "is no probability"),
    ],
)
def test_a_rung_that_is_no_answer_of_the_task_is_refused(p: Any, task: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        constant(p).check("model late: fallback[0]", task)


ORDERS = fr.Topic(
    "orders",
    {
        "type": "record",
        "name": "order",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {
                "name": "place",
                "type": {
                    "type": "record",
                    "name": "Place",
                    "fields": [{"name": "size", "type": "double"}],
                },
            },
        ],
    },
    event_id="id",
    event_time="at",
)
PLACE = fr.View("place", ORDERS, key="id", features={"size": fr.sum("place.size", over="1h")})


def of_orders(*features: Any) -> fr.Model:
    return fr.Model(
        "large",
        on=ORDERS,
        id="id",
        label=fr.Label(ORDERS, id="id", value=pl.col("place.size") > 1),
        features=features,
        learners=[fr.Baseline()],
        fallback=[heuristic(pl.col("place.size") > 2)],
    )


def test_a_heuristic_over_what_is_nested_in_a_request_needs_no_store() -> None:
    """Both have dots in their names, and only one of them is read from the store."""
    assert [rung.needs for rung in of_orders(ORDERS["place.size"]).fallback] == [frozenset()]
    assert [rung.needs for rung in of_orders(PLACE["size"]).fallback] == [frozenset({"features"})]


def test_a_field_and_a_feature_of_one_name_are_refused_by_it() -> None:
    with pytest.raises(DefinitionError, match=r"'place\.size' is a field of orders, and a feature"):
        of_orders(ORDERS["place.size"], PLACE["size"])
