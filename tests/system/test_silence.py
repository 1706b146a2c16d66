"""A role that is killed, stopped or held shows as lag: the scorer acts on it by itself, the light
turns, the alert names it. Who only watches changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from freshet.schemas.durations import milliseconds
from freshet.serving.status.status import ModelFigures, Status, ViewFigures
from freshet.streams.clock import wall_now_ms
from tests.system.operated_run import OperatedRun, until

pytestmark = pytest.mark.timeout(600)
FEATURE_SLO, MODEL_SLO = "6s", "8s"
FALLBACKS = {"heuristic", "constant"}
OF_FEATURES = ("intake", "view")
ON_THE_WAY = ("intake", "view", "join", "train", "release", "serve")
HELD_BY = {"train": "learn", "release": "release"}  # switches


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedRun]:
    run = OperatedRun(tmp_path_factory.mktemp("silent"))
    try:
        run.start()
        for topic in ("handovers", "deliveries"):
            slos = [f"feature_slo={FEATURE_SLO}", f"model_slo={MODEL_SLO}"]
            run.changed("topics", "set", topic, "on_violation=fallback", *slos)
        until(lambda: answers_by_a_model(run), "a model answers")
        yield run
    finally:
        run.stop()


def answers_by_a_model(run: OperatedRun) -> bool:
    run.learn(8)
    return run.rung() == "champion"


def settled(run: OperatedRun) -> bool:
    """Fresh, and with the better of its lineages, so that no other takes over for a while."""
    return (
        run.rung() == "champion"
        and lights(run) == {"green"}
        and "has stood" not in run.status().models[0].decision
    )


def lasting_name(run: OperatedRun, role: str) -> str:
    """Of the champion's trainer, where it is a trainer."""
    if role != "train":
        return role
    model = run.status().models[0]
    champion = next(x.name for x in model.lineages if x.alias == "champion")
    return f"train.{model.name}.{champion}"


def process_of(run: OperatedRun, role: str) -> int:
    # One that was just killed is told of until the next is heard of.
    until(lambda: psutil.pid_exists(run.role(role).pid or 0), f"{role} runs")
    pid = run.role(role).pid
    assert pid is not None
    return pid


def reached(run: OperatedRun, condition: Callable[[], bool]) -> bool:
    """Whether it holds; not while a server that was killed does not listen again."""
    try:
        return condition()
    except (httpx.TransportError, FileNotFoundError):
        run.connect()
        return False


@contextmanager
def silenced(run: OperatedRun, role: str, fault: str) -> Iterator[None]:
    """A role that is held, or stopped, or killed while nobody may start it again."""
    if fault == "hold":
        switch = HELD_BY[role.split(".")[0]]
        run.switch(switch, False)
        try:
            yield
        finally:
            run.switch(switch, True)
        return
    pid = process_of(run, role)
    assert run._process is not None
    supervisor = run._process.pid
    stopped = pid
    if fault == "kill":
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        stopped = supervisor
    else:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stopped, signal.SIGCONT)


def is_late(figures: ViewFigures | ModelFigures, role: str) -> bool:
    lag = figures.lag_ms
    slo = figures.slo_ms
    return lag is not None and slo is not None and lag > slo and figures.behind == role


CASES = [(role, fault) for role in ON_THE_WAY for fault in ("kill", "stop")]
CASES += [(role, "hold") for role in HELD_BY]


@pytest.mark.parametrize(("role", "fault"), CASES)
def test_silence_of_a_role_is_staleness_and_named(live: OperatedRun, role: str, fault: str) -> None:
    of_features = role in OF_FEATURES
    until(lambda: settled(live), "all is fresh")
    name = lasting_name(live, role)
    with silenced(live, name, fault):
        if fault != "hold":  # which a role hears of when it can
            check_timely(live, role, name)
        if role != "serve":  # which cannot be asked
            until(lambda: live.rung() in FALLBACKS, "the scorer knows by itself")
        until(
            lambda: any(
                is_late(x, name)
                for x in (live.status().views if of_features else live.status().models)
            ),
            "lag says so",
        )
        until(lambda: lights(live) != {"green"}, "the light turns")
        policy = "feature_lag" if of_features else "model_lag"
        until(
            lambda: any(
                a.policy == policy and f"role {name}" in a.reason for a in live.status().alerts
            ),
            "the alert names the role",
        )
    until(lambda: reached(live, lambda: live.rung() == "champion"), "it is fresh again")


def check_timely(run: OperatedRun, role: str, name: str) -> None:
    """Whatever is told as of two seconds beyond the bound tells of it, by its own clock: however
    long this machine took to be asked."""
    slo = FEATURE_SLO if role in OF_FEATURES else MODEL_SLO
    beyond_ms = wall_now_ms() + milliseconds(slo) + 2_000
    told = run.status()

    def is_passed() -> bool:
        nonlocal told
        told = run.status()
        return told.at_ms > beyond_ms

    until(is_passed, "two seconds beyond the bound are over")
    figures = told.views if role in OF_FEATURES else told.models
    assert any(is_late(x, name) for x in figures)
    assert lights_of(told) != {"green"}
    if role != "serve":
        assert run.rung() in FALLBACKS


def lights_of(status: Status) -> set[str]:
    """Of features and models."""
    return {p.state for p in status.promises if p.name.startswith(("features", "model"))}


def lights(run: OperatedRun) -> set[str]:
    return lights_of(run.status())


def test_a_quiet_source_is_fresh(live: OperatedRun) -> None:
    until(lambda: live.rung() == "champion" and lights(live) == {"green"}, "all is fresh")
    began = live.status().at_ms
    live.listen()
    seen = len(live.cuts())
    # Nobody sends anything for longer than is promised: ticks come all the same, and so do cuts.
    until(
        lambda: live.status().at_ms > began + 10_000 and len(live.cuts()) > seen, "ten seconds pass"
    )
    until(lambda: live.rung() == "champion" and lights(live) == {"green"}, "all is fresh")


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_without_control_answers_are_as_before_and_snapshots_are_cut(
    live: OperatedRun, fault: str
) -> None:
    until(lambda: live.rung() == "champion", "all is fresh")
    with silenced(live, "control", fault):
        seen = len(live.cuts())
        # Longer than any bound, by snapshots: two lineages cut one a second each.
        until(lambda: len(live.cuts()) > seen + 24, "snapshots are cut")
        served = live.ask(live.parcels(1))
        assert served["rung"] == "champion"
        until(lambda: live.ask(live.parcels(1))["snapshot"] > served["snapshot"], "and served")
    until(
        lambda: reached(live, lambda: live.role("control").state == "running"), "it is there again"
    )
