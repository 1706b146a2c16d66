"""The schema that a sample would have: an Avro field for each column, with presence, domain and
range where the sample is evidence enough, and a word on whatever is in doubt.

Presence and domains follow `infer_schema` of TensorFlow Data Validation 1.16: what was present in
every row is required of every row, and only texts of few distinct values have a domain (100 there;
fewer here, since what breaks a domain is set aside and not merely reported).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from freshet.samples import values as kinds
from freshet.samples.column_profile import Profile, Profiles
from freshet.samples.column_types import Told, told_type
from freshet.samples.names import TIMES, own_name, says, told_apart, words
from freshet.schemas.avro_names import avro_name

MOST_WORDS = 32  # of a domain
# Of each of them. Were a word commoner than the rarest seen so often and yet unseen, the sample
# would be an odd one: by Good and Turing's estimate unseen ones have next to no share.
FEWEST_SIGHTS = 5
# Quantities that cannot lie elsewhere, by the last word of their name. What a sample happened to
# hold is no bound of what may come, so no other range is proposed.
RANGES: dict[str, tuple[int, int]] = {
    "lat": (-90, 90),
    "latitude": (-90, 90),
    "lon": (-180, 180),
    "lng": (-180, 180),
    "longitude": (-180, 180),
    "month": (1, 12),
    "hour": (0, 23),
    "minute": (0, 59),
    "probability": (0, 1),
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A field and the column it is for. `unit` is what the field counts as a time (`text`: ISO
    8601), None where it is none; `doubts` are for people to look at, `within` the fields of a
    record."""

    column: str
    name: str
    avro: dict[str, Any]
    profile: Profile
    unit: str | None = None
    zoned: bool = True
    doubts: tuple[str, ...] = ()
    within: tuple[Proposed, ...] = ()

    @property
    def type(self) -> Any:
        """Its Avro type without null."""
        found = self.avro["type"]
        if isinstance(found, list):
            return found[1]
        return found


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a sample's schema would be. `left_out` says of columns that no field can be for, why."""

    name: str
    fields: tuple[Proposed, ...]
    left_out: Mapping[str, str]
    rows: int
    broken: int
    first_broken: str

    @property
    def values(self) -> Iterator[Proposed]:
        """Its fields, and those within records that every row has, called by their paths."""
        for field in self.fields:
            yield from _values(field)

    @property
    def schema(self) -> dict[str, Any]:
        # The names of records within others are made of paths, of which two may give one name.
        records = {self.name}
        return {
            "type": "record",
            "name": self.name,
            "doc": f"Proposed from {self.rows:,} rows.",
            "schema_id": 1,
            "version": 1,
            "fields": [told_apart(field.avro, records) for field in self.fields],
        }


def _values(field: Proposed) -> Iterator[Proposed]:
    yield field
    # What is within a record is counted by the records that there are.
    if field.profile.present < field.profile.rows:
        return
    for inner in field.within:
        path = f"{field.name}.{inner.name}"
        called = replace(inner, column=path, name=path)
        yield from _values(called)


def propose(sample: str, found: Profiles, as_text: bool, name: str = "") -> Proposal:
    """A schema for what was found in a sample."""
    left_out: dict[str, str] = {}
    fields: list[Proposed] = []
    # A column that has such a name keeps it, wherever it stands.
    reserved = {column for column in found.columns if avro_name(column, ()) == column}
    for column, profile in found.columns.items():
        taken = {field.name for field in fields} | reserved - {column}
        proposed = propose_field(column, profile, as_text, taken)
        if isinstance(proposed, str):
            left_out[column] = proposed
        else:
            fields.append(proposed)
    return Proposal(
        name or own_name(sample),
        tuple(fields),
        left_out,
        found.rows,
        found.broken,
        found.first_broken,
    )


