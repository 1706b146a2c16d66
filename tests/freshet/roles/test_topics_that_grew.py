"""A source topic may get more partitions than are declared; freshet's own logs may not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka.admin import NewPartitions

from freshet.app import App
from freshet.roles import plans
from freshet.schemas.errors import LogError
from freshet.streams.kafka.log import KafkaLog
from tests.toy_app import toy_app


@pytest.fixture
def log(kafka: str) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka)
    yield log
    log.close()


def grown(log: KafkaLog, topic: str, partitions: int) -> None:
    request = [NewPartitions(topic, partitions)]
    log.admin.client.create_partitions(request)[topic].result()


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
