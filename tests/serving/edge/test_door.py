"""Who may ask, on both servers and over real sockets: by which name, from whose page, with what it
says that it carries."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import httpx
import pytest

from freshet.schemas.errors import RequestError
from freshet.serving.edge.door import check
from freshet.serving.edge.hosts import hosts_of
from tests.serving.edge.served import ASKED, INFER, Operated, Scored, said, served

SETTINGS = "/v1/topics/parcels/settings"
CHANGES = [
    ("POST", INFER, ASKED),
    ("POST", "/push", b"{}"),
    ("PUT", SETTINGS, b'{"lateness": "5m"}'),
    ("PUT", "/v1/switches/learn", b'{"on": false}'),
]
JSON = "content-type: application/json"


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, tuple[str, Operated | Scored]]]:
    hosts = hosts_of("127.0.0.1", "models.example.org")
    scored, operated = Scored(hosts), Operated(hosts)
    with served(scored.app) as scorer, served(operated.app) as page:
        yield {"POST": (scorer, scored), "PUT": (page, operated)}


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize(
    ("host", "lines", "status"),
    [
        ("elsewhere.example", [JSON], 421),
        ("elsewhere.example", [JSON, "origin: http://elsewhere.example"], 421),
        ("localhost.elsewhere.example", [JSON], 421),
        ("93.184.216.34", [JSON], 421),
        ("user@localhost", [JSON], 400),
        ("localhost\r\nhost: elsewhere.example", [JSON], 400),
        ("", [JSON], 400),
        ("localhost", [JSON, "origin: http://elsewhere.example"], 403),
        ("localhost", [JSON, "origin: http://localhost:1"], 403),
        ("localhost", [JSON, "origin: null"], 403),
        ("localhost", [JSON, "origin: http://[x"], 403),
        ("localhost", ["content-type: text/plain"], 415),
        ("localhost", ["content-type: application/x-www-form-urlencoded"], 415),
        ("localhost", ["content-type: multipart/form-data; boundary=application/json"], 415),
        ("localhost", ["sec-fetch-site: cross-site"], 415),
    ],
)
def test_what_may_not_ask_is_refused_and_changes_nothing(
    both: dict[str, tuple[str, Operated | Scored]],
    method: str,
    path: str,
    body: bytes,
    host: str,
    lines: list[str],
    status: int,
) -> None:
    address, app = both[method]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines])
    found, told = said(address, head, body, host)
    assert found == status, told
    assert json.loads(told)["error"]
    assert not app.told


@pytest.mark.parametrize("path", ["/status.json", "/", "/v1/topics", "/history.json"])
def test_nothing_is_read_by_another_name(
    both: dict[str, tuple[str, Operated | Scored]], path: str
) -> None:
    assert said(both["PUT"][0], f"GET {path} HTTP/1.1", host="elsewhere.example")[0] == 421
    assert said(both["PUT"][0], f"GET {path} HTTP/1.1")[0] == 200


@pytest.mark.parametrize("path", ["/v2", "/v2/models/late", "/v2/health/live"])
def test_nor_on_the_scorer(both: dict[str, tuple[str, Operated | Scored]], path: str) -> None:
    assert said(both["POST"][0], f"GET {path} HTTP/1.1", host="elsewhere.example")[0] == 421
    assert said(both["POST"][0], f"GET {path} HTTP/1.1")[0] == 200


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        ("localhost", [JSON]),
        ("LOCALHOST.:8080", [JSON]),
        ("127.0.0.1", ["content-type: Application/JSON; charset=utf-8"]),
        ("[::1]:80", [JSON, "origin: http://[::1]:80"]),
        ("models.example.org", [JSON, "origin: https://models.example.org"]),
        ("localhost:1", [JSON, "origin: https://models.example.org"]),
    ],
)
def test_own_names_and_listed_ones_may(
    both: dict[str, tuple[str, Operated | Scored]], host: str, lines: list[str]
) -> None:
    head = "\r\n".join([f"POST {INFER} HTTP/1.1", *lines])
    assert said(both["POST"][0], head, ASKED, host)[0] == 200


def test_a_client_that_is_no_browser_need_not_name_a_type_to_infer_and_must_elsewhere() -> None:
    scored = Scored()
    with served(scored.app) as address:
        assert said(address, f"POST {INFER} HTTP/1.1", ASKED)[0] == 200
        assert said(address, f"POST {INFER} HTTP/1.0", ASKED, host="")[0] == 200
        assert said(address, "POST /push HTTP/1.1", b"{}")[0] == 415
        # Nothing can be deleted, of whatever type: that is the cause to be told.
        assert said(address, "DELETE /push HTTP/1.1")[0] == 405
        text = struct.pack("<I2s", 2, b"UA") + struct.pack("<d", 500.0)
        head = (
            b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},'
            b'{"name": "distance", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}]}'
        )
        lines = f"inference-header-content-length: {len(head)}\r\ncontent-type: application/octet-stream"
        assert said(address, f"POST {INFER} HTTP/1.1\r\n{lines}", head + text)[0] == 200
    assert not scored.told


def test_a_listener_on_all_addresses_is_asked_by_the_one_that_was_reached() -> None:
    with served(Scored(hosts_of("0.0.0.0")).app, host="0.0.0.0") as address:
        port = httpx.URL(address).port
        assert httpx.get(f"http://127.0.0.1:{port}/v2").status_code == 200
        assert (
            said(f"http://127.0.0.1:{port}", "GET /v2 HTTP/1.1", host=f"10.1.2.3:{port}")[0] == 421
        )
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "server": ("10.1.2.3", 80),
        "headers": [(b"host", b"10.1.2.3")],
    }
    check(scope, hosts_of("0.0.0.0"))


def test_by_a_socket_of_this_machine_any_name_will_do() -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "server": ("/run/s.sock", None),
        "headers": [],
    }
    check(scope, hosts_of("localhost"))
    with pytest.raises(RequestError, match="is there 0 times"):
        check({**scope, "server": ("127.0.0.1", 80)}, hosts_of("localhost"))


def test_a_star_lets_every_name_in_and_no_foreign_page() -> None:
    with served(Scored(hosts_of("127.0.0.1", "*")).app) as address:
        assert said(address, "GET /v2 HTTP/1.1", host="elsewhere.example")[0] == 200
        head = f"POST {INFER} HTTP/1.1\r\n{JSON}\r\norigin: http://elsewhere.example"
        assert said(address, head, ASKED)[0] == 403


def test_what_an_app_raises_is_an_answer_and_ends_nothing() -> None:
    operated = Operated()
    with served(operated.app) as address, httpx.Client(base_url=address) as client:
        for since in ("9" * 5000, "nan", "1e999", "%00", "a-b-c", "-9-9"):
            assert client.get(f"/history.json?since={since}").status_code in (200, 400)
        for body in (
            b"[" * 10_000,
            b"\xff",
            b'{"lateness": ' + b"1" * 5000 + b"}",
            b'{"\\ud800": "5m"}',
            b'{"lateness": "\\ud800s"}',
        ):
            answer = client.put(
                SETTINGS, content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]
    assert not operated.told
