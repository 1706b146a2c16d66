"""When the role that builds views stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from freshet.features.stores.marks import PartitionMark
from freshet.rebuilding import role
from freshet.rebuilding.role import Lags
from freshet.roles import plans
from freshet.schemas.wire.messages import Setting
from freshet.streams.control.channels import send
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import MemoryStore
from tests.toy_app import toy_app

NOW = 1_000_000_000
APP = toy_app(freshness={"feature_slo": "10s"})
STORED = APP.stored_as(APP.views[0])


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    log = SqliteLog(str(tmp_path / "log"))
    plans.ensure_topics(APP, log)
    clock = SimpleNamespace(now_ms=lambda: NOW)
    monkeypatch.setattr(role, "WallClock", lambda: clock)
    monkeypatch.setattr(role, "LOOK_SECONDS", 0.0)
    yield SimpleNamespace(app=APP, log=log, settings=SimpleNamespace(replay=False))
    log.close()


def reflects(store: MemoryStore, tick: int) -> None:
    PartitionMark(store, STORED, 0).put(store.generation(), 1, tick)


def test_it_goes_on_while_views_are_within_four_fifths_of_what_they_may_be(ctx: Any) -> None:
    store = MemoryStore()
    lags = Lags(ctx, store)
    assert lags.late() == "", "a view that has told nothing yet waits for its own past"
    reflects(store, NOW - 7_900)
    assert lags.late() == ""


def test_it_stands_still_while_one_is_beyond_and_says_which(ctx: Any) -> None:
    store = MemoryStore()
    lags = Lags(ctx, store)
    reflects(store, NOW - 8_100)
    assert lags.late() == "view shops, whose lag is 8s100ms of 10s that it may be"
    reflects(store, NOW - 1_000)
    assert lags.late() == ""


def test_what_was_set_live_is_what_counts(ctx: Any) -> None:
    store = MemoryStore()
    lags = Lags(ctx, store)
    reflects(store, NOW - 8_100)
    writer = ctx.log.writer()
    send(writer, APP.channels, [Setting("payments", "feature_slo", "20s", "ann", 1)], 1)
    writer.close()
    assert lags.late() == ""


def test_a_replay_has_time(ctx: Any) -> None:
    ctx.settings.replay = True
    store = MemoryStore()
    reflects(store, NOW - 60_000)
    assert Lags(ctx, store).late() == ""
