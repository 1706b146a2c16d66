"""What every request meets first: whom it asks by name, whose page sent it, and what it says that
it carries.

A browser is a way in for pages of other sites: they may send requests to any address that its
machine reaches, without being asked, as long as those look like a form's. Such requests are told by
their `Host`, their `Origin` and their content type, and are refused before anything else is read of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freshet.schemas.addresses import split
from freshet.schemas.errors import RequestError
from freshet.serving.edge.answers import JSON
from freshet.serving.edge.failures import error_body, status_of
from freshet.serving.edge.hosts import Hosts

Headers = Sequence[tuple[bytes, bytes]]
# they change nothing, and their answers are not shown to pages of others
# What is asked by them stands in the path: a body, if there is one, means nothing.
BODYLESS_METHODS = ("GET", "HEAD", "OPTIONS", "DELETE")
BINARY = "application/octet-stream"
_LISTED = "Ask by an address of the server, or list the name in its setting allowed_hosts."


class Manners(NamedTuple):
    """What the headers of a request say that matters here; each empty where it is missing."""

    hosts: list[bytes]
    origin: bytes
    content_type: bytes
    by_browser: bool


class Door:
    """An ASGI app that lets through to `app` what may ask it. Whatever `app` raises becomes an
    answer here, and goes no further. `turned_away` is called for each request that may not ask."""

    def __init__(
        self, app: ASGIApp, hosts: Hosts, turned_away: Callable[[], None] = lambda: None
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._turned_away = turned_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def noting(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, noting)
        except Exception as error:
            body = error_body(error)
            # What has begun cannot be taken back: the server breaks the connection, so that nobody
            # takes it for whole.
            if began:
                raise
            await _answer(send, status_of(error), body)

    def _check(self, scope: Scope) -> None:
        try:
            check(scope, self._hosts)
        except RequestError:
            self._turned_away()
            raise


def check(scope: Scope, hosts: Hosts) -> None:
    """Raises `RequestError` for a request that may not ask: 400 or 421 for its host, 403 for its
    origin, 415 for its type."""
    manners = manners_of(scope["headers"])
    server = scope.get("server")
    # A socket of this machine has no port, and no browser reaches it.
    if server is not None and server[1] is not None:
        _check_host(manners, scope.get("http_version", "1.1"), server[0], hosts)
    if manners.origin:
        _check_origin(manners, hosts)
    if scope["method"] not in BODYLESS_METHODS:
        _check_type(manners, scope["path"])


def manners_of(headers: Headers) -> Manners:
    named: list[bytes] = []
    origin = b""
    content_type = b""
    by_browser = False
    for name, value in headers:
        if name == b"host":
            named.append(value)
        elif name == b"origin":
            origin = value or b"null"
            by_browser = True
        elif name == b"content-type":
            content_type = value
        elif name.startswith(b"sec-fetch-") or name == b"referer":
            by_browser = True
    return Manners(named, origin, content_type, by_browser)


def _check_host(manners: Manners, version: str, reached: str, hosts: Hosts) -> None:
    if not manners.hosts and version == "1.0":
        return  # such clients name none; every browser does
    if len(manners.hosts) != 1:
        raise RequestError(
            "header host", f"is there {len(manners.hosts)} times", "Send one, as HTTP/1.1 says."
        )
    text = manners.hosts[0].decode("latin1")
    found = split(text)
    if found is None:
        raise RequestError(f"host {text!r}", "is no name or address", "Send host:port.")
    if not hosts.allows(found[0], reached):
        raise RequestError(f"host {text!r}", "is none of this server's names", _LISTED, status=421)


def _check_origin(manners: Manners, hosts: Hosts) -> None:
    origin = manners.origin.decode("latin1")
    asked = ""
    if manners.hosts:
        asked = manners.hosts[0].decode("latin1")
    found = split(asked)
    if found is None or not hosts.trusts(origin, found):
        raise RequestError(
            f"origin {origin}",
            f"is not {asked or 'ours'}",
            "Ask from this app's own page, or from no page.",
            status=403,
        )


def _check_type(manners: Manners, path: str) -> None:
    """Forms, and scripts of other sites that are not asked about first, can send neither of the two
    types."""
    found = manners.content_type.partition(b";")[0].strip().lower().decode("latin1")
    # The clients of registries have a type of their own: no form can declare that, either.
    if found == JSON or found.endswith("+json"):
        return
    if path.endswith("/infer"):
        # Triton's client names no type at all; of a browser's requests every one says that it is a
        # browser's.
        if found == BINARY or (not manners.content_type and not manners.by_browser):
            return
        raise _undeclared(found, f"Send content-type: {JSON}, or {BINARY} with binary tensors.")
    raise _undeclared(found, f"Send content-type: {JSON}.")


def _undeclared(found: str, next_step: str) -> RequestError:
    said = "not declared"
    if found:
        said = f"declared as {found}"
    return RequestError("body", f"is {said}, where JSON is expected", next_step, status=415)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", JSON.encode()),
        (b"content-length", b"%d" % len(body)),
        # The rest of a body that nobody reads would stand before the next request.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
