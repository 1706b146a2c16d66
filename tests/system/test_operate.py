"""A live run in the hands of its operator: settings, switches and figures through the command line
and the API."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from freshet.runs import record as run_record
from freshet.runs.page_client import user
from freshet.schemas.wire.messages import Setting
from freshet.serving.status.status import Status
from freshet.settings import Settings
from freshet.streams.control import switches
from tests.system.operated_run import EVERY, OperatedRun, command, now_ms, until

pytestmark = pytest.mark.timeout(600)
TOPICS, LATE_MS = ("handovers", "deliveries"), 60_000
DECLARED_FALLBACKS = {"heuristic", "constant"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedRun]:
    """Asked and told enough that a model answers."""
    run = OperatedRun(tmp_path_factory.mktemp("operated"))
    try:
        run.start()
        answered_by_a_model(run)
        yield run
    finally:
        run.stop()


@pytest.fixture(autouse=True)
def undone(live: OperatedRun, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the switches on, and snapshots cut as declared."""
    yield
    for name in switches.NAMES:
        live.changed("switch", name, "on")
    live.changed("topics", "set", "deliveries", f"snapshot_every={EVERY}")


def answered_by_a_model(run: OperatedRun) -> None:
    def answered() -> bool:
        run.learn(8)
        return run.rung() == "champion"

    until(answered, "a model answers")


def told_after(what: str, done: Callable[[], Any], condition: Callable[[], Any]) -> None:
    """Do something and wait for what it leads to; how long that took is printed."""
    began = time.monotonic()
    done()
    acted = time.monotonic()
    until(condition, what)
    print(
        f"{what}: {1000 * (time.monotonic() - acted):.0f} ms after it was done, which took {acted - began:.2f} s"
    )


def settings_of(run: OperatedRun) -> dict[str, dict[str, str]]:
    return {t.name: t.settings for t in run.status().topics}


# Starting again


def test_a_scorer_that_is_started_again_answers_from_where_it_was(live: OperatedRun) -> None:
    """Its very first answer comes from a model: it listens once that is loaded."""
    address = live.folder / "serve.address"
    announced_at = address.stat().st_mtime_ns
    rungs: list[str] = []

    def ask_at_once() -> None:
        until(lambda: address.stat().st_mtime_ns != announced_at, "it listens again")
        live.connect()
        rungs.append(live.rung())

    live.kill("serve", meanwhile=ask_at_once)
    assert rungs == ["champion"]


# Settings


