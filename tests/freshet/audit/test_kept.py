"""What intake records beside its log is all that an auditor needs to come to the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import freshet as fr
from freshet.audit import kept
from freshet.audit.ledger import recompute
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun, MemoryStore
from tests.freshet.hydration.test_hydrator import COUNT, HOUR, app, sent


def declared(lateness: str, dedup_by: str) -> fr.App:
    own = app({"n": COUNT}, dedup_by=dedup_by)
    topics = [replace(topic, freshness=fr.Freshness(lateness=lateness)) for topic in own.topics]
    visits = topics[0]
    views = [replace(view, topic=visits) for view in own.views]
    return fr.App("past", topics=topics, views=views)


def audited(log: Log, url: str, topic: fr.Topic, name: str) -> bool:
    _, ledger = kept.ledger(log, url, topic, name, 0)
    taken_on = kept.taken_on(log, url, topic, name, 0)
    assert ledger
    assert taken_on.settings
    records = kept.moved_records(log, name, 0) if topic.by_id else kept.records(log, name, 0)
    return recompute(topic, records, {}, taken_on) == ledger


@pytest.mark.parametrize("dedup_by", ["partition", "topic"])
def test_lateness_that_is_declared_otherwise_after_a_restart_holds_from_then_on(
    tmp_path: Path, dedup_by: str
) -> None:
    """Declared live, and then again: each from its own record on."""
    url = str(tmp_path / "checkpoints")
    store = MemoryStore()
    for at, lateness in enumerate(("30m", "1m", "1m", "2h")):
        now = declared(lateness, dedup_by)
        with LocalRun(now, tmp_path, store) as local:
            for step in range(1 + 2 * at, 3 + 2 * at):
                local.step(step * HOUR, (step + 1) * HOUR, {}, sent(step))
        with LocalRun(now, tmp_path, store) as local:
            topic = now.topic("visits")
            name = now.settled_log_of(topic)
            if at:
                assert audited(local.log, url, topic, name)
    taken_on = kept.taken_on
    with LocalRun(now, tmp_path, store) as local:
        found = taken_on(local.log, url, topic, name, 0).settings
    assert [change[1] for change in found] == [1_800_000, 60_000, 7_200_000]
