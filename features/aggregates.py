"""The features that a view can hold: those over a window of time, and those of all that was
seen."""

from __future__ import annotations

from freshet.features.states import Age, DecayedMean, Last, age, decayed_mean, last
from freshet.features.windows import Window, count, max, mean, min, sum

__all__ = [
    "Age",
    "Aggregate",
    "DecayedMean",
    "Last",
    "Window",
    "age",
    "count",
    "decayed_mean",
    "last",
    "max",
    "mean",
    "min",
    "sum",
]

Aggregate = Window | Last | DecayedMean | Age
