"""freshet: streaming continuous training, so that a model in production is never older than a bound you chose.

    import freshet as fr

Topics, views and models are declared in one file and gathered in an `App`; `freshet run app.py` runs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshet.agents import faust_app
    from freshet.app import App
    from freshet.features.aggregates import age, count, decayed_mean, last, max, mean, min, sum
    from freshet.features.views.view import View
    from freshet.learners.baseline_learner import Baseline
    from freshet.learners.ctr.spec import TorchCtr
    from freshet.learners.logistic.learner import HashedLogistic
    from freshet.learners.model import Label, Model
    from freshet.learners.river.spec import River
    from freshet.schemas.errors import FreshetError
    from freshet.schemas.topics import impute
    from freshet.schemas.topics.topic import Freshness, Topic, category
    from freshet.serving.release.policy import ReleaseConfig
    from freshet.serving.scoring.fallback import constant, heuristic

__all__ = [
    "App",
    "Baseline",
    "FreshetError",
    "Freshness",
    "HashedLogistic",
    "Label",
    "Model",
    "ReleaseConfig",
    "River",
    "Topic",
    "TorchCtr",
    "View",
    "age",
    "category",
    "constant",
    "count",
    "decayed_mean",
    "faust_app",
    "heuristic",
    "impute",
    "last",
    "max",
    "mean",
    "min",
    "sum",
]


# Where each public name stands. It is imported when it is first asked for: every module of a room is imported through
# this one, and a learner needs numpy and its own library alone.
_HOMES = {
    "App": "freshet.app",
    "Baseline": "freshet.learners.baseline_learner",
    "FreshetError": "freshet.schemas.errors",
    "Freshness": "freshet.schemas.topics.topic",
    "HashedLogistic": "freshet.learners.logistic.learner",
    "Label": "freshet.learners.model",
    "Model": "freshet.learners.model",
    "ReleaseConfig": "freshet.serving.release.policy",
    "River": "freshet.learners.river.spec",
    "Topic": "freshet.schemas.topics.topic",
    "TorchCtr": "freshet.learners.ctr.spec",
    "View": "freshet.features.views.view",
    "age": "freshet.features.aggregates",
    "category": "freshet.schemas.topics.topic",
    "constant": "freshet.serving.scoring.fallback",
    "count": "freshet.features.aggregates",
    "decayed_mean": "freshet.features.aggregates",
    "faust_app": "freshet.agents",
    "heuristic": "freshet.serving.scoring.fallback",
    "last": "freshet.features.aggregates",
    "max": "freshet.features.aggregates",
    "mean": "freshet.features.aggregates",
    "min": "freshet.features.aggregates",
    "sum": "freshet.features.aggregates",
}


def __getattr__(name: str) -> Any:
    if name == "impute":
        return import_module("freshet.schemas.topics.impute")
    if name not in _HOMES:
        raise AttributeError(f"freshet has no {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
