"""What the whole app says of itself, as metrics; and where Prometheus finds everybody's."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed
from starlette.applications import Starlette

from freshet.serving.status import status as s
from freshet.serving.status.metrics import APP_METRICS, families
from freshet.serving.web.metrics import metrics_route, targets_route
from freshet.streams.vitals.metrics import CONTENT_TYPE, ROLE_METRICS, text_of
from tests.serving.status.fake_status import FakeYear

STATUS = s.Status(
    app="toy",
    at_ms=1,
    clock=s.Clock(app_ms=100_000),
    promises=[s.Promise("features fresh", "amber", "lag 9 s")],
    topics=[
        s.TopicFigures(
            name="orders", settings={"lateness": "2m", "on_violation": "serve", "feature_slo": "?"}
        )
    ],
    views=[s.ViewFigures(name="shops", lag_ms=9_000, slo_ms=5_000), s.ViewFigures(name="new")],
    models=[
        s.ModelFigures(
            name="unpaid",
            lag_ms=0,
            approvals=3,
            served=s.Served(lineage="x-1", number=2, since_ms=50_000),
            rolling=s.Quality(n=9, ne=0.8, log_loss=0.5, accuracy=0.8),
            rolling_references=s.References(
                prior=s.Quality(n=9, ne=1.0, log_loss=0.6, accuracy=0.7),
                no_change=s.Quality(n=8, accuracy=0.6),
            ),
            rolling_baseline=s.Quality(n=9, ne=0.95),
        )
    ],
    roles=[
        s.RoleFigures(
            role="view", instance="view", state="lost", restarts=2, metrics="http://10.0.0.7:9100"
        ),
        s.RoleFigures(role="serve", instance="serve", state="held"),
    ],
    alerts=[
        s.Alert(
            policy="lag",
            subject="shops",
            light="red",
            reason="",
            meaning="",
            next_step="",
            since_ms=2_000,
        ),
        s.Alert(
            policy="lag",
            subject="new",
            light="red",
            reason="",
            meaning="",
            next_step="",
            state="resolved",
        ),
    ],
    switches=[s.SwitchFigures(name="learn", on=False)],
)


Sample = tuple[str, frozenset[tuple[str, str]]]


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def told(status: s.Status) -> dict[Sample, float]:
    found: dict[Sample, float] = {}
    for family in parsed(text_of(families(status)).decode()):
        for x in family.samples:
            labels = dict(x.labels)
            assert [labels.pop(k) for k in ("app", "role", "instance")] == [
                status.app,
                "control",
                "control",
            ]
            found[sample(x.name, **labels)] = x.value
    return found


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (sample("freshet_clock_timestamp_seconds"), 100),
        (sample("freshet_view_fresh_timestamp_seconds", view="shops"), 91),
        (sample("freshet_view_slo_seconds", view="shops"), 5),
        (sample("freshet_model_fresh_timestamp_seconds", model="unpaid"), 100),
        (sample("freshet_model_served_since_timestamp_seconds", model="unpaid", lineage="x-1"), 50),
        (sample("freshet_model_verdicts_total", model="unpaid", verdict="approved"), 3),
        (sample("freshet_model_normalised_entropy", model="unpaid", answered_by="served"), 0.8),
        (sample("freshet_model_normalised_entropy", model="unpaid", answered_by="baseline"), 0.95),
        (sample("freshet_model_log_loss", model="unpaid", answered_by="served"), 0.5),
        (sample("freshet_model_log_loss", model="unpaid", answered_by="prior"), 0.6),
        (sample("freshet_model_accuracy", model="unpaid", answered_by="served"), 0.8),
        (sample("freshet_model_accuracy", model="unpaid", answered_by="no_change"), 0.6),
        (sample("freshet_promise_light", promise="features fresh", light="amber"), 1),
        (sample("freshet_promise_light", promise="features fresh", light="green"), 0),
        (sample("freshet_topic_setting_seconds", topic="orders", setting="lateness"), 120),
        (sample("freshet_role_running", of_role="view", process="view"), 0),
        (sample("freshet_role_running", of_role="serve", process="serve"), 1),
        (sample("freshet_role_restarts_total", of_role="view", process="view"), 2),
        (
            sample(
                "freshet_alert_since_timestamp_seconds", policy="lag", subject="shops", light="red"
            ),
            2,
        ),
        (sample("freshet_switch_on", switch="learn"), 0),
    ],
)
def test_a_figure_of_the_app_is_told(wanted: Sample, value: float) -> None:
    assert told(STATUS)[wanted] == pytest.approx(value)


@pytest.mark.parametrize(
    "wanted",
    [
        sample("freshet_view_fresh_timestamp_seconds", view="new"),
        sample("freshet_topic_setting_seconds", topic="orders", setting="feature_slo"),
        sample("freshet_topic_setting_seconds", topic="orders", setting="on_violation"),
        sample("freshet_alert_since_timestamp_seconds", policy="lag", subject="new", light="red"),
        sample("freshet_model_auc", model="unpaid", answered_by="served"),
        sample("freshet_model_log_loss", model="unpaid", answered_by="no_change"),
    ],
)
def test_what_is_not_known_or_not_so_is_left_out(wanted: Sample) -> None:
    assert wanted not in told(STATUS)


def test_a_model_tells_the_figures_of_its_task_and_what_became_of_labels() -> None:
    numbers = s.ModelFigures(
        name="weight",
        task="regression",
        labels=s.LabelFigures(fates={"used": 7, "null": 2, "bad": 1}),
        rolling=s.Quality(n=9, mae=1.5, rmse=2.5, bias=-0.5, squared_error=6.25),
        rolling_references=s.References(prior=s.Quality(n=8, mae=3.0, rmse=4.0, bias=0.0)),
    )
    classes = s.ModelFigures(
        name="kind", task="classes", rolling=s.Quality(n=9, macro_f1=0.75, calibration=1.5)
    )
    found = told(s.Status(app="toy", at_ms=0, models=[numbers, classes]))

    def of(name: str, model: str) -> dict[str, float]:
        return {
            dict(labels)["answered_by"]: value
            for (told_name, labels), value in found.items()
            if told_name == name and dict(labels)["model"] == model
        }

    assert of("freshet_model_mean_absolute_error", "weight") == {"served": 1.5, "prior": 3.0}
    assert of("freshet_model_root_mean_squared_error", "weight") == {"served": 2.5, "prior": 4.0}
    assert of("freshet_model_bias", "weight") == {"served": -0.5}
    assert of("freshet_model_macro_f1", "kind") == {"served": 0.75}
    assert of("freshet_model_calibration", "kind") == {"served": 1.5}
    for name in ("auc", "log_loss", "accuracy", "calibration", "macro_f1"):
        assert of(f"freshet_model_{name}", "weight") == {}
    fate = "freshet_model_label_fates_total"
    for name, count in {"used": 7, "null": 2, "bad": 1}.items():
        assert found[sample(fate, model="weight", label_fate=name)] == count


def test_an_app_that_has_just_begun_has_few_metrics_and_a_year_of_flights_has_many() -> None:
    assert told(s.Status(app="toy", at_ms=0)) == {}
    assert len(told(FakeYear(59).advance(200).status())) > 50


def test_no_name_is_also_that_of_a_role_and_all_follow_the_conventions() -> None:
    names = [f.name for f in (*APP_METRICS, *ROLE_METRICS)]
    assert len(set(names)) == len(names)
    for f in APP_METRICS:
        assert re.fullmatch(r"freshet_[a-z0-9_]+", f.name), f.name
        assert f.name.endswith("_total") == (f.kind == "counter"), f.name


def get(path: str) -> httpx.Response:
    app = Starlette(
        routes=[metrics_route(lambda: text_of(families(STATUS))), targets_route(lambda: STATUS)]
    )

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://control"
        ) as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_route_serves_metrics_as_prometheus_reads_them() -> None:
    answer = get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.content == text_of(families(STATUS))


def test_prometheus_is_told_of_each_process_that_says_where_its_metrics_are() -> None:
    answer = get("/metrics/targets")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {"targets": ["10.0.0.7:9100"], "labels": {"app": "toy", "role": "view", "instance": "view"}}
    ]
