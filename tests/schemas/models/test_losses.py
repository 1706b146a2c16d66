"""Each task is compared by one loss."""

from __future__ import annotations

from freshet.schemas.models.losses import LOG_LOSS, SQUARED_ERROR, loss_of
from freshet.schemas.models.tasks import Binary, Classes, Regression


def test_numbers_are_compared_by_squared_error_and_probabilities_by_log_loss() -> None:
    assert loss_of(Binary()) == loss_of(Classes(["a", "b"])) == LOG_LOSS
    assert loss_of(Regression()) == SQUARED_ERROR
