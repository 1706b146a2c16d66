"""`POST /get-online-features`: features by entity key, as Feast's feature server gives them."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from freshet.features.reading.api import EXAMPLE, FeatureReader, read_request
from freshet.serving.edge.body import read_body
from freshet.serving.edge.failures import understanding
from freshet.serving.scoring.reach import Reach
from freshet.streams.clock import Clock

MAX_BODY_BYTES = 4 << 20


def routes(reader: FeatureReader, reach: Reach, clock: Clock) -> list[BaseRoute]:
    """Reads happen on threads, so that a slow store keeps no other request waiting; one that hangs
    is 503."""

    async def get_online_features(request: Request) -> Response:
        _, body = await read_body(request.scope, request.receive, MAX_BODY_BYTES)
        with understanding("body", f"Send JSON as {EXAMPLE}."):
            asked = read_request(body)
        now_ms = clock.now_ms()
        found = await reach.later(lambda store: reader.answer(asked, store, now_ms))
        if found is None:
            raise reach.error
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/get-online-features", get_online_features, methods=["POST"])]
