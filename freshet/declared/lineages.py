"""Lineages that were started while their app ran, kept beside its checkpoints; and the app with
them, as every role has it.

{url}/lineages/{model}/{number:06}.json
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from freshet.app import App
from freshet.declared import numbered
from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.learners.started import Start, Started

FOLDER = "lineages"
IF_BROKEN = "Remove it: the lineage that it started is gone then, and may be started again."


def starts_of(url: str, model: str) -> list[Start]:
    """All that were ever started of a model, in order.

    Raises:
        ComponentError: somebody has broken a record.
    """
    return numbered.every(url, f"{FOLDER}/{model}", Start, IF_BROKEN)


def put(url: str, model: str, start: Start) -> bool:
    """Whether it is there now; not where another one of its number is."""
    return numbered.put(url, f"{FOLDER}/{model}", start)


def declared(model: Model) -> list[LearnerSpec]:
    """The learners that the app's file declares."""
    return [spec for spec in model.learners if not isinstance(spec, Started)]


def with_started(model: Model, url: str) -> Model:
    """A model with the lineages that were started of what it declares now; of a learner that is
    declared otherwise, those of before are gone with it."""
    own = declared(model)
    specs: dict[str, LearnerSpec] = {model.lineage(spec): spec for spec in own}
    more = [Started(specs[s.of], s) for s in starts_of(url, model.name) if s.of in specs]
    if [*own, *more] == list(model.learners):
        return model
    return replace(model, learners=[*own, *more])


def running(app: App, url: str) -> App:
    """An app with all lineages that train."""
    models: Sequence[Model] = [with_started(model, url) for model in app.models]
    if all(now is before for now, before in zip(models, app.models)):
        return app
    return replace(app, models=models)


def trainers(url: str, roles: Iterable[str]) -> list[str]:
    """The processes of lineages that were started of those that `roles` train, whatever else the
    app declares that they are of.

    Raises:
        ComponentError: somebody has broken a record.
    """
    found = []
    for name in roles:
        role, _, rest = name.partition(".")
        model, _, of = rest.partition(".")
        if role == "train":
            names_of = [start.lineage for start in starts_of(url, model) if start.of == of]
            found += [f"train.{model}.{lineage}" for lineage in names_of]
    return found


class Lineages:
    """The app with all lineages that train, as far as this process was told of them."""

    def __init__(self, app: App, url: str) -> None:
        self.app = app
        self._url = url

    def take_up(self) -> App:
        """Some were started: the app with them."""
        self.app = running(self.app, self._url)
        return self.app
