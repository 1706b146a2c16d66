"""Comparisons of two learners' answers to flights, by the judge's own evidence and verdicts."""

from __future__ import annotations

import numpy as np

from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary
from freshet.schemas.models.vectors import F64
from freshet.serving.judging.evidence import Evidence
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import Policy
from freshet.serving.judging.verdict import judge
from tests.bench.judged_flights import I64, flights


def policy(margin: float, min_labels: int = 1) -> Policy:
    gate = Gate("brier", no_worse_by=margin, min_labels=min_labels)
    return Policy(Binary(), [gate], ["carrier"])


def labelled(own: F64, other: F64, which: I64) -> Labelled:
    year = flights()
    slices = {"carrier": year.carriers[which]}
    return Labelled(year.labels[which], own[which], {"champion": other[which]}, slices)


def part(rows: Labelled, first: int, end: int) -> Labelled:
    kept = np.zeros(len(rows.labels), np.bool_)
    kept[first:end] = True
    return rows.where(kept)


def labels_until(given: Policy, rows: Labelled, direction: int) -> tuple[int, Evidence]:
    """The label at which a test first reaches 1 / α, found by halving cuts; one more than there are
    where it does not."""
    wanted = 1 / given.alpha
    evidence = Evidence(given)
    count = len(rows.labels)
    for first in range(0, count, 100):
        before = evidence.checkpoint()
        evidence.update(part(rows, first, first + 100))
        if evidence.peak(direction, 0, 0) < wanted:
            continue
        evidence = Evidence.restored(given, before)
        for i in range(first, count):
            evidence.update(part(rows, i, i + 1))
            if evidence.peak(direction, 0, 0) >= wanted:
                return i + 1, evidence
    return count + 1, evidence


def starts(rng: np.random.Generator, count: int, length: int) -> list[int]:
    found = rng.integers(20_000, len(flights().labels) - length - 1_000, count)
    return [int(start) for start in found]


def halted(rows: Labelled, margin: float = 0.0) -> bool:
    given = policy(margin)
    evidence = Evidence(given)
    evidence.update(rows)
    return judge(given, evidence).outcome == "fail"


def decided(given: Policy, rows: Labelled) -> str:
    """The first verdict that is one, looked for every 250 labels."""
    evidence = Evidence(given)
    for first in range(0, len(rows.labels), 250):
        evidence.update(part(rows, first, first + 250))
        outcome = judge(given, evidence).outcome
        if outcome != "inconclusive":
            return outcome
    return "inconclusive"
