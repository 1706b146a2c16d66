"""What a model of a sample's label predicts, and by what expression of its field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from freshet.samples.column_profile import LONGEST, is_cut
from freshet.samples.proposal import Proposed
from freshet.samples.roles import is_binary
from freshet.samples.values import NUMBERS, kind_of, kind_of_text

# More texts than that are rather names than kinds of outcomes.
MOST_CLASSES = 20
HASHED = "fr.HashedLogistic()"
_POSITIVE = frozenset({"1", "true", "yes", "y", "t", "up", "positive", "late", "fraud", "spam"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` is the Polars expression of the label; `task` are the lines of the model's task
    (none: true or false), `learner` is who carries it, `fallback` what answers before there is a
    model. `note` stands beside the label where somebody has to decide."""

    value: str
    task: Sequence[str]
    learner: str
    fallback: str
    note: str = ""


def outcome_of(label: Proposed) -> Outcome:
    """Two values are true or false, more numbers are numbers, a few texts are classes. Of more
    texts the most common one is true."""
    column = f'pl.col("{label.name}")'
    if label.type == "boolean" or is_binary(label):
        return _binary(label, column)
    if is_number(label):
        return _regression(label, column)
    if _has_few_texts(label):
        return _classes(label, column)
    return _of_many_texts(label, column)


def why_none(label: Proposed) -> str:
    """Why there can be no model of it; empty: there can be."""
    if label.type == "boolean" or is_number(label) or not _is_cut(label):
        return ""
    return (
        f"no model: the value of its label ({label.name}) that would count as positive has "
        f"more than {LONGEST} characters"
    )


def is_number(field: Proposed) -> bool:
    """Whether it is a number that is no time."""
    return field.type in ("int", "long", "float", "double") and field.unit is None


def _binary(label: Proposed, column: str) -> Outcome:
    values = label.profile.values
    total = values.total()
    if label.type == "boolean":
        positive = sum(n for value, n in values.items() if str(value).strip().lower() == "true")
        return _true_where(column, positive / total)
    if is_number(label):
        highest = max(_numbers(label), key=float)
        return _true_where(f"{column} == {_literal(highest, label)}", values[highest] / total)
    positive = _positive(label)
    return _true_where(f"{column} == {_text(positive)}", values[positive] / total)


def _true_where(value: str, share: float, note: str = "") -> Outcome:
    # Neither certain: one mistake of that kind would cost more than all others.
    likely = min(max(share, 0.01), 0.99)
    return Outcome(value, (), HASHED, f"fr.constant({likely:.2f})", note)


def _regression(label: Proposed, column: str) -> Outcome:
    counts = sorted((float(value), n) for value, n in _numbers(label).items())
    sums = list(accumulate(n for _, n in counts))
    middle = next((value for (value, _), below in zip(counts, sums) if 2 * below >= sums[-1]), 0.0)
    task = ("    task=fr.Regression(),",)
    return Outcome(column, task, "fr.HashedLinear()", f"fr.constant({middle!r})")


def _classes(label: Proposed, column: str) -> Outcome:
    values = label.profile.values
    task = [
        "    task=fr.Classes(",
        "        [",
        *(f"            {_text(name)}," for name in sorted(values)),
        "        ]",
        "    ),",
    ]
    usual = values.most_common(1)[0][0]
    return Outcome(column, task, HASHED, f"fr.constant({_text(usual)})")


def _of_many_texts(label: Proposed, column: str) -> Outcome:
    values = label.profile.values
    usual = values.most_common(1)[0][0]
    note = "  # the sample's most common one: say which is meant"
    return _true_where(f"{column} == {_text(usual)}", values[usual] / values.total(), note)


def _has_few_texts(label: Proposed) -> bool:
    profile = label.profile
    few = profile.all_told_apart and 2 < profile.distinct <= MOST_CLASSES
    # An empty text names nothing.
    return few and all(value and not is_cut(value) for value in profile.values)


def _positive(label: Proposed) -> Any:
    """Of two texts the one that says yes, else the rarer one: that is what is worth a warning."""
    values = label.profile.values
    said = [value for value in values if str(value).lower() in _POSITIVE]
    return (said or sorted(values, key=lambda value: values[value]))[0]


def _is_cut(label: Proposed) -> bool:
    """Whether it is positive where it has a text that was not kept whole."""
    if is_binary(label):
        return is_cut(_positive(label))
    if _has_few_texts(label):
        return False
    return is_cut(label.profile.values.most_common(1)[0][0])


def _numbers(label: Proposed) -> dict[Any, int]:
    """How often each number comes; a slip among them is none."""
    found = {}
    for value, times in label.profile.values.items():
        kind = kind_of(value)
        if isinstance(value, str):
            kind = kind_of_text(value)
        if kind in NUMBERS:
            found[value] = times
    return found


def _literal(value: Any, label: Proposed) -> str:
    """A number as Python writes it, of the type of its field."""
    if label.type in ("int", "long"):
        return str(int(value))
    return repr(float(value))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
