"""freshet: streaming continuous training, so that a model in production follows its events
within a bound you chose, and says so where it does not.

    import freshet as fr

Topics, views and models are declared in one file and gathered in an `App`; `freshet run app.py`
runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freshet.public import HOMES, find

if TYPE_CHECKING:
    from freshet.agents import faust_app
    from freshet.app import App
    from freshet.datasets.recorded_run import open_run
    from freshet.features.distributions import distinct, most_frequent, quantile
    from freshet.features.of_topic import of
    from freshet.features.recent import last_distinct
    from freshet.features.states import (
        age,
        decayed_count,
        decayed_mean,
        decayed_sum,
        first,
        last,
        time_since,
    )
    from freshet.features.views.view import View
    from freshet.features.windows import (
        count,
        deviation,
        max,
        mean,
        min,
        rate,
        ratio,
        sum,
        variance,
    )
    from freshet.learners.baseline_learner import Baseline
    from freshet.learners.ctr.spec import TorchCtr
    from freshet.learners.linear.learner import HashedLinear
    from freshet.learners.logistic.learner import HashedLogistic
    from freshet.learners.model import Label, Model
    from freshet.learners.on_demand import on_demand
    from freshet.learners.release_config import ReleaseConfig
    from freshet.learners.river.spec import River
    from freshet.learners.rungs import constant, heuristic
    from freshet.schemas.errors import FreshetError
    from freshet.schemas.events.times import time
    from freshet.schemas.models.conditions import HoldWhen
    from freshet.schemas.models.tasks import Binary, Classes, Regression
    from freshet.schemas.topics import impute
    from freshet.schemas.topics.derive import (
        bucket,
        day,
        haversine,
        hour,
        minute_of_day,
        month,
        weekday,
    )
    from freshet.schemas.topics.topic import Freshness, Topic, category
    from freshet.schemas.topics.topic_statistics import Statistics

__all__ = [
    "App",
    "Baseline",
    "Binary",
    "Classes",
    "FreshetError",
    "Freshness",
    "HashedLinear",
    "HashedLogistic",
    "HoldWhen",
    "Label",
    "Model",
    "Regression",
    "ReleaseConfig",
    "River",
    "Statistics",
    "Topic",
    "TorchCtr",
    "View",
    "age",
    "bucket",
    "category",
    "constant",
    "count",
    "day",
    "decayed_count",
    "decayed_mean",
    "decayed_sum",
    "deviation",
    "distinct",
    "faust_app",
    "first",
    "haversine",
    "heuristic",
    "hour",
    "impute",
    "last",
    "last_distinct",
    "max",
    "mean",
    "min",
    "minute_of_day",
    "month",
    "most_frequent",
    "of",
    "on_demand",
    "open_run",
    "quantile",
    "rate",
    "ratio",
    "sum",
    "time",
    "time_since",
    "variance",
    "weekday",
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: learners and Faust are heavy, and may not
    be installed."""
    if name not in HOMES:
        raise AttributeError(f"freshet has no {name!r}")
    # Kept, so that the next time Python finds it without asking here.
    found = globals()[name] = find(name)
    return found


def __dir__() -> list[str]:
    return __all__
