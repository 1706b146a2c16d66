"""Events that are taken out of the views of a run, and put back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import freshet as fr
from freshet.app import load
from freshet.audit import kept
from freshet.audit.ledger import recompute
from freshet.cli.main import cli
from freshet.declared import exclusions as record
from freshet.exclusions.chosen import Wanted, chosen
from freshet.exclusions.command import SAID
from freshet.exclusions.doing import Done, carry_out, every, exclusion_of, putting_back
from freshet.exclusions.outline import outlined
from freshet.hydration import record as hydrations
from freshet.processes.versioned import Taken, take
from freshet.processes.versioned import chosen as started_with
from freshet.runs.lock import RunLock
from freshet.runs.opened import OpenedRun, opened
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.settings import settings
from freshet.streams.admission.excluded import places_of
from freshet.streams.intake.ledger import totals
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore
from freshet.versions.excluded import as_run
from tests.freshet.hydration.test_hydrator import (
    COUNT,
    DECAYED,
    HOUR,
    MEAN,
    Sent,
    app,
    played,
    rows,
    sent,
)
from tests.freshet.toy_day import toy_day

STEPS = 7
AGAIN = 5
FEATURES = {"mean": MEAN, "n": COUNT, "decayed": DECAYED}
runner = CliRunner()


def excluded(declared: fr.App, folder: Path, wanted: Wanted) -> record.Exclusion:
    """Asked for while nothing runs; as a run without versions has it."""
    with run_of(declared, folder) as run:
        made = exclusion_of(run, chosen(run, wanted), wanted, "ann", "wrong unit")
        carry_out(run, made)
    return made


class run_of:
    """What `opened` gives, of an app without a file."""

    def __init__(self, declared: fr.App, folder: Path) -> None:
        self._log = SqliteLog(str(folder / "log"))
        own = record.excluding(declared, str(folder / "checkpoints"))
        self._run = OpenedRun(own, self._log, settings(run_dir=str(folder)))

    def __enter__(self) -> OpenedRun:
        return self._run

    def __exit__(self, *_: object) -> None:
        self._log.close()


def quiet_step(declared: fr.App, folder: Path, store: MemoryStore, step: int) -> fr.App:
    """Nothing comes, and views are built."""
    with LocalRun(declared, folder, store) as local:
        local.step(step * HOUR, (step + 1) * HOUR, {}, {})
        return local.app


@pytest.mark.parametrize("dedup_by", ["partition", "topic"])
@pytest.mark.parametrize("shop", ["a", "b"])
def test_rows_are_bit_for_bit_those_of_a_log_without_what_was_taken_out(
    tmp_path: Path, shop: str, dedup_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where repeats, late events, gaps that are filled, and letters that were sent again are among
    both."""
    declared = app(FEATURES, dedup_by=dedup_by)
    store = MemoryStore()
    played(declared, tmp_path / "run", store, range(1, STEPS), again_at=[AGAIN])
    before = rows(declared, store)
    made = excluded(declared, tmp_path / "run", Wanted("visits", where=f"shop = '{shop}'"))
    assert made.events > 20
    now = quiet_step(declared, tmp_path / "run", store, STEPS)
    found = rows(now, store)

    gone = {offset for _, offset, _ in places_of(made.runs).tolist()}
    seen = itertools.count()

    def without(step: int) -> dict[str, Sent]:
        events = sent(step)
        # In the step in which letters are sent again nothing else is.
        if step != AGAIN:
            events["visits"] = Sent(one for one in events["visits"] if next(seen) not in gone)
        return events

    other = MemoryStore()
    monkeypatch.setattr("tests.freshet.hydration.test_hydrator.sent", without)
    played(declared, tmp_path / "without", other, range(1, STEPS), again_at=[AGAIN])
    quiet_step(declared, tmp_path / "without", other, STEPS)
    expected = rows(declared, other)

    def by_view(all_rows: Any) -> Any:
        return {(key[0].split(":")[1], key[1]): row for key, row in all_rows.items()}

    assert by_view(found) == by_view(expected)
    assert by_view(found) != by_view(before)


