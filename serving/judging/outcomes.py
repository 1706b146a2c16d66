"""What follows from what is known: pass, fail, or inconclusive, which never serves. Pure, and a
table: `tests/serving/judging/test_outcomes.py` goes over every combination."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PASS = "pass"
FAIL = "fail"
INCONCLUSIVE = "inconclusive"


class Known(NamedTuple):
    """Of a gate, in a slice."""

    ran: bool = True  # whatever gathers the evidence has not failed
    is_finite: bool = True  # every answer of the candidate was a number
    has_figure: bool = True  # the figure means something, of these labels
    labels: int = 0
    min_labels: int = 1
    is_against: bool = False  # surely enough, the bound is broken
    is_for: bool = False  # surely enough, it is kept


class Outcome(NamedTuple):
    """And why, in one word."""

    outcome: str
    reason: str


def outcome_of(known: Known) -> Outcome:
    """The first that applies. What could not be measured comes first, then harm: a broken bound
    does not wait for `min_labels`, since a test that holds at every moment holds early, too."""
    if not known.ran:
        return Outcome(INCONCLUSIVE, "job_failed")
    if not known.is_finite:
        return Outcome(INCONCLUSIVE, "not_finite")
    if not known.labels:
        return Outcome(INCONCLUSIVE, "no_labels")
    if not known.has_figure:
        return Outcome(INCONCLUSIVE, "no_figure")
    if known.is_against:
        return Outcome(FAIL, "bound_broken")
    if known.labels < known.min_labels:
        return Outcome(INCONCLUSIVE, "few_labels")
    if known.is_for:
        return Outcome(PASS, "bound_kept")
    return Outcome(INCONCLUSIVE, "undecided")


def all_of(outcomes: Iterable[str]) -> str:
    """Of several that must all pass: failing is stronger than not knowing, and nothing at all has
    not passed."""
    found = set(outcomes)
    if FAIL in found:
        return FAIL
    if found == {PASS}:
        return PASS
    return INCONCLUSIVE
