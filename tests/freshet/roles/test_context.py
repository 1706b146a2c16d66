"""What every role is given: threads that never die unheard."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from freshet.roles.context import Context
from freshet.settings import Settings
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from freshet.streams.vitals.vitals import Vitals
from tests.toy_app import toy_app


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), KeyError("x"), RecursionError()]
)
def test_a_thread_that_fails_ends_its_role(tmp_path: Path, error: Exception) -> None:
    log = SqliteLog(str(tmp_path / "log"))
    vitals = Vitals("serve", "serve/1", Outages())
    ctx = Context(
        toy_app(), Settings(), "serve", log, threading.Event(), vitals, SwitchBoard(tmp_path)
    )

    def work(*given: Any) -> None:
        assert given == (1,)
        raise error

    ctx.thread(work, 1).join(20)
    assert ctx.stop.is_set()
    assert ctx.faults == [error]
    log.close()
