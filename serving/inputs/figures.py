"""Which inputs of a model are missing: topics of its views that are silent, and features that its
lineages miss of late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.schemas.durations import DAY_MS
from freshet.serving.status.promises import span
from freshet.serving.status.status import MissingFigures, TopicFigures


def missing_inputs(
    model: Model,
    views: Sequence[View],
    topics: Mapping[str, TopicFigures],
    told: Iterable[Mapping[str, Any]],
) -> list[MissingFigures]:
    """`views` are all of the app's, `told` the facts of the model's trainers."""
    read = {ref.view for ref in model.view_features}
    own = [view for view in views if view.name in read]
    return [*_silent(model, own, topics), *_lacking(model, own, told)]


def _silent(
    model: Model, views: Sequence[View], topics: Mapping[str, TopicFigures]
) -> list[MissingFigures]:
    found = []
    for view in views:
        # What is older than that is null to models; without it any night is shorter.
        bound = view.max_age_ms or DAY_MS
        for topic in view.topics:
            figures = topics.get(topic.name)
            if figures is None or figures.silent_ms is None or figures.silent_ms <= bound:
                continue
            found.append(
                MissingFigures(
                    kind="source",
                    name=topic.name,
                    view=view.name,
                    topic=topic.name,
                    features=[ref.name for ref in model.view_features if ref.view == view.name],
                    since_ms=figures.newest_applied_ms or 0,
                    reason=f"topic {topic.name} of view {view.name} has had no event for longer "
                    f"than {span(bound)}",
                )
            )
    return found


def _lacking(
    model: Model, views: Sequence[View], told: Iterable[Mapping[str, Any]]
) -> list[MissingFigures]:
    of_views = {ref.name: ref.view for ref in model.view_features}
    topics = {view.name: ", ".join(topic.name for topic in view.topics) for view in views}
    found: dict[str, MissingFigures] = {}
    for facts in told:
        for lacking in facts.get("missing_inputs", ()):
            name = lacking["name"]
            # Each lineage looks for itself: what the first one saw is told.
            if name in found and found[name].since_ms <= lacking["since"]:
                continue
            view = of_views.get(name, "")
            found[name] = MissingFigures(
                kind="feature",
                name=name,
                view=view,
                topic=topics.get(view, model.on.name),
                features=[name],
                since_ms=lacking["since"],
                reason=lacking["why"],
            )
    return list(found.values())
