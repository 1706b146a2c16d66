"""The scorer's HTTP side: the Open Inference Protocol as an ASGI app.

`POST …/infer` is answered here, without a framework in between; everything else goes through
Starlette, where the scorer may add routes of its own. A request in error gets JSON
`{"error": "…"}` that says what was expected."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from freshet.schemas.errors import FreshetError, RequestError
from freshet.serving.edge.answers import JSON, json_response
from freshet.serving.edge.body import MAX_BODY_BYTES, read_body
from freshet.serving.edge.door import BINARY, Door
from freshet.serving.edge.failures import (
    error_body,
    is_on_purpose,
    retry_seconds,
    said,
    status_of,
    understanding,
)
from freshet.serving.edge.hosts import Hosts, hosts_of
from freshet.serving.oip import messages as oip
from freshet.serving.oip.tensors import read_question
from freshet.serving.scoring.coalesce import Coalescer
from freshet.serving.scoring.contract import Answering, ModelCard
from freshet.serving.scoring.latency import Latency, Outcome

MAX_ROWS = 4096
EXPECTED = "Send an inference request; GET the model's own address for its inputs."


class Place(NamedTuple):
    """Who is asked by a request's path."""

    model: str
    version: str | None


class ScorerApp:
    """Answers questions about the models of `answering`; `routes` are added to the protocol's own.

    `latency` holds what requests took from the app's first sight to the last byte handed to the
    server; what was refused on purpose (`on_violation`, the switch) is neither answered nor failed,
    and neither is what was in error, be it turned away at the door.
    While `draining`, answers ask clients to close the connection."""

    def __init__(
        self,
        answering: Answering,
        name: str = "freshet",
        version: str = "",
        routes: Sequence[BaseRoute] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
        hosts: Hosts | None = None,
    ) -> None:
        self._answering = answering
        self._coalescer = Coalescer(answering)
        self._max_body = max_body_bytes
        self._server = oip.ServerMetadata(
            name,
            version,
            ["binary_tensor_data"],
        )
        self._other = Starlette(
            routes=[*self._routes(), *routes],
            exception_handlers={HTTPException: _http_error, FreshetError: _freshet_error},
        )
        self.latency = Latency()
        self._door = Door(
            self._routed,
            hosts or hosts_of("localhost"),
            self.latency.add_in_error,
        )
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            place = _place_of(scope["path"])
            if place is not None:
                await self._infer(place, scope, receive, send)
                return
        await self._other(scope, receive, send)

    async def _infer(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        rows = 0
        outcome: Outcome = "answered"
        retry = None
        try:
            # First, also where the model is unknown: what is not read would stand before the next
            # request on the connection.
            body = await read_body(scope, receive, self._max_body)
            card = self._card(place.model, place.version)
            with understanding("body", EXPECTED):
                request = oip.read_request(body.json)
                oip.check_outputs(request, card.task)
                question = read_question(
                    request,
                    body.tail,
                    card,
                    place.version,
                    MAX_ROWS,
                )
            rows = question.n
            answer = await self._coalescer.ask(question)
            status = 200
            out, json_bytes = oip.write_answer(
                request,
                place.model,
                answer,
            )
        except Exception as error:
            status = status_of(error)
            out = error_body(error)
            json_bytes = None
            retry = retry_seconds(error)
            outcome = _outcome_of(error, status)
        await self._send(send, status, out, json_bytes, retry)
        self.latency.add(
            started,
            time.monotonic() - started,
            rows,
            outcome,
        )

    async def _send(
        self, send: Send, status: int, body: bytes, json_bytes: int | None, retry: int | None
    ) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        if json_bytes is None:
            headers.append((b"content-type", JSON.encode()))
        else:
            headers.append((b"content-type", BINARY.encode()))
            headers.append((b"inference-header-content-length", b"%d" % json_bytes))
        if retry is not None:
            headers.append((b"retry-after", b"%d" % retry))
        # Of a body that was too large the rest is still on its way.
        if self.draining or status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _card(self, model: str, version: str | None) -> ModelCard:
        """Raises `RequestError` (404) for an unknown model or version, naming the known ones."""
        models = self._answering.models()
        if model not in models:
            raise RequestError(
                f"model {model!r}",
                "is unknown",
                f"The models are {', '.join(models) or 'none'}.",
                status=404,
            )
        card = self._answering.card(model)
        if version is not None and version not in card.versions:
            raise RequestError(
                f"version {version!r} of {model}",
                "is not loaded",
                f"Loaded are {', '.join(card.versions) or 'none'}; "
                "without a version the served one answers.",
                status=404,
            )
        return card

    def _routes(self) -> list[BaseRoute]:
        async def server(request: Request) -> Response:
            return json_response(oip.write_json(self._server))

        async def live(request: Request) -> Response:
            return json_response(b'{"live":true}')

        async def ready(request: Request) -> Response:
            yes = not self.draining and all(
                self._answering.ready(name) for name in self._answering.models()
            )
            return json_response(oip.write_json({"ready": yes}), _ready_status(yes))

        async def model(request: Request) -> Response:
            card = self._card(request.path_params["model"], request.path_params.get("version"))
            return json_response(oip.write_json(oip.metadata_of(card)))

        async def model_ready(request: Request) -> Response:
            version = request.path_params.get("version")
            card = self._card(request.path_params["model"], version)
            yes = self._answering.ready(card.name, version)
            told = {"name": card.name, "ready": yes}
            return json_response(oip.write_json(told), _ready_status(yes))

        return [
            Route("/v2", server),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", ready),
            Route("/v2/models/{model}", model),
            Route("/v2/models/{model}/ready", model_ready),
            Route("/v2/models/{model}/versions/{version}", model),
            Route("/v2/models/{model}/versions/{version}/ready", model_ready),
        ]


def _outcome_of(error: Exception, status: int) -> Outcome:
    # First: its status is 503, too, which would count as failed.
    if is_on_purpose(error):
        return "refused"
    if status >= 500:
        return "failed"
    return "in_error"


def _ready_status(ready: bool) -> int:
    """Whoever spreads requests over scorers looks at the status alone."""
    if ready:
        return 200
    return 503


def _place_of(path: str) -> Place | None:
    """Of `/v2/models/{model}[/versions/{version}]/infer`; None for any other path."""
    match path.split("/"):
        # Who asks so has left the name out: that of a model which is called so stands before it.
        case ["", "v2", "models", "infer"]:
            return Place("", None)
        case ["", "v2", "models", model, "infer"]:
            return Place(model, None)
        case ["", "v2", "models", model, "versions", version, "infer"]:
            return Place(model, version)
    return None


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path}: {error.detail}. See /docs."
    return json_response(said(text), error.status_code)


async def _freshet_error(request: Request, error: Exception) -> Response:
    answer = json_response(error_body(error), status_of(error))
    retry = retry_seconds(error)
    if retry is not None:
        answer.headers["retry-after"] = str(retry)
    return answer
