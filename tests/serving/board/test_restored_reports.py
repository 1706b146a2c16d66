"""A board that goes on with what was saved of reports tells what one tells that has read them all,
wherever it was begun again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.app import App
from freshet.schemas.wire import messages
from freshet.schemas.wire.messages import Message
from freshet.serving.board import board as board_module
from freshet.serving.board.board import Board
from freshet.serving.status import reports_file
from freshet.serving.status.history import History
from freshet.serving.status.reports_file import KeptReports
from tests.serving.board.toy_run import Said, half_a_day
from tests.toy_app import toy_app

NOW = 1_800_000_000_000  # wall, ms
LOG = "the log's identity"
APP = toy_app()
MODEL = APP.models[0].name
LINEAGES = [APP.models[0].lineage(learner) for learner in APP.models[0].learners]
INSTANCES = ("serve/1", "serve/2", "intake/1", "intake/2", "view/1")


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "wall_now_ms", lambda: NOW)


def board_of(app: App, kept: KeptReports | None, start: int, after: int) -> Board:
    board = Board(app.name, app.topics, app.views, app.models, History())
    board.reports_before = kept
    assert board.begin_reports(LOG, (0, after)) == start
    return board


def is_decision(m: Message) -> bool:
    return isinstance(m, messages.CONTROL)


def told(board: Board) -> dict[str, Any]:
    """All that a status says but for how long this process has run, and rates of the seconds in
    which it did."""
    status: dict[str, Any] = msgspec.to_builtins(board.observe(catching_up=True))
    del status["clock"]["wall_seconds"]
    del status["events_per_second"]
    for topic in status["topics"]:
        del topic["per_second"]
    return status


def begun_again(app: App, said: Sequence[Message], cuts: Sequence[int], folder: Any) -> list[Any]:
    """What a board tells that was begun again at each of the `cuts`, and in the end, beside one
    that was not."""
    reports = [m for m in said if not is_decision(m)]
    decisions = [m for m in said if is_decision(m)]
    one = board_of(app, None, 0, len(reports))
    other = board_of(app, None, 0, len(reports))
    for board in (one, other):
        board.take(decisions, 0)
    seen = []
    at = 0
    for cut in sorted({*cuts, len(reports)}):
        for board in (one, other):
            board.take(reports[at:cut], cut)
        at = cut
        seen += [told(one), told(other)]
        saved = other.reports()
        assert saved is not None
        assert saved.position == cut
        reports_file.save(folder, app.name, saved)
        kept = reports_file.restored(folder, app.name)
        other = board_of(app, kept, cut, len(reports))
        # All decisions are read again.
        other.take(decisions, cut)
        seen += [told(one), told(other)]
    return seen


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    return half_a_day(tmp_path_factory.mktemp("half_a_day"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_after_a_real_run_it_tells_the_same(said: Said, share: float, tmp_path: Any) -> None:
    heard: list[Message] = [*said.messages, *said.statuses]
    count = sum(not is_decision(m) for m in heard)
    seen = begun_again(said.app, heard, [int(share * count)], tmp_path)
    assert seen[0::2] == seen[1::2]
    assert seen[-1]["models"][0]["snapshots"] > 0
    assert seen[-1]["topics"][0]["records"] > 0


def _requests(draw: Callable[[Any], Any]) -> dict[str, Any]:
    answered = draw(st.integers(0, 9))
    return {
        "answered": answered,
        "failed": draw(st.integers(0, 2)),
        "rows": answered,
        "per_second": 1.5,
        "p50_ms": 1.0,
        "p99_ms": draw(st.sampled_from([2.0, 1 / 3])),
        "p99_swap_ms": draw(st.sampled_from([None, 3.0])),
    }


@st.composite
def reports_of(draw: Callable[[Any], Any]) -> list[Message]:
    """Reports of every kind, of processes that come, end, are replaced and have ended before."""
    out: list[Message] = []
    at = NOW - draw(st.sampled_from([500, 60_000, 400_000]))
    for _ in range(draw(st.integers(0, 25))):
        at += draw(st.integers(0, 9_000))
        instance = draw(st.sampled_from(INSTANCES))
        role = instance.partition("/")[0]
        kind = draw(st.sampled_from(["status", "progress", "swapped", "clock", "span", "logged"]))
        number = draw(st.integers(0, 3))
        match kind:
            case "status":
                facts: dict[str, Any] = {"started_ms": at - draw(st.integers(0, 90_000))}
                if role == "serve":
                    facts["requests"] = _requests(draw)
                if role == "intake":
                    facts[f"intake:payments:{number % 2}"] = {"fates": {"applied": number}}
                if draw(st.booleans()):
                    facts |= {"memory_mb": 0.1 + number, "told_ms": at, "metrics": "http://x:1"}
                if draw(st.integers(0, 4)) == 0:
                    facts = {"ended": True}
                out.append(messages.Status(role, instance, 7, at, facts))
            case "progress":
                tasks = {"intake:payments:0": number, "view:by_shop:0": number}
                out.append(messages.Progress(role, instance, tasks))
            case "swapped":
                model = draw(st.sampled_from([MODEL, "of_another_version"]))
                lineage = draw(st.sampled_from([*LINEAGES, "removed"]))
                out.append(messages.Swapped(instance, model, lineage, number, number))
            case "clock":
                out.append(messages.Clock(number, number == 3))
            case "span":
                out.append(messages.Span(number, number + 5))
            case _:
                out.append(messages.Logged(instance, number, 0, MODEL))
    return out


def test_every_kind_of_report_is_among_them() -> None:
    kinds = {kind for kind in get_args(messages.Message) if kind not in get_args(messages.CONTROL)}
    assert {kind.__name__ for kind in kinds} == {
        "Status",
        "Progress",
        "Swapped",
        "Clock",
        "Span",
        "Logged",
    }, "another kind of report: it must be kept, and be drawn above"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reports=reports_of(), cuts=st.lists(st.integers(0, 25), max_size=3))
def test_whatever_was_said_it_tells_the_same(
    reports: list[Message], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    within = [cut for cut in cuts if cut <= len(reports)]
    seen = begun_again(APP, reports, within, tmp_path_factory.mktemp("run"))
    assert seen[0::2] == seen[1::2]


def test_swaps_of_a_model_that_only_the_next_version_declares_are_not_lost(tmp_path: Any) -> None:
    before = Board("toy", APP.topics, APP.views, [], History())
    before.begin_reports(LOG, (0, 0))
    before.take([messages.Swapped("serve/1", MODEL, LINEAGES[0], 4, 9)], 1)
    saved = before.reports()
    assert saved is not None
    after = board_of(APP, saved, 1, 1)
    (model,) = after.status().models
    assert (model.swaps, model.served.number if model.served else None) == (1, 4)


@pytest.mark.parametrize(("identity", "after"), [("another log", 9), (LOG, 4)])
def test_what_is_of_another_log_or_of_one_that_was_put_back_does_not_count(
    identity: str, after: int
) -> None:
    before = board_of(APP, None, 0, 0)
    before.take([messages.Clock(5, False)], 5)
    board = Board(APP.name, APP.topics, APP.views, APP.models, History())
    board.reports_before = before.reports()
    assert board.begin_reports(identity, (2, after)) == 2
    assert board.status().clock.app_ms is None
