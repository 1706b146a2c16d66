"""Inconclusive never serves: every combination of what can be known."""

from __future__ import annotations

from itertools import product

from freshet.serving.judging.outcomes import FAIL, INCONCLUSIVE, PASS, Known, all_of, outcome_of

LABELS = (0, 1, 999, 1_000, 5_000)
EITHER = (False, True)


def test_of_all_that_can_be_known_only_full_knowledge_passes() -> None:
    """Told another way than the code does: what a pass needs, and what a failure."""
    seen = set()
    for ran, finite, figure, labels, against, kept in product(
        EITHER, EITHER, EITHER, LABELS, EITHER, EITHER
    ):
        found = outcome_of(Known(ran, finite, figure, labels, 1_000, against, kept))
        measured = ran and finite and figure and labels > 0
        passes = measured and labels >= 1_000 and kept and not against
        fails = measured and against
        assert (found.outcome == PASS) == passes
        assert (found.outcome == FAIL) == fails
        assert (found.outcome == INCONCLUSIVE) == (not passes and not fails)
        seen.add(found.reason)
    assert seen == {
        *("job_failed", "not_finite", "no_labels", "no_figure"),
        *("bound_broken", "few_labels", "bound_kept", "undecided"),
    }


def test_nothing_known_does_not_pass() -> None:
    assert outcome_of(Known()).outcome == INCONCLUSIVE


def test_gates_pass_together_or_not() -> None:
    every = (PASS, FAIL, INCONCLUSIVE)
    for count in range(4):
        for several in product(every, repeat=count):
            found = all_of(several)
            assert (found == FAIL) == (FAIL in several)
            assert (found == PASS) == (count > 0 and several.count(PASS) == count)