def buckets(run: OperatedRun, since: int, every_ms: int) -> dict[str, list[int]]:
    """By lineage, which multiple of `every_ms` each of its cuts after the tick `since` was the
    first to reach."""
    out: dict[str, list[int]] = {x: [] for x in run.learned()}
    for cut in run.cuts():
        if cut.tick > since:
            out[cut.lineage].append(cut.tick // every_ms)
    return out


def test_snapshot_every_is_followed_by_the_next_cuts_of_every_trainer(live: OperatedRun) -> None:
    taken = {role: len(live.taken_on(role)) for role in live.trainers}
    began = now_ms()

    def set_() -> None:
        out = live.changed("topics", "set", "deliveries", "snapshot_every=3s")
        assert out == f"deliveries: snapshot_every is 3s (was {EVERY})\n"

    def on() -> bool:
        return all(len(live.taken_on(role)) == n + 1 for role, n in taken.items())

    told_after("trainers have taken snapshot_every on", set_, on)
    lines = [live.taken_on(role)[-1] for role in live.trainers]
    assert all(
        line["task"] == f"train:{line['role'].removeprefix('train.')}:0" and line["offset"] > 0
        for line in lines
    )
    since = now_ms()
    until(
        lambda: all(len(b) >= 3 for b in buckets(live, since, 3_000).values()),
        "three cuts of each lineage",
    )
    for lineage, found in buckets(live, since, 3_000).items():
        assert all(a < b for a, b in pairwise(found)), f"{lineage} cuts oftener than every 3 s"
    change = live.status().changes[-1]
    assert (change.topic, change.key, change.value, change.by) == (
        "deliveries",
        "snapshot_every",
        "3s",
        user(),
    )
    assert began <= change.at_ms <= since
    assert live.topic("deliveries").settings["snapshot_every"] == "3s"
    assert live.topic("deliveries").declared["snapshot_every"] == EVERY
    live.changed("topics", "set", "deliveries", f"snapshot_every={EVERY}")
    until(
        lambda: all(len(b) > len(set(b)) for b in buckets(live, since, 3_000).values()),
        "each lineage cuts oftener than every 3 s again",
    )


CONCERNED = {
    "snapshot_every": (["train"], "2s", EVERY),
    "label_wait": (["join", "train"], "2h", "1h"),
    "max_future": (["intake"], "1m", "0s"),
    "lateness": (["intake"], "3m", "5m"),
}


@pytest.mark.parametrize("key", CONCERNED)
def test_a_setting_is_taken_on_by_every_role_that_it_concerns_and_by_no_other(
    live: OperatedRun, key: str
) -> None:
    roles, value, declared = CONCERNED[key]
    names = ["intake", "view", "join", *live.trainers]
    for now in (value, declared):
        before = {name: len(live.taken_on(name)) for name in names}
        expected = {name: n + (name.split(".")[0] in roles) for name, n in before.items()}
        told_after(
            f"{key}={now} is taken on",
            lambda: live.changed("topics", "set", "deliveries", f"{key}={now}"),  # noqa: B023
            lambda: {name: len(live.taken_on(name)) for name in names} == expected,  # noqa: B023
        )


def test_what_answers_do_beyond_the_models_limit_is_live_in_the_scorer(live: OperatedRun) -> None:
    live.changed("topics", "set", "deliveries", "snapshot_every=30d", "model_limit=1ms")
    live.learn(8)
    until(lambda: live.ask(live.parcels(1))["model_lag_ms"] > 1, "the model lags behind")
    assert live.rung() == "champion"

    def fall_back() -> None:
        live.changed("topics", "set", "deliveries", "on_violation=fallback")

    told_after("a declared rung answers", fall_back, lambda: live.rung() in DECLARED_FALLBACKS)
    live.changed("topics", "set", "deliveries", "on_violation=serve", "model_limit=0s")
    until(lambda: live.rung() == "champion", "the model answers")


def late_and_applied(run: OperatedRun) -> tuple[int, int]:
    """Of all parcels handed over so far, once each has been judged."""

    def judged() -> tuple[int, int] | None:
        t = run.topic("handovers")
        found = t.dropped.get("late", 0), t.applied
        return found if sum(found) == run.handed_over else None

    late, applied = until(judged, "intake has judged them")
    return late, applied


def hand_over_late(run: OperatedRun) -> tuple[int, int]:
    """A parcel of now and two of a minute ago; how many more are dropped as late, and how many more
    applied."""
    before = late_and_applied(run)
    run.push(
        "handovers", [{**p, "weight_kg": 1.0} for p in (*run.parcels(1), *run.parcels(2, LATE_MS))]
    )
    after = late_and_applied(run)
    return after[0] - before[0], after[1] - before[1]


def check_ledgers(run: OperatedRun) -> None:
    """Once a checkpoint holds what was judged so far: ledgers are what the logs say with the
    settings in the checkpoint, and what they call applied, and nothing else, went on."""
    ends = {t: run.log.bounds(run.app.log_of(t)).spans[0][1] for t in TOPICS}
    for topic, end in ends.items():
        until(lambda: run.checkpointed(topic) >= end, f"{topic} has a checkpoint")  # noqa: B023
        found = run.audited(topic)
        assert found.kept == found.again, topic
        assert (found.kept != found.without) == bool(run.topic(topic).dropped.get("late")), topic
        assert found.passed_on == sum(entry.counts[0] for entry in found.kept.values()), topic


def test_lateness_is_judged_anew_from_a_recorded_offset_on_also_after_a_restart_and_kills(
    live: OperatedRun,
) -> None:
    assert hand_over_late(live) == (0, 3), "within two minutes nothing is late"
    taken = len(live.taken_on("intake"))
    told_after(
        "intake has taken lateness on",
        lambda: live.changed("topics", "set", "handovers", "lateness=10s"),
        lambda: len(live.taken_on("intake")) == taken + 1,
    )
    assert hand_over_late(live) == (2, 1)
    check_ledgers(live)
    live.changed("topics", "set", "deliveries", "snapshot_every=3s")
    live.restart()
    held(live, lateness="10s", snapshot_every="3s")
    live.kill("intake", *live.trainers)
    held(live, lateness="10s", snapshot_every="3s")
    assert hand_over_late(live) == (2, 1)  # in no checkpoint yet, perhaps
    taken = len(live.taken_on("intake"))
    live.kill("intake", meanwhile=lambda: live.changed("topics", "set", "handovers", "lateness=2m"))
    # It first reads what its log held when it came back, under what its checkpoint says; and may
    # have come back before it was set.
    until(lambda: len(live.taken_on("intake")) == taken + 1, "intake has taken lateness on")
    assert hand_over_late(live) == (0, 3)
    check_ledgers(live)


def held(run: OperatedRun, lateness: str, snapshot_every: str) -> None:
    """Settings are told, and obeyed."""
    assert settings_of(run)["handovers"]["lateness"] == lateness
    assert settings_of(run)["deliveries"]["snapshot_every"] == snapshot_every
    assert (run.status().changes[-1].key, run.status().changes[-1].by) == ("snapshot_every", user())
    assert hand_over_late(run) == (2, 1)
    since = now_ms()
    until(
        lambda: all(len(b) >= 2 for b in buckets(run, since, 3_000).values()),
        "two cuts of each lineage",
    )
    for lineage, found in buckets(run, since, 3_000).items():
        assert all(a < b for a, b in pairwise(found)), f"{lineage} cuts oftener than every 3 s"
    check_ledgers(run)


REFUSED = {
    (
        "handovers",
        "lateness=2x",
    ): "error: lateness='2x': is not a duration. Write a number and a unit, such as 250ms,",
    ("handovers", "lateness=99d"): "error: lateness=99d: is out of range. Use 0s to 31d.",
    (
        "handovers",
        "frequency=2h",
    ): "error: setting 'frequency': is unknown. Settings of a topic are feature_slo, model_slo,",
    (
        "handovers",
        "on_violation=panic",
    ): "error: on_violation='panic': is unknown. Use one of serve, fallback, refuse.",
    (
        "handovers",
        "lateness",
    ): "error: 'lateness': is no setting. Write KEY=VALUE, such as snapshot_every=2h.",
    (
        "returns",
        "lateness=2m",
    ): "error: topic 'returns': is unknown. The topics are handovers, deliveries.",
    (
        "handovers",
        "lateness=3m",
        "model_slo=soon",
    ): "error: model_slo='soon': is not a duration. Write a number and a unit, such as 250ms,",
}


@pytest.mark.parametrize(("arguments", "text"), REFUSED.items(), ids=map(" ".join, REFUSED))
def test_what_may_not_be_set_is_refused_with_its_reason_and_changes_nothing(
    live: OperatedRun, arguments: tuple[str, ...], text: str
) -> None:
    live.listen()
    before, said = settings_of(live), sum(isinstance(m, Setting) for m in live.heard)
    told = live.cli("topics", "set", *arguments)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(text)
    assert told.err.count("\n") == 1
    live.listen()
    assert settings_of(live) == before
    assert sum(isinstance(m, Setting) for m in live.heard) == said


# Switches


def held_trainers(run: OperatedRun) -> bool:
    return {run.role(name).state for name in run.trainers} == {"held"}


def test_learn_off_holds_trainers_and_on_lets_them_catch_up_with_nothing_lost(
    live: OperatedRun,
) -> None:
    until(live.all_learned, "what there was is learned")
    told_after(
        "trainers are held",
        lambda: live.changed("switch", "learn", "off"),
        lambda: held_trainers(live),
    )
    learned, cut = live.learned(), len(live.cuts())
    live.learn(40)
    until(lambda: live.status().models[0].labelled == live.labelled, "the examples are joined")
    seen = live.status().at_ms
    until(lambda: live.status().at_ms >= seen + 3_000, "three seconds pass")
    assert (live.learned(), len(live.cuts())) == (learned, cut)
    assert held_trainers(live)
    told_after(
        "trainers learn again",
        lambda: live.changed("switch", "learn", "on"),
        lambda: live.learned() != learned,
    )
    until(live.all_learned, "what came meanwhile is learned")
    until(lambda: len(live.cuts()) > cut, "snapshots are cut again")


def served(run: OperatedRun) -> int:
    found = run.status().models[0].served
    return found.number if found else 0


def test_release_off_keeps_what_is_served_while_snapshots_are_cut(live: OperatedRun) -> None:
    told_after(
        "release is held",
        lambda: live.switch("release", False),
        lambda: live.role("release").state == "held",
    )
    settled, cut = len(live.settled()), len(live.cuts())
    number = live.settled()[-1].number
    until(
        lambda: served(live) == live.ask(live.parcels(1))["snapshot"] == number,
        "what was settled is served",
    )
    until(lambda: len(live.cuts()) >= cut + 6, "snapshots are cut")
    assert len(live.settled()) == settled
    assert (served(live), live.ask(live.parcels(1))["snapshot"]) == (number, number)
    newest = max(c.number for c in live.cuts())
    told_after(
        "a newer snapshot is served",
        lambda: live.switch("release", True),
        lambda: served(live) >= newest,
    )
    assert live.ask(live.parcels(1))["snapshot"] >= newest


def test_answer_off_is_answered_by_a_declared_rung_and_on_by_the_model(live: OperatedRun) -> None:
    assert live.rung() == "champion"
    off, on = lambda: live.changed("switch", "answer", "off"), lambda: live.switch("answer", True)
    told_after("a declared rung answers", off, lambda: live.rung() in DECLARED_FALLBACKS)
    assert all(live.rung() in DECLARED_FALLBACKS for _ in range(20))
    told_after("the model answers", on, lambda: live.rung() == "champion")


def test_switches_are_turned_while_nothing_runs_and_hold_over_restarts(live: OperatedRun) -> None:
    for name in switches.NAMES:
        live.changed("switch", name, "off")
    live.restart()
    until(
        lambda: held_trainers(live) and live.role("release").state == "held",
        "trainers and release are held",
    )
    assert live.rung() in DECLARED_FALLBACKS
    assert {s.name: (s.on, s.by) for s in live.status().switches} == dict.fromkeys(
        switches.NAMES, (False, user())
    )
    live.stop()
    told = live.cli("status")
    assert (told.status, told.out, told.err.count("\n")) == (2, "", 1)
    assert "nothing runs there" in told.err
    out = live.changed("switch", "answer", "on")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["learn", "off"],
        ["release", "off"],
        ["answer", "on"],
    ]
    live.changed("switch", "learn", "on")
    live.start()
    until(lambda: live.rung() == "champion", "the model answers")
    cut = len(live.cuts())
    until(lambda: len(live.cuts()) > cut, "snapshots are cut")
    assert live.role("release").state == "held"


