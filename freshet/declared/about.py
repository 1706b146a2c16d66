"""What is declared of a thing beside the facts that its digest is made of: it changes at the next
start, and nothing is made anew for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from freshet.app import App
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.learners.rungs import Rung
from freshet.schemas.topics.digests import Facts, of_expression, of_field
from freshet.schemas.topics.topic import Topic

FIELD = "field "


def about(app: App) -> Mapping[str, Facts]:
    """By thing, in words."""
    found: dict[str, Facts] = {f"topic {topic.name}": _of_topic(topic) for topic in app.topics}
    found |= {f"view {view.name}": _of_view(view) for view in app.views}
    found |= {f"model {model.name}": _of_model(model) for model in app.models}
    return found


def _of_topic(topic: Topic) -> Facts:
    # Fields that decide something are among its facts.
    plain = {f"{FIELD}{known.name}": of_field(known) for known in topic.events.fields}
    plain = {name: told for name, told in plain.items() if name not in topic.facts}
    freshness = {
        setting.name: str(getattr(topic.freshness, setting.name))
        for setting in fields(topic.freshness)
    }
    own = {"statistics": repr(topic.statistics), "keep": topic.keep or "whole"}
    return {**plain, **freshness, **own, **_names(topic)}


def _of_view(view: View) -> Facts:
    return {"max_age": view.max_age or "none", **_names(view)}


def _of_model(model: Model) -> Facts:
    return {
        "slices": ", ".join(model.slices),
        "fallback": ", ".join(map(_rung, model.fallback)),
        "release": repr(model.release),
        "hold": ", ".join(condition.text for condition in model.hold),
        "missing_inputs": model.missing_inputs,
        **_names(model),
    }


def _rung(rung: Rung) -> str:
    """Its expressions by what they say: else it prints as where those lie in memory."""
    own = {known.name: getattr(rung, known.name) for known in fields(rung)}
    told = [
        f"{name}={of_expression(value) if hasattr(value, 'meta') else repr(value)}"
        for name, value in own.items()
    ]
    return f"{type(rung).__name__.lower()}({', '.join(told)})"


def _names(thing: Topic | View | Model) -> Facts:
    return {"owner": thing.owner, "description": thing.description}
