"""The replayer's waits: who is replaced is not waited for, who is missing is named, and a stop ends
them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from freshet.app import App, load
from freshet.replay import replayer as replay
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import NotYet, Replayer, ReplayError, Stopped
from freshet.roles import plans
from freshet.schemas.errors import LogError
from freshet.schemas.wire.messages import Clock, Logged, Message, Progress, Status, Tick
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog

HOUR_MS = 3_600_000
OLD, NEW = "serve/0ld", "serve/new"


@pytest.fixture(scope="module")
def app() -> App:
    return load(Path(__file__).parent / "light_flights.py")


@pytest.fixture
def log(app: App, tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path)
    plans.ensure_topics(app, log)
    yield log
    log.close()


def asking(
    replayer: Replayer, *turns: tuple[str, list[Message]]
) -> tuple[Callable[[], dict[str, int]], list[str]]:
    """A client that is answered by one instance after the other, the last one from then on; what
    each turn has the control log say."""
    asked: list[str] = []

    def ask() -> dict[str, int]:
        instance, said = turns[min(len(asked), len(turns) - 1)]
        asked.append(instance)
        assert len(asked) < 50, "it asks on and on, and does not listen"
        replayer.tell(*said)
        return {instance: 7}

    return ask, asked


def test_answers_of_a_scorer_that_was_killed_before_it_logged_them_are_asked_for_again(
    app: App, log: SqliteLog
) -> None:
    replayer = Replayer(app, log, HOUR_MS)
    came_back: list[Message] = [Status("serve", NEW, 2, 0, {})]
    ask, asked = asking(replayer, (OLD, came_back), (NEW, [Logged(NEW, 7, 0)]))
    replayer._ask(ask)
    assert asked == [OLD, NEW]
    replayer.close()


def test_a_new_scorer_that_answers_before_it_was_heard_of_is_waited_for(
    app: App, log: SqliteLog
) -> None:
    replayer = Replayer(app, log, HOUR_MS)
    replayer.tell(Status("serve", OLD, 1, 0, {}), Logged(OLD, 3, 0))
    replayer.drained()
    ask, asked = asking(replayer, (NEW, [Logged(NEW, 7, 0)]))
    replayer._ask(ask)
    assert asked == [NEW]
    replayer.close()


def test_a_question_that_is_put_off_is_asked_again_until_it_is_answered(
    app: App, log: SqliteLog
) -> None:
    replayer = Replayer(app, log, HOUR_MS)
    replayer.tell(Logged(NEW, 7, 0))
    asked: list[int] = []

    def ask() -> dict[str, int]:
        asked.append(1)
        if len(asked) < 4:
            raise NotYet("scorer", "its store is away", "Ask again.")
        return {NEW: 7}

    replayer._ask(ask)
    assert len(asked) == 4
    replayer.close()


def test_a_question_that_is_put_off_for_ever_ends_the_replay(
    app: App, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.1)
    replayer = Replayer(app, log, HOUR_MS)

    def ask() -> dict[str, int]:
        raise NotYet("scorer", "its store is away", "Ask again.")

    with pytest.raises(ReplayError, match=r"no progress.*its store is away"):
        replayer._ask(ask)
    replayer.close()


def test_the_client_tells_what_is_put_off_from_what_failed(app: App) -> None:
    model = app.models[0]
    client = ScoringClient(["http://scorer"], model.name, model.on.events)
    answers = [
        httpx.Response(503, headers={"retry-after": "1"}, json={"error": "its store is away"}),
        httpx.Response(503, json={"error": "no rung can answer"}),
        httpx.Response(200, json={"parameters": {"instance": NEW, "sequence": 5}}),
    ]
    client._http = httpx.Client(transport=httpx.MockTransport(lambda request: answers.pop(0)))
    flight = {f.name: [None] for f in model.on.events.fields}
    with pytest.raises(NotYet, match="its store is away"):
        client.ask(flight, 0)
    assert (client.attempts, client.refused, client.failed) == (1, 1, 0)
    assert client.ask(flight, 0) == {NEW: 5}
    assert (client.attempts, client.answered, client.refused, client.failed, client.broken) == (
        3,
        1,
        1,
        1,
        0,
    )
    client.close()


def test_a_replay_without_progress_ends_and_names_whom_it_waits_for(
    app: App, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.1)
    replayer = Replayer(app, log, HOUR_MS)
    with pytest.raises(ReplayError, match="view:arrivals_by_origin:0") as error:
        replayer.step(0, HOUR_MS, dict[str, int], [])
    assert set(error.value.facts["waiting"]) == plans.task_names(app)  # type: ignore[call-overload]
    replayer.close()


def told_by_all(app: App, tick: int, but: str = "none") -> Progress:
    names = (name for name in plans.task_names(app) if not name.startswith(but))
    return Progress("all", "all/1", dict.fromkeys(names, tick))


def test_a_replay_goes_some_steps_ahead_of_learners_and_none_ahead_of_views(
    app: App, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.1)
    minute = 60_000
    replayer = Replayer(app, log, HOUR_MS)
    replayer.go_ahead(2)
    for step in range(3):
        replayer.tell(told_by_all(app, minute * (step + 1), but="train:"))
        replayer.drained()
        if step == 2:
            replayer.tell(told_by_all(app, minute))
        replayer.step(minute * step, minute * (step + 1), dict[str, int], [])
    replayer.tell(told_by_all(app, 4 * minute, but="train:"))
    with pytest.raises(ReplayError) as behind:
        replayer.step(3 * minute, 4 * minute, dict[str, int], [])
    replayer.tell(told_by_all(app, 4 * minute), told_by_all(app, 5 * minute, but="view:"))
    with pytest.raises(ReplayError) as views:
        replayer.step(4 * minute, 5 * minute, dict[str, int], [])
    assert {name.split(":")[0] for name in waited_for(behind.value)} == {"train"}
    assert {name.split(":")[0] for name in waited_for(views.value)} == {"view"}
    replayer.close()


def test_a_step_in_which_a_snapshot_is_due_waits_for_all_learners(
    app: App, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 0.1)
    replayer = Replayer(app, log, HOUR_MS)
    replayer.go_ahead(8)
    replayer.tell(told_by_all(app, 2 * HOUR_MS, but="train:"))
    replayer.step(0, 1, dict[str, int], [])
    with pytest.raises(ReplayError) as error:
        replayer.step(1, HOUR_MS + 1, dict[str, int], [])
    assert {name.split(":")[0] for name in waited_for(error.value)} == {"train"}
    replayer.close()


def waited_for(error: ReplayError) -> list[str]:
    found: list[str] = error.facts["waiting"]  # type: ignore[assignment]
    return found


def test_where_the_clock_stands_is_said_with_the_next_tick_and_in_the_end(
    app: App, log: SqliteLog
) -> None:
    heard: list[Message] = []
    replayer = Replayer(app, log, 10 * HOUR_MS, heard.append)
    replayer.tell(told_by_all(app, 2))
    replayer.step(0, 1, dict[str, int], [])
    replayer.step(1, 2, dict[str, int], [])
    replayer.end(2)
    while len(heard) < 5:
        replayer._listen(1.0)
    assert [m for m in heard if isinstance(m, Clock)] == [Clock(1, False), Clock(2, True)]
    assert [m for m in heard if isinstance(m, Tick)] == [Tick(1), Tick(2)]
    replayer.close()


def test_after_a_long_outage_there_is_time_to_catch_up(
    app: App, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages, now = Outages(), [0.0]
    replayer = Replayer(app, log, HOUR_MS, outages=outages)
    monkeypatch.setattr(replay, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    outages.begin(LogError("kafka://x", "is away", "Wait."), "it waits")

    def missing() -> list[str]:
        now[0] += 50.0
        if now[0] >= 300.0:
            outages.over("log")
        return ["view"] if now[0] <= until else []

    until = 300.0
    replayer._wait(missing)
    until = float("inf")
    with pytest.raises(ReplayError, match="no progress for 60 s"):
        replayer._wait(missing)
    replayer.close()


def test_a_stop_ends_a_wait(app: App, log: SqliteLog) -> None:
    stop = threading.Event()
    stop.set()
    replayer = Replayer(app, log, HOUR_MS, None, stop)
    with pytest.raises(Stopped):
        replayer.step(0, HOUR_MS, dict[str, int], [])
    replayer.close()