def test_the_ledger_of_what_is_built_agrees_with_the_log(tmp_path: Path) -> None:
    declared = app(FEATURES)
    store = MemoryStore()
    played(declared, tmp_path, store, range(1, STEPS))
    made = excluded(declared, tmp_path, Wanted("visits", where="shop = 'a'"))
    now = quiet_step(declared, tmp_path, store, STEPS)
    known = hydrations.of(str(tmp_path / "checkpoints"), now.view("of"))
    assert known is not None
    topic = now.topic("visits")
    with run_of(declared, tmp_path) as run:
        url = run.settings.checkpoints_url
        name = run.app.log_of("visits")
        own = kept.records(run.log, name, 0)
        taken_on = kept.taken_on(run.log, url, topic, name, 0)
        gone = {
            (offset, index)
            for _, offset, index in now.view("of").excluded["visits"].places.tolist()
        }
        ledger = recompute(topic, own, {}, taken_on, excluded=gone)
        names = (*kept.fates(topic), "excluded")
        assert known.fates["visits"] == totals(ledger, names)
        assert known.fates["visits"]["excluded"] == made.events
        events = fr_events(run)
    by_fate = dict(events["fate"].cast(pl.String).value_counts().iter_rows())
    assert by_fate["excluded"] == made.events
    told = events.filter(pl.col("fate") == "excluded")["exclusion"].unique().to_list()
    assert told == ["1, ann: wrong unit"]


def fr_events(run: OpenedRun, topic: str = "visits") -> pl.DataFrame:
    from freshet.past.events import lazy_frame_of

    return lazy_frame_of(run, run.app.topic(topic)).collect()


def test_put_back_the_rows_are_what_they_were_also_of_what_came_meanwhile(tmp_path: Path) -> None:
    declared = app(FEATURES)
    store = MemoryStore()
    always = MemoryStore()
    played(declared, tmp_path / "always", always, range(1, STEPS + 3))
    played(declared, tmp_path / "run", store, range(1, STEPS))
    excluded(declared, tmp_path / "run", Wanted("visits", where="shop = 'a'"))
    played(declared, tmp_path / "run", store, range(STEPS, STEPS + 2))
    with run_of(declared, tmp_path / "run") as run:
        carry_out(run, putting_back(run, 1, "bo", "it was right"))
        assert [holds for _, holds in every(run)] == [False, True]
        with pytest.raises(RequestError, match="does not hold"):
            putting_back(run, 1, "bo", "once more")
    played(declared, tmp_path / "run", store, range(STEPS + 2, STEPS + 3))
    now = record.excluding(declared, str(tmp_path / "run" / "checkpoints"))
    found = {key[1]: row for key, row in rows(now, store).items() if ":of:" in key[0]}
    expected = {key[1]: row for key, row in rows(declared, always).items() if ":of:" in key[0]}
    assert found == expected


def test_asked_twice_it_is_one_and_what_holds_is_refused(tmp_path: Path) -> None:
    declared = app(FEATURES)
    played(declared, tmp_path, MemoryStore(), range(1, 4))
    wanted = Wanted("visits", where="shop = 'a'")
    excluded(declared, tmp_path, wanted)
    with run_of(declared, tmp_path) as run, pytest.raises(RequestError, match="no such event"):
        exclusion_of(run, chosen(run, wanted), wanted, "ann", "again")


def test_models_and_what_they_keep_are_as_they_were(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=6) as (declared, _):
        pass
    with opened(tmp_path) as run:
        wanted = Wanted("payments", where="shop = 'north' and late > 5")
        found = chosen(run, wanted)
        assert found.events.height
        outline = outlined(run, found)
        seen = {(one.kind, one.name): one.count for one in outline.seen}
        assert any(kind == "view" and count for (kind, _), count in seen.items())
        assert any(kind == "lineage" and count for (kind, _), count in seen.items())
        assert any(kind == "snapshot" for kind, _ in seen)
        assert "freshet retrain unpaid" in outline.correct[0]
        carry_out(run, exclusion_of(run, found, wanted, "ann", "a test"))
    now = record.excluding(declared, str(tmp_path / "checkpoints"))
    changed = {thing for thing in declared.facts if declared.facts[thing] != now.facts[thing]}
    assert changed
    assert {thing.split()[0] for thing in changed} == {"view"}


