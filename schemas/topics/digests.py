"""Digests of what is declared: another digest, another thing.

What is stored of a declared thing (checkpoints, logs, rows, snapshots) bears its digest in its
name. So a thing that is declared as before finds what it had, and one that is declared otherwise
begins beside it.

A digest is made of *facts*: by name, in words, all that changes results, and the digests of the
things upstream. The same facts tell a person what has changed.

    topic ──▶ view ──▶ lineage
      └── of the label ──▶ model ──▲

What does not change results is no fact: pacing, freshness and its bounds, owners, descriptions,
slices, rungs, when to release. Nor are settings that may be changed live (`lateness`, `max_future`,
`label_wait`), which take effect at a recorded offset.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from freshet.schemas.avro.leaves import canonical
from freshet.schemas.events.field import FLOATS, INTEGERS, LISTS, Field

if TYPE_CHECKING:
    import polars as pl

DIGITS = 8  # of a digest, in names
Facts = Mapping[str, str]
_DETAIL = re.compile(r" #[0-9a-f]+")


def digest_of(facts: Facts) -> str:
    """8 hex digits that change with any fact, whatever their order.

    >>> digest_of({"key": "city", "tile": "1m"}) == digest_of({"tile": "1m", "key": "city"})
    True
    """
    return hashed(json.dumps(sorted(facts.items())))


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def detailed(text: str, whole: str) -> str:
    """A fact that is shown as `text`, and differs wherever `whole` does."""
    return f"{text} #{hashed(whole)}"


def shown(fact: str) -> str:
    """A fact as a person reads it.

    >>> shown(detailed("x > 1", "everything about it"))
    'x > 1'
    """
    return _DETAIL.sub("", fact)


def of_expression(expression: pl.Expr) -> str:
    """A Polars expression, by all that Polars writes of it. Helpers that made it have done so: what
    they made is seen, whatever their text."""
    text = re.sub(r"\(dyn \w+: ([^)]*)\)", r"\1", " ".join(str(expression).split()))
    try:
        whole = expression.meta.serialize(format="json")
    # One that Polars cannot write, or that is none: the app is refused for it, and says why.
    except Exception:
        whole = text
    return detailed(text, whole)


def fields_read(expression: pl.Expr) -> set[str]:
    """The fields that an expression reads."""
    if not hasattr(expression, "meta"):  # it is none, and refused with the app
        return set()
    # A column without a name is an item of a list.
    return {name for name in expression.meta.root_names() if name}


def of_field(field: Field) -> str:
    """Of what kind a field's values are, and which of them are refused. Numbers are one kind:
    schemas may widen them, and equal ones stay equal."""
    told = [field.key_kind or "number"]
    if field.type in (*INTEGERS, *FLOATS):
        told = ["number"]
    if field.type in ("bytes", "decimal", *LISTS):
        told = [field.type, json.dumps(canonical(field.node)) if field.node is not None else ""]
    if field.required:
        told.append("required")
    if field.range is not None:
        told.append("range " + " to ".join(field.bounds_text))
    if field.domain is not None:
        told.append("domain " + ", ".join(sorted(field.domain)))
    if field.fallback is not None:
        told.append(f"{field.fallback} for unknown symbols")
    if field.has_default and field.default is not None:
        told.append(f"default {field.default!r}")
    return ", ".join(told)


def has_rule(field: Field) -> bool:
    """Whether an event may be refused for it, beyond its type."""
    rules = (field.range, field.domain, field.fallback)
    return field.required or any(rule is not None for rule in rules)
