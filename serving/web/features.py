"""`POST /get-online-features`: features by entity key, as Feast's feature server gives them."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from freshet.features.reading.api import EXAMPLE, FeatureReader, read_request
from freshet.serving.edge.answers import json_response
from freshet.serving.edge.body import parsed_body
from freshet.serving.scoring.reach import Reach
from freshet.streams.clock import Clock


def routes(reader: FeatureReader, reach: Reach, clock: Clock) -> list[BaseRoute]:
    """Reads happen on threads, so that a slow store keeps no other request waiting; one that hangs
    is 503."""

    async def get_online_features(request: Request) -> Response:
        asked = await parsed_body(request, read_request, EXAMPLE)
        # Once: all features of an answer are as of one moment, however long they are waited for.
        now_ms = clock.now_ms()
        found = await reach.later(lambda store: reader.answer(asked, store, now_ms))
        if found is None:
            raise reach.error
        return json_response(msgspec.json.encode(found))

    return [Route("/get-online-features", get_online_features, methods=["POST"])]
