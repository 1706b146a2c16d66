"""What PromQL queries ask for: enough of the language to know metrics and labels by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CLAUSE = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\b\s*\(([^()]*)\)")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(?:\{([^{}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_WORDS = frozenset(("and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"))  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A selector of a query: the metric, and the labels that its matchers and the aggregations
    around it name."""

    metric: str
    labels: frozenset[str]


def asked(query: str) -> list[Asked]:
    """Every selector of a query.

    >>> found = asked('sum by (topic) (rate(freshet_x_total{fate!="applied"}[5m])) > on (app) freshet_y')
    >>> [(x.metric, sorted(x.labels)) for x in found]
    [('freshet_x_total', ['fate', 'topic']), ('freshet_y', [])]
    """
    plain = _STRING.sub('""', query)
    plain = re.sub(r"\[[^\]]*\]", lambda m: " " * len(m[0]), plain)  # ranges
    around = list(_aggregations(plain))
    bare = _CLAUSE.sub(lambda m: " " * len(m[0]), plain)
    found = []
    for m in _SELECTOR.finditer(bare):
        if m[1] not in _WORDS and not re.fullmatch(r"\d.*|[eE]\d*", m[1]):
            labels = set(_MATCHER.findall(m[2] or ""))
            labels |= {x for first, last, by in around if first <= m.start() < last for x in by}
            found.append(Asked(m[1], frozenset(labels)))
    return found


def matched(query: str) -> set[str]:
    """The labels that vectors are matched on (`on`, `group_left`, `group_right`): each is of some
    selector of the query."""
    clauses = _CLAUSE.findall(_STRING.sub('""', query))
    return {
        x
        for kind, names in clauses
        if kind in ("on", "group_left", "group_right")
        for x in _names(names)
    }


def _aggregations(query: str) -> Iterator[tuple[int, int, set[str]]]:
    """Where the argument of each `… by (labels) (argument)` begins and ends, and the labels."""
    for m in _CLAUSE.finditer(query):
        if m[1] != "by":
            continue
        first = query.index("(", m.end())
        depth = 0
        for at in range(first, len(query)):
            depth += {"(": 1, ")": -1}.get(query[at], 0)
            if depth == 0:
                yield first, at, _names(m[2])
                break


def _names(text: str) -> set[str]:
    return {x.strip() for x in text.split(",") if x.strip()}
