"""The operator's page and what feeds it: `/`, `/status.json`, `/history.json?tier=&since=`,
`/plotly.js`.

Static files in `serving/page/`, no build step, nothing from other hosts. The page polls, so no
state is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freshet.schemas.errors import ComponentError
from freshet.serving.edge.door import Door
from freshet.serving.edge.hosts import Hosts, hosts_of
from freshet.serving.page.changes import answered, as_json
from freshet.serving.status.history import WHOLE, History
from freshet.serving.status.status import Status

PAGE = Path(__file__).parent / "static"
_HEADERS = {
    # plotly writes its styles into the page and offers its pictures as blobs; nobody may frame a
    # page that changes things
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def app(
    state: Callable[[], Status | dict[str, Any]],
    history: History,
    routes: Sequence[BaseRoute] = (),
    hosts: Hosts | None = None,
) -> Starlette:
    """The dashboard over `state` (a `Status` or a dict of its shape) and `history`; with `routes`
    of `freshet.serving.page.api`, the page can change what it shows.

    `state` is called once a poll, in the event loop: it must be quick. Raises `ComponentError` if
    plotly's script is not installed.
    """
    script = plotly_script()

    async def status_json(request: Request) -> Response:
        return as_json(state())

    async def history_json(request: Request) -> Response:
        asked = request.query_params
        return as_json(history.since(asked.get("since"), asked.get("tier", WHOLE)))

    async def plotly_js(request: Request) -> Response:
        return FileResponse(
            script, media_type="text/javascript", headers={"cache-control": "max-age=86400"}
        )

    # In this order: the folder of the page takes every path that is left.
    every = [
        *routes,
        Route("/status.json", status_json),
        Route("/history.json", answered(history_json)),
        Route("/plotly.js", plotly_js),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    # The outermost first: refusals bear the headers, too; what the door refuses is not packed.
    middleware = [
        Middleware(_WithHeaders),
        Middleware(Door, hosts or hosts_of("localhost")),
        Middleware(GZipMiddleware, compresslevel=1),
    ]
    return Starlette(routes=every, middleware=middleware)


def plotly_script() -> Path:
    """plotly.js as the plotly package brings it, found without importing that package (which is
    slow)."""
    spec = find_spec("plotly")
    folder = Path()
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0])
    script = folder / "package_data" / "plotly.min.js"
    if not script.is_file():
        raise ComponentError(
            "dashboard", "plotly.min.js is not installed", "Install the plotly package."
        )
    return script


class _WithHeaders:
    """Keeps foreign scripts out, and has the browser ask whether its copy of a file is still
    right."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)
