"""When what is built beside the views that are served stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from freshet.features.stores.marks import PartitionMark
from freshet.roles import plans
from freshet.schemas.wire.messages import Setting
from freshet.streams.control.channels import send
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import MemoryStore
from freshet.versions import lags as lags_module
from freshet.versions.lags import Lags, stored_views
from tests.toy_app import toy_app

NOW = 1_000_000_000
APP = toy_app(freshness={"feature_slo": "10s"})
STORED = APP.stored_as(APP.views[0])


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteLog]:
    log = SqliteLog(str(tmp_path / "log"))
    plans.ensure_topics(APP, log)
    clock = SimpleNamespace(now_ms=lambda: NOW)
    monkeypatch.setattr(lags_module, "WallClock", lambda: clock)
    monkeypatch.setattr(lags_module, "LOOK_SECONDS", 0.0)
    yield log
    log.close()


def lags_of(log: SqliteLog, store: MemoryStore) -> Lags:
    return Lags(store, stored_views(APP), plans.declared(APP), log, APP.control_log)


def reflects(store: MemoryStore, tick: int) -> None:
    PartitionMark(store, STORED, 0).put(store.generation(), 1, tick)


def test_it_goes_on_while_views_are_within_four_fifths_of_what_they_may_be(log: SqliteLog) -> None:
    store = MemoryStore()
    lags = lags_of(log, store)
    assert lags.late() == "", "a view that has told nothing yet waits for its own past"
    reflects(store, NOW - 7_900)
    assert lags.late() == ""


def test_it_stands_still_while_one_is_beyond_and_says_which(log: SqliteLog) -> None:
    store = MemoryStore()
    lags = lags_of(log, store)
    reflects(store, NOW - 8_100)
    assert lags.late() == "view shops, whose lag is 8s100ms of 10s that it may be"
    reflects(store, NOW - 1_000)
    assert lags.late() == ""


def test_what_was_set_live_is_what_counts(log: SqliteLog) -> None:
    store = MemoryStore()
    lags = lags_of(log, store)
    reflects(store, NOW - 8_100)
    writer = log.writer()
    send(writer, APP.channels, [Setting("payments", "feature_slo", "20s", "ann", 1)], 1)
    writer.close()
    assert lags.late() == ""
