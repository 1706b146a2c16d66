"""The board tells what roles said: fed with the messages of a real run, in any order that two logs
may bring them in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.models.layout import Layout
from freshet.schemas.wire import messages
from freshet.schemas.wire.messages import Message, Setting, Status
from freshet.schemas.wire.outcomes import LABELLED, ExampleRows
from freshet.serving.board import board as board_module
from freshet.serving.board.board import Board
from freshet.serving.status import status as s
from freshet.serving.status.history import History
from freshet.serving.status.status import ConflictFigures
from freshet.serving.values import skew
from freshet.streams.control.switches import Switch, Switches
from freshet.streams.outages import Outage
from tests.serving.board.toy_run import HOUR, HOURS, SHOPS, Said, half_a_day

NOW = 1_800_000_000_000  # wall, ms
END = (HOURS + 1) * HOUR  # app clock, ms
AWAY = Outage(
    component="store",
    resource="redis://x:1",
    cause="refused",
    meanwhile="waits",
    next_step="start it",
    since=NOW - 9_000,
)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """The run, as if everybody had told their status just now."""
    run = half_a_day(tmp_path_factory.mktemp("half_a_day"))
    now = [
        changed(msgspec.structs.replace(m, at=NOW - 100), told_ms=NOW - 100) for m in run.statuses
    ]
    return replace(run, statuses=now)


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The wall clock stands at `NOW`, until a test sets it."""

    def stand(at_ms: int) -> None:
        monkeypatch.setattr(board_module, "wall_now_ms", lambda: at_ms)

    stand(NOW)
    return stand


def learned(said: Said) -> Board:
    """A board that also knows how good the answers were."""
    board = said.board()
    board.note(messages.Clock(END, False))
    for batch in said.examples:
        board.learn_outcomes("unpaid", batch)
    board.observe()
    return board


def changed(m: Status, **facts: Any) -> Status:
    return msgspec.structs.replace(m, facts={**m.facts, **facts})


def test_topics_count_every_record_and_know_their_fields(said: Said) -> None:
    orders, payments = learned(said).status().topics
    assert (orders.records, orders.applied, orders.dead) == (36, 36, {})
    assert (payments.applied, payments.deduplicated, payments.dead) == (30, 10, {"undecodable": 4})
    assert payments.records == 44
    assert (payments.newest_ms, payments.newest_event_ms, payments.lag_ms) == (END, HOURS * HOUR, 0)
    price = next(f for f in orders.fields if f.name == "price")
    assert (price.kind, price.seen, price.missing, price.min, price.max) == (
        "double",
        36,
        0,
        2.0,
        13.0,
    )
    assert (price.mean, price.deviation) == pytest.approx((7.5, np.std(np.arange(2, 14))))
    assert next(f for f in orders.fields if f.name == "shop").values == dict.fromkeys(SHOPS, 12)


def test_topics_and_views_lag_behind_the_apps_clock_by_what_they_have_not_finished(
    said: Said,
) -> None:
    board = said.board()
    assert [t.lag_ms for t in board.status().topics] == [None, None]  # no clock yet
    board.note(messages.Clock(END + 70_000, False))
    status = board.status()
    assert [x.lag_ms for x in (*status.topics, *status.views)] == [70_000] * 3


def test_a_topic_of_which_a_partition_is_unheard_of_has_no_known_lag(said: Said) -> None:
    payments = replace(said.app.topics[1], partitions=2)
    board = Board("toy", [payments], [], [], History())
    board.note(messages.Clock(END, False))
    board.note(messages.Progress("intake", "intake/1", {"intake:payments:0": END}))
    assert board.status().topics[0].lag_ms is None
    board.note(messages.Progress("intake", "intake/2", {"intake:payments:1": END - 5}))
    assert board.status().topics[0].lag_ms == 5


def test_views_say_what_they_are(said: Said) -> None:
    (view,) = learned(said).status().views
    assert (view.topic, view.key, view.rows, view.events) == ("payments", "shop", 3, 30)
    assert (view.features, view.max_age_ms, view.slo_ms) == (
        ["n", "late", "ago"],
        86_400_000,
        5_000,
    )


