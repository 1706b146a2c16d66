"""`GET /v1/catalog`, `/openapi.json` and `/docs`: what an app has, and how it is asked. All of it
is made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from freshet.serving.docs import openapi
from freshet.serving.docs import page as docs_page
from freshet.serving.docs.catalogue import Catalogue

Routes = Sequence[BaseRoute]
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes(
    version: str, found: Catalogue, others: Routes, protocol: bool = True
) -> list[BaseRoute]:
    """`others` are the routes that the app has beside these, which are described with them;
    `protocol` says whether it answers the Open Inference Protocol, too."""
    addresses = ("/v1/catalog", "/openapi.json", "/docs")
    served = {*methods_of(others), *(("get", address) for address in addresses)}
    if protocol:
        served |= _protocol()
    # Once, not at each request: what an app declares does not change while it runs.
    document = openapi.document(version, found, served)
    bodies: tuple[tuple[bytes, str, dict[str, str]], ...] = (
        (msgspec.json.encode(found), "application/json", {}),
        (msgspec.json.encode(document), "application/json", {}),
        (docs_page.render(document).encode(), "text/html; charset=utf-8", _PAGE_HEADERS),
    )
    return [Route(address, _constant(*body)) for address, body in zip(addresses, bodies)]


def methods_of(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Methods (lower case; HEAD goes with GET) and paths of routes."""
    return {
        (method.lower(), route.path)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }


def _protocol() -> set[tuple[str, str]]:
    return {
        (operation.method, operation.path)
        for operation in openapi.OPERATIONS
        if operation.tag == openapi.PROTOCOL
    }


def _constant(
    body: bytes, media: str, headers: dict[str, str]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(body, media_type=media, headers=headers)

    return answer
