"""Control knows when it has read all that was there before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.app import App
from freshet.roles.gathering import Gathering
from freshet.roles.plans import ensure_topics
from freshet.schemas.wire import messages
from freshet.serving.board.board import Board
from freshet.serving.status.history import History
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import send
from freshet.streams.log.contract import Log
from tests.toy_app import toy_app


@pytest.fixture
def app() -> App:
    return toy_app()


@pytest.fixture
def log(app: App, tmp_path: Path) -> Log:
    opened = open_log(str(tmp_path / "log"))
    ensure_topics(app, opened)
    return opened


def board_of(app: App) -> Board:
    return Board(app.name, app.topics, app.views, app.models, History())


def test_it_catches_up_until_all_that_was_said_before_is_taken(
    app: App, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.writer()
    said: list[messages.Message] = [
        messages.Setting("payments", "lateness", f"{n}m", "ann", n) for n in range(1, 6)
    ]
    said.append(messages.Status("view", "view/1", 1, 5, {}))
    send(writer, app.channels, said, 1)
    board = board_of(app)
    gathering = Gathering(log, app, board)
    assert gathering.catching_up
    poll = gathering._follower._reader.poll
    # a long past
    monkeypatch.setattr(gathering._follower._reader, "poll", lambda n, wait: poll(2, wait))
    seen = []
    for _ in range(20):
        gathering.take()
        seen.append((gathering.catching_up, len(board.status().changes)))
        if not gathering.catching_up:
            break
    assert not gathering.catching_up
    assert len(seen) > 1
    assert board.status().changes[-1].value == "5m"
    send(writer, app.channels, said, 9)
    assert not gathering.catching_up, "what comes later is no past"
    writer.close()


def test_where_nothing_was_said_it_is_there_at_once(app: App, log: Log) -> None:
    gathering = Gathering(log, app, board_of(app))
    gathering.take()
    assert not gathering.catching_up
