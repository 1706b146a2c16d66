"""How far what a model is asked on is from what it learned from, as programs and people ask for
it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from freshet.schemas.errors import RequestError
from freshet.serving.status.status import DriftFigures, ModelFigures, SkewFigures


class SkewReport(msgspec.Struct, frozen=True):
    """Of one model: the newest 1,000 vectors that were asked on beside the newest 5,000 learned
    from, by feature (none before there are a hundred of each), and the newest judgements by feature
    that were beyond a bound."""

    model: str
    features: list[SkewFigures]
    skewed: list[DriftFigures]


def skew_report(models: Sequence[ModelFigures], name: str) -> SkewReport:
    """Raises `RequestError` for a model that there is not."""
    for model in models:
        if model.name == name:
            return SkewReport(name, model.skew, model.skewed)
    known = ", ".join(model.name for model in models)
    raise RequestError(
        f"model {name!r}", "is unknown", f"The models are {known or 'none'}.", status=404
    )
