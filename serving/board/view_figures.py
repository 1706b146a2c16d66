"""A view's figures, and those of columns that are computed of the past, from what tasks told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freshet.features.views.view import View
from freshet.schemas.topics.topic import Freshness
from freshet.serving.status.status import PastColumnsFigures, PastFigures, ViewFigures


def view_figures(
    view: View,
    told: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Freshness],
    lag_ms: int | None,
    behind: str,
    past: Mapping[str, Any] | None = None,
) -> ViewFigures:
    """`told` are the facts of each partition's task, `settings` its topics' freshness by name as it
    is now, `behind` the role that the rows wait for; `past` those of what builds it from the past,
    if that has told any."""
    # Of several topics the tightest promise holds.
    topic = min(settings, key=lambda name: settings[name].ms("feature_slo"))
    return ViewFigures(
        name=view.name,
        topic=topic,
        topics=[own.name for own in view.topics],
        key="|".join(view.keys),
        rows=sum(int(f.get("keys", 0)) for f in told) if told else None,
        on_disk=sum(int(f.get("keys_on_disk", 0)) for f in told),
        lag_ms=lag_ms,
        behind=behind,
        slo_ms=settings[topic].ms("feature_slo"),
        max_age_ms=view.max_age_ms or None,
        events=sum(int(f.get("events", 0)) for f in told) if told else None,
        refused=sum(int(f.get("refused", 0)) for f in told),
        refusal=next((f["refusal"] for f in told if "refusal" in f), ""),
        past=_past(told, past),
        features=list(view.features),
        owner=view.owner,
        description=view.description,
    )


def _past(told: Sequence[Mapping[str, Any]], past: Mapping[str, Any] | None) -> PastFigures | None:
    """None of a view that goes on from its rows."""
    if not any(facts.get("waits_for_its_past") for facts in told):
        return None
    if past is None:  # it has not spoken yet
        return PastFigures(state="hydrating")
    return PastFigures(
        state=past["state"],
        records=past.get("records", 0),
        records_left=past.get("records_left", 0),
        records_a_second=past.get("records_a_second", 0),
        seconds_left=past.get("seconds_left"),
        waits_for=past.get("waits_for", ""),
    )


def past_columns(told: Sequence[Mapping[str, Any]]) -> PastColumnsFigures | None:
    """None where nothing is computed, or all is there."""
    for facts in told:
        if facts["state"] != "ready":
            known = PastColumnsFigures.__struct_fields__
            return PastColumnsFigures(**{name: facts[name] for name in known if name in facts})
    return None
