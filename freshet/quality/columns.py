"""Figures as columns of a table, by what a model predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from freshet.figures import DASH, fixed
from freshet.quality.report_types import TaskReport
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION

DIGITS = 5  # of figures in the label's unit


class Column(NamedTuple):
    """`figure` is its name in a report; without `places` behind the point it is in the label's
    unit."""

    figure: str
    head: str
    places: int | None


NE = Column("ne", "norm. entropy", 4)
CALIBRATION = Column("calibration", "calibration", 3)
LOG_LOSS = Column("log_loss", "log loss", 4)
ACCURACY = Column("accuracy", "accuracy", 3)
COLUMNS: dict[str, tuple[Column, ...]] = {
    BINARY: (Column("auc", "AUC", 4), NE, CALIBRATION, LOG_LOSS, ACCURACY),
    CLASSES: (
        NE,
        CALIBRATION,
        Column("calibration_error", "cal. error", 3),
        LOG_LOSS,
        ACCURACY,
        Column("macro_f1", "macro F1", 3),
    ),
    REGRESSION: (
        Column("mae", "MAE", None),
        Column("rmse", "RMSE", None),
        Column("bias", "bias", None),
    ),
}
PRIOR: Mapping[str, str] = {
    BINARY: "prior (positives so far)",
    CLASSES: "prior (shares so far)",
    REGRESSION: "prior (mean so far)",
}
NO_CHANGE = "no change (label before)"


def kind_of(told: TaskReport) -> str:
    """Which task figures are of. A binary report does not say it: it had one task before there
    were several."""
    if "mae" in told:
        return REGRESSION
    if "macro_f1" in told:
        return CLASSES
    return BINARY


def cells(told: TaskReport) -> list[str]:
    """Its figures, each as text."""
    values: Mapping[str, object] = {**told}
    return [cell(values[column.figure], column.places) for column in COLUMNS[kind_of(told)]]


def cell(value: object, places: int | None) -> str:
    # NaN, the only value that differs from itself, is what means nothing.
    if not isinstance(value, float | int) or value != value:
        return DASH
    if places is not None:
        return fixed(value, places)
    return in_unit(value)


def in_unit(value: float) -> str:
    """
    >>> in_unit(12.34567), in_unit(-1234567.8), in_unit(0.000123456)
    ('12.346', '−1,234,568', '0.00012346')
    """
    if not value or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    # A minus as wide as a plus, so that columns stand under each other.
    return f"{value:,.{places}f}".replace("-", "−")
