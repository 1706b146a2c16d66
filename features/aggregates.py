"""The features that a view can hold: those over a window of time, and those of all that was
seen."""

from __future__ import annotations

from freshet.features.distributions import (
    Distinct,
    Distribution,
    MostFrequent,
    Quantile,
    distinct,
    most_frequent,
    quantile,
)
from freshet.features.inputs import Input
from freshet.features.recent import LastDistinct, last_distinct
from freshet.features.states import (
    Age,
    DecayedMean,
    DecayedTotal,
    First,
    Last,
    TimeSince,
    age,
    decayed_count,
    decayed_mean,
    decayed_sum,
    first,
    last,
    time_since,
)
from freshet.features.windows import (
    Ratio,
    Window,
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

__all__ = [
    "GIVES_A_VALUE",
    "Age",
    "Aggregate",
    "DecayedMean",
    "DecayedTotal",
    "Distinct",
    "Distribution",
    "First",
    "Last",
    "LastDistinct",
    "MostFrequent",
    "Quantile",
    "Ratio",
    "TimeSince",
    "Window",
    "age",
    "count",
    "decayed_count",
    "decayed_mean",
    "decayed_sum",
    "deviation",
    "distinct",
    "first",
    "inputs_of",
    "last",
    "last_distinct",
    "max",
    "mean",
    "min",
    "most_frequent",
    "quantile",
    "rate",
    "ratio",
    "spans_of",
    "sum",
    "time_since",
    "variance",
    "windows_of",
]

Aggregate = (
    Window
    | Ratio
    | Distribution
    | Last
    | LastDistinct
    | First
    | DecayedMean
    | DecayedTotal
    | TimeSince
    | Age
)


# Aggregates whose value is one of the field's, and may so be a text.
GIVES_A_VALUE = Last | First | LastDistinct | MostFrequent


def windows_of(feature: Aggregate) -> tuple[Window, ...]:
    """The windows of columns that it is made of; none where it is of all that was seen."""
    if isinstance(feature, Ratio):
        return feature.above, feature.below
    if isinstance(feature, Window):
        return (feature,)
    return ()


def spans_of(feature: Aggregate) -> tuple[Window | Distribution, ...]:
    """All that has a length of time in it; nothing where it is of all that was seen."""
    if isinstance(feature, Distribution):
        return (feature,)
    return windows_of(feature)


def inputs_of(feature: Aggregate) -> tuple[Input, ...]:
    """What it takes of an event, beyond that there is one."""
    parts = (feature.above, feature.below) if isinstance(feature, Ratio) else (feature,)
    return tuple(part.input for part in parts if part.input is not None)
