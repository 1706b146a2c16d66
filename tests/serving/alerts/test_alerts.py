"""Alerts in time: told once when they have held, once when they are gone; to the log, the page and
a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from freshet.serving.alerts.alerts import KEPT, Alerts
from freshet.serving.alerts.webhook import Webhook
from freshet.serving.status.status import Alert, Clock, Status, ViewFigures
from tests.serving.status.fake_status import FakeYear

ALERT = Alert(
    policy="outage", subject="store", light="amber", reason="r", meaning="m", next_step="n"
)
DEADLINE_SECONDS = 20.0


def at(second: float, *late: str, lag_ms: int = 11_000, state: Any = "running") -> Status:
    """The views named are beyond their SLO, at a second of wall time."""
    views = [
        ViewFigures(name=n, topic="t", lag_ms=lag_ms if n in late else 0, slo_ms=10_000)
        for n in ("a", "b")
    ]
    return Status(app="flights", at_ms=int(second * 1000), clock=Clock(state=state), views=views)


def told(logs: list[Any]) -> list[tuple[str, str]]:
    return [(x["event"], x["subject"]) for x in logs if x["event"].startswith("alert")]


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_SECONDS} s"
        time.sleep(0.01)


class Target:
    """A real HTTP server: what it was told, and the statuses that it answers first (0: no answer at
    all)."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.tries = 0
        self.answers: list[int] = []
        self.open = threading.Event()
        self.open.set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/json"
                target.tries += 1
                target.open.wait(DEADLINE_SECONDS)
                answer = target.answers.pop(0) if target.answers else 204
                if 200 <= answer < 300:
                    target.told.append(json.loads(body))
                if answer:
                    self.send_response(answer)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/secret"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.stop()


@pytest.fixture
def hook(target: Target) -> Iterator[Webhook]:
    hook = Webhook(target.url, "flights", retry_seconds=30.0, pauses_seconds=(0.01,), waiting=5)
    yield hook
    hook.close()


def test_an_alert_is_told_once_when_it_has_held_and_once_when_it_is_gone() -> None:
    alerts = Alerts("flights", hold_seconds=5, resolve_seconds=30)
    with capture_logs() as logs:
        for second in range(100, 120):
            current = alerts.observe(at(second, "a"))
            assert [a.state for a in current] == (["firing"] if second >= 105 else [])
        assert told(logs) == [("alert", "a")]
        for second in range(120, 160):
            current = alerts.observe(at(second))
            assert [a.state for a in current] == (["firing"] if second < 149 else ["resolved"])
    assert told(logs) == [("alert", "a"), ("alert is resolved", "a")]
    assert (current[0].since_ms, current[0].resolved_ms) == (100_000, 149_000)


def test_a_log_line_says_everything() -> None:
    alerts = Alerts("flights", hold_seconds=0)
    with capture_logs() as logs:
        alerts.observe(at(1, "a"))
        alerts.observe(at(2, "a", "b", lag_ms=20_000))
    amber, red = logs
    assert (amber["log_level"], red["log_level"]) == ("warning", "error")
    assert amber["reason"] == "11s behind, 10s is promised"
    assert {"policy", "subject", "light", "reason", "meaning", "next_step"} <= set(amber)


def test_a_flicker_is_no_alert() -> None:
    alerts = Alerts("flights", hold_seconds=5)
    with capture_logs() as logs:
        for second in range(50):
            late = ("a",) if second % 5 else ()
            assert alerts.observe(at(second, *late)) == []
    assert not logs


def test_an_alert_that_is_back_within_a_while_never_resolved() -> None:
    alerts = Alerts("flights", hold_seconds=0, resolve_seconds=30)
    with capture_logs() as logs:
        for second in range(200):
            late = ("a",) if second % 20 < 3 else ()
            (current,) = alerts.observe(at(second, *late))
            assert (current.state, current.since_ms) == ("firing", 0)
    assert told(logs) == [("alert", "a")]


def test_figures_of_a_firing_alert_are_of_now() -> None:
    alerts = Alerts("flights", hold_seconds=0)
    alerts.observe(at(1, "a"))
    (current,) = alerts.observe(at(2, "a", lag_ms=50_000))
    assert (current.light, current.reason, current.since_ms) == (
        "red",
        "50s behind, 10s is promised",
        1_000,
    )


def test_alerts_of_two_subjects_are_two_and_red_is_first() -> None:
    alerts = Alerts("flights", hold_seconds=0)
    alerts.observe(at(1, "a"))
    current = alerts.observe(at(2, "a", "b"))
    assert [(a.subject, a.since_ms) for a in current] == [("a", 1_000), ("b", 2_000)]


def test_the_newest_resolved_alerts_are_kept() -> None:
    alerts = Alerts("flights", hold_seconds=0, resolve_seconds=0)
    for second in range(0, 4 * KEPT, 2):
        alerts.observe(at(second, "a"))
        current = alerts.observe(at(second + 1))
    assert [a.since_ms for a in current] == [
        1000 * s for s in range(4 * KEPT - 2, 2 * KEPT - 2, -2)
    ]


