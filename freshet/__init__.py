"""freshet: streaming continuous training, so that a model in production is never older than a bound you chose.

    import freshet as fr

Topics, views and models are declared in one file and gathered in an `App`; `freshet run app.py` runs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from features.aggregates import age, count, decayed_mean, last, max, mean, min, sum
from features.view import View
from freshet.app import App
from learners.model import Label, Model
from schemas import impute
from schemas.errors import FreshetError
from schemas.topic import Freshness, Topic, category
from serving.fallback import constant, heuristic
from serving.release_policy import ReleaseConfig

if TYPE_CHECKING:
    from freshet.agents import faust_app
    from learners.baseline_learner import Baseline
    from learners.hashed_logistic_learner import HashedLogistic
    from learners.river_spec import River
    from learners.torch_ctr_spec import TorchCtr

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


def __getattr__(name: str) -> Any:
    """Learners and Faust are imported when they are first named: River and torch are heavy."""
    from learners.catalog import LEARNERS

    lazy = {**LEARNERS, "faust_app": "freshet.agents"}
    if name in lazy:
        return getattr(import_module(lazy[name]), name)
    raise AttributeError(f"freshet has no {name!r}")
