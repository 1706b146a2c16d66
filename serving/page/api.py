"""What operators read and change over HTTP: topics with their settings and lags, and the three
switches.

Errors are JSON, `{"error": "…"}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.schemas.durations import text_of
from freshet.schemas.errors import RequestError
from freshet.schemas.topics.settings import DECIDING, KEYS, RANGES_MS, changed
from freshet.schemas.topics.topic import ON_VIOLATION, Freshness
from freshet.serving.page.changes import answered, as_json, body_of, by_of
from freshet.serving.status.status import Status, SwitchFigures, TopicFigures
from freshet.streams.control.switches import NAMES, Switches

SetTopic = Callable[[str, Mapping[str, str], str], None]
Turn = Callable[[str, bool, str], Switches]
# A setting is followed within a second; a status that shows it later does so by itself.
SEEN_SECONDS = 2.0
LOOK_SECONDS = 0.1
MEANING = {
    "feature_slo": "bound of the feature lag of the topic's views",
    "model_slo": "bound of the lag of models that learn from the topic",
    "batch_wait": "longest wait for a fuller batch, wall clock",
    "snapshot_every": "how often learners cut a snapshot",
    "lateness": "how far an event may lie behind its own source's newest, and still count",
    "label_wait": "how long an example waits for its label",
    "max_future": "how far an event's time may lie ahead; 0s: lateness",
    "on_violation": "what answers do beyond model_limit or feature_limit: serve, fall back to a "
    "rung without a model (without features), refuse",
    "model_limit": "model lag beyond which on_violation changes answers; 0s: model_slo",
    "feature_limit": "feature lag beyond which on_violation changes answers of models that read "
    "the topic's views; 0s: feature_slo",
}


def routes(status: Callable[[], Status], set_topic: SetTopic, turn: Turn) -> list[Route]:
    """`GET /v1/topics`, `PUT /v1/topics/{topic}/settings`, `GET /v1/switches`, `PUT
    /v1/switches/{name}`.

    Args:
        status: the app's status, quickly.
        set_topic: records the changed settings (key to value, all valid) of a topic, and by whom;
            may block, is called in a thread of its own, once at a time. Its `ComponentError` is
            answered by 503, its `RequestError` by 400.
        turn: turns a switch, likewise.
    """
    one_at_a_time = asyncio.Lock()

    async def topics(request: Request) -> Response:
        return as_json(_topics(status()))

    async def settings(request: Request) -> Response:
        changes = await body_of(request)
        topic = _topic(status(), request.path_params["topic"])
        after = checked(topic, changes)
        # Whoever asks second is judged by what was so before the first; what is written last holds.
        async with one_at_a_time:
            await run_in_threadpool(set_topic, topic.name, changes, by_of(request))
        await _seen(lambda: changes.items() <= _topic(status(), topic.name).settings.items())
        return as_json(
            {
                "topic": topic.name,
                "settings": after | _topic(status(), topic.name).settings | changes,
            }
        )

    async def switches(request: Request) -> Response:
        return as_json({"switches": status().switches})

    async def switch(request: Request) -> Response:
        body = await body_of(request)
        name = request.path_params["name"]
        if name not in NAMES:
            raise RequestError(
                f"switch {name!r}",
                "is unknown",
                f"The switches are {', '.join(NAMES)}.",
                status=404,
            )
        if set(body) != {"on"} or not isinstance(body["on"], bool):
            raise RequestError(
                "body", "does not say on or off", 'Send {"on": true} or {"on": false}.'
            )
        async with one_at_a_time:
            now = await run_in_threadpool(turn, name, body["on"], by_of(request))
        found = {name: getattr(now, name) for name in NAMES}
        told = [
            SwitchFigures(name=name, on=switch.on, by=switch.by, at_ms=switch.at)
            for name, switch in found.items()
        ]
        return as_json({"switches": told})

    return [
        Route("/v1/topics", answered(topics)),
        Route("/v1/topics/{topic}/settings", answered(settings), methods=["PUT"]),
        Route("/v1/switches", answered(switches)),
        Route("/v1/switches/{name}", answered(switch), methods=["PUT"]),
    ]


def checked(topic: TopicFigures, changes: Mapping[str, Any]) -> dict[str, str]:
    """All settings of the topic after the changes, if every one of them is valid.

    Raises:
        RequestError: the text names what is allowed.
    """
    if not changes:
        raise RequestError(
            f"settings of {topic.name}", "are not given", f"Settings are {', '.join(KEYS)}."
        )
    # One after the other, each against what is so then: bounds hold between settings, too.
    freshness = Freshness(**(topic.declared | topic.settings))
    for key, value in changes.items():
        if not isinstance(value, str):
            raise RequestError(
                f"{key}={json.dumps(value)}",
                "is not text",
                f'Write it in quotes, such as {{"{key}": "2h"}}.',
            )
        freshness = changed(freshness, key, value)
    return {key: getattr(freshness, key) for key in KEYS}


def _topics(status: Status) -> dict[str, Any]:
    return {
        "topics": [
            {
                "name": topic.name,
                "owner": topic.owner,
                "description": topic.description,
                "partitions": topic.partitions,
                "lag_ms": topic.lag_ms,
                "views": [
                    {"name": view.name, "lag_ms": view.lag_ms, "slo_ms": view.slo_ms}
                    for view in status.views
                    if topic.name in view.topics
                ],
                "settings": topic.settings,
                "declared": topic.declared,
            }
            for topic in status.topics
        ],
        "allowed": {key: _allowed(key) for key in KEYS},
        "changes": status.changes,
    }


def _allowed(key: str) -> dict[str, Any]:
    effect = "at once"
    # Results depend on it, so it must be known from which offset on it held.
    if key in DECIDING:
        effect = "at once, at a checkpoint that records it"
    told = {"meaning": MEANING[key], "effect": effect}
    if key == "on_violation":
        return told | {"one_of": ON_VIOLATION}
    least, most = RANGES_MS[key]
    return told | {"least": text_of(least), "most": text_of(most)}


def _topic(status: Status, name: str) -> TopicFigures:
    names = [topic.name for topic in status.topics]
    if name not in names:
        raise RequestError(
            f"topic {name!r}",
            "is unknown",
            f"The topics are {', '.join(names) or 'not known yet'}.",
            status=404,
        )
    return status.topics[names.index(name)]


async def _seen(true: Callable[[], bool]) -> None:
    """Until the status shows the change, so that who reads after writing reads it; but not for
    long."""
    deadline = asyncio.get_running_loop().time() + SEEN_SECONDS
    while not true() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
