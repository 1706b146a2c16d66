"""Names of columns: what their words say of what they hold; and names for what has none."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from freshet.schemas.avro_names import avro_name

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
TIMES = frozenset(
    {"at", "time", "times", "ts", "timestamp", "date", "datetime", "when", "created", "updated"}
    | {"epoch", "occurred", "day"}
)
IDS = frozenset({"id", "ids", "uuid", "guid", "key", "number", "no", "num", "code", "nr"})
SOURCES = frozenset(
    {"source", "device", "sensor", "station", "host", "site", "store", "shop", "meter", "machine"}
    | {"origin", "region", "country", "state"}
)
LABELS = frozenset(
    {"label", "target", "class", "outcome", "churn", "churned", "fraud", "clicked", "converted"}
    | {"default", "defaulted", "survived", "spam", "cancelled", "returned", "late"}
)


def words(name: str) -> list[str]:
    """
    >>> words("createdAt"), words("user_id"), words("HTTPCode")
    (['created', 'at'], ['user', 'id'], ['http', 'code'])
    """
    return [word.lower() for word in _WORDS.findall(name)]


def says(name: str, of: Collection[str]) -> bool:
    """Whether a word of a name is one of these."""
    return any(word in of for word in words(name))


def told_apart(avro: Any, taken: set[str]) -> Any:
    """An Avro type, or a field, whose records have names of their own: those that are taken are
    numbered, and all of them are taken from then on.

    >>> told_apart({"type": "record", "name": "a", "fields": []}, {"a", "a_2"})
    {'type': 'record', 'name': 'a_3', 'fields': []}
    """
    if isinstance(avro, list):
        return [told_apart(one, taken) for one in avro]
    if not isinstance(avro, dict):
        return avro
    found = dict(avro)
    if found.get("type") == "record":
        found["name"] = avro_name(found["name"], taken)
        taken.add(found["name"])
    for part in ("type", "fields", "items"):
        if part in found:
            found[part] = told_apart(found[part], taken)
    return found


def own_name(sample: str) -> str:
    """What events of a sample may be called: a name that topics take.

    >>> own_name("old/Orders-2013.csv.gz"), own_name("orders.v1"), own_name("2013.csv")
    ('orders', 'orders_v1', 'events')
    """
    base = Path(sample).name
    suffix = re.search(r"\.(parquet|pq|csv|tsv|jsonl|ndjson|json)(\.gz)?$", base, re.IGNORECASE)
    if suffix is not None:
        # Numbers behind a file's name say which part of the data it holds.
        base = re.sub(r"[-_. ]*\d[-\d_]*$", "", base[: suffix.start()])
    name = avro_name(base, ()).lower().lstrip("_0123456789")[:63].rstrip("_")
    if not name or name == "column":
        return "events"
    return name
