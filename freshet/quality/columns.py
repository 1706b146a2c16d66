"""Figures as columns of a table, by what a model predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from freshet.figures import DASH
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
    unit = places_of(values.get("rmse"))
    out = []
    for column in COLUMNS[kind_of(told)]:
        places = unit if column.places is None else column.places
        out.append(cell(values[column.figure], places))
    return out


def cell(value: object, places: int) -> str:
    # NaN, the only value that differs from itself, is what means nothing.
    if not isinstance(value, float | int) or value != value:
        return DASH
    # A minus as wide as a plus, so that columns stand under each other.
    return f"{value:,.{places}f}".replace("-", "−")


def places_of(size: object) -> int:
    """Places behind the point of figures in the label's unit, where errors have this size.

    >>> places_of(35.767), places_of(1234567.8), places_of(0.000123456)
    (3, 0, 8)
    """
    if not isinstance(size, float | int) or not size or not math.isfinite(size):
        return 0
    return max(0, DIGITS - 1 - math.floor(math.log10(abs(size))))


def in_unit(value: float) -> str:
    """
    >>> in_unit(12.34567), in_unit(-1234567.8), in_unit(0.0)
    ('12.346', '−1,234,568', '0')
    """
    return cell(value, places_of(value))