def propose_field(
    column: str, profile: Profile, as_text: bool, taken: Collection[str], within: str = ""
) -> Proposed | str:
    """A field for a column; a text says why there can be none. `within` is before the names of
    records in it: those of a schema are defined once."""
    if not profile.present:
        return "no row has a value, so nothing tells its type"
    name = avro_name(column, taken)
    told = _told(column, profile, as_text, f"{within}{name}")
    if told.left_out:
        return told.left_out
    avro: dict[str, Any] = {"name": name, "type": told.type}
    if name != column:
        avro["aliases"] = [column]
    present = profile.present
    if told.type == "string":
        # In a text nobody can tell NA from a text that says so: they stay what they are.
        present += profile.missing.total()
    avro["doc"] = f"Present in {percent(present, profile.rows)} of {profile.rows:,} rows."
    if present < profile.rows:
        avro["type"] = ["null", told.type]
        avro["default"] = None
    domain = domain_of(profile, told)
    if domain is not None:
        avro["domain"] = domain
    bounds = _range(column, profile, told)
    if bounds is not None:
        avro["range"] = bounds
    doubts = (*told.doubts, *_doubts(column, profile, told))
    return Proposed(
        column,
        name,
        avro,
        profile,
        told.unit,
        told.zoned,
        doubts,
        told.within,
    )


def _told(column: str, profile: Profile, as_text: bool, path: str) -> Told:
    """What most of the values tell: nested ones, or plain ones."""
    nested = profile.count(*kinds.NESTED)
    if nested and 2 * nested > profile.present:
        return _nested(profile, path)
    return told_type(column, profile, as_text)


def _nested(profile: Profile, path: str) -> Told:
    """A record or an array, where event schemas take them."""
    is_object = profile.count(kinds.OBJECT) >= profile.count(kinds.LIST)
    if is_object:
        fields: list[Proposed] = []
        for column, child in profile.children.items():
            taken = [field.name for field in fields]
            inner = propose_field(column, child, False, taken, f"{path}_")
            if not isinstance(inner, str):
                fields.append(inner)
        if not fields:
            return Told(left_out="holds objects without a field of a known type")
        record = {
            "type": "record",
            "name": f"{path}_record",
            "fields": [field.avro for field in fields],
        }
        return Told(record, within=tuple(fields))
    if profile.items is None or not profile.items.present:
        return Told(left_out="holds empty lists, so nothing tells their type")
    item = propose_field("item", profile.items, False, [], f"{path}_")
    if isinstance(item, str):
        return Told(left_out=f"holds lists of what has no type: {item}")
    told = Told({"type": "array", "items": item.avro["type"]})
    if not item.within:
        return told
    return replace(told, doubts=("holds records: with explode= each is an event of its own",))


def domain_of(profile: Profile, told: Told) -> list[str] | None:
    """The words of a column of texts, where there are few and each was seen often enough."""
    is_plain_text = told.type == "string" and told.unit is None
    if not is_plain_text or not profile.all_told_apart or profile.missing:
        return None
    # Long texts are no words, and are not kept as they are.
    if profile.has_cut:
        return None
    # Of another kind: whether these are words is in doubt already.
    if profile.count(kinds.TEXT) < profile.present and profile.count(kinds.BINARY):
        return None
    if not 2 <= profile.distinct <= MOST_WORDS:
        return None
    if min(profile.values.values()) < FEWEST_SIGHTS:
        return None
    return sorted(map(str, profile.values))


def _range(column: str, profile: Profile, told: Told) -> list[int] | None:
    """The bounds of a quantity that its name says, where the sample keeps them."""
    said = words(column)
    if told.type not in ("int", "long", "float", "double") or not said or said[-1] not in RANGES:
        return None
    low, high = RANGES[said[-1]]
    lowest = profile.measures.lowest
    highest = profile.measures.highest
    # Another unit, or another meaning: the name promised too much.
    if lowest is None or highest is None or lowest < low or highest > high:
        return None
    return [low, high]


def _doubts(column: str, profile: Profile, told: Told) -> list[str]:
    """What only people can settle."""
    doubts = []
    if profile.missing:
        said = ", ".join(f"{text!r} ({n:,})" for text, n in profile.missing.most_common(3))
        if told.type == "string":
            doubts.append(f"{said} may stand for no value; as texts they stay what they are")
        else:
            doubts.append(f"{said} taken for no value")
    measures = profile.measures
    if told.type == "string" and told.unit is None and says(column, TIMES) and not measures.times:
        doubts.append("is called a time, and is not written as ISO 8601, which is what is read")
    return doubts


def percent(part: int, whole: int) -> str:
    """Never 100 % of less than all.

    >>> percent(99_999, 100_000), percent(1, 3)
    ('99.99 %', '33.33 %')
    """
    share = 100 * part / max(1, whole)
    if part < whole:
        share = min(share, 99.99)
    return f"{share:.4g} %"
