"""The loss by which answers of a task are compared: one for each, always named.

Log loss (nats) for what answers with probabilities. Squared error for numbers: the mean of the
labels to come has the least of it, and that is what learners estimate (Gneiting, "Making and
evaluating point forecasts", 2011); absolute error would prefer whoever answers with the median.
"""

from __future__ import annotations

from freshet.schemas.models.tasks import REGRESSION, Task

LOG_LOSS = "log_loss"
SQUARED_ERROR = "squared_error"


def loss_of(task: Task) -> str:
    """The name that the loss has among the figures, as trainers tell them."""
    if task.kind == REGRESSION:
        return SQUARED_ERROR
    return LOG_LOSS
