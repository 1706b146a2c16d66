"""Every promise has its light, and a reason that an operator can act on: a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from freshet.schemas.durations import milliseconds
from freshet.serving.status import status as s
from freshet.serving.status.archived import archive_figures
from freshet.serving.status.promises import archived_in_time, features_fresh, promises, span

NOW = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC
HOUR = 3_600_000


def view(name: str, lag: int | None, slo: int = 5_000) -> s.ViewFigures:
    return s.ViewFigures(name=name, lag_ms=lag, slo_ms=slo)


@pytest.mark.parametrize(("lag", "light"), [(0, "amber"), (60_000, "red")])
def test_rows_that_the_store_refuses_are_told_and_never_green(lag: int, light: str) -> None:
    refused = s.ViewFigures(
        name="gates", lag_ms=lag, slo_ms=5_000, refused=2, refusal="'b': WRONGTYPE"
    )
    (promise,) = features_fresh([refused])
    assert promise.state == light
    assert "the store refuses 2 rows, of gates 'b': WRONGTYPE; " in promise.reason


def model(lag: int | None = 0, **changed: Any) -> s.ModelFigures:
    served = s.Served(lineage="x-1", number=3)
    lineages = [s.LineageFigures(name="x-1"), s.LineageFigures(name="y-2")]
    return s.ModelFigures(
        **{
            "name": "m",
            "served": served,
            "lag_ms": lag,
            "slo_ms": HOUR,
            "lineages": lineages,
            **changed,
        }
    )


def lineage(
    state: s.RoleState = "running", approved: int | None = None, refused: int | None = None
) -> s.LineageFigures:
    reason = f"snapshot {refused}: too large" if refused else ""
    return s.LineageFigures(
        name="x-1", state=state, newest_approved=approved, newest_refused=refused, refused=reason
    )


def role(name: str, state: s.RoleState = "running", ago: int = 0) -> s.RoleFigures:
    return s.RoleFigures(role=name, instance=name, state=state, seen_ms=NOW - ago)


def off(name: str, by: str = "ada") -> list[s.SwitchFigures]:
    names = ("learn", "release", "answer")
    return [
        s.SwitchFigures(name=n, on=n != name, by=by if n == name else "", at_ms=NOW - 60_000)
        for n in names
    ]


def outage(component: str) -> s.OutageFigures:
    return s.OutageFigures(
        component=component, resource="redis://x:1", cause="refused", meanwhile="waits", next_step="start it",
        since_ms=NOW - 60_000, roles=["serve", "view"],
    )  # fmt: skip


def late_topic(name: str, *sources: tuple[str | None, int, int]) -> s.TopicFigures:
    late = [s.LateFigures(source=x, judged=judged, late=n, late_ms=NOW) for x, judged, n in sources]
    return s.TopicFigures(name=name, late_sources=late, settings={"lateness": "5m"})


def topic(name: str, records: int, **dead: int) -> s.TopicFigures:
    return s.TopicFigures(name=name, records=records, dead=dead)


@dataclass(frozen=True)
class Case:
    status: dict[str, Any]
    name: str
    light: s.Light
    reason: str


FRESH, MODEL, ALIVE = "features fresh", "model m fresh", "roles alive"
SERVERS, FAILED, APPROVED = "servers answer", "no failed request", "snapshots approved"
READABLE, SWITCHED, IN_TIME = "events readable", "all switched on", "events in time"
LEARNED = "labels learned"
CASES = [
    Case({"views": [view("a", 0)]}, FRESH, "green", "view a: lag 0s, promised 5s"),
    Case(
        {"views": [view("a", 10), view("b", 4_000)]},
        FRESH, "green", "all 2 in time, the slowest b: lag 4s, promised 5s",
    ),
    Case({"views": [view("a", 0), view("b", 5_500)]}, FRESH, "amber", "1 of 2 views late, worst b: lag 6s, promised 5s"),
    Case(
        {"views": [view("a", 6_500), view("b", 60_000), view("c", None)]},
        FRESH, "red", "3 of 3 views late, worst b: lag 1m, promised 5s",
    ),
    Case({"views": [view("a", 0), view("b", None)]}, FRESH, "amber", "not known yet: nothing has been heard of b"),
    Case({"models": [model(HOUR)]}, MODEL, "green", "lag 1h, promised 1h"),
    Case({"models": [model(HOUR + 1)]}, MODEL, "amber", "lag 1h1m, promised 1h"),
    Case({"models": [model(30 * HOUR)]}, MODEL, "red", "lag 1d6h, promised 1h"),
    Case(
        {"models": [model(served=None, snapshots=2, approvals=1)]},
        MODEL, "amber", "no snapshot answers yet, but the declared fallback: 2 snapshots cut, 1 approved, none served",
    ),
    Case(
        {"models": [model(30 * HOUR)], "switches": off("learn")},
        MODEL, "amber",
        "held: learning is switched off by ada since 2027-01-15 07:59:00 UTC; lag 1d6h, promised 1h",
    ),
    Case(
        {"models": [model(0)], "switches": off("release", by="")},
        MODEL, "amber",
        "held: releasing snapshots is switched off since 2027-01-15 07:59:00 UTC; lag 0s, promised 1h",
    ),
    Case({"models": [model(0)], "switches": off("answer")}, MODEL, "green", "lag 0s, promised 1h"),
    Case(
        {"models": [model(0, lineages=[lineage("held")])]},
        MODEL, "amber", "held: its trainers learn nothing (x-1); lag 0s, promised 1h",
    ),
    Case(
        {"models": [model(0)], "roles": [role("release", "held")]},
        MODEL, "amber", "held: release moves no alias; lag 0s, promised 1h",
    ),
    Case({}, SERVERS, "green", "no role waits for a server"),
    Case(
        {"outages": [outage("store")]},
        SERVERS, "red", "store redis://x:1 is away since 2027-01-15 07:59:00 UTC for serve, view",
    ),
    Case({"requests": s.RequestFigures(answered=1_200)}, FAILED, "green", "0 of 1,200 failed"),
    Case({"requests": s.RequestFigures(answered=1_199, failed=1)}, FAILED, "red", "1 of 1,200 failed"),
    Case(
        {"requests": s.RequestFigures(answered=1_190, refused=10)},
        FAILED, "green", "0 of 1,200 failed, 10 refused on purpose",
    ),
    Case(
        {"requests": s.RequestFigures(answered=1, refused=1, in_error=1_198)},
        FAILED, "green", "0 of 1,200 failed, 1 refused on purpose, 1,198 in error (4xx)",
    ),
    Case({}, ALIVE, "amber", "no role has been heard of yet"),
    Case({"roles": [role("view"), role("join", "held")]}, ALIVE, "green", "all 2 heard of in the last seconds"),
    Case(
        {"roles": [role("view"), role("join", "lost", ago=7_000)]},
        ALIVE, "red", "1 of 2 not heard of: join (for 7s)",
    ),
    Case({"roles": [role("view"), role("join", "starting")]}, ALIVE, "amber", "1 of 2 still starting: join"),
    Case({"roles": [role("view"), role("join", "stopped")]}, ALIVE, "amber", "1 of 2 were stopped: join"),
    Case(
        {"roles": [role("view", "lost", ago=7_000)], "outages": [outage("log")]},
        ALIVE, "amber", "1 of 1 cannot be heard, the log is away: view (for 7s)",
    ),
    Case(
        {"roles": [role("view", "lost", ago=7_000)], "outages": [outage("store")]},
        ALIVE, "red", "1 of 1 not heard of: view (for 7s)",
    ),
    Case(
        {"roles": [role("view", "lost", ago=7_000)], "outages": [outage("disk")]},
        ALIVE, "amber", "1 of 1 cannot be heard, the disk is full: view (for 7s)",
    ),
    Case(
        {"outages": [outage("disk")]},
        SERVERS, "red", "disk redis://x:1 is full since 2027-01-15 07:59:00 UTC for serve, view",
    ),
    Case(
        {"roles": [role("view"), replace(role("join", "restarting"), restarts=4, last_exit="its key is torn")]},
        ALIVE, "red", "1 of 2 failing: join (started again 4 times, the last time by: its key is torn)",
    ),
    Case({"switches": off("none")}, SWITCHED, "green", "learning, releases and answers are on"),
    Case(
        {"switches": off("answer")},
        SWITCHED, "amber", "answering from models is switched off by ada since 2027-01-15 07:59:00 UTC",
    ),
    Case({"models": [model(approvals=4)]}, APPROVED, "green", "0 of 4 refused"),
    Case(
        {"models": [model(approvals=3, refusals=1, lineages=[lineage(approved=4, refused=2)])]},
        APPROVED, "green", "1 of 4 refused, every lineage has had one approved since",
    ),
    Case(
        {"models": [model(approvals=3, refusals=1, lineages=[lineage(approved=3, refused=4)])]},
        APPROVED, "amber", "1 of 4 refused, the newest of m x-1 snapshot 4: too large",
    ),
    Case(
        {"models": [model(labels=s.LabelFigures(came=9, used=7, since_used={"repeated": 2}))]},
        LEARNED, "green", "7 of 9 labels are examples",
    ),
    Case(
        {"models": [model(name="a"), model(asked=1, labels=s.LabelFigures(came=50, since_used={"late": 50}))]},
        LEARNED, "red", 'the last 50 of m came to nothing: they come later than label_wait, and late="drop" leaves them out',
    ),
    Case({"topics": []}, READABLE, "green", "none of 0 events in the dead letters"),
    Case({"topics": [topic("a", 900), topic("b", 100)]}, READABLE, "green", "none of 1,000 events in the dead letters"),
    Case(
        {"topics": [topic("a", 1_000, crash=5), topic("b", 200, undecodable=4, wrong_type=3)]},
        READABLE, "amber", "3.50% of 200 b in the dead letters, most for undecodable (4)",
    ),
    Case(
        {"topics": [topic("a", 1_000, crash=201)]},
        READABLE, "red", "20.10% of 1,000 a in the dead letters, most for crash (201)",
    ),
    Case({"topics": [topic("a", 3)]}, IN_TIME, "green", "no source sends events later than its topic allows"),
    Case(
        {"topics": [late_topic("a", ("d0", 200, 5)), late_topic("b", ("d7", 300, 63), ("d8", 300, 9))]},
        IN_TIME, "red", "21.00% of the newest 300 b of source d7 come late, more than 5m behind its own newest; so do 2 more",
    ),
    Case(
        {"topics": [late_topic("a", ("d0", 200, 5), ("d1", 19, 19))]},
        IN_TIME, "amber", "2.50% of the newest 200 a of source d0 come late, more than 5m behind its own newest",
    ),
    Case(
        {"topics": [late_topic("a", (None, 20, 20))]},
        IN_TIME, "red", "100.00% of the newest 20 a without a source come more than 5m after their time",
    ),
    Case(
        {"topics": [replace(late_topic("a", (None, 20, 20)), newest_ms=NOW, newest_event_ms=NOW // 1_000)]},
        IN_TIME, "red", "100.00% of the newest 20 a without a source come more than 5m after their time; "
        "a thousand times as large they would be of now: is the unit of event_time too small?",
    ),
    Case(
        {"topics": [late_topic("a", ("d0", 200, 200))], "clock": s.Clock(app_ms=NOW + 2 * HOUR)},
        IN_TIME, "green", "no source sends events later than its topic allows",
    ),
    Case({"topics": [topic("a", 3, crash=1)]}, READABLE, "green", "33.33% of 3 a in the dead letters, most for crash (1)"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}: {c.light}: {c.reason[:40]}")
def test_a_promise_has_its_light_and_says_why(case: Case) -> None:
    told = {p.name: p for p in promises(s.Status(app="x", at_ms=NOW, **case.status))}
    assert (told[case.name].state, told[case.name].reason) == (case.light, case.reason)


def test_an_app_without_views_and_models_promises_nothing_of_them() -> None:
    assert {p.name for p in promises(s.Status(app="x", at_ms=NOW))} == {
        SERVERS,
        FAILED,
        ALIVE,
        SWITCHED,
        READABLE,
        IN_TIME,
    }


@given(ms=st.integers(0, 10**12))
@settings(max_examples=200, deadline=None)
def test_a_span_reads_as_what_it_is(ms: int) -> None:
    size = 60_000 if ms >= HOUR else 1_000 if ms >= 1_000 else 1
    assert ms <= milliseconds(span(ms)) < ms + size


@pytest.mark.parametrize(
    ("spent", "lost", "light", "text"),
    [
        (0.0, 0, "green", "shop.orders deletes nothing that is not archived"),
        (0.5, 0, "amber", "shop.orders deletes after 1h; for 50% of that something has waited"),
        (0.8, 0, "red", "shop.orders deletes after 1h; for 80% of that something has waited"),
        (0.8, 7, "red", "shop.orders deleted 7 offsets after 1h, and they are not archived"),
    ],
)
def test_a_log_that_deletes_what_is_not_archived_is_red_before_it_does(
    spent: float, lost: int, light: str, text: str
) -> None:
    parts = [
        {
            "archived": 5,
            "files": 1,
            "bytes": 10,
            "waiting_seconds": 2.0,
            "archived_ms": NOW,
            "retention": {"retention_ms": HOUR, "spent": spent * number, "lost": lost * number},
        }
        for number in range(2)
    ]
    plain = {**parts[0], "retention": None}
    told = {"source.shop.orders": parts, "dead.shop.dead": [plain]}
    figures = archive_figures(
        {name: [{"archive": part} for part in of_log] for name, of_log in told.items()}
    )
    assert [(one.log, one.kind, one.archived) for one in figures] == [
        ("shop.orders", "source", 10),
        ("shop.dead", "dead", 5),
    ]
    (found,) = archived_in_time(figures)
    assert (found.name, found.state, found.reason) == ("archived in time", light, text)
    assert archived_in_time(figures[1:]) == [], "nothing deletes there"
