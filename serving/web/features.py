"""`POST /get-online-features`: features by entity key, as Feast's feature server gives them."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from freshet.features.reading.api import EXAMPLE, FeatureReader, FeaturesAnswer, read_request
from freshet.features.stores.contract import NotAtOnce, RowReader
from freshet.serving.edge.answers import json_response
from freshet.serving.edge.body import parsed_body
from freshet.serving.scoring.reach import Reach
from freshet.streams.clock import Clock

# More of them take as long as other requests may wait.
ROWS_AT_ONCE = 32


def routes(reader: FeatureReader, reach: Reach, clock: Clock) -> list[BaseRoute]:
    """Few rows are read from the event loop, where the store answers at once; else reads happen on
    threads, so that neither a slow store nor a large answer keeps other requests waiting. One that
    hangs is 503."""

    async def get_online_features(request: Request) -> Response:
        asked = await parsed_body(request, read_request, EXAMPLE)
        # Once: all features of an answer are as of one moment, however long they are waited for.
        now_ms = clock.now_ms()

        def answer(store: RowReader) -> FeaturesAnswer:
            return reader.answer(asked, store, now_ms)

        found = None
        is_asked = asked.rows <= ROWS_AT_ONCE
        if is_asked:
            try:
                found = reach.at_once(answer)
            except NotAtOnce:
                is_asked = False
        if not is_asked:
            found = await reach.later(answer)
        if found is None:
            raise reach.error
        return json_response(msgspec.json.encode(found))

    return [Route("/get-online-features", get_online_features, methods=["POST"])]
