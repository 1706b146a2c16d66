"""A change of version, carried out by the run's folder alone: wherever whoever carries it out is
killed, the next one ends before it or after it, and what was taken back leaves nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from freshet.app import load
from freshet.applying import asking
from freshet.processes.applying import Applier
from freshet.processes.crew import Place
from freshet.processes.supervisor import RoleSpec
from freshet.processes.versioned import chosen, log_folder, take
from freshet.roles import preflight
from freshet.runs import record as run_record
from freshet.schemas.errors import DefinitionError
from freshet.settings import Settings
from freshet.streams.sqlite.log import SqliteLog
from freshet.versions import progress, taking_back
from freshet.versions.record import Left, Versions

LOAD = 'features={"n_10m": fr.count(over="10m")}'
MORE = 'features={"n_10m": fr.count(over="10m"), "kg": fr.mean("weight_kg", over="10m")}'
CHANGES_OF_NAMES = ("rename", "replace", "link", "unlink", "mkdir", "rmdir")
# Which say when, and where.
PLACES = ("run.json", "versions/cutovers/1.json", "checkpoints/definitions.json")
STEPS = 12  # that are enough for a change, with a fake crew


class Killed(BaseException):
    """As by SIGKILL: nobody handles it."""


class FakeCrew:
    """Its scorers could answer at once, and leave at once."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.specs: dict[str, RoleSpec] = {}
        self.lets_end: set[str] = set()

    def change(self, specs: Sequence[RoleSpec]) -> None:
        self.specs = {spec.name: spec for spec in specs}

    def let_end(self, name: str) -> None:
        self.lets_end.add(name)

    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        return {name: {"alive": name not in self.lets_end} for name in self.specs}

    def speak(self) -> None:
        for name, spec in self.specs.items():
            if name.startswith("serve.") and spec.args[5].staged:
                progress.say(self._run_dir, name, {"ready": True})


