"""What rungs answer, and what they are declared of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

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
def test_what_is_no_probability_is_refused_when_the_app_is_built(
    make: Callable[[], Rung],
) -> None:
    with pytest.raises(DefinitionError, match="is no probability"):
        make()