def test_models_count_and_calibrate_what_was_answered(said: Said) -> None:
    model = learned(said).status().models[0]
    assert (model.asked, model.labelled, model.expired) == (36, 30, 0)
    assert sum(model.rungs.values()) == 36
    assert set(model.rungs) == {"champion", "heuristic"}
    p, y = answers(said)
    assert (model.overall.n, model.rolling.n) == (30, 30)
    assert model.overall.calibration == pytest.approx(p.sum() / y.sum())
    right = ((p >= 0.5) == (y > 0.5)).mean()
    assert (model.overall.accuracy, model.rolling.accuracy) == pytest.approx((right, right))
    assert model.overall.log_loss == pytest.approx(-np.log(np.where(y > 0.5, p, 1 - p)).mean())
    assert [(b.low, b.high) for b in model.calibration] == [
        (i / 10, (i + 1) / 10) for i in range(10)
    ]
    for i, b in enumerate(model.calibration):
        mine = np.minimum((p * 10).astype(int), 9) == i
        assert b.n == mine.sum()
        if b.n:
            assert (b.predicted, b.observed) == pytest.approx((p[mine].mean(), y[mine].mean()))
        else:
            assert (b.predicted, b.observed) == (None, None)


def test_questions_in_conflict_are_told_with_the_newest_id(said: Said) -> None:
    assert learned(said).status().models[0].conflicts == ConflictFigures()
    told = {"conflicting_questions": 3, "conflict": {"id": "5.north", "at_ms": END - 1}}
    statuses = [
        changed(
            m, **{task: {**facts, **told} for task, facts in m.facts.items() if "join:" in task}
        )
        for m in said.statuses
    ]
    (model,) = said.board(statuses).status().models
    assert model.conflicts == ConflictFigures(questions=3, example="5.north", newest_ms=END - 1)


def test_what_needs_no_features_is_told_over_the_labels_that_served_and_lineages_are_judged_by(
    said: Said,
) -> None:
    model = learned(said).status().models[0]
    _, y = answers(said)
    rates = [(y[:i].sum() + 0.5) / (i + 1) for i in range(len(y))]
    loss = -np.mean([np.log(r if label else 1 - r) for r, label in zip(rates, y)])
    for found in (model.overall_references, model.rolling_references):
        assert (found.prior.n, found.prior.log_loss) == (30, pytest.approx(loss))
        assert found.no_change.accuracy == pytest.approx((y[1:] == y[:-1]).mean())
        assert (found.no_change.n, found.no_change.log_loss) == (29, None)
    for x in model.lineages:
        assert x.references.prior.n == x.overall.n > 0
        assert x.overall.accuracy is not None


def answers(said: Said) -> tuple[Any, Any]:
    """Probabilities and labels of the labelled rows, from the examples log."""
    from freshet.schemas.wire import blocks

    layout, found = Layout.of(said.app.models[0].vectors), []
    for batch in said.examples:
        for i in range(len(batch)):
            if (rows := blocks.decode(batch.value(i)).rows) is not None:
                found.append(ExampleRows.from_arrow(rows, layout))
    kind = np.concatenate([r.kind for r in found])
    p, y = np.concatenate([r.fixed["p"] for r in found]), np.concatenate([r.label for r in found])
    return p[kind == LABELLED], y[kind == LABELLED]


def test_slices_of_what_was_served_stand_beside_the_baselines(said: Said) -> None:
    model = learned(said).status().models[0]
    assert {(x.field, x.value, x.served.n, x.baseline.n) for x in model.slices} == {
        ("shop", v, 10, 10) for v in SHOPS
    }
    assert model.baseline.startswith("baseline")