class Run:
    """A run's folder, whose processes are not real."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "parcels" / "app.py"
        self.file.parent.mkdir(parents=True)
        text = files("freshet.cli").joinpath("template", "app.py").read_text()
        assert LOAD in text
        self.file.write_text(text)
        self.given = Settings(run_dir=folder / "run")
        self.given = self.given.model_copy(update={"log": self.given.log_url})
        self.run_dir = self.given.local_path
        self.run_dir.mkdir()
        self.versions = Versions(self.run_dir)
        self.start()

    def start(self) -> None:
        """As `freshet run` does."""
        file = chosen(load(self.file), str(self.file), self.given)
        app = load(file)
        with closing(SqliteLog(self.given.log_url)) as log:
            preflight.check(app, log, self.given)
        taken = take(app, Path(file), self.given)
        assert isinstance(taken, Versions), taken
        self._moved(taken.app_file(taken.active()))
        self.supervise()

    def supervise(self) -> None:
        """Whoever carries changes out is started."""
        self.crew = FakeCrew(self.run_dir)
        place = Place(self.versions, self.given, None)
        self.applier = Applier(place, self.crew, self._take_back, self._moved)
        self.crew.change(self.applier.specs())

    def _moved(self, app_file: Path) -> None:
        run_record.write("parcels", str(app_file), self.given)

    def _take_back(self, made: Left, version: int) -> None:
        with closing(SqliteLog(self.given.log_url)) as log:
            checkpoints = Path(self.given.checkpoints_url)
            taking_back.remove(made, checkpoints, log, log_folder(self.given))

    def copy(self, folder: Path) -> Self:
        """The same, elsewhere, under supervision."""
        shutil.copytree(self.run_dir, folder / "run")
        there = type(self).__new__(type(self))
        there.file = self.file
        given = Settings(run_dir=folder / "run")
        there.given = given.model_copy(update={"log": given.log_url})
        there.run_dir = given.local_path
        there.versions = Versions(there.run_dir)
        there.supervise()
        return there

    def change(self) -> None:
        self.file.write_text(self.file.read_text().replace(LOAD, MORE))

    def ask(self) -> None:
        asking.ask(load(self.file), str(self.file), self.given)

    def steps(self) -> None:
        for _ in range(STEPS):
            self.applier.step()
            self.crew.speak()

    @property
    def active(self) -> int:
        current = self.versions.current()
        assert current is not None
        return current.version

    def parts(self) -> set[int]:
        """The versions of the processes."""
        return {spec.args[5].version for spec in self.crew.specs.values()}

    def content(self, apart: Sequence[str] = ()) -> dict[str, str]:
        """Of every file of the run, but for those."""
        found = {}
        for path in sorted(self.run_dir.rglob("*")):
            name = str(path.relative_to(self.run_dir))
            if path.is_file() and not name.endswith(("-shm", "-wal")) and name not in apart:
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_changed_file_runs_beside_what_runs_and_then_alone(run: Run) -> None:
    run.change()
    run.ask()
    run.applier.step()
    run.applier.step()
    assert run.active == 1
    assert run.parts() == {1, 2}
    intake = run.crew.specs["intake"].args[5]
    assert (intake.version, intake.fed) == (1, (2,)), "one intake fills the logs of both"
    assert run.crew.specs["view.v2"].args[5].views == {"load"}
    run.steps()
    assert run.active == 2
    assert run.parts() == {2}
    assert run.crew.specs["intake"].args[5].fed == (1,), "what can be gone back to is fed"
    assert run_record.read(run.run_dir).app_file.endswith("versions/2/app/app.py")
    assert progress.read(run.run_dir) is None


def test_a_restart_runs_what_was_applied(run: Run) -> None:
    run.change()
    run.ask()
    run.steps()
    run.start()
    assert (run.active, run.parts()) == (2, {2})
    assert run.versions.numbers() == [1, 2], "the file is no other one"


def test_going_back_is_a_pointer_that_holds_over_a_restart(run: Run) -> None:
    run.change()
    run.ask()
    run.steps()
    progress.write(run.run_dir, progress.Applying(1, new=False))
    run.steps()
    assert (run.active, run.parts()) == (1, {1})
    assert "serve.v1" in run.crew.specs
    run.start()
    assert (run.active, run.parts()) == (1, {1}), "though the file is that of version 2"
    assert run.crew.specs["intake"].args[5].fed == (2,)


def test_what_is_taken_back_leaves_every_byte_as_it_was(run: Run) -> None:
    before = run.content()
    run.change()
    run.ask()
    run.applier.step()
    run.applier.step()
    assert run.content() != before
    asking.take_back(run.given)
    run.steps()
    assert run.content() == before
    assert (run.active, run.parts()) == (1, {1})


def test_events_of_a_topic_that_was_taken_back_are_kept(run: Run) -> None:
    run.file.write_text(
        run.file.read_text()
        .replace("# Views:", 'extra = fr.Topic("extra", schema=handovers.schema, event_id="parcel", '
                 'event_time="at", freshness=FRESH)\n# Views:')
        .replace("topics=[handovers,", "topics=[extra, handovers,")
    )  # fmt: skip
    run.ask()
    with closing(SqliteLog(run.given.log_url)) as log, closing(log.writer()) as writer:
        writer.append("parcels.extra", 0, [b"an event"], 0)
        writer.flush()
    run.applier.step()
    asking.take_back(run.given)
    run.steps()
    with closing(SqliteLog(run.given.log_url)) as log:
        assert log.bounds("parcels.extra").spans == {0: (0, 1)}


def test_what_cannot_be_built_is_refused_and_leaves_nothing(run: Run) -> None:
    before = run.content()
    # Of another type under the same schema_id, which no reader can tell apart.
    text = run.file.read_text()
    run.file.write_text(text.replace('"weight_kg", "type": ["null", "double"]', '"weight_kg", "type": "string"')
                        .replace('impute={"weight_kg": fr.impute.constant(1.0)},', ""))  # fmt: skip
    with pytest.raises(Exception, match="weight_kg"):
        run.ask()
    run.steps()
    assert run.content() == before


def test_a_model_that_would_fail_its_requests_is_refused(run: Run) -> None:
    text = run.file.read_text().replace("    fallback=[LATE_BEFORE, fr.constant(0.3)],\n", "")
    run.file.write_text(text.replace(LOAD, LOAD.replace('10m")', '20m")')))
    with pytest.raises(DefinitionError, match="begins cold in the new version"):
        run.ask()
    assert run.versions.numbers() == [1]


def test_what_ends_again_and_again_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.change()
    run.ask()
    run.applier.step()
    facts = {"view.v2": {"alive": False, "failing": True, "last_exit": "no memory"}}
    monkeypatch.setattr(run.crew, "facts", lambda: facts)
    run.applier.step()
    assert told(run)[0] == "failing"
    assert told(run)[1] == "role view.v2 ends again and again, the last time by: no memory"


def test_while_processes_start_it_is_said_which_are_waited_for(run: Run) -> None:
    run.change()
    run.ask()
    run.applier.step()
    run.applier.step()
    assert told(run) == ("hydrating", "its processes, which start")
    said = {"state": "hydrating", "records": 3, "waits_for": ""}
    for views, wanted in (
        (said, ("hydrating", "")),
        ({**said, "state": "ready"}, ("lagging", "its scorer, which starts")),
    ):
        progress.say(run.run_dir, "hydrate.v2", {"views": {"load": views}})
        run.applier._told_at = float("-inf")  # it tells every half second
        run.applier.step()
        assert told(run) == wanted
    progress.say(run.run_dir, "serve.v2", {"waits_for": "view load"})
    run.applier._told_at = float("-inf")
    run.applier.step()
    assert told(run) == ("lagging", "view load")


def told(run: Run) -> tuple[str, str]:
    now = progress.read(run.run_dir)
    assert now is not None
    return now.state, now.cause


# ------------------------------------------------------------------------------------------- kills


def killing(monkeypatch: pytest.MonkeyPatch, at: int, after: bool) -> None:
    """Kill this process at the change of a name in the file system of that number: before it, or
    right `after` it. Every step of a change is one."""
    numbers = count()

    def wrapped(own: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            dies = next(numbers) == at
            if dies and not after:
                raise Killed
            try:
                return own(*args, **more)
            finally:
                if dies:
                    raise Killed

        return call

    for name in CHANGES_OF_NAMES:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is asked for version 2."""
    run = Run(tmp_path_factory.mktemp("asked"))
    run.change()
    run.ask()
    return run


