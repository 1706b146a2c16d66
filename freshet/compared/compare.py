"""What differs between two runs: a pure function of what both have left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from freshet.compared.difference import (
    DEFINITIONS,
    FATES,
    QUALITY,
    ROWS,
    SETTINGS,
    Comparison,
    Difference,
    Value,
)
from freshet.compared.rows import KEY, Rows, values_of
from freshet.compared.side import Side, Values
from freshet.schemas.text.keys import parts_of
from freshet.schemas.topics.digests import shown

DECLARED = "declared"
OF_B = " of b"  # no feature's name has a space


def compare(a: Side, b: Side, names: tuple[str, str]) -> Comparison:
    """`names` are what a person calls both."""
    until = (_until(a), _until(b))
    # The later one: rows can be taken on in time, and not back.
    as_of_ms = max((at for at in until if at is not None), default=0)
    parts = {
        SETTINGS: (a.settings, b.settings),
        FATES: (a.fates, b.fates),
        QUALITY: (a.quality, b.quality),
    }
    found = list(_definitions(a, b))
    counts = {DEFINITIONS: len({*a.facts, *b.facts})}
    for part, (of_a, of_b) in parts.items():
        found += _values(part, of_a, of_b)
        counts[part] = sum(len({*of_a[thing], *of_b[thing]}) for thing in _both(of_a, of_b))
    counts[ROWS] = 0
    for thing in _both(a.rows, b.rows):
        differences, count = _rows(
            thing,
            a.rows[thing],
            b.rows[thing],
            as_of_ms,
        )
        found += differences
        counts[ROWS] += count
    return Comparison(
        *names,
        *until,
        found,
        counts,
        list(_not_compared(a, b, names)),
    )


def _until(side: Side) -> int | None:
    """How far the rows of all views have come."""
    clocks = [rows.clock_ms for rows in side.rows.values()]
    return min((clock for clock in clocks if clock is not None), default=None)


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [thing for thing in a if thing in b]


def _definitions(a: Side, b: Side) -> Iterator[Difference]:
    for thing in dict.fromkeys([*a.facts, *b.facts]):
        if thing not in b.facts:
            yield Difference(DEFINITIONS, thing, "", DECLARED, None)
        elif thing not in a.facts:
            yield Difference(DEFINITIONS, thing, "", None, DECLARED)
    of_a = {thing: _shown(facts) for thing, facts in a.facts.items()}
    of_b = {thing: _shown(facts) for thing, facts in b.facts.items()}
    yield from _values(DEFINITIONS, of_a, of_b)


def _shown(facts: Mapping[str, str]) -> dict[str, Value]:
    return {name: shown(fact) for name, fact in facts.items()}


def _values(part: str, a: Values, b: Values) -> Iterator[Difference]:
    """Of things that both have: others are told of among the definitions."""
    for thing in _both(a, b):
        for what in dict.fromkeys([*a[thing], *b[thing]]):
            of_a = a[thing].get(what)
            of_b = b[thing].get(what)
            if of_a != of_b:
                yield Difference(part, thing, what, of_a, of_b)


def _rows(view: str, a: Rows, b: Rows, as_of_ms: int) -> tuple[list[Difference], int]:
    """What differs between the rows of a view, and how many values were compared."""
    of_a = values_of(a, as_of_ms)
    of_b = values_of(b, as_of_ms)
    found = []
    if of_a.height != of_b.height:
        found.append(Difference(ROWS, view, "rows", of_a.height, of_b.height))
    for which, missing in (
        ("b", of_a.join(of_b, KEY, "anti")),
        ("a", of_b.join(of_a, KEY, "anti")),
    ):
        if missing.height:
            what = f"rows that {which} lacks, such as {_key(missing[KEY][0])}"
            counts = (missing.height, 0) if which == "b" else (0, missing.height)
            found.append(Difference(ROWS, view, what, *counts))
    features = [name for name in of_a.columns if name in of_b.columns and name != KEY]
    both = of_a.join(of_b, KEY, suffix=OF_B, maintain_order="left")
    for name in features:
        other = both.filter(~pl.col(name).eq_missing(pl.col(f"{name}{OF_B}")))
        if other.height:
            what = f"{name}: other in {other.height} of {both.height} rows, such as "
            of_key = other.row(0, named=True)
            what = f"{what}{_key(of_key[KEY])}"
            found.append(Difference(ROWS, view, what, of_key[name], of_key[f"{name}{OF_B}"]))
    return found, both.height * len(features)


def _key(text: str) -> str:
    """As a person writes it."""
    return ", ".join("–" if part is None else part for part in parts_of(text)) or "its only row"


def _not_compared(a: Side, b: Side, names: tuple[str, str]) -> Iterator[str]:
    for side, name in zip((a, b), names):
        for thing in sorted(side.stale):
            yield f"{thing}: the app's file of {name} declares it otherwise by now"
    for thing in _both(a.rows, b.rows):
        for side, name in zip((a, b), names):
            if side.rows[thing].clock_ms is None:
                yield f"rows of {thing}: {name} has made no checkpoint of them"