@pytest.mark.parametrize(
    "arguments", [("learn", "maybe"), ("learn",), ("sing", "off")], ids="-".join
)
def test_a_switch_that_is_not_there_or_no_way_to_turn_it_is_refused(
    live: OperatedRun, arguments: tuple[str, ...]
) -> None:
    before = (live.folder / switches.FILE).read_bytes()
    told = live.cli("switch", *arguments)
    assert (told.status, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("error: switch ")
    assert (live.folder / switches.FILE).read_bytes() == before


def test_neither_reading_nor_turning_a_switch_touches_log_or_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Settings(
        run_dir=tmp_path, log="kafka://192.0.2.1:9092", store="redis://192.0.2.1:6379/0"
    )
    run_record.write("parcels", "app.py", away)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a switch needs no connection")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for module in (
        "freshet.streams.catalog.open_log",
        "freshet.features.catalog.open_store",
    ):
        monkeypatch.setattr(module, refuse)
    before = switches.SwitchBoard(tmp_path)
    assert before.current.learn.on
    told = command("switch", "learn", "off", "--run-dir", str(tmp_path))
    assert (told.status, told.err) == (0, "")
    assert command("switch", "--run-dir", str(tmp_path)).out == told.out
    assert not switches.SwitchBoard(tmp_path).current.learn.on
    assert {p.name for p in tmp_path.iterdir()} == {run_record.FILE, switches.FILE}