def killed_everywhere(
    asked: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Run], None]
) -> Iterator[Run]:
    """Copies of the run in which `work` was killed: at each of its steps, before and after it;
    whoever carries changes out has been started again."""
    for at in count():
        ended = True
        for after in (False, True):
            run = asked.copy(tmp_path / f"{at}-{after}")
            with monkeypatch.context() as patched:
                killing(patched, at, after)
                try:
                    work(run)
                except Killed:
                    ended = False
            run.supervise()
            yield run
        if ended:
            return


def test_killed_at_any_step_of_a_change_it_ends_after_it(
    asked: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    kills = 0
    for run in killed_everywhere(asked, tmp_path, monkeypatch, Run.steps):
        kills += 1
        found.add(run.active)
        # Never between: whoever is started has the processes of one version, and of another one
        # that is built beside it at most.
        serving = [spec for name, spec in run.crew.specs.items() if name == "serve"]
        assert [spec.args[5].version for spec in serving] == [run.active]
        run.steps()
        assert (run.active, run.parts()) == (2, {2})
        assert progress.read(run.run_dir) is None
        assert run.versions.numbers() == [1, 2]
    assert kills >= 50
    assert found == {1, 2}, "it was killed before the cut-over, and after it"


def test_killed_at_any_step_of_taking_back_nothing_is_left(
    asked: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Run(tmp_path / "before").content(PLACES)
    kills = 0

    def work(run: Run) -> None:
        run.applier.step()
        asking.take_back(run.given)
        run.steps()

    for run in killed_everywhere(asked, tmp_path, monkeypatch, work):
        kills += 1
        if progress.read(run.run_dir) is not None and not progress.back_is_asked(run.run_dir):
            asking.take_back(run.given)
        run.steps()
        assert (run.active, run.parts()) == (1, {1})
        assert run.content(PLACES).keys() == before.keys()
        assert progress.read(run.run_dir) is None
    assert kills >= 50


@pytest.mark.parametrize("at", range(0, 20, 4))
def test_killed_while_it_is_asked_for_nothing_has_begun(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    before = run.content()
    run.change()
    with monkeypatch.context() as patched:
        killing(patched, at, after=True)
        with pytest.raises(Killed):
            run.ask()
    if progress.read(run.run_dir) is not None:
        asking.take_back(run.given)
    run.steps()
    # A copy that nothing names is the next one's to remove.
    draft = "versions/.draft/"
    assert {n: d for n, d in run.content().items() if not n.startswith(draft)} == before
