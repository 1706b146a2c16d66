"""Figures as a status has them, from what trainers and the board reckon of any task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freshet.learners.training.by_task import Told
from freshet.serving.status import status as s


def quality_of(f: Told) -> s.Quality:
    return told_quality(f.as_json())


def told_quality(f: Mapping[str, Any] | None) -> s.Quality:
    """Figures of any task, as a trainer tells them (`freshet.learners.training.by_task`)."""
    if not f:
        return s.Quality()
    return s.Quality(
        n=f["n"],
        auc=f.get("auc"),
        ne=f.get("normalised_entropy"),
        calibration=f.get("calibration"),
        log_loss=f.get("log_loss"),
        accuracy=f.get("accuracy"),  # trainers of 0.1 did not tell it
        macro_f1=f.get("macro_f1"),
        calibration_error=f.get("calibration_error"),
        mae=f.get("mae"),
        rmse=f.get("rmse"),
        bias=f.get("bias"),
        squared_error=f.get("squared_error"),
    )


def references_of(f: Told) -> s.References:
    return told_references(f.as_json())


def told_references(f: Mapping[str, Any] | None) -> s.References:
    """As a trainer tells them (`freshet.learners.training.references.ReferenceFigures` as JSON)."""
    if not f:
        return s.References()
    return s.References(prior=told_quality(f["prior"]), no_change=told_quality(f["no_change"]))
