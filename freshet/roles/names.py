"""What the processes of an app are called."""

from __future__ import annotations

from collections.abc import Callable

from freshet.app import App
from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics import readers
from freshet.schemas.topics.topic import Topic

# The process that builds views from the past, as long as there is something to build.
HYDRATE = "hydrate"


def role_names(app: App) -> list[str]:
    """Every process of an app: one of each role, and one trainer per lineage. A role that has
    nothing to read is left out. Without a model there is a scorer all the same: it takes pushes,
    and answers with features."""
    trainers = [f"train.{m.name}.{m.lineage(x)}" for m in app.models for x in m.learners]
    views = ["view"] if app.views else []
    models = ["join", *trainers, "release"] if app.models else []
    dedup = [readers.DEDUP] if any(topic.by_id for topic in app.topics) else []
    return [*intakes(app), *dedup, *views, *models, *archives(app), "serve", "control"]


def intakes(app: App) -> dict[str, list[Topic]]:
    """The topics of each process of intake, by its name."""
    return readers.intakes(app.topics)


def archives(app: App) -> dict[str, list[Topic]]:
    """The topics that each process of the archive reads, by its name: as intake's are. The first
    reads the app's own logs, too."""
    own = {readers.ARCHIVE: list[Topic]()}
    return own | {
        name.replace(readers.INTAKE, readers.ARCHIVE, 1): topics
        for name, topics in intakes(app).items()
    }


def members_of(app: App) -> Callable[[str], bool]:
    """Whether a process of a lasting name, such as `view`, `view.2` or
    `train.late.river-1a2b3c4d`, is one of the app's: trainers of lineages that it does not declare
    (any more) are not."""
    by_learner = [f"train.{m.name}.{x.name}" for m in app.models for x in m.learners]
    # Once: lineages are named by digests of all that is declared, and the page asks for each role.
    names = frozenset([*role_names(app), *by_learner])

    def belongs(name: str) -> bool:
        if name in names:
            return True
        return any(name.startswith(f"{known}.") for known in names)

    return belongs


class Members:
    """The same of an app that gets more lineages while it runs."""

    def __init__(self, app: Callable[[], App]) -> None:
        self._app = app
        self._known = app()
        self._belongs = members_of(self._known)

    def __call__(self, name: str) -> bool:
        now = self._app()
        if now is not self._known:
            self._known = now
            self._belongs = members_of(now)
        return self._belongs(name)


def trained_by(app: App, name: str) -> tuple[Model, LearnerSpec]:
    """The model and learner of a trainer's name: `train.<model>.<lineage>`, or
    `train.<model>.<learner>`.

    Raises:
        DefinitionError: the app has no such trainer.
    """
    for m in app.models:
        for x in m.learners:
            if name in (f"train.{m.name}.{m.lineage(x)}", f"train.{m.name}.{x.name}"):
                return m, x
    known = ", ".join(f"train.{m.name}.{x.name}" for m in app.models for x in m.learners)
    raise DefinitionError(
        f"role {name!r}", f"app {app.name} trains no such lineage", f"Its trainers are {known}."
    )


def topics_of(app: App, name: str) -> list[Topic]:
    """The topics that a process of intake reads.

    Raises:
        DefinitionError: the app has no such process.
    """
    known = intakes(app)
    if name not in known:
        raise DefinitionError(
            f"role {name!r}",
            f"app {app.name} takes nothing in by it",
            f"Use one of {', '.join(known)}.",
        )
    return known[name]


def elsewhere(app: App, name: str) -> set[str]:
    """The logs on other clusters that a process of this name does not read: it neither asks for
    them nor waits for their brokers."""
    own = {**intakes(app), **archives(app)}.get(name, [])
    return {
        app.log_of(topic.name)
        for topic in app.topics
        if topic.cluster is not None and topic not in own
    }
