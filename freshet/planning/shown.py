"""A plan as text."""

from __future__ import annotations

from collections.abc import Iterator

from freshet.figures import count, moment
from freshet.planning.changes import MEANINGS
from freshet.planning.plan import Plan, Planned, Refill

MEGABYTE = 1_000_000


def lines(plan: Plan) -> Iterator[str]:
    """For a person, line by line."""
    if not plan.changes:
        yield "everything goes on as it is declared"
        return
    for change in plan.changes:
        yield from _of(change)
    if plan.goes_on:
        yield f"as they are: {', '.join(plan.goes_on)}"
    for of in plan.compared:
        yield (
            f"view {of.view}: of {count(of.values)} values that model {of.model} was served "
            f"({count(of.questions)} questions, the oldest) {count(of.unequal)} come out otherwise "
            f"of the past ({of.unequal / of.values:.1%})"
        )
    if any(change.refill is not None for change in plan.changes):
        how = plan.measured or "which this run has not measured yet"
        yield f"times are for {count(plan.rate)} records a second, {how}"


def _of(change: Planned) -> Iterator[str]:
    meaning = MEANINGS[change.kind]
    yield f"{change.thing} is {change.how}: {change.kind} ({meaning})"
    for difference in change.differences:
        yield f"  {difference}"
    if change.refill is not None:
        yield f"  {_refilled(change.refill)}"
    if change.learn_anew:
        yield f"  learns from them, then takes part: {', '.join(change.learn_anew)}"
        yield "  of columns that were not logged it learns what can be known of the past"
    if change.start_cold:
        yield f"  starts cold, from what is asked from then on: {', '.join(change.start_cold)}"
    for kept in change.kept_by:
        yield (
            f"  read by snapshot {kept.number} of {kept.model} {kept.lineage}, which is served "
            f"({kept.why}): the old version's rows are needed as long as that is"
        )
    for feature, at in change.complete_from.items():
        when = f"{moment(at)} UTC"
        yield f"  {feature} is complete from {when} on, null until then: older records are gone"


def _refilled(refill: Refill) -> str:
    minutes = f"{refill.minutes:.1f} minutes"
    if refill.minutes < 1:
        minutes = f"{refill.minutes * 60:.0f} seconds"
    return (
        f"refilled from {moment(refill.from_ms)} UTC to now: {count(refill.records)} records, "
        f"{refill.bytes / MEGABYTE:,.1f} MB, about {minutes}"
    )
