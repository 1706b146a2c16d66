"""The dashboard's routes: right types, incremental history, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.schemas.errors import ComponentError
from freshet.serving.page import app as dashboard
from freshet.serving.status import status
from freshet.serving.status.history import History
from tests.serving.status.fake_status import FakeYear


@pytest.fixture(scope="module")
def year() -> FakeYear:
    return FakeYear(59).advance(200)


class Client:
    """Asks the app itself, without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def get(self, path: str, **more: dict[str, str]) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
                return await client.get(
                    path, headers=more.get("headers"), params=more.get("params")
                )

        return asyncio.run(ask())


@pytest.fixture
def client(year: FakeYear) -> Client:
    return Client(dashboard.app(year.status, year.history))


def test_what_is_promised_stands_before_the_clock(client: Client) -> None:
    page = client.get("/").text
    assert page.index('id="promises"') < page.index('id="alerts"') < page.index('id="day"')


def test_status_json_is_the_status(client: Client, year: FakeYear) -> None:
    answer = client.get("/status.json")
    assert answer.headers["content-type"] == "application/json"
    told = status.decode(answer.content)
    assert told.models[0].served == year.status().models[0].served
    assert told.clock == year.status().clock


def test_a_dict_of_the_same_shape_will_do() -> None:
    client = Client(dashboard.app(lambda: {"app": "x", "at_ms": 1}, History()))
    assert status.decode(client.get("/status.json").content).app == "x"


def test_numpy_figures_are_figures() -> None:
    lags: list[Any] = [np.int64(5), np.float64("nan")]
    views = [status.ViewFigures(name="v", lag_ms=lag) for lag in lags]
    told = status.decode(status.encode(status.Status(app="x", at_ms=0, views=views)))
    assert [v.lag_ms for v in told.views] == [5, None]
    with pytest.raises(TypeError):
        status.encode({"at_ms": object()})


def test_history_json_comes_in_parts(client: Client, year: FakeYear) -> None:
    whole = client.get("/history.json").json()
    assert whole["start"] == 0
    assert len(whole["times"]) == 200
    nothing = client.get("/history.json", params={"since": whole["cursor"]}).json()
    assert (nothing["start"], nothing["times"]) == (200, [])
    year.advance(3)
    assert len(client.get("/history.json", params={"since": whole["cursor"]}).json()["times"]) == 3
    assert client.get("/history.json", params={"since": "nonsense"}).json()["start"] == 0


def test_history_json_has_tiers_and_names_them(client: Client) -> None:
    day = client.get("/history.json", params={"tier": "1d"}).json()
    assert day["times"][-1] == client.get("/history.json").json()["times"][-1]
    assert set(day["tiers"]) == {"all", "1h", "1d", "7d", "30d", "90d"}
    wrong = client.get("/history.json", params={"tier": "1y"})
    assert wrong.status_code == 400
    assert "The tiers are all, 1h, 1d, 7d, 30d, 90d." in wrong.json()["error"]


def test_routes_of_others_are_part_of_it_with_its_headers(year: FakeYear) -> None:
    async def hello(request: Request) -> Response:
        return Response("hello")

    answer = Client(dashboard.app(year.status, year.history, [Route("/v1/hello", hello)])).get(
        "/v1/hello"
    )
    assert answer.text == "hello"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_plotly_is_the_installed_one(client: Client) -> None:
    answer = client.get("/plotly.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert b"plotly.js v" in answer.content[:200]
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    assert dashboard.plotly_script().is_relative_to(Path(spec.submodule_search_locations[0]))


def test_without_plotly_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    with pytest.raises(ComponentError, match="Install the plotly package"):
        dashboard.app(dict, History())


@pytest.mark.parametrize("path", ["/", *sorted("/" + p.name for p in dashboard.PAGE.iterdir())])
def test_every_file_of_the_page_is_served_revalidated_and_closed_to_foreign_scripts(
    client: Client, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert client.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_the_page_asks_no_other_host_and_builds_no_html_from_text() -> None:
    for file in dashboard.PAGE.iterdir():
        text = file.read_text()
        addresses = set(re.findall(r"https?://[^\s'\"]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, file.name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        ), file.name


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for path in ("/nothing", "/../status.py", "/%2e%2e/dashboard.py"):
        assert client.get(path).status_code == 404


def test_an_unknown_figure_is_null_and_a_status_survives_its_wire(year: FakeYear) -> None:
    told = msgspec.json.decode(status.encode(FakeYear(1).status()))
    assert told["models"][0]["served"] is None
    assert status.encode(status.decode(status.encode(year.status()))).startswith(
        b'{"app":"flights"'
    )
