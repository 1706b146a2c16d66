"""Agents as a user writes them: each observation is enriched by what a service knows of its
airport, and counted.

FRESHET_LOG=kafka://host:port faust -A agents:agents worker
"""

from __future__ import annotations

import os
from typing import Any

from app import app, enriched, weather

import freshet as fr

# and when it is stopped: a kill repeats all else
agents = fr.faust_app(app, broker_commit_interval=600.0)
AIRPORTS = os.environ["AIRPORTS"]
seen = agents.Table(
    "seen", partitions=weather.partitions, help="By origin: the newest observation, and how many."
)


@agents.agent(agents.of(weather))
async def enrich(observations: Any) -> None:
    """The table's update may be made twice, so it passes over what it has had."""
    async for event in observations:
        async with agents.http_client.get(
            f"{AIRPORTS}/{event['origin']}/{event['observation_id']}"
        ) as answer:
            airport = await answer.json()
        await agents.of(enriched).send(
            value={
                **event,
                "celsius": None if event["temp"] is None else (event["temp"] - 32.0) / 1.8,
                "elevation_feet": airport["feet"],
            }
        )
        newest, n = seen.get(event["origin"], (0, 0))
        if event["observed_at"] > newest:
            seen[event["origin"]] = event["observed_at"], n + 1


@agents.page("/seen/")
async def show(view: Any, request: Any) -> Any:
    return view.json({origin: n for origin, (newest, n) in seen.items()})
