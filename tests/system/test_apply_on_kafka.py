"""Each kind of change once on real Kafka, one after the other, of one run that goes on and is asked
all the while; and one that is taken back, of which nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from freshet.streams.catalog import open_brokers
from freshet.versions import progress
from tests.system.applied_run import (
    A_FIELD_LESS,
    ADDED,
    CHANGED,
    OF_SCHEMAS,
    Change,
    active,
    alike,
    all_alive,
    applied,
    asked_meanwhile,
    connect_again,
    edited,
    values,
)
from tests.system.operated_run import OperatedRun, command, until

pytestmark = pytest.mark.timeout(900)
PARCELS = 30


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, kafka: str, redis_address: str
) -> Iterator[OperatedRun]:
    folder = tmp_path_factory.mktemp("applied-on-kafka")
    run = OperatedRun(folder, "--log", f"kafka://{kafka}", "--store", f"redis://{redis_address}")
    try:
        run.start()
        run.learn(PARCELS)
        until(lambda: run.rung() == "champion", "a model answers")
        yield run
    finally:
        run.stop()


def on_brokers(kafka: str, run: OperatedRun) -> tuple[set[str], set[str]]:
    """Topics and groups of the app."""
    brokers = open_brokers(f"kafka://{kafka}")
    assert brokers is not None
    with closing(brokers):
        prefix = f"{run.app.name}."
        topics = {name for name in brokers.topics() if name.startswith(prefix)}
        groups = {name for name in brokers.groups() if name.startswith(prefix)}
    return topics, groups


def kept(run: OperatedRun) -> set[str]:
    """What there is of each thing: what lies in that changes while it runs."""
    found = [*(run.folder / "checkpoints").glob("*/*"), *(run.folder / "versions").rglob("*")]
    return {str(path) for path in found}


def changed(run: OperatedRun, changes: list[Change]) -> None:
    edited(run, changes)
    with asked_meanwhile(run) as asking:
        applied(run, str(run.file), "--yes")
        until(lambda: len(asking.answers) > 100, "it was asked")
    assert asking.failed == []
    all_alive(run)


def test_what_is_taken_back_leaves_no_topic_no_group_and_no_file(
    run: OperatedRun, kafka: str
) -> None:
    before = run.file.read_text()
    topics, groups = on_brokers(kafka, run)
    files = kept(run)
    edited(run, ADDED)
    asked = command("apply", str(run.file), "--run-dir", str(run.folder), "--yes", "--no-wait")
    assert asked.status == 0, asked
    until(lambda: on_brokers(kafka, run)[0] > topics, "topics of its own are there")
    until(lambda: on_brokers(kafka, run)[1] > groups, "and groups")
    assert command("apply", "--abort", "--run-dir", str(run.folder)).status == 0
    assert progress.read(run.folder) is None
    assert active(run.folder) == 1
    assert on_brokers(kafka, run) == (topics, groups)
    assert kept(run) == files
    run.file.write_text(before)
    connect_again(run)
    all_alive(run)


def test_a_view_a_feature_of_view_and_model_and_a_learner_are_added(run: OperatedRun) -> None:
    changed(run, ADDED)
    assert alike(run, "again:late_ewm", "punctuality:late_ewm")
    assert alike(run, "load:n_5m", "load:n_10m")


def test_filter_impute_derived_field_window_label_options_and_a_view_less(
    run: OperatedRun,
) -> None:
    changed(run, CHANGED)
    until(lambda: sum(values(run, "load:halves")[0]) == run.handed_over / 2, "of all that was")


def test_topics_and_fields(run: OperatedRun) -> None:
    changed(run, OF_SCHEMAS)
    parcels = run.parcels(3)
    run.push("returns", parcels)
    run.push("deliveries", [{**p, "minutes_late": 1.0, "stairs": 4} for p in parcels])
    until(lambda: values(run, "punctuality:stairs")[0] == [4, 4, 4], "the new field is read")
    until(lambda: run.topic("returns").applied == 3, "the new topic is taken in")


def test_a_field_less(run: OperatedRun) -> None:
    """Records of its producers still have it, beside those of others that have it no more."""
    before = values(run, "punctuality:late_10m")
    changed(run, A_FIELD_LESS)
    assert "stairs" not in run.file.read_text()
    assert values(run, "punctuality:late_10m") == before
    features = {feature for view in run.app.views for feature in view.features}
    assert "stairs" not in features
    applied = run.topic("deliveries").applied
    parcels = run.parcels(3)
    run.push("deliveries", [{**p, "minutes_late": 1.0} for p in parcels])
    until(lambda: run.topic("deliveries").applied == applied + 3, "what comes without is read")
