"""The version of an app that a run starts with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from freshet.app import App, load
from freshet.declared.about import about
from freshet.declared.exclusions import leaving_out, of_views
from freshet.roles import names, plans
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics import readers
from freshet.settings import Settings
from freshet.streams.catalog import open_brokers
from freshet.streams.clock import wall_now_ms
from freshet.streams.intake.expressions import tried_before
from freshet.streams.objects import plain
from freshet.versions import progress
from freshet.versions.copied import content
from freshet.versions.making import in_folder, keeps_of, not_there, only_of, version_of
from freshet.versions.owners import why_not_kept
from freshet.versions.part import active_and_kept
from freshet.versions.progress import Applying
from freshet.versions.record import APP, Cutover, Version, Versions


def log_folder(given: Settings) -> Path | None:
    """Of an embedded log; None on Kafka."""
    if "://" in given.log_url:
        return None
    return Path(given.log_url)


def described(app: App, file: Path) -> Version:
    """What an app's file declares, as a version without a number."""
    roles: dict[str, list[str]] = {name: [] for name in names.role_names(app)}
    for name, topics in names.intakes(app).items():
        roles[name] = [topic.name for topic in topics]
    if readers.DEDUP in roles:
        roles[readers.DEDUP] = [topic.name for topic in app.topics if topic.by_id]
    plans_of = {topic.name: plans.intake_plan(app, topic) for topic in app.topics}
    tasks = {task: plans.kept_as(app, task) for task in plans.task_inputs(app)}
    keeps = keeps_of(app, tasks, list(plans.topics(app)))
    return version_of(app, content_of(app, file), file.name, roles, plans_of, keeps)


def content_of(app: App, file: Path) -> str:
    """Changes with whatever makes another version."""
    declared = {thing: sorted(told.items()) for thing, told in about(app).items()}
    return content(file.resolve().parent, repr((app.digest, sorted(declared.items()))))


class Taken(Versions):
    """The versions of a run that has an active one."""

    def active(self) -> Version:
        found, _ = active_and_kept(self)
        assert found is not None
        return found


def chosen(app: App, file: str, given: Settings) -> str:
    """The file that a run of an app's file goes on with: the copy that is active, where the file is
    as it was when that was made, where it is being applied, or where it was gone back from."""
    if given.is_shared:
        return file
    versions = Taken(given.local_path)
    current = versions.current()
    if current is None:
        return file
    try:
        wanted = content_of(app, Path(file)), Path(file).name
    except DefinitionError:  # it is too large to be one, which is told when it starts
        return file
    asked = progress.read(given.local_path)
    if asked is not None and _is_taken_back(asked, given.local_path):
        return str(versions.app_file(versions.active()))
    known = [current.version]
    if current.back and current.kept is not None:
        known.append(current.kept)
    if asked is not None and asked.version in versions.numbers():
        known.append(asked.version)
    for number in known:
        found = versions.of(number)
        if (found.content, found.file) == wanted:
            return str(versions.app_file(versions.active()))
    if asked is not None and asked.step != progress.FAILED:
        raise DefinitionError(
            f"app {file}",
            f"is neither what runs nor version {asked.version}, which that is being changed to",
            "Start it with one of these files; then freshet apply --abort takes the change back.",
        )
    return file


def _is_taken_back(asked: Applying, run_dir: Path) -> bool:
    """Whether a change ends before it began: also one whose asking was interrupted, of which not
    all may be there."""
    if asked.step == progress.STAGING:
        progress.ask_back(run_dir)
    return asked.step == progress.TAKING_BACK or progress.back_is_asked(run_dir)


def take(app: App, file: Path, given: Settings) -> Taken | str:
    """Have what starts now as the active version: the one that it is, or a new one. Why it can be
    none, in a sentence, where its files cannot be kept."""
    versions = Taken(given.local_path)
    active, _ = active_and_kept(versions)
    resolved = file.resolve()
    if active is not None and resolved == versions.app_file(active).resolve():
        return versions
    try:
        number = versions.next_number()
        draft, made = drafted(versions, app, resolved, number)
    except DefinitionError as error:
        return f"{error} So this run cannot be changed by freshet apply."
    versions.adopt(draft, made)
    because = "" if active is None else why_not_kept(made, active)
    kept = None if active is None or because else active.number
    versions.cut_over(Cutover(number, wall_now_ms(), kept, because))
    versions.prune([each for each in (number, kept) if each is not None])
    return versions


def drafted(versions: Versions, app: App, file: Path, number: int) -> tuple[Path, Version]:
    """A copy of an app's files, and the record of the version of this number that it can be.

    Raises:
        DefinitionError: they are too large, or declare something else elsewhere than where they
            are: what lies outside their folder is not copied.
    """
    draft = versions.draft(file.parent)
    copy = draft / APP / file.name
    # As the app itself was: the copy is of its digest, or refused.
    with tried_before():
        # With what is taken out of its views, which is none of its files.
        copied = leaving_out(load(copy), of_views(app))
    if copied.digest != app.digest:
        raise DefinitionError(
            f"app {app.name}",
            "declares something else where its folder is copied to: it reads what lies elsewhere",
            "Let all that the app's file reads lie beside it, or below that.",
        )
    return draft, replace(described(copied, copy), number=number)


def asked_for(versions: Versions, made: Version, given: Settings) -> Applying:
    """What is asked of the supervisor, with all that is made for the version."""
    checkpoints = Path(plain(given.checkpoints_url))
    # What runs may not have come to save anything yet: that is never removed.
    others = [each.keeps for each in active_and_kept(versions) if each is not None]
    own = only_of(made.keeps, others)
    return Applying(
        made.number,
        since_ms=wall_now_ms(),
        made=not_there(own, checkpoints, _logs_of(given)),
    )


def _logs_of(given: Settings) -> Callable[[str], bool]:
    """Whether a log of this name is there now."""
    folder = log_folder(given)
    if folder is not None:
        return in_folder(folder)
    brokers = open_brokers(given.log_url)
    assert brokers is not None
    try:
        found = brokers.topics()
    finally:
        brokers.close()
    return found.__contains__
