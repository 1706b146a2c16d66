"""A source topic may get more partitions than are declared; freshet's own logs may not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions

from freshet.app import App
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.schemas.errors import LogError
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.wire.messages import Tick
from freshet.streams.control.channels import send
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.operators.loop import Operator
from freshet.testing import LocalRun
from tests.contracts.log_battery import DEADLINE_SECONDS
from tests.toy_app import toy_app

HOUR = 3_600_000
EACH = 5  # events that a partition gets in an hour


@pytest.fixture
def log(kafka: str) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka)
    yield log
    log.close()


def grown(log: KafkaLog, topic: str, partitions: int) -> None:
    request = [NewPartitions(topic, partitions)]
    log.admin.client.create_partitions(request)[topic].result()
    # The broker answers before all that it tells clients has the new ones.
    while len(log.bounds(topic).spans) < partitions:
        time.sleep(0.01)


def named(app: App) -> App:
    return replace(app, name=f"toy{uuid.uuid4().hex[:12]}")


def test_an_app_starts_where_a_source_has_more_partitions_than_it_declares(log: KafkaLog) -> None:
    app = named(toy_app())
    plans.ensure_topics(app, log)
    grown(log, app.log_of("orders"), 3)
    plans.ensure_topics(app, log)
    assert len(log.bounds(app.log_of("orders")).spans) == 3
    for view in app.views:
        assert len(log.bounds(app.clean_log_of(view)).spans) == view.topic.partitions


@pytest.mark.parametrize("which", ["clean", "control"])
def test_a_log_of_its_own_that_has_more_is_refused(log: KafkaLog, which: str) -> None:
    app = named(toy_app())
    plans.ensure_topics(app, log)
    own = {"clean": app.clean_log_of(app.views[0]), "control": app.control_log}[which]
    grown(log, own, 2)
    with pytest.raises(LogError, match="has 2 partitions, the app declares 1"):
        plans.ensure_topics(app, log)


def publish(log: KafkaLog, app: App, partitions: Sequence[int], hour: int) -> None:
    """Payments of the hour, and then the time at which it ends."""
    encode = EventWriter(app.topic("payments").events).encode
    writer = log.writer()
    for p in partitions:
        for i in range(EACH):
            at = hour * HOUR + i
            event = {"order_id": f"{hour}.{p}.{i}", "at": at, "shop": "north", "late": 1.0}
            writer.append(app.log_of("payments"), p, [encode(event)], at)
    writer.flush()
    send(writer, app.channels, [Tick((hour + 1) * HOUR)], (hour + 1) * HOUR)
    writer.close()


def step_until(condition: Callable[[], bool], *operators: Operator) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        for operator in operators:
            operator.step(0.05)


def test_what_is_added_while_intake_runs_is_in_the_rows_and_no_tick_comes_before_it(
    log: KafkaLog, tmp_path: Path
) -> None:
    app = named(toy_app())
    source = app.log_of("payments")

    def takes_in(local: LocalRun, hour: int, partitions: Sequence[int], events: int) -> None:
        intake, view = local.operators[:2]
        publish(log, app, partitions, hour)
        step_until(lambda: view.finished() == [(hour + 1) * HOUR], intake, view)
        # The view has heard from all partitions of the source that it is so late: none is missing.
        assert view.tasks()[0].facts()["events"] == events
        assert {t.name for t in intake.tasks()} >= {f"intake:payments:{p}" for p in partitions}

    with LocalRun(app, tmp_path, MemoryStore(), log=log) as local:
        takes_in(local, 1, [0], EACH)
        grown(log, source, 3)
        takes_in(local, 2, [0, 1, 2], 4 * EACH)
        for operator in local.operators[:2]:
            operator.checkpoint()
    with LocalRun(app, tmp_path, MemoryStore(), log=log) as local:
        takes_in(local, 3, [1, 2], 6 * EACH)


def test_a_topic_without_statistics_has_none_made() -> None:
    app = toy_app()
    (topic, *_) = app.topics
    assert plans.intake_plan(app, topic).statistics == app.statistics_log
    assert plans.intake_plan(app, replace(topic, statistics=None)).statistics is None
