"""Each task's figures have columns of their own, in places that suit the label's unit."""

from __future__ import annotations

import numpy as np
import pytest

from freshet.quality.columns import COLUMNS, cells, kind_of, places_of
from freshet.quality.figures import no_answers, quality
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task

TASKS: list[Task] = [Binary(), Classes(["a", "b"]), Regression()]


@pytest.mark.parametrize("task", TASKS)
def test_a_report_is_known_by_its_figures(task: Task) -> None:
    told = quality(task, no_answers(task), np.empty(0))
    assert kind_of(told) == task.kind
    assert cells(told) == ["–"] * len(COLUMNS[task.kind])


def test_figures_in_a_unit_have_places_by_the_size_of_the_error() -> None:
    told = quality(Regression(), np.array([1_000_000.0, 0.0]), np.array([0.0, 0.25]))
    assert cells(told) == ["500,000", "707,107", "500,000"]
    told = quality(Regression(), np.array([-0.001, 0.002]), np.array([0.0, 0.0]))
    assert cells(told) == ["0.0015000", "0.0015811", "0.0005000"]


def test_an_error_of_any_size_has_places() -> None:
    assert places_of(None) == places_of(0.0) == places_of(float("inf")) == 0
    assert places_of(5e-324) == 328