def test_a_run_with_versions_has_it_from_the_making_of_one_file_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before that, it is what it was; the same command goes on."""
    with toy_day(tmp_path, hours=4) as (declared, _):
        pass
    given = settings(run_dir=str(tmp_path))
    file = tmp_path / "own" / "app.py"
    file.parent.mkdir()
    file.write_text((tmp_path / "app.py").read_text())
    versions = take(declared, file, given)
    assert isinstance(versions, Taken)
    was = as_run(load(file), given)
    wanted = Wanted("payments", where="shop = 'north'")

    def ask() -> None:
        with opened(tmp_path) as run:
            carry_out(run, exclusion_of(run, chosen(run, wanted), wanted, "ann", "a test"))

    for step in ("adopt", "cut_over"):
        with monkeypatch.context() as killing:
            killing.setattr(Taken, step, killed)
            with pytest.raises(KeyboardInterrupt):
                ask()
        assert as_run(load(file), given).digest == was.digest
        assert started_with(was, str(file), given) == str(versions.app_file(versions.active()))
    ask()
    now = as_run(load(file), given)
    assert [view.name for view in now.views if view.excluded] == ["shops"]
    assert now.digest == versions.active().digest
    assert started_with(now, str(file), given) == str(versions.app_file(versions.active()))
    with opened(tmp_path) as run:
        assert len(every(run)) == 1, "asked for again it is the same"
        assert run.app.digest == now.digest
        carry_out(run, putting_back(run, 1, "bo", "it was right"))
    back = as_run(load(file), given)
    assert {view.digest for view in back.views} & {view.digest for view in now.views} == set()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_is_chosen_is_said_and_nothing_is_done(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=4):
        pass
    ids = tmp_path / "ids.txt"
    ids.write_text("0.north.1\n1.south.2\n")
    chosen_by = [
        ["--where", "shop = 'north'"],
        ["--except", "late > 5"],
        ["--partition", "0", "--offsets", "0-9"],
        ["--ids", str(ids)],
        ["--from", "1970-01-01T02:00", "--to", "1970-01-01T03:00"],
    ]
    for options in chosen_by:
        command = ["topics", "exclude", "payments", *options, "--why", "a test"]
        told = runner.invoke(cli, [*command, "--run-dir", str(tmp_path)])
        assert told.exit_code == 0, told.output
        assert "with --apply it is" in told.output
    assert not (tmp_path / "checkpoints" / "exclusions").exists()
    told = runner.invoke(cli, ["topics", "exclusions", "--run-dir", str(tmp_path)])
    assert "nothing was ever taken out" in told.output


SOURCED = "from tests.system.applied_apps import SOURCED as app\n"


def test_events_of_a_source_are_taken_out_by_command(tmp_path: Path) -> None:
    with toy_day(tmp_path, SOURCED, hours=6):
        pass
    command = ["topics", "exclude", "payments", "--why", "a test", "--run-dir", str(tmp_path)]
    nobody = runner.invoke(cli, [*command, "--source", "east"])
    assert isinstance(nobody.exception, RequestError)
    assert "has no such event" in str(nobody.exception)
    with opened(tmp_path) as run:
        by_where = chosen(run, Wanted("payments", where="shop = 'north'"))
    done = runner.invoke(cli, [*command, "--source", "north", "--apply"])
    assert done.exit_code == 0, done.output
    assert "exclusion 1 holds from the next start of the run on" in done.output
    with opened(tmp_path) as run:
        ((made, holds),) = every(run)
        events = fr_events(run, "payments")
        assert (holds, made.chosen) == (True, {"source": "north"})
        assert made.events == by_where.events.height > 10
        assert places_of(made.runs).tolist() == sorted(by_where.places.tolist())
        assert [view.name for view in run.app.views if view.excluded] == ["shops"]
    out = events.filter(pl.col("fate") == "excluded")
    assert out["event.shop"].unique().to_list() == ["north"]
    left = events.filter(pl.col("fate") == "applied")
    assert set(left["event.shop"]) == {"south", "west"}


def test_as_json_each_snapshot_stands_alone_and_on_a_terminal_those_of_a_lineage_together(
    tmp_path: Path,
) -> None:
    with toy_day(tmp_path):
        pass
    command = ["topics", "exclude", "payments", "--where", "shop = 'north'", "--why", "a test"]
    command += ["--run-dir", str(tmp_path)]
    told = runner.invoke(cli, [*command, "--json"])
    assert told.exit_code == 0, told.output
    (line,) = told.output.splitlines()
    found = json.loads(line)
    assert found["topic"] == "payments"
    assert sum(of["events"] for of in found["events"]) > 20
    snapshots: dict[str, list[tuple[int, int]]] = {}
    for seen in found["seen"]:
        if seen["kind"] == "snapshot":
            snapshots.setdefault(seen["name"], []).append((seen["number"], seen["count"]))
    assert max(map(len, snapshots.values())) > 3
    text = runner.invoke(cli, command).output
    for lineage, every_one in snapshots.items():
        saw = [(number, count) for number, count in every_one if count]
        if len(saw) > 1:
            assert f"{lineage} {saw[0][0]}–{saw[-1][0]}, {len(saw)} of them" in text
            assert f"{saw[0][1]}–{saw[-1][1]}" in text, "a later one saw more"
        assert sum(f"{lineage} " in row for row in text.splitlines()) <= 4
    done = runner.invoke(cli, [*command, "--json", "--apply"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output.splitlines()[-1]) == {"exclusion": 1, "done": "at start"}


def test_roles_on_several_machines_take_it_when_they_are_started_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = app(FEATURES)
    played(declared, tmp_path, MemoryStore(), range(1, 4))
    wanted = Wanted("visits", where="shop = 'a'")
    with run_of(declared, tmp_path) as run:
        made = exclusion_of(run, chosen(run, wanted), wanted, "ann", "a test")
        # A bucket is one for every machine: who starts a version there?
        monkeypatch.setattr(type(run.settings), "is_shared", property(lambda _: True))
        monkeypatch.setattr(type(run.settings), "checkpoints_url", str(tmp_path / "checkpoints"))
        assert carry_out(run, made) is Done.AT_STARTS
    assert "all of them are started again, intake first" in SAID[Done.AT_STARTS]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("nothing"), "is none of app"),
        (Wanted("visits"), "all of its events"),
        (Wanted("visits", where="shop ="), "is no expression"),
        (Wanted("visits", where="nobody = 1"), "reads 'nobody'"),
        (Wanted("visits", source="a"), "no field that is a source"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, wanted: Wanted, said: str) -> None:
    declared = app(FEATURES)
    played(declared, tmp_path, MemoryStore(), range(1, 2))
    with run_of(declared, tmp_path) as run, pytest.raises(RequestError, match=said):
        chosen(run, wanted)


def test_a_run_that_goes_on_without_versions_is_to_be_stopped_first(tmp_path: Path) -> None:
    declared = app(FEATURES)
    played(declared, tmp_path, MemoryStore(), range(1, 3))
    wanted = Wanted("visits", where="shop = 'a'")
    lock = RunLock(tmp_path)
    try:
        with run_of(declared, tmp_path) as run:
            made = exclusion_of(run, chosen(run, wanted), wanted, "ann", "a test")
            with pytest.raises(DefinitionError, match="Stop it, take the events out"):
                carry_out(run, made)
            assert every(run) == []
    finally:
        lock.close()
