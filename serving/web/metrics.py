"""`/metrics` for the processes that have an HTTP server anyway, and the addresses of all others for
Prometheus to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.serving.edge.answers import json_response
from freshet.serving.status.status import RoleFigures, Status
from freshet.streams.vitals.metrics import CONTENT_TYPE


def metrics_route(produce: Callable[[], bytes]) -> Route:
    """`GET /metrics` of a role. `produce` is called once a request, on a thread: requests in flight
    do not wait for it."""

    async def metrics(request: Request) -> Response:
        body = await run_in_threadpool(produce)
        return Response(body, headers={"content-type": CONTENT_TYPE})

    return Route("/metrics", metrics)


def targets_route(state: Callable[[], Status]) -> Route:
    """`GET /metrics/targets`: where the roles of an app serve their metrics, as Prometheus's HTTP
    service discovery reads it."""

    async def targets(request: Request) -> Response:
        status = await run_in_threadpool(state)
        return json_response(msgspec.json.encode(targets_of(status.app, status.roles)))

    return Route("/metrics/targets", targets)


def targets_of(app: str, roles: Sequence[RoleFigures]) -> list[dict[str, object]]:
    """One entry a process that has said where its metrics are.

    >>> view = RoleFigures(role="view", instance="view", metrics="http://127.0.0.1:9100")
    >>> (target,) = targets_of("flights", [view])
    >>> target["targets"], target["labels"]
    (['127.0.0.1:9100'], {'app': 'flights', 'role': 'view', 'instance': 'view'})
    """
    return [
        {
            # Prometheus wants host and port, without a scheme.
            "targets": [role.metrics.partition("://")[2] or role.metrics],
            "labels": {"app": app, "role": role.role, "instance": role.instance},
        }
        for role in roles
        if role.metrics
    ]
