"""Alerts of fields whose values have moved, and of features that are asked on otherwise than was
learned; see `freshet.serving.alerts.policy`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from freshet.serving.alerts.bounds import AlertBounds, Recent
from freshet.serving.status.measures import said
from freshet.serving.status.status import Alert, DriftFigures, StatisticsFigures, Status


def drift(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The values of a field are unlike those that they are compared with."""
    now = status.clock.app_ms
    for topic in status.topics:
        told = set()
        for found in topic.statistics.drifts:
            subject = f"{topic.name}/{found.source or 'all sources'}/{found.field}"
            # The newest first: of a field that goes on drifting one hour says it.
            if subject in told or now is None or now - found.hour_ms > bounds.drift_ms:
                continue
            told.add(subject)
            yield Alert(
                policy="drift",
                subject=subject,
                # Amber: nothing of ours is broken, and it may be the world that has changed.
                light="amber",
                reason=_moved(found, topic.statistics.reference),
                meaning=f"Models that read {found.field} of {topic.name} see what they have not "
                "learned from.",
                next_step=f"Look at `freshet statistics {topic.name} --field {found.field}`, and "
                f"ask whoever produces {topic.name} what has changed. If it is meant to be so, "
                + _how_it_ends(topic.statistics),
            )


def skew(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A model is asked on values of a feature that are unlike those that it learned from."""
    now = status.clock.app_ms
    for model in status.models:
        for found in model.skewed:
            if now is None or now - found.hour_ms > bounds.drift_ms:
                continue
            yield Alert(
                policy="skew",
                subject=f"{model.name}/{found.field}",
                light="amber",
                reason=_moved(found, f"the newest vectors that {model.name} learned from"),
                meaning=f"Model {model.name} answers on values of {found.field} that it has not "
                "learned from.",
                next_step=f"Look at `freshet statistics --model {model.name}`, and ask who sends "
                f"{found.field}, or whoever feeds its view, what has changed: a unit, a default, a "
                "field that is left out. If it is meant to be so, it ends once labels have come.",
            )


def _how_it_ends(statistics: StatisticsFigures) -> str:
    if statistics.is_fixed:
        return "declare another reference in fr.Statistics."
    return "it is what is usual after four weeks."


def _moved(found: DriftFigures, reference: str) -> str:
    share = f"{found.share:.0%} in place of {found.usual_share:.0%}"
    beside = f"(PSI {found.psi:.2f}, L∞ {found.largest:.2f})"
    # Of categories in vectors only hashes are known.
    if not found.moved:
        return f"{_beyond(found, reference)} {beside}"
    return f"{_beyond(found, reference)}. Most moved: {found.moved}, {share} {beside}"


def _beyond(found: DriftFigures, reference: str) -> str:
    hour = datetime.fromtimestamp(found.hour_ms / 1000, UTC)
    when = f"in the hour from {hour:%d %b %Y %H:%M} UTC on"
    usual = f"{found.reference_events} of {reference}"
    if found.measure == "unseen":
        return (
            f"{when}, {found.distance:.0%} of the values of {found.events} events are none that "
            f"{usual} had; {min(1.0, found.bound):.0%} is the bound"
        )
    if found.measure != "jensen_shannon":
        return f"{when}, of {found.events} events {said(found)}; beside {usual}"
    return (
        f"{when}, {found.events} events are {found.distance:.2f} (Jensen–Shannon) from {usual}; "
        f"{found.bound:.2f} is the bound"
    )
