"""Which fields of a proposal could be an event's id, its time, its source, a key of views, and a
label: candidates in order, the first is proposed."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.samples import values as kinds
from freshet.samples.names import IDS, LABELS, SOURCES, TIMES, says, words
from freshet.samples.proposal import Proposal, Proposed
from freshet.schemas.events.field import FLOATS, INTEGERS, KEY_TYPES
from freshet.schemas.events.times import TEXT

# Rows that a key has on average, at least: a row of features about one event says nothing.
ROWS_A_KEY = 3
MOST_SOURCES = 1_000
# Share of neighbours that do not fall, from which on rows count as being in order of a time.
IN_ORDER = 0.95


@dataclass(frozen=True, slots=True)
class Roles:
    """Candidates by role, the likeliest first; the singular is that one, if there is any."""

    event_ids: tuple[Proposed, ...]
    event_times: tuple[Proposed, ...]
    sources: tuple[Proposed, ...]
    keys: tuple[Proposed, ...]
    labels: tuple[Proposed, ...]

    @property
    def event_id(self) -> Proposed | None:
        return next(iter(self.event_ids), None)

    @property
    def event_time(self) -> Proposed | None:
        return next(iter(self.event_times), None)

    @property
    def source(self) -> Proposed | None:
        return next(iter(self.sources), None)

    @property
    def key(self) -> Proposed | None:
        return next(iter(self.keys), None)

    @property
    def label(self) -> Proposed | None:
        return next(iter(self.labels), None)


def find_roles(proposal: Proposal) -> Roles:
    """Look for them; a field has one role at most, but that a source may be a key."""
    fields = list(proposal.values)
    times = sorted(filter(_could_be_time, fields), key=_as_time, reverse=True)
    labels = [
        field
        for field in fields
        if says(field.column, LABELS) and is_binary(field) and is_label_type(field)
    ]
    others = [field for field in fields if field not in times and field not in labels]
    ids = sorted(filter(_could_be_id, others), key=_as_id, reverse=True)
    keys = [field for field in others if _could_be_key(field) and field not in ids]
    keys.sort(key=_as_key, reverse=True)
    sources = [
        field
        for field in keys
        if says(field.column, SOURCES) and field.profile.distinct <= MOST_SOURCES
    ]
    return Roles(tuple(ids), tuple(times), tuple(sources), tuple(keys), tuple(labels))


def is_binary(field: Proposed) -> bool:
    """Whether it is true or false, or has two values."""
    return field.type == "boolean" or field.profile.distinct == 2


def order_share(field: Proposed) -> float:
    """Of neighbouring rows, how many do not fall."""
    measures = field.profile.measures
    return measures.in_order / max(1, measures.pairs)


def is_key_type(field: Proposed) -> bool:
    """Whether keys and ids may be of its type, also with a logicalType."""
    return _plain_type(field) in KEY_TYPES


def is_label_type(field: Proposed) -> bool:
    """Whether a label may be of its type: a truth, a number that is no time, a text."""
    if _plain_type(field) == "string":
        return True
    return field.type in ("boolean", *INTEGERS, *FLOATS)


def _plain_type(field: Proposed) -> str:
    """Its type without what that stands for."""
    kind = field.type
    if isinstance(kind, dict):
        kind = kind["type"]
    return str(kind)


def _always_there(field: Proposed) -> bool:
    """Whether every row has a value."""
    return field.profile.present == field.profile.rows


def _could_be_time(field: Proposed) -> bool:
    """That its numbers lie between 1990 and 2100 is little: its name or its order has to say it,
    too."""
    if field.unit is None or not _always_there(field):
        return False
    is_number = field.unit != TEXT and not isinstance(field.type, dict)
    if not is_number:
        return True
    return says(field.column, TIMES) or order_share(field) >= IN_ORDER


def _as_time(field: Proposed) -> tuple[bool, bool, float, int]:
    """A time of day beats a date, rows in its order beat others."""
    measures = field.profile.measures
    has_clock = field.unit != "d" and measures.dates < max(1, measures.times)
    return has_clock, says(field.column, TIMES), order_share(field), field.profile.distinct


def _could_be_id(field: Proposed) -> bool:
    """Whether it tells every row from every other."""
    if not is_key_type(field) or not _always_there(field):
        return False
    if not field.profile.unique:
        return False
    # Of one row everything is unique.
    if field.profile.rows < 2:
        return False
    if field.type != "string":
        return True
    # A text with spaces is a description, however unique.
    return not any(" " in str(text) for text in field.profile.examples)


def _as_id(field: Proposed) -> tuple[bool, bool, bool]:
    """What is called an id first, then UUIDs, then texts."""
    said = words(field.column)
    is_uuid = isinstance(field.type, dict)
    return bool(said) and said[-1] in IDS, is_uuid, field.type == "string"


def _could_be_key(field: Proposed) -> bool:
    """Whether it says whom an event is about: a value that comes again."""
    profile = field.profile
    if not is_key_type(field) or not _always_there(field):
        return False
    if not profile.all_told_apart or profile.missing:
        return False
    # A truth has two values, and a time is nobody.
    if field.type == "boolean" or field.unit is not None:
        return False
    # What is counted has a value for each event, whom it is about comes again.
    return 2 <= profile.distinct <= profile.rows / ROWS_A_KEY


def _as_key(field: Proposed) -> tuple[bool, bool, int, bool]:
    """Identifiers first, then texts, then numbers; of alike ones that of more values, and of a
    value that is there twice the one that is in no record."""
    said = words(field.column)
    has_id = bool(said) and said[-1] in IDS
    return has_id, _is_text(field), field.profile.distinct, "." not in field.name


def _is_text(field: Proposed) -> bool:
    """Whether its values are texts, by what they are in the sample."""
    return field.profile.count(kinds.TEXT) > 0
