"""Events are taken out of the views of a run that goes on; the command, or whoever carries it out,
is killed at each of its steps: the run ends with the views of before or with those of after."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from freshet.app import load
from freshet.applying import asking
from freshet.declared.exclusions import Exclusion
from freshet.exclusions.chosen import Wanted, chosen
from freshet.exclusions.doing import Done, carry_out, every, exclusion_of
from freshet.processes.versioned import chosen as started_with
from freshet.processes.versioned import take
from freshet.roles import preflight
from freshet.runs import record as run_record
from freshet.runs.lock import RunLock
from freshet.runs.opened import opened
from freshet.settings import Settings
from freshet.streams.sqlite.log import SqliteLog
from freshet.versions import progress
from freshet.versions.excluded import as_run
from freshet.versions.record import Versions
from tests.freshet.processes.test_applying import Killed, Run, killing
from tests.freshet.toy_day import toy_day

WANTED = Wanted("payments", where="shop = 'north'")
HOURS = 3


class Day(Run):
    """Hours of the toy app, whose version 1 goes on; its processes are not real."""

    def __init__(self, folder: Path) -> None:
        with toy_day(folder / "run", hours=HOURS):
            pass
        self.file = folder / "own" / "app.py"
        self.file.parent.mkdir()
        self.file.write_text((folder / "run" / "app.py").read_text())
        self.given = Settings(run_dir=folder / "run")
        self.given = self.given.model_copy(update={"log": self.given.log_url})
        self.run_dir = self.given.local_path
        self.versions = Versions(self.run_dir)
        take(load(self.file), self.file, self.given)
        self.start()

    def start(self) -> None:
        """As `freshet run` does, with the app's own file."""
        file = started_with(as_run(load(self.file), self.given), str(self.file), self.given)
        app = as_run(load(file), self.given)
        with closing(SqliteLog(self.given.log_url)) as log:
            preflight.check(app, log, self.given)
        assert Path(file) == self.versions.app_file(self.versions.of(self.active))
        self._moved(Path(file))
        self.supervise()

    def _moved(self, app_file: Path) -> None:
        run_record.write("toy", str(app_file), self.given)

    def copy(self, folder: Path) -> Day:
        there = super().copy(folder)
        there._moved(there.versions.app_file(there.versions.of(there.active)))
        return there

    def asked(self, made: Exclusion) -> Done:
        """By the command, while the run goes on."""
        with closing(RunLock(self.run_dir)), opened(self.run_dir) as run:
            return carry_out(run, made)

    def known(self) -> list[tuple[int, bool]]:
        with opened(self.run_dir) as run:
            return [(one.number, holds) for one, holds in every(run)]


def test_killed_at_any_step_it_ends_before_or_after_and_never_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(tmp_path / "day")
    with opened(day.run_dir) as run:
        made = exclusion_of(run, chosen(run, WANTED), WANTED, "ann", "a scanner lied")
    before = as_run(load(day.file), day.given).digest
    whole = day.copy(tmp_path / "whole")
    assert whole.asked(made) is Done.ASKED
    whole.steps()
    assert (whole.active, whole.known()) == (2, [(1, True)])
    after = as_run(load(day.file), whole.given).digest
    assert after != before
    kills = 0
    found = set()
    for at in count():
        ended = True
        for is_after in (False, True):
            copy = day.copy(tmp_path / f"{at}-{is_after}")
            with monkeypatch.context() as patched:
                killing(patched, at, is_after)
                try:
                    copy.asked(made)
                    copy.steps()
                except Killed:
                    ended = False
                    kills += 1
            found.add(_as_one_version(copy, {1: before, 2: after}))
            _goes_on(copy, made)
            assert (copy.active, copy.parts(), copy.known()) == (2, {2}, [(1, True)])
            assert as_run(load(copy.file), copy.given).digest == after
            assert progress.read(copy.run_dir) is None
        if ended:
            break
    assert kills >= 50
    assert found == {1, 2}, "it was killed before the cut-over, and after it"


def _as_one_version(run: Day, digests: dict[int, str]) -> int:
    """The version that a run has that is started again after the kill: all of its declared views,
    and its scorer, are of that one."""
    run.start()
    active = run.active
    assert as_run(load(run.file), run.given).digest == digests[active]
    views = as_run(load(run.file), run.given).views
    assert {bool(view.excluded) for view in views if view.is_over("payments")} == {active == 2}
    serving = [spec for name, spec in run.crew.specs.items() if name == "serve"]
    assert [spec.args[5].version for spec in serving] == [active]
    return active


def _goes_on(run: Day, made: Exclusion) -> None:
    """What was asked for comes to its end; what was not is asked for by the same command again."""
    run.steps()
    if run.active == 1:
        assert progress.read(run.run_dir) is None, "nothing is left of what was not asked for"
        run.asked(made)
        run.steps()


def test_taken_back_while_it_is_built_it_can_be_asked_for_again(tmp_path: Path) -> None:
    day = Day(tmp_path)
    with opened(day.run_dir) as run:
        made = exclusion_of(run, chosen(run, WANTED), WANTED, "ann", "a scanner lied")
    day.asked(made)
    day.applier.step()
    day.applier.step()
    asking.take_back(day.given)
    day.steps()
    assert (day.active, day.parts(), day.known()) == (1, {1}, [(1, False)])
    with opened(day.run_dir) as run:
        again = exclusion_of(run, chosen(run, WANTED), WANTED, "bo", "it did")
        assert again == made, "it is the one that came to nothing"
    day.asked(made)
    day.steps()
    assert (day.active, day.known()) == (2, [(1, True)])
