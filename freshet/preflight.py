"""What is asked before a role starts, so that whatever keeps an app from going on is told once, as one error."""

from __future__ import annotations

from freshet import plans
from freshet.app import App
from freshet.settings import Settings
from streams import continuity, known_schemas
from streams.log import Log


def check(app: App, log: Log, given: Settings) -> None:
    """Make the app's topics, and see that its schemas and checkpoints fit what is in them.

    Raises:
        LogError: the log cannot be used, or a topic has another partition count.
        SchemaError: a topic's schema cannot read what was written under an earlier one.
        CheckpointError: a topic was recreated, or lacks records that a checkpoint goes on from.
    """
    plans.ensure_topics(app, log)
    continuity.check(given.checkpoints_url, log, plans.task_inputs(app))
    for topic in app.topics:
        known_schemas.keep(given.checkpoints_url, app.log_of(topic.name), topic.events)
