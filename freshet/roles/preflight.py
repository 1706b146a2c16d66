"""What is asked before a role starts, so that whatever keeps an app from going on is told once, as
one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import structlog

from freshet.app import App
from freshet.declared import definitions
from freshet.features.cold.memory import check_installed
from freshet.hydration import beginnings, past_columns
from freshet.hydration import record as hydrations
from freshet.roles import plans
from freshet.runs import registries
from freshet.runs.clusters import refuse_embedded
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.settings import least_slos_ms
from freshet.schemas.topics.topic import Freshness
from freshet.settings import Settings
from freshet.streams.clock import WallClock
from freshet.streams.intake import known_schemas
from freshet.streams.intake.starts import settle
from freshet.streams.log.contract import Log
from freshet.streams.operators import continuity

_AFTER = {
    "feature_slo": "and events wait for batch_wait",
    "model_slo": "examples wait for batch_wait and snapshot_every",
}


def hold_slos(app: App, declared: Mapping[str, Freshness]) -> None:
    """See that every SLO can be met at all.

    Raises:
        DefinitionError: one is below what can be seen of lag.
    """
    of_views = {topic.name for view in app.views for topic in view.topics}
    of_labels = {m.label.topic.name for m in app.models}
    for topic, freshness in declared.items():
        for slo, least in least_slos_ms(freshness).items():
            used = topic in (of_views if slo == "feature_slo" else of_labels)
            if used and freshness.ms(slo) < least:
                raise DefinitionError(
                    f"topic {topic}",
                    f"{slo}={getattr(freshness, slo)} can never be held: "
                    f"time is told once a second, {_AFTER[slo]}",
                    f"Promise {text_of(least)} or more.",
                )


def check(
    app: App, log: Log, given: Settings, elsewhere: Collection[str] = frozenset()
) -> list[str]:
    """Make the app's topics, and see that its schemas and checkpoints fit what is in them; then
    keep what it declares. What is declared otherwise than when it ran last, and where topics begin
    that are not read from their first record, in a sentence each. Logs that are `elsewhere` are
    another process's to ask for.

    Raises: DefinitionError: an SLO can never be held, a replay would write what is others', or rows
        are to lie on disk, and the library for that is not there.
        RegistryError: no schema registry is there for a topic that names a schema of it.
        LogError: the log cannot be used, or a topic has another partition count. SchemaError: a
        topic's schema cannot read what was written under an earlier one. CheckpointError: a topic
        was recreated, or lacks records that a checkpoint goes on from, or that it was to start at.
    """
    url = given.checkpoints_url
    before = definitions.read(url)
    begins = _fitting(app, log, given, elsewhere)
    now_ms = WallClock().now_ms()
    for topic in app.topics:
        known_schemas.keep_declared(url, app.log_of(topic.name), topic)
    told = definitions.changes(before or definitions.of(app), app)
    for sentence in told:
        structlog.get_logger().warning("declared otherwise", what=sentence)
    # Before what is declared is kept: whoever is started after a crash in between decides the same.
    beginnings.decide(url, before, app, log, now_ms)
    hydrations.decide(url, before, app, now_ms)
    past_columns.decide(url, before, app, log, now_ms)
    # Last: what was refused above never ran.
    definitions.keep(url, before, app, now_ms)
    return [*told, *begins]


def stage(app: App, log: Log, given: Settings) -> None:
    """The same of a version that is to run beside the one that does: what is declared, and what
    schemas are known, stays as it is. Until it is active, models are asked by the other one.

    Raises: what `check` does.
    """
    _fitting(app, log, given, frozenset())
    url = given.checkpoints_url
    before = definitions.read(url)
    now_ms = WallClock().now_ms()
    beginnings.decide(url, before, app, log, now_ms)
    hydrations.decide(url, before, app, now_ms)


def _fitting(app: App, log: Log, given: Settings, elsewhere: Collection[str]) -> list[str]:
    """Make the topics, and see that all fits; where topics begin, in sentences."""
    if given.rows_memory:
        check_installed()
    if not given.replay:  # whose time goes in steps of its own
        hold_slos(app, plans.declared(app, given.snapshot_every))
    url = given.checkpoints_url
    if given.replay:
        plans.refuse_writing(app, log)
    else:
        refuse_embedded(app, log)
    plans.ensure_topics(app, log, elsewhere)
    inputs = {}
    for task, read in plans.task_inputs(app).items():
        if read[0] not in elsewhere:
            inputs[task] = read
    continuity.check(url, log, inputs, partial(plans.kept_as, app))
    # Now, not when the first partition is assigned: records that come meanwhile are to be read.
    now_ms = WallClock().now_ms()
    begins = []
    for topic in app.topics:
        if app.log_of(topic.name) in elsewhere:
            continue
        starts = settle(url, log, topic, app.log_of(topic.name), now_ms)
        if starts is not None:
            begins.append(starts.sentence(topic.name))
    for topic in app.topics:
        if topic.registry is not None:
            registries.check(app, topic, log, given)
        known_schemas.refuse_declared(url, app.log_of(topic.name), topic)
    return begins
