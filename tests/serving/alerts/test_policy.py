"""The alert policies as tables: what an app says, and the alert that follows (or none), with a word
of the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.serving.alerts.bounds import AlertBounds, Missed, Recent
from freshet.serving.alerts.policy import OFF, POLICIES, WITHOUT, alerts
from freshet.serving.status.status import (
    Clock,
    ConflictFigures,
    DriftFigures,
    LabelFigures,
    LateFigures,
    LineageFigures,
    MissingFigures,
    ModelFigures,
    OutageFigures,
    Quality,
    References,
    RoleFigures,
    Served,
    SourceFigures,
    StatisticsFigures,
    Status,
    SwitchFigures,
    TopicFigures,
    ViewFigures,
)

MINUTE_MS = 60_000
NOW = 1_000 * HOUR_MS
LOG_AWAY = OutageFigures(
    component="log",
    resource="kafka://broker:9092",
    cause="no broker answers",
    meanwhile="roles wait",
    next_step="Start Kafka.",
    since_ms=NOW - 90_000,
    roles=["intake", "view"],
)


def status(app_ms: int | None = NOW, paced: bool = False, **parts: Any) -> Status:
    return Status(
        app="flights", at_ms=NOW, clock=Clock(state="running", paced=paced, app_ms=app_ms), **parts
    )


def view(lag: int | None, slo: int | None = 10_000) -> dict[str, Any]:
    return {"views": [ViewFigures(name="by_origin", topic="arrivals", lag_ms=lag, slo_ms=slo)]}


def model(**parts: Any) -> dict[str, Any]:
    return {
        "models": [ModelFigures(name="late", served=Served(lineage="river-1a", number=3), **parts)]
    }


def labels(
    came: int,
    since: int,
    reason: str = "without_question",
    used: int = 0,
    asked: int = 9,
    age_ms: int = 0,
) -> dict[str, Any]:
    figures = LabelFigures(came=came, used=used, since_used={reason: since}, newest_ms=NOW - age_ms)
    return model(asked=asked, labels=figures)


SILENT_INPUT = MissingFigures(
    kind="source",
    name="weather",
    view="sky",
    topic="weather",
    features=["sky.wind"],
    reason="no event for longer than 3h",
)
LACKING_INPUT = MissingFigures(
    kind="feature", name="price", topic="orders", features=["price"], reason="80% lack it"
)


def calibrated(calibration: float | None, n: int = 5_000) -> dict[str, Any]:
    return model(rolling=Quality(n=n, calibration=calibration))


def confident(calibration: float | None, accuracy: float = 0.7, n: int = 5_000) -> dict[str, Any]:
    quality = Quality(n=n, calibration=calibration, accuracy=accuracy)
    return model(task="classes", rolling=quality)


def off_by(rmse: float | None, prior: float | None, n: int = 5_000) -> dict[str, Any]:
    """Answers that are numbers, and what the mean label so far was off by."""
    references = References(prior=Quality(n=n, rmse=prior))
    rolling = Quality(n=n, rmse=rmse)
    return model(task="regression", rolling=rolling, rolling_references=references)


def contested(ago_ms: int | None) -> dict[str, Any]:
    """Seven questions in conflict, the newest so long ago (None: there is none)."""
    if ago_ms is None:
        return model()
    return model(conflicts=ConflictFigures(questions=7, example="parcel 9", newest_ms=NOW - ago_ms))


def judged(refused: int | None, approved: int | None, name: str = "river-1a") -> dict[str, Any]:
    why = "array 'w' holds 3 values"
    figures = LineageFigures(
        name=name, refused=why, newest_refused=refused, newest_approved=approved
    )
    return model(lineages=[figures])


def role(state: Any = "running", **parts: Any) -> dict[str, Any]:
    return {
        "roles": [
            RoleFigures(
                role="view", instance="view", pid=7, state=state, seen_ms=NOW - 9_000, **parts
            )
        ]
    }


def source(silent_ms: int | None, rate: float | None = 60.0, events: int = 1_000) -> dict[str, Any]:
    newest = None if silent_ms is None else NOW - silent_ms
    figures = SourceFigures(name="origin=JFK", events=events, newest_ms=newest, rate_per_hour=rate)
    other = SourceFigures(name="origin=LGA", events=2_000, newest_ms=NOW, rate_per_hour=120.0)
    return {"topics": [TopicFigures(name="arrivals", sources=[figures, other])]}


def silent_topic(silent_ms: int, events: int = 1_000, rate: float | None = 60.0) -> dict[str, Any]:
    figures = SourceFigures(
        name="origin=JFK", events=events, newest_ms=NOW - silent_ms, rate_per_hour=rate
    )
    return {"topics": [TopicFigures(name="arrivals", sources=[figures])]}


def late(judged: int, late: int) -> dict[str, Any]:
    figures = LateFigures(source="JFK", judged=judged, late=late, late_ms=NOW)
    return {"topics": [TopicFigures(name="arrivals", late_sources=[figures])]}


def drifting(ago_ms: int | None) -> dict[str, Any]:
    found = []
    if ago_ms is not None:
        found = [
            DriftFigures(
                field="distance",
                source="JFK",
                hour_ms=NOW - ago_ms,
                distance=0.81,
                bound=0.7,
                events=20,
                reference_events=200,
                moved="4000 to 8000",
                share=0.9,
            )
        ]
    statistics = StatisticsFigures(drifts=found, reference="the weeks before")
    return {"topics": [TopicFigures(name="arrivals", statistics=statistics)]}


def skewed(ago_ms: int | None, moved: str = "0.5 to 1") -> dict[str, Any]:
    found = []
    if ago_ms is not None:
        found = [
            DriftFigures(
                field="price",
                hour_ms=NOW - ago_ms,
                distance=0.81,
                bound=0.4,
                events=1_000,
                reference_events=5_000,
                moved=moved,
                share=0.9,
            )
        ]
    return {"models": [ModelFigures(name="late", skewed=found)]}


def unseen() -> dict[str, Any]:
    """Of a topic with a fixed reference."""
    found = DriftFigures(
        field="distance",
        hour_ms=NOW - HOUR_MS,
        measure="unseen",
        distance=0.95,
        bound=1.1,
        events=20,
        reference_events=200,
    )
    statistics = StatisticsFigures(drifts=[found], reference="May 2026", is_fixed=True)
    return {"topics": [TopicFigures(name="arrivals", statistics=statistics)]}


def missing(events: float, usually: float = 0.0) -> Recent:
    return Recent(missed={("arrivals", "origin=JFK"): Missed(events, usually)})


def dead(records: int, **reasons: int) -> Recent:
    return Recent(records={"arrivals": records}, dead={"arrivals": reasons})


def unreadable() -> dict[str, Any]:
    texts = ["schema 7: field 'x' is string for writers and double for readers. Keep its type."]
    return {"topics": [TopicFigures(name="arrivals", unreadable_schemas=texts)]}


def restarted(n: int) -> Recent:
    return Recent(restarts={("view", "view"): n})


def switch(on: bool) -> dict[str, Any]:
    return {"switches": [SwitchFigures(name="learn", on=on, by="ann", at_ms=NOW - 60_000)]}


NONE = ("", "", "")

# what is said, of late, and the alert: its policy, light, and a word of its reason
TABLE: list[tuple[str, Mapping[str, Any], Recent, tuple[str, str, str]]] = [
    ("feature lag at its SLO", view(10_000), Recent(), NONE),
    ("feature lag beyond it", view(10_001), Recent(), ("feature_lag", "amber", "11s behind, 10s is promised")),
    ("feature lag far beyond it", view(12_001), Recent(), ("feature_lag", "red", "13s behind")),
    ("feature lag not known", view(None), Recent(), NONE),
    ("no feature SLO", view(10_001, None), Recent(), NONE),
    ("model lag at its SLO", model(lag_ms=HOUR_MS, slo_ms=HOUR_MS), Recent(), NONE),
    ("model lag beyond", model(lag_ms=4_200_000, slo_ms=HOUR_MS), Recent(), ("model_lag", "amber", "1h10m behind")),
    ("model lag far beyond", model(lag_ms=5 * HOUR_MS, slo_ms=HOUR_MS), Recent(), ("model_lag", "red", "5h behind")),
    ("nothing served yet", {"models": [ModelFigures(name="late", slo_ms=1)]}, Recent(), NONE),
    # a source of one event a minute
    ("source going", source(MINUTE_MS), missing(0), NONE),
    ("source quiet within ten intervals", source(10 * MINUTE_MS), missing(50), NONE),
    ("source silent", source(11 * MINUTE_MS), missing(16), ("source_silent", "amber", "for 11m, usually one every 1m")),
    ("source at night: nobody says anything", source(5 * HOUR_MS), missing(0), NONE),
    ("source before its morning", source(5 * HOUR_MS), missing(14), NONE),
    ("source with hours of its own", source(5 * HOUR_MS), missing(29, usually=15), NONE),
    ("source beyond its own hours", source(9 * HOUR_MS), missing(31, usually=15), ("source_silent", "amber", "31 of")),
    ("source once long away is not excused", source(9 * HOUR_MS), missing(91, 500), ("source_silent", "amber", "91 of")),
    ("source too new", source(11 * MINUTE_MS, events=19), missing(16), NONE),
    ("source of unknown rate", source(11 * MINUTE_MS, None), missing(16), NONE),
    ("source never heard", source(None), missing(16), NONE),
    ("fast source, four minutes", source(4 * MINUTE_MS, 3_600), missing(240), NONE),
    ("fast source, six minutes", source(6 * MINUTE_MS, 3_600), missing(360), ("source_silent", "amber", "every 1s")),
    ("topic at night", silent_topic(8 * HOUR_MS), Recent(), NONE),
    ("a topic of a model's view is silent", model(missing=[SILENT_INPUT], missing_inputs="hold"), Recent(),
        ("missing_input", "amber", "topic weather of view sky is missing since 1970-")),
    ("a feature is suddenly missing", model(missing=[LACKING_INPUT]), Recent(),
        ("missing_input", "amber", "feature price of orders is missing since")),
    ("topic for more than a day", silent_topic(25 * HOUR_MS), Recent(), ("topic_silent", "amber", "for 1d1h")),
    ("rare topic for more than a day", silent_topic(25 * HOUR_MS, rate=0.1), Recent(), NONE),
    ("new topic for more than a day", silent_topic(25 * HOUR_MS, events=19), Recent(), NONE),
    ("dead letters at the bound", {}, dead(1_000, outlier=20), NONE),
    ("dead letters", {}, dead(1_000, outlier=20, undecodable=11), ("dead_letters", "amber", "most of them 'outlier' (20)")),
    ("many dead letters", {}, dead(1_000, outlier=201), ("dead_letters", "red", "201 of the newest 1,000")),
    ("dead letters among few", {}, dead(199, outlier=199), NONE),
    ("all records are dead", {}, dead(200, undecodable=200), ("dead_letters", "red", "100.0%")),
    ("no records", {}, dead(0), NONE),
    ("a schema that was not read once", unreadable(), dead(1_000), NONE),
    ("a schema that is not read", unreadable(), dead(1_000, unreadable_schema=1), ("unreadable_schema", "red", "by schema 7: field 'x' is")),
    ("late events at the bound", late(100, 2), Recent(), NONE),
    ("late events", late(100, 3), Recent(), ("late_events", "amber", "3.00% of the newest 100 arrivals of source JFK")),
    ("many late events", late(100, 21), Recent(), ("late_events", "red", "come late")),
    ("late events of few", late(19, 19), Recent(), NONE),
    ("a field as ever", drifting(None), Recent(), NONE),
    ("a field that is shifted", drifting(HOUR_MS), Recent(), ("drift", "amber", "events are 0.81 (Jensen–Shannon) from 200 of the weeks before; 0.70 is")),
    ("values that never were", unseen(), Recent(), ("drift", "amber", "95% of the values of 20 events are none that 200 of May 2026 had; 100% is the bound")),
    ("a field that was, the day before", drifting(25 * HOUR_MS), Recent(), NONE),
    ("a feature as it was learned", skewed(None), Recent(), NONE),
    ("a feature in another unit", skewed(HOUR_MS), Recent(), ("skew", "amber", "1000 events are 0.81 (Jensen–Shannon) from 5000 of the newest vectors that late learned from; 0.40 is the bound. Most moved: 0.5 to 1")),
    ("a category of which hashes are known", skewed(HOUR_MS, ""), Recent(), ("skew", "amber", "0.40 is the bound (PSI 0.00")),
    ("a feature that was, the day before", skewed(25 * HOUR_MS), Recent(), NONE),
    ("labels, and too few to tell", labels(came=49, since=49), Recent(), NONE),
    ("labels of no question", labels(50, 50), Recent(), ("nothing_learned", "red", "last 50 labels came to nothing: no question is known")),
    ("labels of what was asked too late", labels(50, 50, "saw_future"), Recent(), ("nothing_learned", "red", "not later than the questions")),
    ("labels that are late", labels(50, 50, "late"), Recent(), ("nothing_learned", "red", "later than label_wait")),
    ("labels of 1969", labels(50, 50, "saw_future", age_ms=60 * DAY_MS), Recent(), ("nothing_learned", "red", "the newest is of 1969-12-13, and the app's clock stands at 1970-02-11")),
    ("labels, and nobody asks", labels(50, 50, asked=0), Recent(), ("nothing_learned", "amber", "nobody has asked the model anything")),
    ("labels that are sent again", labels(900, 900, "repeated"), Recent(), NONE),
    ("labels without a value", labels(900, 900, "empty"), Recent(), NONE),
    ("labels learned until lately", labels(1_000, 199, used=801), Recent(), NONE),
    ("labels no longer learned", labels(1_000, 200, used=800), Recent(), ("nothing_learned", "red", "the last 200 labels")),
    ("one label in a hundred is asked about", labels(10_000, 1_900, used=80), Recent(), NONE),
    ("none in twenty times as many", labels(10_000, 3_000, used=70), Recent(), ("nothing_learned", "red", "the last 3,000 labels")),
    ("no snapshot yet", judged(None, None), Recent(), NONE),
    ("all approved", judged(None, 3), Recent(), NONE),
    ("refused, then approved", judged(2, 3), Recent(), NONE),
    ("refused", judged(4, 3), Recent(), ("snapshots_refused", "amber", "4 was refused: array 'w' holds 3 values (3 is")),
    ("the first refused", judged(0, None), Recent(), ("snapshots_refused", "amber", "(none is approved yet)")),
    ("no conflict", contested(None), Recent(), NONE),
    ("a conflict an hour ago", contested(HOUR_MS), Recent(), ("questions_in_conflict", "amber", "7 questions came under")),
    ("its id", contested(0), Recent(), ("questions_in_conflict", "amber", "'parcel 9' the newest")),
    ("a conflict longer ago", contested(HOUR_MS + 1), Recent(), NONE),
    ("calibrated low", calibrated(0.8), Recent(), NONE),
    ("calibrated high", calibrated(1.25), Recent(), NONE),
    ("calibration low", calibrated(0.79), Recent(), ("calibration", "amber", "0.79 over the newest 5,000")),
    ("calibration high", calibrated(1.26), Recent(), ("calibration", "amber", "0.8 to 1.25 is allowed")),
    ("calibration far off", calibrated(2.1), Recent(), ("calibration", "red", "2.10")),
    ("calibration of few", calibrated(2.1, 499), Recent(), NONE),
    ("calibration not known", calibrated(None), Recent(), NONE),
    ("confident low", confident(0.8), Recent(), NONE),
    ("confident high", confident(1.25), Recent(), NONE),
    ("confidence low", confident(0.79), Recent(), ("confidence", "amber", "0.79 times accuracy (0.700) over the newest 5,000")),
    ("confidence high", confident(1.26), Recent(), ("confidence", "amber", "0.8 to 1.25 times is allowed")),
    ("confidence far off", confident(2.1), Recent(), ("confidence", "red", "2.10")),
    ("never right", confident(None, 0.0), Recent(), ("confidence", "red", "an accuracy of 0 over")),
    ("confidence of few", confident(2.1, n=499), Recent(), NONE),
    ("as good as the prior", off_by(2.2, 2.0), Recent(), NONE),
    ("worse than the prior", off_by(2.21, 2.0), Recent(), ("worse_than_prior", "amber", "RMSE is 2.21 over the newest 5,000")),
    ("far worse than the prior", off_by(4.01, 2.0), Recent(), ("worse_than_prior", "red", "mean label so far 2; 1.1 times")),
    ("beyond all floats", off_by(None, 2.0), Recent(), ("worse_than_prior", "red", "grew beyond all bounds")),
    ("worse in a few", off_by(9.0, 2.0, 499), Recent(), NONE),
    ("labels that never change", off_by(9.0, 0.0), Recent(), NONE),
    ("no prior yet", off_by(9.0, None), Recent(), NONE),
    ("role running", role(), Recent(), NONE),
    ("role held", role("held"), Recent(), NONE),
    ("role stopped", role("stopped"), Recent(), NONE),
    ("role lost", role("lost"), Recent(), ("role_down", "red", "process 7 is lost, last heard of 9s ago")),
    ("role lost with the log", role("lost") | {"outages": [LOG_AWAY]}, Recent(), ("outage", "amber", "log is away for 1m30s")),
    ("role started again", role(), restarted(3), NONE),
    ("role keeps failing", role(), restarted(4), ("role_down", "amber", "started again 4 times within 10m")),
    ("role lost after failing", role("lost"), restarted(4), ("role_down", "red", "9s ago; started again 4 times")),
    ("outage", {"outages": [LOG_AWAY]}, Recent(), ("outage", "amber", "(say intake, view): no broker answers")),
    ("switch on", switch(True), Recent(), NONE),
    ("a clock that was set forwards", role(clock_off_ms=HOUR_MS), Recent(), ("clock_jumped", "amber", "1h ahead of")),
    ("a clock that was set back", role(clock_off_ms=-HOUR_MS), Recent(), ("clock_jumped", "amber", "1h behind")),
    ("switch off", switch(False), Recent(), ("switch_off", "amber", "turned off by ann 1m ago")),
    ("nothing known yet", {}, Recent(), NONE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "recent", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_is_said_gives_the_alert_of_the_table(
    said: Mapping[str, Any], recent: Recent, wanted: tuple[str, str, str]
) -> None:
    found = alerts(status(**said), recent)
    policy, light, word = wanted
    assert [(a.policy, a.light) for a in found] == ([(policy, light)] if policy else [])
    assert all(word in a.reason for a in found)


@pytest.mark.parametrize("said", [view(10_001), model(lag_ms=2, slo_ms=1), source(9 * HOUR_MS)])
def test_a_replay_is_judged_like_a_live_run(said: Mapping[str, Any]) -> None:
    assert (
        alerts(status(**said), missing(50)) == alerts(status(paced=True, **said), missing(50)) != []
    )


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (labels(50, 50), "freshet explain ID"),
        (labels(50, 50, "late"), "freshet topics set TOPIC label_wait="),
        (labels(50, 50, "saw_future", age_ms=2 * DAY_MS), "freshet replay APP.py DATA"),
        (labels(50, 50, age_ms=2 * DAY_MS), "freshet replay APP.py DATA"),
    ],
)
def test_labels_that_come_to_nothing_are_told_with_the_way_out(
    said: Mapping[str, Any], step: str
) -> None:
    (alert,) = alerts(status(**said))
    assert step in alert.next_step


def test_every_policy_is_in_the_table() -> None:
    assert {row[3][0] for row in TABLE} - {""} == {policy.__name__ for policy in POLICIES}


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row[3][0]], ids=[row[0] for row in TABLE if row[3][0]]
)
def test_an_alert_says_what_it_means_and_what_to_try(
    row: tuple[str, Mapping[str, Any], Recent, Any],
) -> None:
    (alert,) = alerts(status(**row[1]), row[2])
    assert re.search(r"\d|array", alert.reason), "a reason has figures"
    assert alert.meaning[0].isupper()
    assert alert.meaning.endswith(".")
    assert alert.next_step.endswith(".")
    assert alert.policy == "outage" or re.search(r"`freshet [a-z]+|logs/", alert.next_step)
    assert "None" not in alert.reason + alert.meaning + alert.next_step


def test_red_alerts_come_first() -> None:
    found = alerts(status(**view(10_001), **role("lost"), **switch(False)))
    assert [a.light for a in found] == ["red", "amber", "amber"]


def test_a_refusal_says_whether_clients_notice() -> None:
    served, other = (
        alerts(status(**judged(4, 3, name)))[0].meaning for name in ("river-1a", "torch-2b")
    )
    assert "answers come from its last approved snapshot" in served
    assert "another lineage answers" in other


def test_before_the_clock_is_known_no_source_is_silent() -> None:
    assert alerts(status(app_ms=None, **source(9 * HOUR_MS)), missing(500)) == []


def test_bounds_can_be_set() -> None:
    said = status(**calibrated(1.1))
    assert alerts(said) == []
    assert [a.policy for a in alerts(said, bounds=AlertBounds(calibration=(0.95, 1.05)))] == [
        "calibration"
    ]


def test_every_role_and_switch_has_its_meaning() -> None:
    from freshet.roles.process import ROLES
    from freshet.streams.control.switches import NAMES

    assert set(WITHOUT) == set(ROLES)
    assert set(OFF) == set(NAMES)


@given(
    lags=st.lists(st.none() | st.integers(0, 50_000), max_size=4),
    states=st.lists(st.sampled_from(["running", "lost", "held"]), max_size=4),
    calibration=st.none() | st.floats(0, 100),
)
def test_policy_and_subject_are_an_identity(
    lags: list[int | None], states: list[Any], calibration: float | None
) -> None:
    said = status(
        views=[ViewFigures(name=f"v{i}", lag_ms=lag, slo_ms=10_000) for i, lag in enumerate(lags)],
        roles=[
            RoleFigures(role="train", instance=f"train.m.{i}", state=s)
            for i, s in enumerate(states)
        ],
        **calibrated(calibration),
    )
    found = alerts(said)
    assert len({(a.policy, a.subject) for a in found}) == len(found)
    assert found == alerts(said)


def test_of_each_task_the_alert_speaks_of_its_own_figures() -> None:
    """Whatever else stands in a status: one of another version may tell figures of any task."""
    off = Quality(n=5_000, calibration=9.0, accuracy=0.1, rmse=9.0)
    beside = References(prior=Quality(n=5_000, rmse=1.0))
    for task, wanted in (
        ("binary", "calibration"),
        ("classes", "confidence"),
        ("regression", "worse_than_prior"),
    ):
        found = ModelFigures(name="m", task=task, rolling=off, rolling_references=beside)
        assert [alert.policy for alert in alerts(status(models=[found]))] == [wanted]


@pytest.mark.parametrize(("said", "word"), [(confident(0.4), "more"), (confident(3.0), "less")])
def test_confidence_says_which_way_it_is_off(said: Mapping[str, Any], word: str) -> None:
    (alert,) = alerts(status(**said))
    assert f"are right {word} often than it says" in alert.meaning