def test_skew_is_of_what_was_asked_and_of_what_was_learned(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert learned(said).status().models[0].skew == []
    monkeypatch.setattr(skew, "LEAST", 30)
    found = learned(said).status().models[0].skew
    assert [each.feature for each in found]
    # Six of those that were asked have no label yet.
    assert {(each.asked, each.learned) for each in found} == {(36, 30)}
    assert all(0.0 <= each.jensen_shannon < 0.5 for each in found)


def test_the_first_skew_is_told_as_soon_as_there_is_enough(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at what is too little are no turns, after which the next one would have to wait."""
    monkeypatch.setattr(skew, "LEAST", 30)
    board = said.board()
    name = said.app.models[0].name
    told = []
    for batch in said.examples:
        for i in range(len(batch)):
            board.learn_outcomes(name, batch.rows(i, i + 1))
            told.append(bool(board.observe().models[0].skew))
    assert told[0] is False
    assert told[-1] is True


def test_lineages_tell_their_examples_snapshots_and_slices(said: Said) -> None:
    for x in learned(said).status().models[0].lineages:
        assert (x.state, x.examples, x.overall.n, x.rolling.n) == ("running", 30, 30, 30)
        assert (x.number, x.cut_ms, x.refusals, x.refused) == (5, HOURS * HOUR, 0, "")
        assert {(f.field, f.value, f.served.n) for f in x.slices} == {
            ("shop", v, 10) for v in SHOPS
        }


def test_a_model_lags_by_the_tick_that_the_served_snapshot_was_cut_at(said: Said) -> None:
    board = learned(said)
    champion = next(x for x in board.status().models[0].lineages if x.alias == "champion")
    board.note(messages.Swapped("serve/1", "unpaid", champion.name, 4, END - 4 * HOUR))
    model = board.status().models[0]
    assert model.served is not None
    assert (model.served.lineage, model.served.number) == (champion.name, 4)
    assert (model.lag_ms, model.behind) == (4 * HOUR, "serve")
    board.note(messages.Swapped("serve/1", "unpaid", champion.name, 6, END))
    assert board.status().models[0].lag_ms == 0


def test_a_served_snapshot_waits_for_its_own_trainer_while_others_go_on(said: Said) -> None:
    """The orders go on, too: they name the snapshot that there is, and as of when it is."""
    board = learned(said)
    champion = next(x for x in board.status().models[0].lineages if x.alias == "champion")
    other = next(x for x in board.status().models[0].lineages if x.alias != "champion")
    order = [m for m in said.messages if isinstance(m, messages.Settled)][-1]
    cut = [m for m in said.messages if isinstance(m, messages.Cut) and m.lineage == other.name][-1]
    board.note(messages.Swapped("serve/1", "unpaid", champion.name, 5, END))
    now = END + 8 * HOUR
    board.note(messages.Clock(now, False))
    done = ["intake:payments:0", "join:unpaid:0", f"train:unpaid.{other.name}:0"]
    board.note(messages.Progress("all", "all/1", dict.fromkeys(done, now)))
    board.note(msgspec.structs.replace(cut, number=cut.number + 1, tick=now))
    later = {"order": order.order + 1, "tick": now, "reflects": END}
    board.note(msgspec.structs.replace(order, **later))
    model = board.status().models[0]
    assert (model.lag_ms, model.behind) == (8 * HOUR, f"train.unpaid.{champion.name}")


def test_quality_and_alerts_are_as_of_the_last_look_and_all_else_as_of_now(said: Said) -> None:
    board = said.board()
    alert = s.Alert(policy="p", subject="s", light="red", reason="r", meaning="m", next_step="n")
    seen: list[s.Status] = []
    board.alerts = lambda status: [alert] if not seen.append(status) else []  # type: ignore[func-returns-value]
    board.learn_outcomes("unpaid", said.examples[0])
    before = board.status()
    assert (before.models[0].asked > 0, before.models[0].overall.n, before.alerts) == (True, 0, [])
    assert board.observe().alerts == [alert]
    after = board.status()
    assert (after.models[0].overall.n, after.alerts, len(seen)) == (
        after.models[0].labelled,
        [alert],
        1,
    )


def test_a_changed_setting_rules_at_once_and_is_told_beside_the_declared_one(said: Said) -> None:
    board = learned(said)
    board.note(Setting("payments", "model_slo", "2h", "ada", NOW))
    board.note(Setting("*", "feature_slo", "9s", "ada", NOW + 1))
    status = board.status()
    assert (status.models[0].slo_ms, status.views[0].slo_ms) == (2 * HOUR, 9_000)
    assert status.topics[1].settings == {
        **status.topics[1].declared,
        "model_slo": "2h",
        "feature_slo": "9s",
    }
    assert status.topics[1].declared["model_slo"] == "3h"
    assert [(c.topic, c.key, c.value, c.by) for c in status.changes] == [
        ("payments", "model_slo", "2h", "ada"),
        ("*", "feature_slo", "9s", "ada"),
    ]


@pytest.mark.parametrize(
    "setting",
    [("nothing", "model_slo", "2h"), ("payments", "colour", "2h"), ("*", "lateness", "x")],
)
def test_what_is_no_setting_changes_nothing_and_is_not_told(
    said: Said, setting: tuple[str, str, str]
) -> None:
    board = said.board()
    before = board.status()
    board.note(Setting(*setting, "ada", NOW))
    assert board.status().changes == []
    assert board.status().topics == before.topics


def test_a_held_trainer_and_the_switch_that_holds_it_are_shown(said: Said) -> None:
    board = said.board([changed(m, held=m.role.startswith("train")) for m in said.statuses])
    board.switches = lambda: Switches(learn=Switch(False, "ada", NOW - 60_000))
    board.note(messages.Clock(END, False))
    (lineage, _), status = board.status().models[0].lineages, board.status()
    board.note(messages.Swapped("serve/1", "unpaid", lineage.name, 5, END))
    assert {r.state for r in status.roles if r.role.startswith("train")} == {"held"}
    assert {x.state for x in status.models[0].lineages} == {"held"}
    assert [(x.name, x.on, x.by) for x in status.switches] == [
        ("learn", False, "ada"),
        ("release", True, ""),
        ("answer", True, ""),
    ]
    fresh = next(p for p in board.status().promises if p.name == "model unpaid fresh")
    assert (fresh.state, fresh.reason.split(";")[0]) == (
        "amber",
        "held: learning is switched off by ada since 2027-01-15 07:59:00 UTC",
    )


def test_outages_of_roles_and_of_this_process_are_told_and_turn_the_promise_red(said: Said) -> None:
    told = [
        changed(m, outages=[msgspec.to_builtins(AWAY)]) if m.role in ("view", "join") else m
        for m in said.statuses
    ]
    board = said.board(told)
    mine = msgspec.structs.replace(AWAY, component="log", resource="kafka://y:2", since=NOW - 3_000)
    board.own_outages = lambda: [mine]
    status = board.status()
    assert [(o.component, o.resource, o.roles, o.since_ms) for o in status.outages] == [
        ("store", "redis://x:1", ["join", "view"], NOW - 9_000),
        ("log", "kafka://y:2", ["control"], NOW - 3_000),
    ]
    answer = next(p for p in status.promises if p.name == "servers answer")
    assert answer.state == "red"
    assert "store redis://x:1" in answer.reason
    assert "log kafka://y:2" in answer.reason


def test_what_a_role_waited_for_is_over_once_it_is_not_heard_of(
    said: Said, wall: Callable[[int], None]
) -> None:
    board = said.board([changed(m, outages=[msgspec.to_builtins(AWAY)]) for m in said.statuses])
    assert len(board.status().outages) == 1
    board.observe(catching_up=True)
    for at in range(NOW, NOW + 6_000, 1_000):
        wall(at)
        board.observe()
    assert board.status().outages == []
    assert {r.state for r in board.status().roles} == {"starting"}, (
        "they were heard of before the board listened"
    )
    for m in said.statuses:
        board.note(msgspec.structs.replace(m, at=NOW + 5_000))
    for at in (*range(NOW + 6_000, NOW + 10_000, 1_000), NOW + 10_001):
        wall(at)
        board.observe()
    assert {r.state for r in board.status().roles} == {"lost"}


def test_while_it_catches_up_nothing_is_history_and_nothing_raises_an_alert(said: Said) -> None:
    app, history = said.app, History()
    board = Board(app.name, app.topics, app.views, app.models, history)
    alert = s.Alert(policy="p", subject="s", light="red", reason="r", meaning="m", next_step="n")
    board.alerts = lambda status: [alert]
    board.note(messages.Clock(END, False))
    assert (board.observe(catching_up=True).alerts, board.status().catching_up) == ([], True)
    assert history.since().times == []
    assert (board.observe().alerts, board.status().catching_up) == ([alert], False)
    assert history.since().times == [END]


def test_a_lineage_that_the_app_does_not_declare_any_more_is_nowhere(
    said: Said, wall: Callable[[int], None]
) -> None:
    board = said.board()
    gone = "train.unpaid.river-0badc0de"
    board.belongs = lambda name: name != gone
    board.note(Status("train", f"{gone}/1", 7, NOW - 3_600_000, {"started_ms": NOW - 7_200_000}))
    board.note(messages.Cut("unpaid", "river-0badc0de", 9, END, "0" * 64, {}))
    board.observe()
    wall(NOW + 3_600_000)
    status = board.status()
    assert gone not in {r.instance for r in status.roles}
    assert {x.name for x in status.models[0].lineages} == {
        m.lineage(x) for m in said.app.models for x in m.learners
    }
    alive = next(p for p in status.promises if p.name == "roles alive")
    assert "river" not in alive.reason


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_order_of_what_different_roles_say_gives_the_same_status(
    said: Said, data: st.DataObject
) -> None:
    queues = [roles_say(m, i) for i, m in enumerate(said.statuses)]
    # The task of a partition that moved is told by both members of its role, at the same time.
    queues.append(
        [msgspec.structs.replace(m, instance="view/2") for m in roles_say(said.statuses[1], 9)]
    )
    plain = [m for queue in queues for m in queue]
    order = data.draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    left = [list(q) for q in queues]
    mixed = [left[i].pop(0) for i in order]
    assert told(said, mixed) == told(said, plain)


def roles_say(m: Status, k: int) -> list[Message]:
    """Two statuses and a progress of one role, in order."""
    first = changed(msgspec.structs.replace(m, at=NOW - 1_000), memory_mb=1.0, cpu_seconds=1.0)
    last = changed(m, memory_mb=2.0 + k, cpu_seconds=3.0, held=k % 2 == 0)
    ticks = {task: END + k for task in m.facts if task.count(":") == 2 and k < 9}
    return [first, messages.Progress(m.role, m.instance, ticks), last]


def told(said: Said, heard: Sequence[Message]) -> s.Status:
    app = said.app
    board = Board(app.name, app.topics, app.views, app.models, History())
    for m in heard:
        board.note(m)
    return msgspec.structs.replace(board.status(), clock=s.Clock())


def test_live_the_apps_clock_is_the_wall(said: Said, wall: Callable[[int], None]) -> None:
    board = said.board(paced=False)
    clock = board.status().clock
    assert (clock.app_ms, clock.paced, clock.state, clock.done) == (NOW, False, "running", None)
    wall(NOW + 1)
    assert board.status().clock.app_ms == NOW + 1
    assert board.status().topics[0].lag_ms == NOW + 1 - END


def test_the_wall_is_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = time.time_ns() // 1_000_000
    board = Board("x", [], [], [], History(), paced=False)
    status = board.status()
    assert before <= status.at_ms == status.clock.app_ms <= time.time_ns() // 1_000_000


def test_a_replay_goes_from_its_start_to_its_end() -> None:
    board = Board("x", [], [], [], History())
    assert board.status().clock.state == "starting"
    board.note(messages.Span(HOUR, 3 * HOUR))
    board.note(messages.Clock(2 * HOUR, False))
    clock = board.status().clock
    assert (clock.state, clock.start_ms, clock.end_ms, clock.done) == (
        "running",
        HOUR,
        3 * HOUR,
        0.5,
    )
    board.note(messages.Clock(3 * HOUR, True))
    assert (board.status().clock.state, board.status().over) == ("ended", True)


def test_a_status_survives_the_wire(said: Said) -> None:
    status = learned(said).status()
    assert s.decode(s.encode(status)) == status


def test_slices_follow_what_is_told_and_learned_anew(said: Said) -> None:
    (examples,) = said.examples
    board = learned(replace(said, examples=[examples.rows(0, len(examples) // 2)]))
    (before,) = {x.served.n for x in board.status().models[0].slices}
    base = board.status().models[0].baseline
    told = next(m for m in said.statuses if m.role == f"train.{base}")
    (task,) = (name for name in told.facts if name.startswith("train:"))
    facts = {**told.facts[task], "slices": {"shop": {"east": {**told.facts[task]["all"], "n": 99}}}}
    board.note(changed(told, **{task: facts}))
    for _ in range(2):
        # half of it for the second time, then all: who is killed tells again
        board.learn_outcomes("unpaid", examples)
    board.observe()
    model = board.status().models[0]
    of_base = next(x for x in model.lineages if x.name == base)
    assert [(x.value, x.served.n) for x in of_base.slices] == [("east", 99)]
    assert {(x.served.n, x.baseline.n) for x in model.slices} == {(10, 0)}
    assert before < 10


def test_a_role_that_restarts_for_ever_takes_no_room(wall: Callable[[int], None]) -> None:
    board = Board("x", [], [], [], History())
    for start in range(50):
        at = NOW + 10_000 * start
        wall(at)
        board.note(Status("view", f"view/{start}", 1, at, {"started_ms": at}))
        board.observe()
    assert [r.instance for r in board.status().roles] == ["view"]
    assert len(board._roll._newest) == 1


def test_of_what_brings_records_together_and_what_settles_them_the_one_behind_is_named(
    said: Said,
) -> None:
    view = said.app.views[0]
    view = replace(view, topic=replace(view.topic, dedup_by="topic"))
    name = view.topic.name
    board = Board("toy", [view.topic], [view], [], History())
    board.note(messages.Clock(END, False))

    def behind(moved: int, settled: int) -> str:
        ticks = {f"repartition:{name}:0": moved, f"intake:{name}:0": settled}
        board.note(messages.Progress("intake", "intake/1", ticks))
        board.note(messages.Progress("view", "view/1", {f"view:{view.name}:0": settled}))
        return board.status().views[0].behind

    assert behind(END - 5 * HOUR, END - 5 * HOUR) == "intake"
    assert behind(END, END - 4 * HOUR) == "dedup"
    told = {f"repartition:{name}:0": {"start": [0, 7]}}
    board.note(Status("intake", "intake/1", 1, END, told))
    (topic,) = board.status().topics
    assert topic.starts == {"0": 7}
    assert topic.lag_ms == 4 * HOUR
