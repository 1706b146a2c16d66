"""Promises and alerts turn at the same bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.serving.alerts.bounds import AlertBounds, Recent
from freshet.serving.alerts.policy import dead_letters, feature_lag
from freshet.serving.status.bounds import lag_light
from freshet.serving.status.promises import events_readable, features_fresh
from freshet.serving.status.status import Status, TopicFigures, ViewFigures


@pytest.mark.parametrize(
    ("lag_ms", "slo_ms", "light"),
    [
        (None, 1_000, "amber"),
        (1_000, None, "amber"),
        (0, 1_000, "green"),
        (1_000, 1_000, "green"),
        (1_001, 1_000, "amber"),
        (1_200, 1_000, "amber"),
        (1_201, 1_000, "red"),
    ],
)
def test_a_lag_is_amber_until_a_fifth_beyond_its_bound_and_where_nothing_is_known(
    lag_ms: int | None, slo_ms: int | None, light: str
) -> None:
    assert lag_light(lag_ms, slo_ms) == light


@given(lag_ms=st.integers(0, 10_000), slo_ms=st.integers(1, 10_000))
def test_a_view_that_is_late_has_an_alert_of_the_light_that_its_promise_shows(
    lag_ms: int, slo_ms: int
) -> None:
    view = ViewFigures(name="by_courier", lag_ms=lag_ms, slo_ms=slo_ms)
    status = Status(app="parcels", at_ms=0, views=[view])
    (promise,) = features_fresh(status.views)
    alerts = list(feature_lag(status, Recent(), AlertBounds()))
    assert [alert.light for alert in alerts] == [promise.state] * (promise.state != "green")


@given(dead=st.integers(0, 1_000), records=st.integers(1, 1_000))
def test_dead_letters_are_an_alert_of_the_light_that_their_promise_shows(
    dead: int, records: int
) -> None:
    dead = min(dead, records)
    by_reason = {"bad_label": dead}
    topic = TopicFigures(name="parcels", records=records, dead=by_reason)
    promise = events_readable([topic])
    recent = Recent(records={"parcels": records}, dead={"parcels": by_reason})
    alerts = list(dead_letters(Status(app="parcels", at_ms=0), recent, AlertBounds()))
    assert [alert.light for alert in alerts] == [promise.state] * (promise.state != "green")
