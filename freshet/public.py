"""The public names of `freshet`, and where each stands.

One is imported when it is first asked for: every module of a room is imported through the front
door, and a learner, say, needs numpy and its own library alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# The module of each public name. `impute` is one itself.
HOMES = {
    "App": "freshet.app",
    "Baseline": "freshet.learners.baseline_learner",
    "Binary": "freshet.schemas.models.tasks",
    "Classes": "freshet.schemas.models.tasks",
    "FreshetError": "freshet.schemas.errors",
    "Freshness": "freshet.schemas.topics.topic",
    "HashedLinear": "freshet.learners.linear.learner",
    "HashedLogistic": "freshet.learners.logistic.learner",
    "HoldWhen": "freshet.schemas.models.conditions",
    "Label": "freshet.learners.model",
    "Model": "freshet.learners.model",
    "Regression": "freshet.schemas.models.tasks",
    "ReleaseConfig": "freshet.learners.release_config",
    "River": "freshet.learners.river.spec",
    "Statistics": "freshet.schemas.topics.topic_statistics",
    "Topic": "freshet.schemas.topics.topic",
    "TorchCtr": "freshet.learners.ctr.spec",
    "View": "freshet.features.views.view",
    "age": "freshet.features.states",
    "bucket": "freshet.schemas.topics.derive",
    "category": "freshet.schemas.topics.topic",
    "constant": "freshet.learners.rungs",
    "count": "freshet.features.windows",
    "day": "freshet.schemas.topics.derive",
    "decayed_count": "freshet.features.states",
    "decayed_mean": "freshet.features.states",
    "decayed_sum": "freshet.features.states",
    "deviation": "freshet.features.windows",
    "distinct": "freshet.features.distributions",
    "faust_app": "freshet.agents",
    "first": "freshet.features.states",
    "haversine": "freshet.schemas.topics.derive",
    "heuristic": "freshet.learners.rungs",
    "hour": "freshet.schemas.topics.derive",
    "impute": "freshet.schemas.topics",
    "last": "freshet.features.states",
    "last_distinct": "freshet.features.recent",
    "max": "freshet.features.windows",
    "mean": "freshet.features.windows",
    "min": "freshet.features.windows",
    "minute_of_day": "freshet.schemas.topics.derive",
    "month": "freshet.schemas.topics.derive",
    "most_frequent": "freshet.features.distributions",
    "of": "freshet.features.of_topic",
    "on_demand": "freshet.learners.on_demand",
    "open_run": "freshet.datasets.recorded_run",
    "quantile": "freshet.features.distributions",
    "rate": "freshet.features.windows",
    "ratio": "freshet.features.windows",
    "sum": "freshet.features.windows",
    "time": "freshet.schemas.events.times",
    "time_since": "freshet.features.states",
    "variance": "freshet.features.windows",
    "weekday": "freshet.schemas.topics.derive",
}


def find(name: str) -> Any:
    """What a public name stands for, imported now.

    Raises:
        KeyError: there is no such name.
        ImportError: a library that it needs is not installed.
    """
    home = import_module(HOMES[name])
    if hasattr(home, name):
        return getattr(home, name)
    # A module of its own, such as `fr.impute`.
    return import_module(f"{HOMES[name]}.{name}")
