"""Requests that change something: sent as JSON, by somebody."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from freshet.schemas.errors import FreshetError, RequestError
from freshet.serving.edge.answers import json_response
from freshet.serving.edge.body import read_body
from freshet.serving.edge.failures import said, status_of
from freshet.serving.status.status import encode

MAX_BODY_BYTES = 16 << 10  # all settings of a topic are a few hundred bytes
MAX_NAME = 80  # it stands in the log, in switches.json and on the page, for as long as they do
EXAMPLE = 'Send an object, such as {"snapshot_every": "2h"}.'


def answered(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with its errors as JSON: 400 or the error's own status, 503 where a server is
    away."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FreshetError as error:
            return json_response(said(str(error)), status_of(error))

    return answer


def by_of(request: Request) -> str:
    """Who asks: the header `x-freshet-user` (percent-encoded beyond ASCII), or the page and its
    address."""
    name = unquote(request.headers.get("x-freshet-user", ""))
    name = "".join(char for char in name if char.isprintable()).strip()[:MAX_NAME]
    if name:
        return name
    host = "unknown"
    if request.client is not None:
        host = request.client.host
    return f"page@{host}"


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        RequestError: it is too large (413), or no object.
    """
    found = await read_body(request.scope, request.receive, MAX_BODY_BYTES)
    try:
        body = json.loads(found.data)
    # also what is no UTF-8, and numbers of thousands of digits
    except (ValueError, RecursionError) as error:
        raise RequestError("body", f"is no JSON: {error}", EXAMPLE) from error
    if not isinstance(body, dict):
        raise RequestError(
            "body", "is no JSON object", 'Send one, such as {"snapshot_every": "2h"}.'
        )
    return body


def as_json(value: object, status: int = 200) -> Response:
    return json_response(encode(value), status)