# Figures


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def steady(live: OperatedRun, tell: Callable[[], str]) -> tuple[str, Status]:
    """What a command prints, and the status, where that has not changed meanwhile but for what
    passes by itself."""

    def told() -> tuple[str, Status] | None:
        before = live.status()
        text, after = tell(), live.status()
        return (text, after) if served_by(before) == served_by(after) else None

    found: tuple[str, Status] = until(told, "the status stands still")
    return found


def served_by(status: Status) -> Mapping[str, Any]:
    return {m.name: (m.served, [(x.number, x.examples) for x in m.lineages]) for m in status.models}


def test_status_tells_roles_lags_and_what_is_served(live: OperatedRun) -> None:
    live.changed("topics", "set", "deliveries", "snapshot_every=30d")
    live.switch("learn", False)
    until(lambda: held_trainers(live), "trainers are held")
    text, status = steady(live, lambda: live.changed("status"))
    lines = words(text)
    assert lines[0][:2] == [live.app.name, "running,"]
    for promise in status.promises:
        assert promise.name in text
    assert f"switch learn is off, by ann at {time.strftime('%-d %b', time.gmtime())}" in text
    for role in status.roles:
        assert [role.instance, role.state, str(role.pid)] in [line[:3] for line in lines]
    for view in status.views:
        assert [view.name, view.topic, str(view.rows)] in [line[:3] for line in lines]
    model = status.models[0]
    assert model.served is not None
    assert [model.name, model.served.lineage, str(model.served.number)] in [
        line[:3] for line in lines
    ]


