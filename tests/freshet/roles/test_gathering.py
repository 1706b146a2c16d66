"""Control knows when it has read all that was there before it; and what it has saved of reports
need not stay in their log."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from freshet.app import App
from freshet.planning.history import HEARD
from freshet.roles.control import save_gathered
from freshet.roles.gathering import Gathering
from freshet.roles.plans import ensure_topics
from freshet.schemas.wire import messages
from freshet.serving.board.board import Board
from freshet.serving.status import history_file, reports_file
from freshet.serving.status.history import History
from freshet.streams.catalog import open_log
from freshet.streams.control import channels
from freshet.streams.control.channels import send, shorten
from freshet.streams.control.extent import MARK_BYTES
from freshet.streams.log.contract import Log
from freshet.streams.sqlite.log import SqliteLog
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
    # a long past
    monkeypatch.setattr(channels, "MOST_AT_ONCE", 2)
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


def said_by(instance: str, at: int) -> list[messages.Message]:
    """What a role and a scorer say in a moment."""
    facts = {"requests": {"answered": at, "failed": 0, "rows": at, "per_second": 1.0}}
    return [
        messages.Status("serve", instance, 1, at, facts),
        messages.Progress("view", "view/1", {"view:by_shop:0": at}),
        messages.Swapped(instance, "unpaid", "gone", at % 1_000, at),
    ]


def size_of(log: Log) -> int:
    assert isinstance(log, SqliteLog)
    return sum(file.stat().st_size for file in log.directory.glob("*.reports.sqlite*"))


def test_however_long_a_run_reports_its_log_stays_small_and_nothing_is_forgotten(
    app: App, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "KEPT_REPORTS", 3_000)
    writer = log.writer()
    sizes = []
    history = History()
    gathering = None
    board = board_of(app)
    for turn in range(20):
        # Every few turns it is another process that reads on.
        if gathering is None or turn % 5 == 0:
            history = History()
            history_file.restore(tmp_path, app.name, history)
            board = Board(app.name, app.topics, app.views, app.models, history)
            board.reports_before = reports_file.restored(tmp_path, app.name)
            gathering = Gathering(log, app, board)
        moments = range(1_000 * turn, 1_000 * (turn + 1))
        told = [m for at in moments for m in said_by(f"serve/{turn}", at)]
        send(writer, app.channels, told, turn)
        gathering.take()
        saved = save_gathered(str(tmp_path), app.name, history, board)
        assert saved is not None
        shorten(log, app.reports_log, saved.identity, saved.position, saved.held)
        first, end = log.bounds(app.reports_log).spans[0]
        assert end - first == 3_000
        sizes.append(size_of(log))
    assert max(sizes[5:]) <= 1.2 * sizes[4]
    status = board.status()
    assert status.models[0].swaps == 20_000, "all that ever were"
    assert len(history.since().swaps) > 1_000
    answered = [1_000 * (turn + 1) - 1 for turn in range(20)]
    assert status.requests.answered == sum(answered)
    writer.close()


def test_few_large_reports_take_no_more_room_than_many_small_ones(
    app: App, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 4 << 20
    monkeypatch.setattr(channels, "KEPT_REPORT_BYTES", most)
    writer = log.writer()
    history = History()
    large = "x" * 100_000
    retained = []
    # Each turn it is another process that reads on: what it did not read has its size all the same.
    for turn in range(12):
        board = board_of(app)
        board.reports_before = reports_file.restored(tmp_path, app.name)
        gathering = Gathering(log, app, board)
        told = [messages.Status("view", f"view/{at}", 1, turn, {"why": large}) for at in range(9)]
        send(writer, app.channels, told, turn)
        gathering.take()
        saved = save_gathered(str(tmp_path), app.name, history, board)
        assert saved is not None
        shorten(log, app.reports_log, saved.identity, saved.position, saved.held)
        first, end = log.bounds(app.reports_log).spans[0]
        retained.append(100_000 * (end - first))
    assert max(retained) <= most
    # And hardly less: the last mark that does not fit goes as a whole.
    assert min(retained[6:]) > most - 2 * MARK_BYTES
    writer.close()


def test_on_kafka_the_newest_reports_stay_and_what_stands_before_them_goes(
    tmp_path: Path, kafka: str
) -> None:
    app = replace(toy_app(), name=f"reports{uuid.uuid4().hex[:8]}")
    log = open_log(f"kafka://{kafka}")
    ensure_topics(app, log)
    writer = log.writer()
    count = channels.KEPT_REPORTS + 1_000
    swapped = messages.encode(messages.Swapped("serve/1", "unpaid", "gone", 1, 1))
    writer.append(app.reports_log, 0, [swapped] * count, 1)
    writer.flush()
    history = History()
    board = Board(app.name, app.topics, app.views, app.models, history)
    gathering = Gathering(log, app, board)
    while gathering.catching_up:
        gathering.take()
    saved = save_gathered(str(tmp_path), app.name, history, board)
    assert saved is not None
    assert saved.position == count
    shorten(log, app.reports_log, saved.identity, saved.position, saved.held)
    assert log.bounds(app.reports_log).spans[0] == (1_000, count)

    # Who comes next goes on with all that was told, and reads what came since alone.
    send(writer, app.channels, said_by("serve/1", 2), 2)
    later = Board(app.name, app.topics, app.views, app.models, History())
    later.reports_before = reports_file.restored(tmp_path, app.name)
    gathering = Gathering(log, app, later)
    while gathering.catching_up:
        gathering.take()
    assert later.status().models[0].swaps == count + 1
    writer.close()
    log.close()


def test_what_is_not_saved_does_not_go(
    app: App, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "KEPT_REPORTS", 1)
    writer = log.writer()
    board = board_of(app)
    gathering = Gathering(log, app, board)
    send(writer, app.channels, said_by("serve/1", 1), 1)
    gathering.take()
    nowhere = str(tmp_path / "none")
    assert save_gathered(nowhere, app.name, History(), board) is None
    saved = save_gathered(str(tmp_path), app.name, History(), board)
    assert saved is not None
    send(writer, app.channels, said_by("serve/1", 2), 2)
    # Killed here, another one does it later, and no more than that.
    for _ in range(2):
        shorten(log, app.reports_log, saved.identity, saved.position, saved.held)
        assert log.bounds(app.reports_log).spans[0] == (3, 6)
    shorten(log, app.reports_log, "another log", 6, [])
    assert log.bounds(app.reports_log).spans[0] == (3, 6)
    assert log.bounds(app.control_log).spans[0] == (0, 0)
    writer.close()


def test_a_plan_still_hears_all_that_it_looks_at() -> None:
    assert channels.KEPT_REPORTS >= HEARD
