"""What is asked before a role starts, so that whatever keeps an app from going on is told once, as one error."""

from __future__ import annotations

import structlog

from freshet.app import App
from freshet.roles import plans
from freshet.schemas.errors import LogError
from freshet.settings import Settings
from freshet.streams.intake import known_schemas
from freshet.streams.log.contract import Log
from freshet.streams.operators import continuity
from freshet.streams.operators.checkpoints import positions


def new_views(app: App, log: Log, given: Settings) -> list[str]:
    """Views without a clean log, of topics that intake has begun to take in: nothing writes what came before."""
    out = []
    for v in app.views:
        tasks = [f"intake:{v.topic.name}:{p}" for p in range(v.topic.partitions)]
        begun = any(at for t in tasks for _, at in positions(given.checkpoints_url, t))
        if begun and not _exists(log, app.clean_log_of(v)):
            out.append(v.name)
    return out


def _exists(log: Log, topic: str) -> bool:
    try:
        log.bounds(topic)
    except LogError:
        return False
    return True


def check(app: App, log: Log, given: Settings) -> None:
    """Make the app's topics, and see that its schemas and checkpoints fit what is in them.

    Raises:
        LogError: the log cannot be used, or a topic has another partition count.
        SchemaError: a topic's schema cannot read what was written under an earlier one.
        CheckpointError: a topic was recreated, or lacks records that a checkpoint goes on from.
    """
    for view in new_views(app, log, given):
        structlog.get_logger().warning(
            "a new view of a topic that was taken in before: its rows start with events from now on",
            view=view,
            next_step="To have it see all of them, run the app under another name, or in another folder.",
        )
    plans.ensure_topics(app, log)
    continuity.check(given.checkpoints_url, log, plans.task_inputs(app))
    for topic in app.topics:
        known_schemas.keep(given.checkpoints_url, app.log_of(topic.name), topic.events)
