"""What `freshet apply` asks of a run: by its folder, where the supervisor finds it."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from freshet.app import App
from freshet.declared import definitions
from freshet.declared.definitions import Definitions
from freshet.processes.versioned import Taken, asked_for, content_of, drafted
from freshet.roles import preflight
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.runs.lock import is_held
from freshet.schemas.errors import DefinitionError, FreshetError
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.streams.clock import wall_now_ms
from freshet.versions import progress
from freshet.versions.owners import owners
from freshet.versions.part import active_and_kept
from freshet.versions.progress import Applying


def refuse_where_nothing_runs(given: Settings) -> None:
    """Raises `DefinitionError` where no run goes on in the folder that could be changed."""
    if given.is_shared:
        raise DefinitionError(
            f"run in {given.run_dir}",
            "has its roles on several machines, each with an app's file of its own: nothing here "
            "starts processes of a new version there, to build it beside what runs",
            "Change the file on each machine, and start the roles again, one after the other, "
            "intake first.",
        )
    run_dir = given.local_path
    run_record.read(run_dir)
    if not is_held(run_dir):
        raise DefinitionError(
            f"run in {run_dir}",
            "does not run as a whole: a role that was started by itself (--role) builds no version",
            "Start it: freshet run APP.py takes a changed file, too. Roles that were started by "
            "themselves take it when they are started again, one after the other, intake first.",
        )
    if Taken(run_dir).current() is None:
        raise DefinitionError(
            f"run in {run_dir}",
            "has no copy of its app's folder, as it said when it started",
            "Stop it, and start it with the changed file.",
        )
    asked = progress.read(run_dir)
    if asked is not None and asked.step != progress.FAILED:
        raise DefinitionError(
            f"run in {run_dir}",
            f"is being changed to version {asked.version}",
            "Wait until it is, or take that back with freshet apply --abort.",
        )


def ask(app: App, file: str, given: Settings) -> None:
    """Ask for the app as its file declares it now.

    Raises:
        DefinitionError: it cannot be built beside what runs.
        FreshetError: what a start of it would be refused for, too.
    """
    versions = Taken(given.local_path)
    active, kept = active_and_kept(versions)
    assert active is not None
    refuse_unanswered(app, definitions.read(given.checkpoints_url))
    draft, made = drafted(
        versions,
        app,
        Path(file).resolve(),
        versions.next_number(),
    )
    asked = replace(asked_for(versions, made, given), step=progress.STAGING)
    # Before anything is made: whoever takes it back finds here what that was.
    progress.write(given.local_path, asked)
    try:
        versions.adopt(draft, made)
        owners(active, made, kept)
        _stage(app, given)
    except (FreshetError, OSError):
        take_back(given)
        raise
    progress.write(given.local_path, replace(asked, step=progress.ASKED))


def is_what_runs(app: App, file: str, given: Settings) -> bool:
    """Whether not a character of the app's modules is another."""
    return content_of(app, Path(file)) == Taken(given.local_path).active().content


def refuse_unanswered(app: App, before: Definitions | None) -> None:
    """A model of which no lineage goes on must have something to answer with until one has
    learned."""
    for model in app.models:
        goes_on = before is not None and any(
            before.knew(f"lineage {model.name}.{spec.name}", model.facts_of(spec))
            for spec in model.learners
        )
        if not goes_on and not model.fallback:
            raise DefinitionError(
                f"model {model.name}",
                "begins cold in the new version, and has no fallback: its requests would fail "
                "until its first snapshot",
                "Declare one, such as fallback=[fr.constant(0.2)].",
            )


def _stage(app: App, given: Settings) -> None:
    log = routed(app, open_log(given.log_url), given.clusters)
    opened = over_archive(app, log, given)
    try:
        preflight.stage(app, opened, given)
    finally:
        opened.close()


def ask_back(given: Settings) -> None:
    """Ask for the version that ran before.

    Raises:
        DefinitionError: none is kept.
    """
    refuse_where_nothing_runs(given)
    current = Taken(given.local_path).current()
    assert current is not None
    if current.kept is None:
        because = current.because or "there was none"
        raise DefinitionError(
            f"run in {given.local_path}",
            f"keeps no version to go back to: {because}",
            "Apply the file of before: its views are built anew.",
        )
    progress.write(given.local_path, Applying(current.kept, since_ms=wall_now_ms(), new=False))


def take_back(given: Settings) -> None:
    """Ask that what is being applied is taken back.

    Raises:
        DefinitionError: nothing is.
    """
    asked = progress.read(given.local_path)
    if asked is None:
        raise DefinitionError(
            f"run in {given.local_path}",
            "is not being changed",
            "Go back to the version before with freshet apply --revert.",
        )
    progress.ask_back(given.local_path)


def how_far(given: Settings) -> Applying | None:
    """None once nothing is being changed any more."""
    return progress.read(given.local_path)


def active(given: Settings) -> int:
    """The number of the version that runs."""
    return Taken(given.local_path).active().number


def as_run(given: Settings) -> Settings:
    """Where the run has its log, its store and its archive.

    Raises:
        ComponentError: there is no run.
    """
    record = run_record.read(given.local_path)
    known = {"log": record.log, "store": record.store, "archive": record.archive}
    return given.model_copy(update={name: value for name, value in known.items() if value})
