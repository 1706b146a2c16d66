"""The interface as it describes itself: the document and the app agree, and the page can be
read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.app import App, load
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.roles.interface import catalogue_of, interface
from freshet.schemas.topics.topic import Freshness
from freshet.serving.docs import openapi
from freshet.serving.docs import routes as http_docs
from freshet.serving.docs.routes import methods_of
from freshet.serving.page import api as operator_api
from freshet.serving.page import values
from freshet.serving.scoring.reach import Reach
from freshet.serving.scoring.scorer import Logging, Scorer
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.metrics import metrics_route, targets_route
from freshet.streams.clock import ManualClock
from freshet.streams.sqlite.log import SqliteLog
from tests import howto
from tests.consumers_app import APP, HOUR
from tests.serving.page import chromium
from tests.serving.page.test_page import listening
from tests.serving.web.test_app import call

INFER = {("post", openapi.INFER), ("post", openapi.INFER_VERSION)}
STRUCTS = {o.id: o for o in openapi.OPERATIONS}


@contextmanager
def scorer_of(app: App, folder: Path, now_ms: int) -> Iterator[ScorerApp]:
    log, store, clock = SqliteLog(str(folder)), MemoryStore(), ManualClock(now_ms)
    plans.ensure_topics(app, log)
    models = [(m, plans.vector_plan(app, m), app.outcomes_log_of(m)) for m in app.models]
    answering = Scorer("s", models, store, clock, Logging(log.writer))
    beside = interface(app, Reach(store), log, clock)
    yield ScorerApp(answering, routes=beside.routes)
    beside.pusher.close()
    answering.close()
    log.close()


@pytest.fixture
def scorer(tmp_path: Path) -> Iterator[ScorerApp]:
    with scorer_of(APP, tmp_path, 100 * HOUR) as made:
        yield made


def document(scorer: ScorerApp) -> dict[str, Any]:
    got = call(scorer, "GET", "/openapi.json")
    assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
    return dict(got.json())


def operations(scorer: ScorerApp) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (m, path, o)
        for path, methods in document(scorer)["paths"].items()
        for m, o in methods.items()
    ]


def test_every_route_of_the_app_is_described_and_nothing_else(scorer: ScorerApp) -> None:
    described = {(method, path) for method, path, _ in operations(scorer)}
    assert described == methods_of(scorer._other.routes) | INFER


def test_every_documented_address_answers_as_it_says(scorer: ScorerApp) -> None:
    for method, path, o in operations(scorer):
        where = path.replace("{model}", "late").replace("{version}", "hashed-0.1")
        more = {}
        if "requestBody" in o:
            more["json"] = o["requestBody"]["content"]["application/json"]["example"]
        got = call(scorer, method.upper(), where, **more)
        _, body = STRUCTS[o["operationId"]].answers[got.status_code]
        assert got.status_code == (404 if "version}" in path else 200), got.text
        if isinstance(body, str):
            assert got.headers["content-type"].split(";")[0] == body
        else:
            msgspec.json.decode(got.content, type=body)


def test_the_examples_are_understood_by_the_app_that_shows_them(scorer: ScorerApp) -> None:
    examples = {
        path: o["requestBody"]["content"]["application/json"]["example"]
        for _, path, o in operations(scorer)
        if "requestBody" in o
    }
    assert set(examples) == {openapi.INFER, openapi.INFER_VERSION, "/get-online-features", "/push"}
    assert examples["/get-online-features"]["features"] == ["by_courier:n", "by_courier:late"]
    assert examples["/push"]["push_source_name"] == "parcels"


def test_the_example_of_a_time_that_is_text_is_one(tmp_path: Path) -> None:
    howto.write("times", tmp_path)
    with scorer_of(load(tmp_path / "app.py"), tmp_path / "log", 1_795_890_000_000) as scorer:
        pushes = next(o for _, path, o in operations(scorer) if path == "/push")
        example = pushes["requestBody"]["content"]["application/json"]["example"]
        got = call(scorer, "POST", "/push", json=example)
    assert (got.status_code, got.json()["accepted"]) == (200, 1)


def test_parameters_of_an_answer_are_those_described(scorer: ScorerApp) -> None:
    example = next(o for _, path, o in operations(scorer) if path == openapi.INFER)["requestBody"]
    body = example["content"]["application/json"]["example"]
    got = call(scorer, "POST", "/v2/models/late/infer", json=body).json()["parameters"]
    types = {"string": str, "integer": int, "number": float}
    assert set(got) == set(openapi.ANSWER_PARAMETERS)
    assert all(type(got[k]) is types[kind] for k, (kind, _) in openapi.ANSWER_PARAMETERS.items())


def test_references_lead_somewhere_and_ids_are_unique(scorer: ScorerApp) -> None:
    found = document(scorer)
    assert found["openapi"].startswith("3.1")
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))
    assert names <= set(found["components"]["schemas"])
    ids = [o["operationId"] for _, _, o in operations(scorer)]
    assert len(set(ids)) == len(ids)
    for _, path, o in operations(scorer):
        assert [p["name"] for p in o.get("parameters", [])] == re.findall(r"{(\w+)}", path)


def test_routes_of_others_are_described_with_ours(tmp_path: Path) -> None:
    async def metrics(request: Request) -> Response:
        return Response()

    more = [Route("/metrics", metrics)]
    made = interface(APP, Reach(MemoryStore()), SqliteLog(str(tmp_path)), ManualClock(0), more)
    app = ScorerApp(None, routes=made.routes)  # type: ignore[arg-type]
    assert ("get", "/metrics") in {(m, p) for m, p, _ in operations(app)}


def test_the_operators_interface_is_described_as_it_is() -> None:
    nothing: Any = None
    operators = [
        *operator_api.routes(nothing, nothing, nothing),
        metrics_route(nothing),
        targets_route(nothing),
    ]
    described = http_docs.routes("1", catalogue_of(APP), operators, protocol=False)
    app = ScorerApp(nothing, routes=[*operators, *described])
    found = {(m, p): o for m, p, o in operations(app)}
    assert set(found) == methods_of([*operators, *described])
    settings = document(app)["components"]["schemas"]["TopicSettings"]["properties"]
    assert set(settings) == {f.name for f in fields(Freshness)}


def test_whatever_can_be_described_is_served_by_the_scorer_or_the_operators_page() -> None:
    nothing: Any = None
    served = methods_of(
        [
            *operator_api.routes(nothing, nothing, nothing),
            *values.routes(nothing, nothing),
            metrics_route(nothing),
            targets_route(nothing),
        ]
    )
    beside = {"/get-online-features", "/push", "/v1/catalog", "/openapi.json", "/docs"}
    for o in openapi.OPERATIONS:
        assert o.path.startswith("/v2") or o.path in beside or (o.method, o.path) in served, o.id


def test_the_catalogue_says_what_there_is_and_whose(scorer: ScorerApp) -> None:
    got = call(scorer, "GET", "/v1/catalog").json()
    assert got["app"] == "depot"
    (topic,) = got["topics"]
    assert (topic["log"], topic["owner"], topic["description"], topic["partitions"]) == (
        "depot.parcels", "depot@example.com", "A parcel that was handed over.", 4,
    )  # fmt: skip
    assert topic["freshness"]["snapshot_every"] == "1s"
    fields = {f["name"]: f for f in topic["fields"]}
    assert fields["late"] == {
        "name": "late", "type": "double", "required": False, "unit": "min", "description": "",
        "range": [-600.0, 6000.0], "domain": None, "imputed": None, "derived": None,
    }  # fmt: skip
    assert fields["at"]["unit"] == "ms since 1970"
    assert fields["parcel"]["required"]
    assert fields["city"]["domain"] == ["Berlin", "Lyon", "Porto"]
    courier, leg = got["views"]
    assert (courier["keys"], courier["max_age"], courier["owner"]) == (
        ["courier"],
        "1d",
        "couriers@example.com",
    )
    assert courier["digest"] == APP.view("by_courier").digest
    assert courier["features"] == [
        {"name": "n", "dtype": "double", "aggregation": "count", "field": None, "window": "1h", "half_life": None, "unit": "events", "where": None, "topic": None},
        {"name": "late", "dtype": "double", "aggregation": "mean", "field": "late", "window": "1h", "half_life": None, "unit": "min", "where": None, "topic": None},
        {"name": "last", "dtype": "double", "aggregation": "last", "field": "late", "window": None, "half_life": None, "unit": "min", "where": None, "topic": None},
    ]  # fmt: skip
    assert (leg["keys"], leg["max_age"]) == (["courier", "city"], None)
    assert (courier["kept"], leg["kept"]) == (None, None), "for ever, as features of no window are"
    assert [(f["aggregation"], f["half_life"], f["unit"]) for f in leg["features"][1:]] == [
        ("decayed_mean", "2h", "min"),
        ("age", None, "s"),
    ]
    late = got["models"][0]
    assert (late["owner"], late["on"], late["label_topic"], late["label_wait"]) == (
        "models@example.com",
        "parcels",
        "parcels",
        "1d",
    )
    assert late["features"] == [
        {"name": "city", "kind": "category", "computed": None},
        {"name": "by_courier:late", "kind": "view", "computed": None},
        {"name": "by_leg:ewm", "kind": "view", "computed": None},
    ]
    assert late["digest"] == APP.model("late").vectors.digest


def test_the_page_allows_no_scripts_and_loads_nothing(scorer: ScorerApp) -> None:
    got = call(scorer, "GET", "/docs")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    assert got.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in got.text
    assert not re.findall(r"(?:src|href)=\"?https?:", got.text)


@pytest.mark.skipif(chromium.found() is None, reason="no chromium on PATH")
@pytest.mark.parametrize(("width", "dark"), [(375, True), (1360, False)])
def test_the_page_can_be_read_on_a_phone_and_a_desk(
    scorer: ScorerApp, width: int, dark: bool
) -> None:
    with listening(scorer) as url, chromium.browser() as page:
        page.show(width, 800, dark=dark, touch=width < 600)
        page.open(f"{url}docs")
        page.wait("document.readyState === 'complete' && document.querySelector('article')")
        assert page.ask("document.documentElement.scrollWidth") == width
        listed = page.ask(
            "[...document.querySelectorAll('nav a')].map((a) => a.innerText.replace(/\\s+/g, ' '))"
        )
        assert "POST /get-online-features Values by entity key" in listed
        assert len(listed) == len(operations(scorer))
        broken = "[...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => !document.querySelector(a.hash)).length"
        assert page.ask(broken) == 0
        ground = page.ask("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) is dark
        assert page.errors == []
