"""What is asked before a role starts, so that whatever keeps an app from going on is told once, as
one error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from freshet.app import App
from freshet.roles import plans
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError, LogError
from freshet.schemas.topics.settings import least_slos_ms
from freshet.schemas.topics.topic import Freshness
from freshet.settings import Settings
from freshet.streams.intake import known_schemas
from freshet.streams.intake.task import fits
from freshet.streams.log.contract import Log
from freshet.streams.operators import continuity
from freshet.streams.operators.checkpoints import Checkpoints, positions


def new_views(app: App, log: Log, given: Settings) -> list[str]:
    """Views without a clean log, of topics that intake has begun to take in: nothing writes what
    came before."""
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


def changed(app: App, log: Log, given: Settings) -> DefinitionError | None:
    """Of the views and models that have run in this folder, the first that is another now.

    The logs that they read or write bear digests of what they are: where one has run and its log is
    not there, it is another.
    """
    for v in app.views:
        own = app.clean_log_of(v)
        tasks = [f"view:{v.name}:{p}" for p in range(v.topic.partitions)]
        if (
            _has_run(tasks, given)
            and _exists(log, app.log_of(v.topic.name))
            and not _exists(log, own)
        ):
            return DefinitionError(
                f"view {v.name}",
                f"its topic, key, tile or features were others when it ran here, or its log {own} was removed",
                "Declare it as it was, or give the changed view another name, and each model that reads it: they start "
                "with the events from then on.",
            )
    for m in app.models:
        own = app.examples_log_of(m)
        if (
            _has_run([f"join:{m.name}:0"], given)
            and _exists(log, app.outcomes_log_of(m))
            and not _exists(log, own)
        ):
            return DefinitionError(
                f"model {m.name}",
                f"its features were others when it ran here, or its log {own} was removed",
                "Declare them as they were, or give the changed model another name: it learns from what is asked from "
                "then on.",
            )
    return None


def changed_topic(app: App, log: Log, given: Settings) -> DefinitionError | None:
    """The first topic whose filters or imputes are others than those that its counts were made
    with."""
    for t in app.topics:
        task = f"intake:{t.name}:0"
        identity = log.bounds(app.log_of(t.name)).identity
        found = (
            Checkpoints(given.checkpoints_url, task, identity).load()
            if _has_run([task], given)
            else None
        )
        if found is not None and not fits(t, found[1], found[2]):
            return DefinitionError(
                f"topic {t.name}",
                "its filters or imputes were others when it ran here",
                "Declare them as they were. To start anew, remove all topics of the app and its run folder.",
            )
    return None


_AFTER = {
    "feature_slo": "and events wait for batch_wait",
    "model_slo": "examples wait for batch_wait and snapshot_every",
}


def hold_slos(app: App, declared: Mapping[str, Freshness]) -> None:
    """See that every SLO can be met at all.

    Raises:
        DefinitionError: one is below what can be seen of lag.
    """
    of_views = {v.topic.name for v in app.views}
    of_labels = {m.label.topic.name for m in app.models}
    for topic, freshness in declared.items():
        for slo, least in least_slos_ms(freshness).items():
            used = topic in (of_views if slo == "feature_slo" else of_labels)
            if used and freshness.ms(slo) < least:
                raise DefinitionError(
                    f"topic {topic}",
                    f"{slo}={getattr(freshness, slo)} can never be held: time is told once a second, {_AFTER[slo]}",
                    f"Promise {text_of(least)} or more.",
                )


def _has_run(tasks: Sequence[str], given: Settings) -> bool:
    return any(positions(given.checkpoints_url, task) for task in tasks)


def check(app: App, log: Log, given: Settings) -> None:
    """Make the app's topics, and see that its schemas and checkpoints fit what is in them.

    Raises: DefinitionError: a view, a model or a topic that has run is declared otherwise now, or
        an SLO can never be held. LogError: the log cannot be used, or a topic has another partition
        count. SchemaError: a topic's schema cannot read what was written under an earlier one.
        CheckpointError: a topic was recreated, or lacks records that a checkpoint goes on from.
    """
    if not given.replay:  # whose time goes in steps of its own
        hold_slos(app, plans.declared(app, given.snapshot_every))
    other = changed(app, log, given)
    if other is not None:
        raise other
    for view in new_views(app, log, given):
        structlog.get_logger().warning(
            "a new view of a topic that was taken in before: its rows start with events from now on",
            view=view,
            next_step="On Kafka a run in another folder (--run-dir) takes in again what its topics still hold; the "
            "embedded log has no such way yet.",
        )
    plans.ensure_topics(app, log)
    continuity.check(given.checkpoints_url, log, plans.task_inputs(app))
    other = changed_topic(app, log, given)
    if other is not None:
        raise other
    for topic in app.topics:
        known_schemas.keep(given.checkpoints_url, app.log_of(topic.name), topic.events)
