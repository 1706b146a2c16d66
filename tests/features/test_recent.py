"""The newest different values, against a loop over all events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.rows.finish import finish
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import DefinitionError
from tests.features.rows.test_sketch_kernels import (
    WHOLE,
    Event,
    events_of,
    fold,
    put_back,
    row_of,
    rows_of,
)

some = settings(max_examples=60, deadline=None)
FEATURES: dict[str, fr.Aggregate] = {
    **{f"w_{nth}": fr.last_distinct("w", nth) for nth in (1, 2, 5)},
    **{f"x_{nth}": fr.last_distinct("x", nth) for nth in (1, 3)},
    "w_day": fr.last_distinct("w", 2, over="1d"),
    "x_hour": fr.last_distinct("x", 1, over="1h"),
    "w_list": fr.last_distinct("w", n=4),
    "x_list": fr.last_distinct("x", n=3, over="1h"),
    "n": fr.count(over="1d"),
    "last": fr.last("w"),
}


def expected(events: Sequence[Event], feature: fr.LastDistinct, as_of: int) -> Any:
    """Every value with its newest event, the newest first."""
    newest: dict[Any, tuple[int, int]] = {}
    for place, (t, x, w) in enumerate(events):
        value = {"x": x, "w": w}[feature.field]
        if isinstance(value, int) or math.isfinite(value):
            newest[value] = max((t, place), newest.get(value, (t, place)))
    values = sorted(newest, key=newest.__getitem__, reverse=True)
    nth = feature.nth or 1
    if len(values) < nth:
        return None
    value = values[nth - 1]
    if feature.over and as_of - newest[value][0] >= feature.over_ms:
        return None
    return value


def expected_list(events: Sequence[Event], name: str, as_of: int) -> list[Any]:
    feature = FEATURES[name]
    assert isinstance(feature, fr.LastDistinct)
    assert feature.n is not None
    found = []
    for nth in range(1, feature.n + 1):
        found.append(expected(events, replace(feature, nth=nth, n=None), as_of))
    return [value for value in found if value is not None]


@some
@given(st.integers(0, 2**32), st.booleans())
def test_values_are_those_of_a_loop_over_the_events(seed: int, in_pieces: bool) -> None:
    events = events_of(seed)
    rows = rows_of((FEATURES, None))
    if in_pieces:
        for at, event in enumerate(events):
            fold(rows, [event], at)
            if at % 17 == 0:
                rows = put_back(rows)
    else:
        fold(rows, events, 0)
    for as_of in (max(t for t, _, _ in events) + later for later in (0, 3_600_000, 86_400_000)):
        done = finish(rows.plan, rows.all_rows()[1], np.array([as_of]))
        for name, value in zip(rows.plan.names, done.values[0].tolist()):
            feature = FEATURES[name]
            if not isinstance(feature, fr.LastDistinct):
                continue
            wanted = expected(events, feature, as_of)
            assert math.isnan(value) == (wanted is None), name
            if wanted is not None:
                assert value == float(wanted), name
                if feature.field == "w":
                    assert int(done.wholes[name][0]) == wanted, "to the last digit"
        for name, several in done.lists.items():
            [count] = several.counts.tolist()
            assert several.values[0, :count].tolist() == expected_list(events, name, as_of)


@some
@given(st.integers(0, 2**32))
def test_bytes_follow_from_events_alone(seed: int) -> None:
    events = events_of(seed, most=120)
    whole = rows_of((FEATURES, None))
    pieces = rows_of((FEATURES, None))
    fold(whole, events, 0)
    for at, event in enumerate(events):
        fold(pieces, [event], at)
        if at % 13 == 0:
            pieces = put_back(pieces)
    assert row_of(whole) == row_of(pieces)


def test_features_of_one_field_share_what_is_kept() -> None:
    plan = RowPlan.compile({"a": fr.last_distinct("w", 1), "b": fr.last_distinct("w", 5)}, None)
    assert plan.bytes_of(0) == 8 * (4 + 2 * 5)
    both = {"a": fr.last_distinct("w", 1), "b": fr.last_distinct("w", 5, over="1d")}
    assert RowPlan.compile(both, None).digest != plan.digest
    assert RowPlan.compile(dict(both), None, WHOLE).digest not in (
        plan.digest,
        RowPlan.compile(both, None).digest,
    )


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: fr.last_distinct("x", 0), "nth=0: is no whole number from 1 to 64"),
        (lambda: fr.last_distinct("x", 65), "nth=65: is no whole number"),
        (lambda: fr.last_distinct("x", True), "nth=True: is no whole number"),
        (lambda: fr.last_distinct("x", n=65), "n=65: is no whole number from 1 to 64"),
        (lambda: fr.last_distinct("x", n=0), "n=0: is no whole number"),
        (lambda: fr.last_distinct("x"), "it is one value, or a list of several"),
        (lambda: fr.last_distinct("x", 1, n=2), "it is one value, or a list of several"),
        (lambda: fr.last_distinct("", 1), "is not of a field"),
        (lambda: fr.last_distinct("x", 1, over="0s"), "is no time at all"),
    ],
)
def test_bad_declarations_are_refused_with_their_cause(make: Any, cause: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        make()
    assert cause in str(raised.value)