def test_topics_tells_records_settings_and_their_changes(live: OperatedRun) -> None:
    live.changed("topics", "set", "deliveries", "snapshot_every=30d", "feature_slo=7s")
    text = live.changed("topics")
    lines = words(text)
    for t in live.status().topics:
        assert [t.name, f"{t.records:,}"] in [line[:2] for line in lines]
    assert ["setting", *TOPICS] in lines
    assert ["snapshot_every", EVERY, "30d", "(declared", f"{EVERY})"] in lines
    assert ["feature_slo", "5s", "7s", "(declared", "5s)"] in lines
    assert lines[-1][3:] == ["deliveries", "feature_slo=7s", "by", user()]
    assert live.changed("topics", "set", "deliveries", "feature_slo=5s").endswith(
        "is 5s (was 7s)\n"
    )


def test_models_tells_lineages_their_quality_and_snapshots(live: OperatedRun) -> None:
    live.changed("topics", "set", "deliveries", "snapshot_every=30d")
    until(live.all_learned, "all is learned")
    text, status = steady(live, lambda: live.changed("models"))
    model = status.models[0]
    assert model.served is not None
    assert text.startswith(
        f"model late  serves {model.served.lineage} snapshot {model.served.number}, since "
    )
    for x in model.lineages:
        (line,) = [found for found in words(text) if found[:1] == [x.name]]
        champion = [x.alias] if x.alias else []
        assert line[: 4 + len(champion)] == [
            x.name,
            *champion,
            str(x.number),
            str(x.refusals),
            f"{x.examples:,}",
        ]
        assert f"{x.overall.ne:.4f}" in line
    for city in ("Berlin", "Lyon", "Porto"):
        (line,) = [found for found in words(text) if found[:1] == [city]]
        assert line.count("n") == len(model.lineages)


QUESTIONS = [("status",), ("topics",), ("models",), ("topics", "set", "deliveries", "lateness=2m")]


@pytest.mark.parametrize("arguments", QUESTIONS, ids="-".join)
def test_where_nothing_runs_commands_say_so_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    told = command(*arguments, "--run-dir", str(tmp_path / "none"))
    assert (told.status, told.out) == (2, "")
    assert told.err == (
        f"error: freshet run in {tmp_path / 'none'}: has no status page: nothing runs there. "
        "Start one with freshet run APP.py, or name its folder with --run-dir.\n"
    )
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "status.address").write_text("http://127.0.0.1:9")
    told = command(*arguments, "--run-dir", str(tmp_path / "none"))
    assert (told.status, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("error: freshet status page at http://127.0.0.1:9: does not answer")


def test_a_switch_of_no_run_is_told_in_one_line(tmp_path: Path) -> None:
    told = command("switch", "learn", "off", "--run-dir", str(tmp_path))
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(
        f"error: freshet run in {tmp_path}: there is none. Start one with freshet run APP.py"
    )


def test_what_an_operator_is_told_in_json_is_what_is_printed(live: OperatedRun) -> None:
    told = json.loads(live.page.get("/v1/topics").content)
    assert {t["name"]: t["settings"] for t in told["topics"]} == settings_of(live)
    assert set(told["allowed"]) == set(settings_of(live)["handovers"])