def test_the_end_of_a_run_fires_and_resolves_nothing() -> None:
    state = "ended"
    alerts = Alerts("flights", hold_seconds=0, resolve_seconds=0)
    before = alerts.observe(at(1, "a"))
    with capture_logs() as logs:
        assert alerts.observe(at(2, "b", state=state)) == before
        assert alerts.observe(at(900, "b", state=state)) == before
    assert not logs


@given(st.lists(st.booleans(), max_size=120))
def test_every_firing_is_followed_by_one_resolution_at_most(wrong: list[bool]) -> None:
    alerts = Alerts("flights", hold_seconds=2, resolve_seconds=3)
    with capture_logs() as logs:
        for second, late in enumerate(wrong):
            current = alerts.observe(at(second, *("a",) if late else ()))
    events = [event for event, _ in told(logs)]
    assert events == (["alert", "alert is resolved"] * len(events))[: len(events)]
    if wrong:
        assert [a.state for a in current].count("firing") == len(events) % 2


def test_a_plausible_year_has_no_alert() -> None:
    year, alerts = FakeYear(days=60), Alerts("flights")
    while year.state == "running":
        # Its history is not looked at here.
        assert alerts.observe(year.advance(4, observe_every=year.steps).status()) == []


def test_the_webhook_is_told_once_when_an_alert_fires_and_once_when_it_resolves(
    target: Target,
) -> None:
    alerts = Alerts("flights", target.url, hold_seconds=0, resolve_seconds=0)
    for second, late in enumerate([("a",), ("a",), ("a",), (), ()]):
        alerts.observe(at(second, *late))
    alerts.close()
    firing, resolved = target.told
    assert (firing["app"], firing["state"], firing["resolved_ms"]) == ("flights", "firing", None)
    assert (resolved["app"], resolved["state"], resolved["resolved_ms"]) == (
        "flights",
        "resolved",
        3_000,
    )
    assert (firing["policy"], firing["subject"], firing["light"]) == ("feature_lag", "a", "amber")
    assert firing["reason"] == "11s behind, 10s is promised"
    assert {"meaning", "next_step", "since_ms"} <= set(firing)


@pytest.mark.parametrize("answer", [500, 503, 429, 0])
def test_what_may_pass_is_tried_again(target: Target, hook: Webhook, answer: int) -> None:
    target.answers = [answer] * 3
    with capture_logs() as logs:
        hook.tell(ALERT)
        wait_for(lambda: target.told, "telling")
        wait_for(lambda: len(logs) == 2, "logging")
    assert target.tries == 4
    assert [x["event"] for x in logs] == ["webhook fails", "webhook works again"]
    assert logs[1]["alerts_lost"] == 0


@pytest.mark.parametrize("answer", [301, 400, 404])
def test_what_will_not_pass_is_final_and_the_next_alert_is_told(
    target: Target, hook: Webhook, answer: int
) -> None:
    target.answers = [answer]
    with capture_logs() as logs:
        hook.tell(ALERT)
        hook.tell(ALERT)
        wait_for(lambda: len(logs) == 2, "logging")
    assert (target.tries, len(target.told)) == (2, 1)
    assert str(answer) in logs[0]["cause"]
    assert logs[1]["alerts_lost"] == 1


def test_a_webhook_that_is_away_is_logged_once_and_its_secret_never(target: Target) -> None:
    target.stop()
    hook = Webhook(target.url, "flights", retry_seconds=0.05, pauses_seconds=(0.01,))
    with capture_logs() as logs:
        for _ in range(10):
            hook.tell(ALERT)
        wait_for(lambda: hook._lost == 10, "giving up")
        hook.close()
    assert [x["event"] for x in logs] == ["webhook fails"]
    assert logs[0]["resource"] == "http://127.0.0.1"
    assert "secret" not in str(logs)
    assert {"cause", "meanwhile", "next_step"} <= set(logs[0])


def test_telling_never_waits_and_what_waits_is_bounded(target: Target, hook: Webhook) -> None:
    target.open.clear()  # it takes the call and says nothing
    hook.tell(ALERT)
    wait_for(lambda: target.tries == 1, "the first call")
    with capture_logs() as logs:
        for _ in range(50):
            hook.tell(ALERT)  # returns, though nothing is answered
        assert [x["event"] for x in logs] == ["webhook fails"]
        target.open.set()
        wait_for(lambda: len(target.told) == 6, "telling")
        wait_for(lambda: len(logs) == 2, "logging")
    assert logs[1]["alerts_lost"] == 45


@pytest.mark.parametrize(
    "url", ["http://[::1", "nonsense", "http://127.0.0.1:99999/", "http://no such host/"]
)
def test_an_unusable_url_harms_nobody(url: str) -> None:
    with capture_logs() as logs:
        hook = Webhook(url, "flights", retry_seconds=0.0, pauses_seconds=(0.01,))
        hook.tell(ALERT)
        wait_for(lambda: hook._lost == 1, "giving up")
        hook.close()
    assert [x["event"] for x in logs] == ["webhook fails"]


def test_what_waits_is_tried_once_more_at_the_end(target: Target) -> None:
    target.answers = [503]
    hook = Webhook(target.url, "flights", pauses_seconds=(60.0,))
    hook.tell(ALERT)
    wait_for(lambda: not target.answers, "the first call")
    hook.tell(ALERT)
    hook.close(DEADLINE_SECONDS)
    assert len(target.told) == 1
