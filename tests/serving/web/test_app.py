"""The Open Inference Protocol over HTTP: every address, every way to ask wrongly, and Triton's
client byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from freshet.schemas.errors import ComponentError, LogError, StoreError
from freshet.serving.web.app import ScorerApp
from tests.serving.scoring.toy_answering import ToyAnswering

REQUEST = {
    "id": "r1",
    "inputs": [
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", "AA"]},
        {"name": "distance", "shape": [2], "datatype": "FP64", "data": [500, 250.0]},
    ],
}


def call(app: ScorerApp, method: str, path: str, **more: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://scorer"
        ) as client:
            return await client.request(method, path, **more)

    return asyncio.run(one())


def infer(app: ScorerApp, body: Any = REQUEST, model: str = "late", **more: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call(app, "POST", f"/v2/models/{model}/infer", content=content, **more)


def test_an_inference_is_answered_with_its_facts() -> None:
    toy = ToyAnswering()
    app = ScorerApp(toy)
    got = infer(app)
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {
        "model_name": "late",
        "model_version": "logistic-0a.2",
        "id": "r1",
        "parameters": {
            "model": "late", "lineage": "logistic-0a", "snapshot": 2, "segment": "global", "rung": "champion",
            "prediction_id": "UA-0", "oldest_value_age_ms": 1, "sequence": 100,
        },
        "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [2], "data": [0.5, 0.25]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [2], "data": ["UA-0", "AA-1"]},
        ],
    }  # fmt: skip
    assert (app.latency.requests, app.latency.rows, app.latency.failed) == (1, 2, 0)
    assert toy.asked[0].version is None


def test_only_the_outputs_asked_for_are_sent() -> None:
    got = infer(ScorerApp(ToyAnswering()), {**REQUEST, "outputs": [{"name": "prediction_id"}]})
    assert [x["name"] for x in got.json()["outputs"]] == ["prediction_id"]


def test_a_version_may_be_named() -> None:
    toy = ToyAnswering()
    content = json.dumps(REQUEST).encode()
    got = call(
        ScorerApp(toy), "POST", "/v2/models/late/versions/logistic-0a.1/infer", content=content
    )
    assert got.status_code == 200
    assert toy.asked[0].version == "logistic-0a.1"


@pytest.mark.parametrize(
    ("path", "json_"),
    [
        ("/v2", {"name": "freshet", "version": "0.1", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/late/ready", {"name": "late", "ready": True}),
        ("/v2/models/late/versions/logistic-0a.1/ready", {"name": "late", "ready": True}),
    ],
)
def test_the_protocols_other_addresses_answer(path: str, json_: dict[str, Any]) -> None:
    got = call(ScorerApp(ToyAnswering(), version="0.1"), "GET", path)
    assert (got.status_code, got.json()) == (200, json_)


def test_metadata_says_what_to_send() -> None:
    got = call(ScorerApp(ToyAnswering()), "GET", "/v2/models/late").json()
    assert got["versions"] == ["logistic-0a.2", "logistic-0a.1"]
    assert got["inputs"][0] == {
        "name": "carrier",
        "datatype": "BYTES",
        "shape": [-1],
        "parameters": {"required": True, "nullable": False},
    }
    assert [(x["name"], x["datatype"]) for x in got["outputs"]] == [
        ("probability", "FP64"),
        ("prediction_id", "BYTES"),
    ]
    again = call(ScorerApp(ToyAnswering()), "GET", "/v2/models/late/versions/logistic-0a.2").json()
    assert again == got


def test_readiness_is_the_models_own() -> None:
    toy = ToyAnswering()
    toy.is_ready = False
    app = ScorerApp(toy)
    assert call(app, "GET", "/v2/health/ready").status_code == 503
    assert call(app, "GET", "/v2/models/late/ready").status_code == 503
    assert call(app, "GET", "/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v2/models/laet/infer", 404, "model 'laet': is unknown. The models are late"),
        ("POST", "/v2/models/infer", 404, "model '': is unknown. The models are late"),
        ("POST", "/v2/models//infer", 404, "model '': is unknown. The models are late"),
        ("GET", "/v2/models/laet", 404, "The models are late"),
        ("GET", "/v2/models/laet/ready", 404, "The models are late"),
        ("GET", "/v2/models/late/versions/9", 404, "Loaded are logistic-0a.2, logistic-0a.1"),
        ("POST", "/v2/models/late/versions/9/infer", 404, "Loaded are logistic-0a.2"),
        ("GET", "/v2/models/late/infer", 404, "GET /v2/models/late/infer: Not Found. See /docs."),
        ("POST", "/v2/models/late", 405, "Method Not Allowed. See /docs."),
        ("GET", "/v1/nothing", 404, "/v1/nothing"),
    ],
)
def test_a_wrong_address_gets_json_that_helps(
    method: str, path: str, status: int, text: str
) -> None:
    got = call(ScorerApp(ToyAnswering()), method, path, json=REQUEST)
    assert got.status_code == status
    assert text in got.json()["error"]


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (b"{", {}, "body: is no inference request"),
        (b"[]", {}, "is no inference request"),
        ({"inputs": "x"}, {}, "Expected `array`, got `str` - at `$.inputs`"),
        ({"inputs": [{"name": "x"}]}, {}, "missing required field"),
        (b"\xff\xfe", {}, "is no inference request"),
        (
            {**REQUEST, "outputs": [{"name": "p"}]},
            {},
            "output 'p': is unknown. The outputs are probability and",
        ),
        ({**REQUEST, "inputs": REQUEST["inputs"][:1]}, {}, "lack distance"),
        (
            REQUEST,
            {"content-encoding": "br"},
            "content-encoding br: is unknown. Use gzip, deflate or none",
        ),
        (REQUEST, {"content-encoding": "gzip"}, "is not gzip"),
        (REQUEST, {"inference-header-content-length": "99999"}, "Send a whole number up to"),
        (REQUEST, {"inference-header-content-length": "-1"}, "Send a whole number up to"),
        (REQUEST, {"inference-header-content-length": "5"}, "is no inference request"),
    ],
)
def test_a_wrong_body_gets_400_and_what_was_expected(
    body: Any, headers: dict[str, str], text: str
) -> None:
    app = ScorerApp(ToyAnswering())
    got = infer(app, body, headers=headers)
    assert got.status_code == 400
    assert text in got.json()["error"]
    latency = app.latency
    assert (latency.requests, latency.in_error, latency.failed) == (1, 1, 0)


def test_a_body_beyond_the_limit_gets_413_however_it_is_sent() -> None:
    app = ScorerApp(ToyAnswering(), max_body_bytes=1000)

    async def drip() -> Any:
        for _ in range(100):
            yield b" " * 100

    for more in (
        {"content": b" " * 1001},
        {"content": drip()},
        {"content": gzip.compress(b" " * 1_000_000), "headers": {"content-encoding": "gzip"}},
    ):
        got = call(app, "POST", "/v2/models/late/infer", **more)
        assert got.status_code == 413
        assert "is larger than 1000 bytes. Send fewer rows a request" in got.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_body_is_unpacked(encoding: str, pack: Any) -> None:
    got = infer(
        ScorerApp(ToyAnswering()),
        pack(json.dumps(REQUEST).encode()),
        headers={"content-encoding": encoding},
    )
    assert got.status_code == 200


@pytest.mark.parametrize(
    "error", [StoreError("redis", "is away", "Start it."), LogError("t", "is away", "Start it.")]
)
def test_503_is_for_when_nothing_can_answer(error: Exception) -> None:
    toy = ToyAnswering()
    toy.raises = error
    app = ScorerApp(toy)
    got = infer(app)
    assert (got.status_code, got.json()) == (503, {"error": str(error)})
    assert app.latency.failed == 1


def test_a_question_that_is_put_off_says_when_to_ask_again_and_has_not_failed() -> None:
    toy = ToyAnswering()
    toy.raises = ComponentError(
        "model late", "its store is away", "Ask again.", refused=True, retry_seconds=1
    )
    app = ScorerApp(toy)
    got = infer(app)
    assert (got.status_code, got.headers["retry-after"]) == (503, "1")
    assert app.latency.failed == 0
    toy.raises = None
    assert "retry-after" not in infer(app).headers


def test_a_503_that_an_operator_decided_on_is_refused_and_neither_answered_nor_failed() -> None:
    toy = ToyAnswering()
    app = ScorerApp(toy)
    assert infer(app).status_code == 200
    toy.raises = ComponentError(
        "model late", "its lag is beyond its limit", "Ask again.", refused=True
    )
    assert infer(app).status_code == 503
    toy.raises = ComponentError("model late", "no rung can answer", "Declare one.")
    assert infer(app).status_code == 503
    latency = app.latency
    assert (latency.requests, latency.answered, latency.refused, latency.failed) == (3, 1, 1, 1)


def test_a_fault_of_ours_is_500_and_tells_no_secrets() -> None:
    body = json.loads(json.dumps(REQUEST).replace("UA", "bug"))
    got = infer(ScorerApp(ToyAnswering()), body)
    assert got.status_code == 500
    assert "secret" not in got.text


def test_the_scorer_adds_addresses_of_its_own() -> None:
    async def hello(request: Request) -> Response:
        if "fail" in request.query_params:
            raise StoreError("redis", "is away", "Start it.")
        return PlainTextResponse("hello")

    app = ScorerApp(ToyAnswering(), routes=[Route("/hello", hello)])
    assert call(app, "GET", "/hello").text == "hello"
    got = call(app, "GET", "/hello?fail=1")
    assert (got.status_code, got.json()["error"]) == (503, "store redis: is away. Start it.")


# What tritonclient[http] 2.73 sends, as captured; and what it reads of the answer.
TRITON_JSON = (
    b'{"id":"r1","inputs":[{"name":"carrier","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":12}},'
    b'{"name":"distance","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}]%s}'
)
TRITON_TAIL = b"\x02\x00\x00\x00UA\x02\x00\x00\x00AA" + struct.pack("<dd", 500.0, 250.0)


def triton(more: bytes) -> httpx.Response:
    head = TRITON_JSON % more
    headers = {"inference-header-content-length": str(len(head))}
    return infer(ScorerApp(ToyAnswering()), head + TRITON_TAIL, headers=headers)


def read_binary(got: httpx.Response) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As tritonclient's InferResult does."""
    size = int(got.headers["Inference-Header-Content-Length"])
    head, rest = json.loads(got.content[:size]), got.content[size:]
    tensors = {}
    for x in head["outputs"]:
        if "binary_data_size" in x.get("parameters", {}):
            tensors[x["name"]], rest = (
                rest[: x["parameters"]["binary_data_size"]],
                rest[x["parameters"]["binary_data_size"] :],
            )
    assert rest == b""
    return head, tensors


def test_triton_asks_in_binary_and_gets_binary() -> None:
    got = triton(b',"parameters":{"binary_data_output":true}')
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/octet-stream"
    head, tensors = read_binary(got)
    assert np.frombuffer(tensors["probability"], "<f8").tolist() == [0.5, 0.25]
    assert tensors["prediction_id"] == b"\x04\x00\x00\x00UA-0\x04\x00\x00\x00AA-1"
    assert "data" not in head["outputs"][0]
    assert head["parameters"]["rung"] == "champion"


def test_triton_may_ask_for_one_output_in_binary_and_one_in_json() -> None:
    got = triton(
        b',"outputs":[{"name":"probability","parameters":{"binary_data":true}},'
        b'{"name":"prediction_id","parameters":{"binary_data":false}}],"parameters":{"as_of":5}'
    )
    head, tensors = read_binary(got)
    assert list(tensors) == ["probability"]
    assert head["outputs"][1]["data"] == ["UA-0", "AA-1"]
