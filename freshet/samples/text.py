"""What was proposed, and why, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from freshet.figures import count
from freshet.samples.proposal import Proposal, Proposed, percent
from freshet.samples.roles import IN_ORDER, Roles, order_share
from freshet.schemas.shown_text import printable

MOST_NAMED = 4  # candidates of a role
WIDEST = 36  # characters of a cell
HEAD = ("field", "type", "present", "distinct", "examples", "rule")


def lines(proposal: Proposal, roles: Roles, sample: str) -> list[str]:
    """How a proposal came to what it says."""
    rows = f"{count(proposal.rows)} rows"
    told = [f"{sample}: {rows}, {len(proposal.fields)} fields", ""]
    told += table([HEAD, *(_row(field) for field in proposal.fields)])
    told.append("")
    told += _roles(roles)
    told += _remarks(proposal)
    return [printable(line) for line in told]


def _row(field: Proposed) -> Sequence[str]:
    profile = field.profile
    distinct = count(profile.distinct)
    if not profile.all_told_apart:
        distinct = f"over {distinct}"
    name = field.name
    if field.column != field.name:
        name = f"{field.name} ← {field.column!r}"
    examples = ", ".join(_shown(value) for value in profile.examples)
    return (
        name,
        type_text(field.avro["type"]),
        percent(profile.present, profile.rows),
        distinct,
        examples,
        _rule(field),
    )


def _shown(value: Any) -> str:
    """A value as it is told."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return str(value)


def _rule(field: Proposed) -> str:
    """What of its values is checked."""
    if "domain" in field.avro:
        return f"domain of {len(field.avro['domain'])}"
    if "range" in field.avro:
        low, high = field.avro["range"]
        return f"range {low} to {high}"
    return ""


def type_text(avro: Any) -> str:
    """
    >>> type_text(["null", {"type": "string", "logicalType": "uuid"}])
    'uuid or null'
    """
    if isinstance(avro, list):
        inner = " or ".join(type_text(kind) for kind in avro if kind != "null")
        return f"{inner} or null"
    if isinstance(avro, dict):
        return str(avro.get("logicalType", avro["type"]))
    return str(avro)


def _roles(roles: Roles) -> Iterable[str]:
    """A line for each role."""
    none_unique = "none: no field is present and unique in every row, so each record is an event"
    yield _role("event_id", roles.event_ids, none_unique, _id)
    yield _role("event_time", roles.event_times, "none: no field is a time in every row", _time)
    yield _role("source", roles.sources, "none: no field is called one")
    yield _role("keys", roles.keys, "none: no field comes three times a value", _key)
    yield _role("labels", roles.labels, "none: no field of two values is called one")


def _role(name: str, found: Sequence[Proposed], none: str, more: Any = None) -> str:
    """The first candidate, and the names of some others."""
    if not found:
        return f"{name:12}{none}"
    first = found[0].name
    if more is not None and more(found[0]):
        first = f"{first} ({more(found[0])})"
    others = [field.name for field in found[1:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        others.append(f"{len(found) - MOST_NAMED} more")
    if others:
        return f"{name:12}{first}; also {', '.join(others)}"
    return f"{name:12}{first}"


def _id(field: Proposed) -> str:
    """How far it is known to be unique."""
    if field.profile.all_told_apart:
        return ""
    return f"unique among its first {count(field.profile.distinct)} values"


def _time(field: Proposed) -> str:
    """What a time is, and whether rows are in its order."""
    counted = {"text": "ISO 8601", "d": "days"}.get(field.unit or "", f"{field.unit} since 1970")
    order = "in order"
    if order_share(field) < IN_ORDER:
        order = f"{100 * order_share(field):.0f} % in order"
    if not field.zoned:
        counted += ", without a zone"
    return f"{counted}, {order}"


def _key(field: Proposed) -> str:
    """How many keys there are."""
    profile = field.profile
    a_key = profile.rows / max(1, profile.distinct)
    return f"{count(profile.distinct)} values, {count(a_key)} rows each"


def _remarks(proposal: Proposal) -> Iterable[str]:
    """What has to be looked at."""
    if proposal.broken:
        yield f"no rows     {count(proposal.broken)}, such as {proposal.first_broken!r}"
    for column, why in proposal.left_out.items():
        yield f"left out    {column}: {why}"
    for field in proposal.fields:
        for doubt in field.doubts:
            yield f"look at     {field.name}: {doubt}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells under each other; the first row is the head."""
    cut = [[_cut(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cut) for i in range(len(cut[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cut
    ]


def _cut(cell: str) -> str:
    """A cell of one line, not too wide."""
    # Line breaks of the data would break the table.
    cell = printable(cell)
    if len(cell) > WIDEST:
        return f"{cell[: WIDEST - 1]}…"
    return cell
