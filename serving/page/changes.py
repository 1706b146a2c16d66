"""Requests that change something: sent as JSON, by somebody, and never by another site's page."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from freshet.schemas.errors import ComponentError, FreshetError, RequestError
from freshet.serving.status.status import encode

MAX_BODY_BYTES, MAX_NAME = 16 << 10, 80


def answered(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with its errors as JSON: 400 or the error's own status, 503 where a server is away."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FreshetError as error:
            status = 503 if isinstance(error, ComponentError) else error.facts.get("status", 400)
            return as_json({"error": str(error)}, int(str(status)))

    return answer


def by_of(request: Request) -> str:
    """Who asks: the header `x-freshet-user` (percent-encoded beyond ASCII), or the page and its address."""
    name = unquote(request.headers.get("x-freshet-user", ""))
    name = "".join(c for c in name if c.isprintable()).strip()[:MAX_NAME]
    return name or f"page@{request.client.host if request.client else 'unknown'}"


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        RequestError: another site's page sent it (403), it is not declared as JSON (415), too large (413) or no object.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise RequestError(
            f"origin {origin}", f"is not {host or 'ours'}", "Change settings from this app's own page.", status=403
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError("body", "is not declared as JSON", "Send content-type: application/json.", status=415)
    try:
        body = json.loads(await _bytes(request))
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "body", f"is no JSON: {error}", 'Send an object, such as {"snapshot_every": "2h"}.'
        ) from error
    if not isinstance(body, dict):
        raise RequestError("body", "is no JSON object", 'Send one, such as {"snapshot_every": "2h"}.')
    return body


async def _bytes(request: Request) -> bytes:
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise RequestError("body", f"is larger than {MAX_BODY_BYTES} bytes", "Send settings only.", status=413)
    except ClientDisconnect as error:
        raise RequestError("body", "ended early", "Send it again.") from error
    return body


def as_json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
