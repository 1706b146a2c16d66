"""What an app for a sample declares: which fields are what, over which windows, and, where a field
could be a label, a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from freshet.samples.column_profile import LONGEST
from freshet.samples.proposal import Proposal, Proposed
from freshet.samples.roles import Roles, is_key_type, is_label_type
from freshet.samples.text import type_text
from freshet.scaffold.outcome import Outcome, is_number, outcome_of, why_none
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.times import TEXT

# Each a whole number of tenths of the one before, which are the tiles that two windows share.
WINDOWS = ("1m", "10m", "1h", "6h", "1d", "7d", "28d", "364d")
# Parts of a sample's span that the shorter window is, at most: in a longer one little moves.
PARTS = 100
SNAPSHOTS = 50  # over the span of the sample
MOST_AVERAGED = 3
MOST_CATEGORIES = 1_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Fields that somebody named, by role; empty: as proposed."""

    event_id: str = ""
    event_time: str = ""
    key: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """An app to be written. `windows` are the shorter and the longer one; `outcome` is what is
    predicted of the label."""

    name: str
    event_id: Proposed | None
    event_time: Proposed
    source: Proposed | None
    key: Proposed | None
    label: Proposed | None
    outcome: Outcome | None
    windows: tuple[str, str]
    snapshot_every: str
    averaged: Sequence[Proposed]
    asked: Sequence[Proposed]
    remarks: Sequence[str]


def plan(proposal: Proposal, roles: Roles, chosen: Chosen) -> Plan:
    """Decide what the app declares.

    Raises:
        DefinitionError: a chosen field is none, or cannot be what it was chosen for; or there is
            no time to go by.
    """
    event_id = _identity(proposal, chosen.event_id, "--event-id") or roles.event_id
    event_time = _field(proposal, chosen.event_time, "--event-time") or roles.event_time
    label = _chosen_label(proposal, chosen.label) or roles.label
    key = _identity(proposal, chosen.key, "--key") or _usual_key(roles, event_id, label)
    if event_time is None:
        raise DefinitionError(
            f"sample {proposal.name}",
            "has no field that is a time in every row, and windows go by time",
            "Name the field with --event-time, or write one: ISO 8601, or numbers since 1970.",
        )
    if event_time.unit is None:
        raise DefinitionError(
            f"--event-time {event_time.name}",
            "holds no times between 1990 and 2100",
            "Write them as ISO 8601, or as numbers since 1970.",
        )
    remarks = []
    if label is not None and (why := why_none(label)):
        remarks.append(why)
        label = None
    if label is not None and event_id is None:
        remarks.append(f"no model: a label ({label.name}) needs an event_id to belong to")
        label = None
    if label is not None and key is None and not _asked(proposal, event_id, event_time, label):
        remarks.append(f"no model: beside its label ({label.name}) there is nothing to learn from")
        label = None
    taken = [field for field in (event_id, event_time, key, label) if field is not None]
    others = [field for field in proposal.values if field not in taken]
    span_ms = _span_ms(event_time)
    outcome = None
    if label is not None:
        outcome = outcome_of(label)
    return Plan(
        topic_name(proposal.name),
        event_id,
        event_time,
        roles.source,
        key,
        label,
        outcome,
        windows(span_ms),
        _at_least(span_ms / SNAPSHOTS),
        [field for field in others if is_number(field)][:MOST_AVERAGED],
        _asked(proposal, *taken),
        remarks,
    )


def topic_name(name: str) -> str:
    """
    >>> topic_name("Order.v1")
    'order_v1'
    """
    return re.sub(r"[^a-z0-9_]", "_", name.lower()).lstrip("_0123456789")[:48] or "events"


def _field(proposal: Proposal, name: str, option: str) -> Proposed | None:
    """By its name in the schema, or by that of its column."""
    if not name:
        return None
    for field in proposal.values:
        if name in (field.name, field.column):
            return field
    known = ", ".join(field.name for field in proposal.values)
    raise DefinitionError(f"{option} {name}", "is no field of the sample", f"Its fields: {known}.")


def _identity(proposal: Proposal, name: str, option: str) -> Proposed | None:
    """A chosen field whose values tell things apart."""
    field = _field(proposal, name, option)
    if field is None or is_key_type(field):
        return field
    what = "a key"
    if option == "--event-id":
        what = "an id"
    raise DefinitionError(
        f"{option} {name}",
        f"holds values of type {type_text(field.type)}, which {what} cannot be of",
        "Name a field of texts, whole numbers or truths.",
    )


def _chosen_label(proposal: Proposal, name: str) -> Proposed | None:
    """A chosen field whose values are outcomes."""
    field = _field(proposal, name, "--label")
    if field is None:
        return None
    if not is_label_type(field):
        raise DefinitionError(
            f"--label {name}",
            f"holds values of type {type_text(field.type)}, which a label cannot be of",
            "Name a field of truths, numbers or texts.",
        )
    if why_none(field):
        raise DefinitionError(
            f"--label {name}",
            f"has texts of more than {LONGEST} characters, and one of them would be what counts "
            "as positive",
            "Publish a shorter name of each outcome.",
        )
    return field


def _usual_key(roles: Roles, event_id: Proposed | None, label: Proposed | None) -> Proposed | None:
    """The likeliest key that has no other role."""
    free = (field for field in roles.keys if field not in (event_id, label))
    return next(free, None)


def _span_ms(time: Proposed) -> int:
    """From the earliest to the latest time of the sample."""
    measures = time.profile.measures
    if measures.first_ms is not None and measures.last_ms is not None:
        return measures.last_ms - measures.first_ms
    per_ms = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}[time.unit or "ms"]
    return round(((measures.highest or 0) - (measures.lowest or 0)) * per_ms)


def windows(span_ms: int) -> tuple[str, str]:
    """The longest window that comes a hundred times in a span, and the one after it.

    >>> windows(86_400_000), windows(0)
    (('10m', '1h'), ('1m', '10m'))
    """
    fitting = [at for at, one in enumerate(WINDOWS) if milliseconds(one) * PARTS <= span_ms]
    # The last of them has none after it.
    at = min(max(fitting, default=0), len(WINDOWS) - 2)
    return WINDOWS[at], WINDOWS[at + 1]


def _at_least(ms: float) -> str:
    """The shortest of the durations that is not shorter."""
    return next((one for one in WINDOWS if milliseconds(one) >= ms), WINDOWS[-1])


def _asked(proposal: Proposal, *taken: Proposed | None) -> list[Proposed]:
    """The fields of a question that have no other role."""
    return [field for field in proposal.values if field not in taken and _can_be_asked(field)]


def _can_be_asked(field: Proposed) -> bool:
    """Whether a model can read it of a request: a number, or a text of few values."""
    if is_number(field) or field.type == "boolean":
        return True
    few = field.profile.all_told_apart and field.profile.distinct <= MOST_CATEGORIES
    return field.type == "string" and field.unit != TEXT and few
