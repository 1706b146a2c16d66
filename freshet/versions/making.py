"""From an app to the record of a version of it, as data; and what of it is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from freshet.app import App
from freshet.declared.exclusions import numbers_of
from freshet.streams.intake.task import IntakePlan
from freshet.streams.sqlite import topic as sqlite_topic
from freshet.versions.lags import stored_views
from freshet.versions.record import Left, Version
from freshet.versions.routes import of_plan


def version_of(
    app: App,
    content: str,
    file: str,
    roles: dict[str, list[str]],
    plans: Mapping[str, IntakePlan],
    keeps: Left,
) -> Version:
    """What runs by the app's `file` and its `content`, by these roles, each with the topics
    that it takes in; `plans` are of its intake, by topic. Its
    number is 0 until it is kept."""
    return Version(
        0,
        app.digest,
        content,
        file,
        roles,
        {name: of_plan(plan) for name, plan in plans.items()},
        stored_views(app),
        keeps,
        numbers_of(app),
    )


def keeps_of(app: App, inputs: Mapping[str, str], logs: list[str]) -> Left:
    """What an app keeps under digests: the checkpoints of its tasks by the names that they are
    kept under, all `logs`, and what its views are built from."""
    sources = [app.log_of(topic.name) for topic in app.topics if topic.log is None]
    shared = {*app.channels, app.dead_log, app.redriven_log, app.statistics_log}
    theirs = {topic.log for topic in app.topics}
    paths = [task.rpartition(":")[0].replace(":", "/") for task in inputs.values()]
    paths += [f"hydrations/{view.name}.{view.digest}.json" for view in app.views]
    paths += [f"hydrate/{view.name}.{view.digest}" for view in app.views]
    paths += [f"beginnings/{view.name}.{view.digest}.json" for view in app.views]
    paths += [f"starts/{log}" for log in sources]
    return Left(
        sorted({*logs} - shared - theirs - {*sources}),
        sorted(sources),
        sorted(set(paths)),
    )


def only_of(keeps: Left, others: Iterable[Left]) -> Left:
    """What a version keeps that none of the others does."""
    every = list(others)
    logs = {name for other in every for name in other.logs}
    sources = {name for other in every for name in other.sources}
    paths = {path for other in every for path in other.paths}
    return Left(
        [name for name in keeps.logs if name not in logs],
        [name for name in keeps.sources if name not in sources],
        [path for path in keeps.paths if path not in paths],
    )


def in_folder(log: Path) -> Callable[[str], bool]:
    """Whether an embedded log is in this folder."""
    return lambda name: sqlite_topic.path_of(log, name).exists()


def not_there(keeps: Left, checkpoints: Path, is_there: Callable[[str], bool]) -> Left:
    """Of what a version keeps, that which is not there yet: whoever takes the version back removes
    it. `is_there` says it of logs, by their names."""
    return Left(
        [name for name in keeps.logs if not is_there(name)],
        [name for name in keeps.sources if not is_there(name)],
        [path for path in keeps.paths if not (checkpoints / path).exists()],
    )
