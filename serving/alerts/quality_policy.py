"""Alerts of how good the newest answers were, each task by its own figures; see
`freshet.serving.alerts.policy`."""

from __future__ import annotations

from collections.abc import Iterator

from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.serving.alerts.bounds import AlertBounds, Recent
from freshet.serving.status.status import Alert, Light, ModelFigures, Status

MORE_OFTEN = (
    "learning more often: `freshet topics set TOPIC snapshot_every=…`, of the topic of its labels."
)
SILENT = "a source gone silent would be among the alerts"


def calibration(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Answers are, on the whole, far from what happens: the mean prediction of the newest labelled
    ones over the share of them that came true. At single probabilities they may be off all the
    same, or just there."""
    for model in status.models:
        found = model.rolling.calibration
        if not _is_told(model, BINARY, bounds) or found is None:
            continue
        light = _outside(found, bounds.calibration, bounds.red_calibration)
        if light is None:
            continue
        low, high = bounds.calibration
        much = f"only {found:.2f} of"
        if found > 1:
            much = f"{found:.2f} times"
        yield Alert(
            policy="calibration",
            subject=model.name,
            light=light,
            reason=f"calibration is {found:.2f} over the newest {model.rolling.n:,} labelled "
            f"answers, {low:g} to {high:g} is allowed",
            meaning=f"Answers of {model.name} expect, on the whole, {much} what happens: "
            "thresholds on them are off, their order may still be right.",
            next_step="The status page shows at which probabilities and in which slices answers "
            f"are off, `freshet models` whether another lineage is better; {SILENT}; {MORE_OFTEN}",
        )


def confidence(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The class that is answered is, on the whole, right far more or less often than its
    probability says."""
    for model in status.models:
        found = model.rolling.calibration
        accuracy = model.rolling.accuracy
        if not _is_told(model, CLASSES, bounds) or accuracy is None:
            continue
        light: Light | None = "red"
        # Where no answer was right, there is nothing to divide by, and it could not be worse.
        if found is not None:
            light = _outside(found, bounds.confidence, bounds.red_confidence)
        if light is None:
            continue
        low, high = bounds.confidence
        told = f"is {found or 0:.2f} times accuracy ({accuracy:.3f})"
        if found is None:
            told = "stands beside an accuracy of 0"
        wrong = "less"
        if found is not None and found < 1:
            wrong = "more"
        yield Alert(
            policy="confidence",
            subject=model.name,
            light=light,
            reason=f"confidence {told} over the newest {model.rolling.n:,} labelled answers, "
            f"{low:g} to {high:g} times is allowed",
            meaning=f"The classes that {model.name} answers are right {wrong} often than it says: "
            "thresholds on their probability are off, the class may still be the likeliest.",
            next_step="The status page shows at which probabilities and in which slices answers "
            f"are off, `freshet models` whether another lineage is better; {SILENT}; {MORE_OFTEN}",
        )


def worse_than_prior(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Numbers that are answered are farther from the labels than the mean of those before would
    have been, by the root of the mean squared error."""
    for model in status.models:
        prior = model.rolling_references.prior.rmse
        # Where every label is the same, the prior is never wrong, and any answer is far off.
        if not _is_told(model, REGRESSION, bounds) or not prior:
            continue
        light = _above(model.rolling.rmse, prior, bounds)
        if light is None:
            continue
        found = "grew beyond all bounds"
        if model.rolling.rmse is not None:
            found = f"is {model.rolling.rmse:.4g}"
        yield Alert(
            policy="worse_than_prior",
            subject=model.name,
            light=light,
            reason=f"RMSE {found} over the newest {model.rolling.n:,} labelled answers, that of "
            f"the mean label so far {prior:.4g}; {bounds.over_prior:g} times that is allowed",
            meaning=f"Whoever answers with the mean label is nearer than {model.name}: what it "
            "reads from its features leads it astray.",
            next_step="`freshet models` shows whether another lineage is better; large errors of "
            "few answers weigh most, so compare MAE and bias on the status page, also by slice; "
            f"{SILENT}; {MORE_OFTEN}",
        )


def _is_told(model: ModelFigures, task: str, bounds: AlertBounds) -> bool:
    return model.task == task and model.rolling.n >= bounds.labelled


def _outside(found: float, allowed: tuple[float, float], red: tuple[float, float]) -> Light | None:
    """The light of a ratio that is to be about 1."""
    if allowed[0] <= found <= allowed[1]:
        return None
    if red[0] <= found <= red[1]:
        return "amber"
    return "red"


def _above(found: float | None, prior: float, bounds: AlertBounds) -> Light | None:
    # Of so many answers it is only unknown where it is too large for a float.
    if found is None or found > bounds.red_over_prior * prior:
        return "red"
    if found > bounds.over_prior * prior:
        return "amber"
    return None
