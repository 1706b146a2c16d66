"""Metrics as rows of a table: a name, and where in a tree of facts its values are. What is not
there is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any, Literal, NamedTuple

from prometheus_client import Metric

LONGEST_LABEL = 128  # characters: a longer value of a label is cut
_MARK = re.compile(r"\{(\w+)(?::([^}]+))?\}")
_TEXTS = re.compile(r"\[([\w,]+)\]$")
Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric, and the `path` of its values in the facts, which are times `unit` the metric's own.

    A path names keys from the root, parted by `/`. `{label}` stands for any key (or part of one,
    without `:` and `.`) and labels the sample with it; `{label:50}` for the first 50 keys,
    `{label:a|b}` for these keys. `[a,b]` after a key labels the sample with the texts `a` and `b`
    that lie there; alone it stands for the items of a list.

    The value of a histogram is `{"le": upper bounds, "counts": one more than bounds, not cumulated,
    "sum": their sum}`.

    >>> path = "view:{view}:{partition}/keys"
    >>> views = Figure("gauge", "freshet_view_keys", "Keys of a view.", path)
    >>> (metric,) = families([views], {"view:delay:0": {"keys": 7}}, {})
    >>> [(sample.labels, sample.value) for sample in metric.samples]
    [({'view': 'delay', 'partition': '0'}, 7.0)]
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    path: str
    unit: float = 1.0


def families(
    table: Iterable[Figure], facts: Mapping[str, Any], constant: Mapping[str, str]
) -> Iterator[Metric]:
    """The metrics of a table that these facts have, each sample with the `constant` labels, too.
    Facts of another shape, and values that are no finite numbers (or moments before 1970), are left
    out: this raises nothing."""
    for figure in table:
        metric = Metric(figure.name.removesuffix("_total"), figure.help, figure.kind)
        seen = set()
        for labels, value in _walk(facts, _steps(figure.path), {}):
            key = tuple(labels.values())
            if key not in seen:  # values that were cut may have become one
                seen.add(key)
                _add(metric, figure, {**constant, **labels}, value)
        if metric.samples:
            yield metric


def _add(metric: Metric, figure: Figure, labels: Labels, value: Any) -> None:
    if figure.kind == "histogram":
        _add_histogram(metric, labels, value)
        return
    number = _number(value)
    if number is not None and not (number < 0 and figure.name.endswith("_timestamp_seconds")):
        exact = number if figure.unit == 1.0 else round(number * figure.unit, 6)
        metric.add_sample(figure.name, labels, exact)


def _add_histogram(metric: Metric, labels: Labels, value: Any) -> None:
    if not isinstance(value, Mapping):
        return
    bounds = _numbers(value.get("le"))
    counts = _numbers(value.get("counts"))
    total = _number(value.get("sum"))
    if bounds is None or counts is None or total is None or len(counts) != len(bounds) + 1:
        return
    upto = 0.0
    # As Prometheus has them: each bucket with all that are below it, the last with all.
    for bound, count in zip((*map(str, bounds), "+Inf"), counts):
        upto += count
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, upto)
    metric.add_sample(f"{metric.name}_count", labels, upto)
    metric.add_sample(f"{metric.name}_sum", labels, total)


def _number(value: Any) -> float | None:
    """A finite number, or None. Numbers of numpy are numbers, too."""
    if not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _numbers(values: Any) -> list[float] | None:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return None
    found: list[float] = []
    for value in values:
        number = _number(value)
        if number is None:
            return None
        found.append(number)
    return found


class _Step(NamedTuple):
    """One key of a path: `key` is itself, a pattern, or None for the items of a list."""

    key: str | re.Pattern[str] | None
    most: int | None
    texts: tuple[str, ...]


@cache
def _steps(path: str) -> tuple[_Step, ...]:
    return tuple(_step(part) for part in path.split("/"))


def _step(part: str) -> _Step:
    key = part
    texts: tuple[str, ...] = ()
    named = _TEXTS.search(part)
    if named:
        key = part[: named.start()]
        texts = tuple(named[1].split(","))
    marks = list(_MARK.finditer(key))
    if not marks:
        return _Step(key or None, None, texts)
    most = next((int(mark[2]) for mark in marks if (mark[2] or "").isdigit()), None)
    pattern = ""
    at = 0
    for mark in marks:
        plain = re.escape(key[at : mark.start()])
        pattern += f"{plain}(?P<{mark[1]}>{_matching(mark, key)})"
        at = mark.end()
    return _Step(re.compile(pattern + re.escape(key[at:]), re.DOTALL), most, texts)


def _matching(mark: re.Match[str], key: str) -> str:
    if mark[2] and not mark[2].isdigit():
        return "|".join(map(re.escape, mark[2].split("|")))
    # Alone, a mark is a whole key, whatever is in it; else what stands between two marks ends it.
    return ".+" if mark[0] == key else "[^:.]+"


def _walk(node: Any, steps: Sequence[_Step], labels: Labels) -> Iterator[tuple[Labels, Any]]:
    if not steps:
        yield labels, node
        return
    for more, child in _under(node, steps[0]):
        texts = _texts(child, steps[0].texts)
        if texts is not None:
            yield from _walk(child, steps[1:], {**labels, **more, **texts})


def _under(node: Any, step: _Step) -> Iterator[tuple[Labels, Any]]:
    """What lies under a node by a step, with the labels that its key gives."""
    if step.key is None:
        yield from (({}, child) for child in (node if isinstance(node, list) else ()))
    elif not isinstance(node, Mapping):
        return
    elif isinstance(step.key, str):
        if step.key in node:
            yield {}, node[step.key]
    else:
        # The first values only: of what data says there is no end, and each makes a series.
        left = len(node) if step.most is None else step.most
        for key, child in node.items():
            if left <= 0:
                return
            found = step.key.fullmatch(key) if isinstance(key, str) else None
            if found is None:
                continue
            left -= 1
            labels = {name: text[:LONGEST_LABEL] for name, text in found.groupdict().items()}
            yield labels, child


def _texts(node: Any, names: Sequence[str]) -> Labels | None:
    """Labels out of what lies in a node; None where one is missing."""
    if not names:
        return {}
    if not isinstance(node, Mapping) or not all(isinstance(node.get(name), str) for name in names):
        return None
    return {name: node[name][:LONGEST_LABEL] for name in names}
