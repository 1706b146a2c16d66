"""A live run is changed by `freshet apply` while clients ask it: all kinds of change pass through it
(several at once, since each apply starts processes), no request fails, and what was declared later
has the values of what was there from the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freshet.app import load
from freshet.processes.versioned import chosen
from freshet.settings import Settings, settings
from freshet.versions import progress
from freshet.versions.excluded import as_run
from tests.system.applied_run import (
    ADDED,
    CHANGED,
    OF_SCHEMAS,
    active,
    active_file,
    alike,
    all_alive,
    applied,
    asked_meanwhile,
    connect_again,
    edited,
    values,
)
from tests.system.operated_run import COURIERS, OperatedRun, command, until

pytestmark = pytest.mark.timeout(900)
PARCELS = 30


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedRun]:
    run = OperatedRun(tmp_path_factory.mktemp("applied"))
    try:
        run.start()
        run.learn(PARCELS)
        until(run.all_learned, "all are learned")
        until(lambda: run.rung() == "champion", "a model answers")
        yield run
    finally:
        run.stop()


def test_what_is_added_has_the_values_of_what_was_there_from_the_start(run: OperatedRun) -> None:
    before = values(run, "load:n_10m")
    edited(run, ADDED)
    with asked_meanwhile(run) as asking:
        told = applied(run, str(run.file), "--yes")
        until(lambda: len(asking.answers) > 100, "it was asked")
    assert asking.failed == []
    assert "version 2 runs" in told.out
    assert active(run.folder) == 2
    assert values(run, "load:n_10m") == before
    assert alike(run, "load:n_5m", "load:n_10m")
    assert alike(run, "again:late_ewm", "punctuality:late_ewm"), "sums that decay, bit for bit"
    assert alike(run, "again:late_10m", "punctuality:late_10m")
    run.learn(PARCELS)
    until(lambda: alike(run, "again:late_ewm", "punctuality:late_ewm"), "live, too")
    until(run.all_learned, "by all lineages, and what was asked of the old version")
    until(lambda: run.rung() == "champion", "a model of the new version answers")
    all_alive(run)


def test_killed_while_it_is_built_it_goes_on_and_a_restart_ends_it(run: OperatedRun) -> None:
    """The supervisor and all of its processes, by SIGKILL, in the middle of the next change."""
    edited(run, CHANGED)
    asked = command("apply", str(run.file), "--run-dir", str(run.folder), "--yes", "--no-wait")
    assert asked.status == 0, asked
    until(lambda: _step(run.folder) == progress.BUILDING, "it is built")
    run.kill_all()
    assert active(run.folder) == 2, "until the cut-over it is what it was"
    run.start(whole=False)
    until(lambda: active(run.folder) == 3, "it goes on")
    until(lambda: progress.read(run.folder) is None, "and ends")
    connect_again(run)
    all_alive(run)


def test_what_is_declared_otherwise_is_made_of_all_that_was(run: OperatedRun) -> None:
    n = run.handed_over
    until(lambda: sum(values(run, "load:n_10m")[0]) == n, "all are counted")
    assert sum(values(run, "load:halves")[0]) == n / 2, "derived of those of before, too"
    assert command("apply", "--revert", "--run-dir", str(run.folder)).status == 0
    connect_again(run)
    assert active(run.folder) == 2
    run.learn(3)
    until(lambda: sum(values(run, "load:n_10m")[0]) == run.handed_over, "it was fed meanwhile")
    # Two views: the last deliveries reach one before the other.
    until(lambda: alike(run, "again:late_ewm", "punctuality:late_ewm"), "both were")


def test_topics_and_schemas(run: OperatedRun) -> None:
    run.file.write_text((run.folder / "versions" / "3" / "app" / "app.py").read_text())
    edited(run, OF_SCHEMAS)
    with asked_meanwhile(run) as asking:
        applied(run, str(run.file), "--yes")
        until(lambda: len(asking.answers) > 100, "it was asked")
    assert asking.failed == []
    parcels = run.parcels(3)
    run.push("returns", parcels)
    run.push("deliveries", [{**p, "minutes_late": 1.0, "stairs": 4} for p in parcels])
    until(lambda: values(run, "punctuality:stairs")[0] == [4, 4, 4], "the new field is read")
    until(lambda: run.topic("returns").applied == 3, "the new topic is taken in")
    all_alive(run)


def test_what_is_taken_out_of_views_is_out_from_one_moment_on_and_put_back(
    run: OperatedRun,
) -> None:
    run.learn(PARCELS)
    features = ("load:n_10m", "punctuality:late_10m")
    until(lambda: sum(filter(None, values(run, "load:n_10m")[0])) >= PARCELS, "all are counted")
    asked = ["handovers", "--where", "courier = 'ann'", "--why", "a scanner lied"]

    def settled() -> bool:
        told = run.cli("topics", "exclude", *asked)
        assert told.status == 0, told
        return "not settled yet" not in told.out

    until(settled, "intake has saved that it took all of them")
    before = values(run, *features)
    number = active(run.folder)
    lineages = set(run.learned())
    with asked_meanwhile(run) as asking:
        done = run.cli("topics", "exclude", *asked, "--apply")
        assert done.status == 0, done
        until(lambda: len(asking.answers) > 100, "it was asked")
    assert asking.failed == []
    connect_again(run)
    assert active(run.folder) == number + 1
    assert set(run.learned()) == lineages, "what was learned goes on"
    without = values(run, *features)
    ann = list(COURIERS).index("ann")
    assert without[0][ann] is None
    assert [v for i, v in enumerate(without[0]) if i != ann] == [
        v for i, v in enumerate(before[0]) if i != ann
    ]
    assert without[1] == before[1], "views of other topics are what they were"
    assert chosen(
        as_run(load(run.file), run_settings(run)), str(run.file), run_settings(run)
    ) == str(active_file(run.folder)), "a restart with the app's own file changes nothing of it"
    back = ["topics", "exclude", "--revert", "1", "--why", "it was right", "--apply", "--run-dir"]
    asked_back = command(*back, str(run.folder))
    assert asked_back.status == 0, asked_back
    connect_again(run)
    until(lambda: values(run, *features) == before, "all is there again")
    all_alive(run)


def run_settings(run: OperatedRun) -> Settings:
    return settings(run_dir=str(run.folder))


def _step(folder: Path) -> str:
    now = progress.read(folder)
    return "" if now is None else now.step


def test_a_restart_with_a_changed_file_builds_it_beside_what_ran(run: OperatedRun) -> None:
    n = active(run.folder)
    run.stop()
    edited(run, [('fr.sum("stairs", over="10m")', 'fr.sum("stairs", over="20m")')])
    run.start("--yes")
    assert "what ran before answers until what is declared now is built" in run.printed()
    # Numbers of versions that were gone back from are not given again.
    until(lambda: active(run.folder) > n, "it is built")
    until(lambda: progress.read(run.folder) is None, "and runs alone")
    connect_again(run)
    until(lambda: values(run, "punctuality:stairs")[0] == [4, 4, 4], "of all that was")
    all_alive(run)


def test_a_changed_file_that_is_run_beside_a_run_is_applied(run: OperatedRun) -> None:
    n = active(run.folder)
    told = command("run", str(run.file), "--run-dir", str(run.folder), "--yes")
    assert "log locked by another run" in told.err, "it is no other one"
    edited(run, [('fr.sum("stairs", over="20m")', 'fr.sum("stairs", over="30m")')])
    told = command("run", str(run.file), "--run-dir", str(run.folder))
    assert "log locked by another run" in told.err, "nobody has agreed to it"
    told = command("run", str(run.file), "--run-dir", str(run.folder), "--yes")
    assert told.status == 0, told
    assert active(run.folder) == n + 1
    connect_again(run)
    all_alive(run)
