"""A live run is stopped, its app's file changed, and started again in the same folder: what changed
begins anew and is told of first, what did not goes on, nothing dies, and no light stays red."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.app import load
from freshet.serving.status.status import Status
from tests.system.operated_run import OperatedRun, command, until

pytestmark = pytest.mark.timeout(900)
PARCELS = 12
WITH_MEAN = (
    'fr.count(over="10m")}',
    'fr.count(over="10m"), "kg": fr.mean("weight_kg", over="10m")}',
)
LEARNERS = ("rate=0.1", "rate=0.05")
LABEL = ('pl.col("minutes_late") > 10', 'pl.col("minutes_late") < 10')


@contextmanager
def answered_by_a_model(directory: Path, *options: str) -> Iterator[OperatedRun]:
    run = OperatedRun(directory, *options)
    try:
        run.start()
        run.learn(PARCELS)
        until(run.all_learned, "all are learned")
        until(lambda: run.rung() == "champion", "a model answers")
        yield run
    finally:
        run.stop()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[OperatedRun]:
    with answered_by_a_model(tmp_path) as run:
        yield run


@pytest.fixture
def on_servers(tmp_path: Path, kafka: str, cassandra: str) -> Iterator[OperatedRun]:
    store = f"cassandra://{cassandra}/changed_{uuid.uuid4().hex[:8]}"
    with answered_by_a_model(tmp_path, "--log", f"kafka://{kafka}", "--store", store) as run:
        yield run


def change(run: OperatedRun, *changes: tuple[str, str]) -> str:
    """What is told before it starts again."""
    run.stop()
    text = run.file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    run.file.write_text(text)
    run.app = load(run.file)
    checked = command("check", str(run.file), "--run-dir", str(run.folder))
    run.start()
    lines = run.printed().partition("scorer ")[0].splitlines(keepends=True)
    # Nobody was asked: it is not built beside what ran before.
    told = "".join(line for line in lines if not line.startswith("what is declared now starts"))
    assert (told != "") == (len(lines) > len(told.splitlines()))
    assert all(line.strip() in checked.out for line in told.splitlines()), checked.out
    return told


def value(run: OperatedRun, feature: str) -> Any:
    """None while its view has not yet said that all of its rows are in the store."""
    asked = {"features": [feature], "entities": {"courier": ["ann"]}}
    found = run.scorer.post("/get-online-features", json=asked)
    if found.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return None
    return found.raise_for_status().json()["results"][-1]["values"][0]


def light(status: Status, name: str) -> str:
    return next(p.state for p in status.promises if p.name == name)


def all_is_well(run: OperatedRun) -> None:
    until(lambda: light(run.status(), "roles alive") == "green", "roles alive is green")
    until(lambda: light(run.status(), "features fresh") == "green", "features fresh is green")
    assert all(role.restarts == 0 for role in run.status().roles)


def test_a_feature_more_and_another_rate(run: OperatedRun) -> None:
    """Case 10; and a lineage that is declared no more is not waited for."""
    feature_more_and_another_rate(run)


def test_a_feature_more_and_another_rate_on_kafka_and_cassandra(on_servers: OperatedRun) -> None:
    feature_more_and_another_rate(on_servers)


def feature_more_and_another_rate(run: OperatedRun) -> None:
    until(lambda: value(run, "load:n_10m") == PARCELS / 3, "the row holds all of its parcels")
    told = change(run, WITH_MEAN, LEARNERS)
    assert "feature kg is added: mean(weight_kg over 10m)" in told
    assert "its rows are built of all that the log of" in told
    until(lambda: value(run, "load:n_10m") == PARCELS / 3, "its row holds those of before")
    assert "model late" not in told, "what was asked stays"
    until(lambda: run.rung() == "champion", "the old one reads what it read, and means the same")
    until(run.all_learned, "new lineages learn what was asked before anybody read the feature")
    lineages = run.status().models[0].lineages
    assert {x.overall.n for x in lineages} == {0}, "no figure is of what was not served"
    run.learn(PARCELS)
    until(run.all_learned, "all are learned, those of before, too")
    until(lambda: value(run, "load:n_10m") == 2 * PARCELS / 3, "its row holds all of them")
    assert value(run, "load:kg") == 1.0
    assert value(run, "punctuality:late_10m") == 15.0, "the view that has not changed goes on"
    until(lambda: run.rung() == "champion", "a new model answers")
    all_is_well(run)


def test_the_opposite_label_is_another_question(run: OperatedRun) -> None:
    """What answered the old one answers no more, and its examples are not learned."""
    told = change(run, LABEL)
    assert "label was" in told
    assert "view " not in told
    run.labelled = 0
    assert run.rung() != "champion"
    run.learn(PARCELS)
    until(run.all_learned, "all are learned, and nothing of before")
    until(lambda: run.rung() == "champion", "a new model answers")
    all_is_well(run)


def test_another_rate_alone(run: OperatedRun) -> None:
    told = change(run, LEARNERS)
    assert "learns all examples that the log still has" in told
    assert run.rung() == "champion", "the old one answers until a new one can"
    until(run.all_learned, "the new lineage learns what the log has")
    run.learn(PARCELS)
    until(run.all_learned, "and all that comes")
    all_is_well(run)


def test_a_file_that_changes_under_a_run_changes_nothing(run: OperatedRun) -> None:
    """Comments neither: the next start tells nothing of them."""
    assert change(run, ("# Views:", "# All the views:")) == ""
    run.learn(PARCELS)
    until(run.all_learned, "all are learned, those of before, too")
    before = run.file.read_text()
    run.file.write_text(before.replace(*WITH_MEAN))
    view = run.role("view")
    assert view.pid is not None
    os.kill(view.pid, signal.SIGKILL)
    # Roles run by the copy of when it was started.
    until(lambda: run.role("view").pid not in (None, view.pid), "it is there again")
    run.learn(PARCELS)
    until(run.all_learned, "all are learned")
    until(lambda: value(run, "load:n_10m") == run.labelled / 3, "its row is right")
    run.file.write_text(before)
