"""What operators change: validated whole, live, recorded with who and when, kept over restarts,
closed to other sites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from freshet.schemas.errors import LogError
from freshet.schemas.topics.settings import KEYS, changed
from freshet.schemas.topics.topic import Freshness
from freshet.serving.page import api as operator_api
from tests.serving.page.operated import DECLARED, Operated
from tests.serving.status.fake_status import FakeYear

YEAR = FakeYear(59).advance(300)
ARRIVALS = "/v1/topics/arrivals/settings"


def ask(app: Starlette, method: str, path: str, **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://page:8400") as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    app = Operated(tmp_path, YEAR)
    yield app
    app.close()


def test_topics_are_told_with_settings_lags_and_what_is_allowed(operated: Operated) -> None:
    told = ask(operated.app(), "GET", "/v1/topics").json()
    arrivals = next(t for t in told["topics"] if t["name"] == "arrivals")
    assert arrivals["settings"]["snapshot_every"] == arrivals["declared"]["snapshot_every"] == "6h"
    assert arrivals["lag_ms"] == 0
    assert {"origin_delay", "tail_delay"} <= {v["name"] for v in arrivals["views"]}
    assert tuple(told["allowed"]) == KEYS
    for key, allowed in told["allowed"].items():
        assert allowed["meaning"], key
        for value in (
            [allowed["least"], allowed["most"]] if "least" in allowed else allowed["one_of"]
        ):
            assert getattr(changed(Freshness(), key, value), key) == value


def test_a_change_is_live_recorded_with_who_and_when_and_there_after_a_restart(
    operated: Operated,
) -> None:
    app = operated.app()
    wanted = {"snapshot_every": "2h", "on_violation": "refuse"}
    answer = ask(app, "PUT", ARRIVALS, json=wanted, headers={"x-freshet-user": "ada"})
    assert answer.status_code == 200
    assert answer.json()["topic"] == "arrivals"
    assert answer.json()["settings"] == operated.status().topics[2].settings
    assert wanted.items() <= answer.json()["settings"].items()
    again = Operated(operated.folder, YEAR)
    again.status()
    assert again.settings.of("arrivals").snapshot_every == "2h"
    assert again.settings.of("departures") == DECLARED["departures"]
    assert [(c.topic, c.key, c.value, c.by) for c in again.status().changes] == [
        ("arrivals", "snapshot_every", "2h", "ada"),
        ("arrivals", "on_violation", "refuse", "ada"),
    ]
    assert all(c.at_ms > 0 for c in again.status().changes)


def test_one_wrong_setting_and_none_is_changed(operated: Operated) -> None:
    answer = ask(
        operated.app(), "PUT", ARRIVALS, json={"snapshot_every": "2h", "lateness": "2 parsecs"}
    )
    assert answer.status_code == 400
    assert operated.status().changes == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"snapshot_every": "2 hours"}, "units: ms, s, m, h, d"),
        ({"snapshot_every": "1ms"}, "Use 100ms to 366d"),
        ({"batch_wait": "2m"}, "Use 0s to 1m"),
        ({"snapshots": "2h"}, "Settings of a topic are feature_slo, model_slo"),
        ({"on_violation": "panic"}, "Use one of serve, fallback, refuse"),
        ({"lateness": 5}, 'such as {"lateness": "2h"}'),
        ({}, "Settings are feature_slo"),
        (["lateness"], "is no JSON object"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_with_what_is_allowed(
    operated: Operated, body: Any, told: str
) -> None:
    answer = ask(operated.app(), "PUT", ARRIVALS, json=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_an_unknown_topic_is_answered_with_the_known_ones(operated: Operated) -> None:
    answer = ask(operated.app(), "PUT", "/v1/topics/nothing/settings", json={"lateness": "5m"})
    assert answer.status_code == 404
    assert "The topics are departures, takeoffs, arrivals, weather." in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "content", "status", "told"),
    [
        ({"origin": "http://elsewhere.example"}, b"{}", 403, "is not page:8400"),
        ({"origin": "http://page"}, b"{}", 403, "this app's own page"),
        ({"origin": "null"}, b"{}", 403, "origin null"),
        ({"origin": "http://[x"}, b"{}", 403, "is not page:8400"),
        ({"content-type": "text/plain"}, b"{}", 415, "application/json"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"{}", 415, "application/json"),
        ({}, b"{", 400, "is no JSON"),
        ({}, b"\xff", 400, "is no JSON"),
        ({}, b"[" * 15_000, 400, "is no JSON"),
        ({}, b" " * 20_000, 413, "is larger than 16384 bytes"),
    ],
)
def test_other_sites_and_bodies_that_are_no_json_change_nothing(
    operated: Operated, headers: dict[str, str], content: bytes, status: int, told: str
) -> None:
    for path in (ARRIVALS, "/v1/switches/learn"):
        given = {"content-type": "application/json"} | headers
        answer = ask(operated.app(), "PUT", path, content=content, headers=given)
        assert answer.status_code == status
        assert told in answer.json()["error"]
    assert operated.status().changes == []
    assert operated.status().switches[0].on


def test_the_own_page_may_change(operated: Operated) -> None:
    answer = ask(
        operated.app(),
        "PUT",
        ARRIVALS,
        json={"lateness": "5m"},
        headers={"origin": "http://page:8400"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("given", "by"),
    [
        (None, "page@127.0.0.1"),
        ("  ", "page@127.0.0.1"),
        ("ada", "ada"),
        ("Ma%C5%82gorzata%0a", "Małgorzata"),
        ("x" * 500, "x" * 80),
    ],
)
def test_changes_carry_the_name_given_or_the_page_and_its_address(
    operated: Operated, given: str | None, by: str
) -> None:
    headers = {} if given is None else {"x-freshet-user": given}
    ask(operated.app(), "PUT", ARRIVALS, json={"lateness": "5m"}, headers=headers)
    ask(operated.app(), "PUT", "/v1/switches/learn", json={"on": False}, headers=headers)
    assert [c.by for c in operated.status().changes] == [by]
    assert operated.status().switches[0].by == by


def test_while_the_log_is_away_a_change_is_refused_and_not_lost_in_silence(
    operated: Operated,
) -> None:
    def away(topic: str, changes: Mapping[str, str], by: str) -> None:
        raise LogError("kafka at 10.0.0.1:9092", "does not answer", "Start it.")

    app = Starlette(routes=operator_api.routes(operated.status, away, operated.turn))
    answer = ask(app, "PUT", ARRIVALS, json={"lateness": "5m"})
    assert answer.status_code == 503
    assert answer.json()["error"] == "log kafka at 10.0.0.1:9092: does not answer. Start it."
    assert ask(app, "PUT", "/v1/switches/learn", json={"on": False}).status_code == 200, (
        "switches need no log"
    )


def test_a_switch_is_turned_and_stays_so_after_a_restart(operated: Operated) -> None:
    app = operated.app()
    assert [s["on"] for s in ask(app, "GET", "/v1/switches").json()["switches"]] == [
        True,
        True,
        True,
    ]
    turned = ask(app, "PUT", "/v1/switches/release", json={"on": False}).json()["switches"]
    assert [(s["name"], s["on"]) for s in turned] == [
        ("learn", True),
        ("release", False),
        ("answer", True),
    ]
    assert turned[1]["at_ms"] > 0
    again = Operated(operated.folder, YEAR)
    assert [s.on for s in again.status().switches] == [True, False, True]
    ask(app, "PUT", "/v1/switches/release", json={"on": True})
    assert [s.on for s in again.status().switches] == [True, True, True]


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/v1/switches/sleep", {"on": False}, 404, "The switches are learn, release, answer."),
        ("/v1/switches/learn", {"on": "off"}, 400, '{"on": true} or {"on": false}'),
        ("/v1/switches/learn", {}, 400, '{"on": true} or {"on": false}'),
        ("/v1/switches/learn", {"on": True, "by": "eve"}, 400, '{"on": true} or {"on": false}'),
    ],
)
def test_a_switch_is_on_or_off_and_nothing_else(
    operated: Operated, path: str, body: Any, status: int, told: str
) -> None:
    answer = ask(operated.app(), "PUT", path, json=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=JSON)
def test_no_body_is_a_fault_of_ours_and_none_but_durations_is_recorded(
    operated: Operated, body: Any
) -> None:
    before = len(operated.status().changes)
    answer = ask(
        operated.app(),
        "PUT",
        ARRIVALS,
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (200, 400)
    assert (len(operated.status().changes) > before) == (answer.status_code == 200)
    for change in operated.status().changes:
        changed(Freshness(), change.key, change.value)
