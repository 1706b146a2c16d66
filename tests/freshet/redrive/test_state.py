"""Dead letters of topics that are all on another cluster are sent again by the app's own log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import freshet as fr
from freshet import testing
from freshet.redrive.chosen import Wanted
from freshet.redrive.patching import parsed
from freshet.redrive.redrive import Redrive
from freshet.runs.clusters import RoutedLog
from freshet.runs.opened import OpenedRun
from freshet.settings import settings
from freshet.streams.log.contract import Log
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore
from tests.freshet.hydration.test_hydrator import HOUR, rows, topic


def app() -> fr.App:
    there = topic("visits", 1)
    there = fr.Topic(
        "visits",
        there.schema,
        event_id="id",
        event_time="at",
        log="visits.v1",
        cluster="kafka://other:9092",
    )
    return fr.App(
        "away", topics=[there], views=[fr.View("users", there, "user", {"n": fr.count(over="6h")})]
    )


def test_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = SqliteLog(str(tmp_path / "other"))
    other.ensure("visits.v1", 1)
    writer = other.writer()
    event: dict[str, Any] = {"id": "1", "at": HOUR, "user": "ann", "shop": "a", "x": 500.0}
    writer.append("visits.v1", 0, [json.dumps(event).encode()], HOUR)
    writer.flush()
    writer.close()

    def routed(app: fr.App, log: Log, logins: Mapping[str, str]) -> Log:
        return RoutedLog(log, {"visits.v1": other})

    monkeypatch.setattr(testing, "routed", routed)
    store = MemoryStore()
    with LocalRun(app(), tmp_path, store) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        assert rows(app(), store) == {}
        run = OpenedRun(app(), local.log, settings(run_dir=str(tmp_path)))
        done = Redrive(run, Wanted(), parsed(["x = x / 10"])).send(sleep=lambda seconds: None)
        assert done.became == {("visits", "out_of_range"): {"applied": 1}}
        local.step(2 * HOUR, 3 * HOUR, {}, {})
    assert len(rows(app(), store)) == 1
