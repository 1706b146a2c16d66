"""`GET /v1/topics/{topic}/statistics?field=&source=&from=&to=`: what the values of a topic are
like; and `GET /v1/models/{model}/skew`: how far a model's features are from what it learned
from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.schemas.errors import RequestError
from freshet.serving.edge.answers import json_response
from freshet.serving.page.changes import answered
from freshet.serving.status.status import Status
from freshet.serving.values.book import Book
from freshet.serving.values.report import Asked, moment_of
from freshet.serving.values.skew_report import skew_report

KNOWN = ("field", "source", "from", "to")


def routes(book: Book, status: Callable[[], Status]) -> list[Route]:
    """Reports are made on threads: a year of a topic takes a while."""

    async def statistics(request: Request) -> Response:
        asked = _asked(request)
        found = await run_in_threadpool(book.report, request.path_params["topic"], asked)
        return json_response(msgspec.json.encode(found))

    async def skew(request: Request) -> Response:
        for name in request.query_params:
            raise RequestError(f"parameter {name!r}", "is unknown", "There are none.")
        found = skew_report(status().models, request.path_params["model"])
        return json_response(msgspec.json.encode(found))

    return [
        Route("/v1/topics/{topic}/statistics", answered(statistics)),
        Route("/v1/models/{model}/skew", answered(skew)),
    ]


def _asked(request: Request) -> Asked:
    query = request.query_params
    for name in query:
        if name not in KNOWN:
            raise RequestError(
                f"parameter {name!r}", "is unknown", f"There are {', '.join(KNOWN)}."
            )
    return Asked(
        query.get("field") or None,
        # An empty text is a source, too; it is asked for by `source=` alone.
        query.get("source"),
        moment_of(query.get("from"), "from"),
        moment_of(query.get("to"), "to"),
    )
