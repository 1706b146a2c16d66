"""Where a role listens is told once there is room for it, and the role serves meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from freshet.roles.context import Context
from freshet.roles.reporter import announce
from freshet.settings import Settings
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from freshet.streams.vitals.vitals import Vitals
from tests.faults.killer import until
from tests.small_disk import fill, small_disk
from tests.toy_app import toy_app

ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with small_disk(tmp_path / "run", "1m") as folder:
        log = SqliteLog(str(tmp_path / "log"))
        yield Context(
            toy_app(),
            Settings(run_dir=folder),
            "serve",
            log,
            threading.Event(),
            Vitals("serve", "serve/1", Outages()),
            SwitchBoard(folder),
        )
        log.close()


def test_an_address_that_a_full_disk_does_not_take_is_told_once_there_is_room(
    ctx: Context,
) -> None:
    file = ctx.settings.local_path / "serve.address"
    stuffing = fill(ctx.settings.local_path)
    announce(ctx, "serve", ADDRESS)
    until(ctx.vitals.outages.current, "the full disk is an outage")
    (outage,) = ctx.vitals.outages.current()
    assert (outage.component, outage.cause) == ("disk", "no space is left on it")
    assert outage.meanwhile == "this role serves, and serve.address does not say yet where"
    assert not file.exists()
    assert not ctx.stop.is_set()
    stuffing.unlink()
    until(lambda: not ctx.vitals.outages.current(), "the outage is over")
    assert file.read_text() == ADDRESS
    assert list(ctx.settings.local_path.iterdir()) == [file]


def test_a_role_that_ends_before_there_is_room_ends_without_a_fault(ctx: Context) -> None:
    ctx.vitals.outages.ending.set()
    stuffing = fill(ctx.settings.local_path)
    before = threading.active_count()
    announce(ctx, "serve", ADDRESS)
    until(lambda: threading.active_count() <= before, "nobody waits for room any more")
    assert ctx.faults == []
    assert list(ctx.settings.local_path.iterdir()) == [stuffing]
