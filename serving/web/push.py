"""`POST /push`: events for any topic, in the shape of Feast's feature server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from freshet.schemas.errors import LogError
from freshet.serving.edge.answers import json_response
from freshet.serving.edge.body import parsed_body
from freshet.streams.intake.push import EXAMPLE, EventsRefused, Pusher, PushRefused, read_request

WAIT_SECONDS = 15.0  # longer than a log takes to say that its brokers are away


def routes(pusher: Pusher, wait_seconds: float = WAIT_SECONDS) -> list[BaseRoute]:
    """All pushes go through one thread, which owns the writer. One that is not safe in the log
    within `wait_seconds` is answered with 503; the log may have it all the same."""
    one_thread = ThreadPoolExecutor(1, "push")

    async def push(request: Request) -> Response:
        asked = await parsed_body(request, read_request, EXAMPLE)
        # Not on the loop: a push waits until the log has it.
        waiting = asyncio.get_running_loop().run_in_executor(one_thread, pusher.push, asked)
        try:
            answer = await asyncio.wait_for(waiting, wait_seconds)
        except EventsRefused as refused:
            told = PushRefused(str(refused), refused.refused)
            return json_response(msgspec.json.encode(told), 400)
        # The thread goes on with it: a log takes back no append.
        except TimeoutError as error:
            raise LogError(
                f"topic {asked.push_source_name}",
                f"has not taken the push within {wait_seconds:g} s",
                "Send it again: events that did get in are then duplicates, and count once.",
            ) from error
        return json_response(msgspec.json.encode(answer))

    return [Route("/push", push, methods=["POST"])]
