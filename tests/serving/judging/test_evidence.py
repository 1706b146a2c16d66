"""Evidence of the same labels is the same bits, wherever they are cut, and what a loop finds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.serving.judging.betting_kernels import BETS, HOLDS, STAKES, WORSE
from freshet.serving.judging.evidence import (
    MOST_SLICES,
    OTHER,
    Evidence,
    all_slices,
    mean_of,
)
from freshet.serving.judging.losses import Span
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import REACH, Policy

SPAN = Span(-2.0, 2.0)
POLICIES = {
    "binary": Policy(
        Binary(),
        [
            Gate("brier", no_worse_by=0.01),
            Gate("log_loss", no_worse_by=0.0, than="frozen"),
            Gate("auc", at_least=0.6),
            Gate("true_positive_rate_ratio", slice="carrier", cut_off=0.5, at_least=0.8),
        ],
        ["carrier", "origin"],
    ),
    "classes": Policy(Classes(["a", "b", "c"]), [Gate("brier", no_worse_by=0.01)], ["carrier"]),
    "many classes": Policy(
        Classes([str(i) for i in range(20)]),
        [Gate(metric, no_worse_by=0.01) for metric in ("brier", "log_loss", "accuracy")],
        ["carrier"],
    ),
    "regression": Policy(Regression(), [Gate("mse", no_worse_by=0.01)], ["carrier"], SPAN),
}


def drawn(task: Task, count: int, seed: int = 0) -> Labelled:
    """With answers that are no numbers, and references that said nothing, among them."""
    rng = np.random.default_rng(seed)
    label = (rng.random(count) < 0.3).astype(float)
    own, other = rng.random((2, count))
    if task.kind == "classes":
        own, other = rng.dirichlet([1] * task.width, (2, count))
        label = rng.integers(0, task.width, count).astype(float)
    if task.kind == "regression":
        own, other, label = rng.normal(0, 2, (3, count))
    own[rng.random(count) < 0.02] = math.nan
    other[rng.random(count) < 0.05] = math.nan
    slices = {"carrier": rng.choice(["AA", "UA", "OO"], count)}
    slices["origin"] = rng.choice(["JFK", "LGA"], count)
    return Labelled(label, own, {"champion": other, "frozen": other[::-1].copy()}, slices)


def part(rows: Labelled, first: int, end: int) -> Labelled:
    return rows.where(np.isin(np.arange(len(rows.labels)), np.arange(first, end)))


@pytest.mark.parametrize("kind", list(POLICIES))
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), again=st.booleans())
def test_any_cuts_and_restarts_give_the_same_bits(kind: str, cuts: list[int], again: bool) -> None:
    policy = POLICIES[kind]
    rows = drawn(policy.task, 120)
    whole = Evidence(policy)
    whole.update(rows)
    found = Evidence(policy)
    edges = [0, *sorted(cuts), 120]
    for first, end in pairwise(edges):
        found.update(part(rows, first, end))
        if again:
            found = Evidence.restored(policy, found.checkpoint())
    assert found.digest == whole.digest
    assert found.names == whole.names


def test_it_is_what_a_loop_over_labels_finds() -> None:
    policy = POLICIES["binary"]
    rows = drawn(policy.task, 200)
    found = Evidence(policy)
    found.update(rows)
    for row, name in [(0, ""), *all_slices(found)]:
        wealth = STAKES.tolist()
        peaks = [1.0, 1.0]
        count = 0
        total = 0.0
        for i in range(200):
            mine = (f"carrier={rows.slices['carrier'][i]}", f"origin={rows.slices['origin'][i]}")
            own = float(rows.answers[i])
            other = float(rows.references["champion"][i])
            label = float(rows.labels[i])
            if (name and name not in mine) or own != own:
                continue
            count += 1
            total += (own - label) * (own - label)
            if other != other:
                continue
            difference = (own - label) * (own - label) - (other - label) * (other - label)
            if_true = abs((own - 1.0) * (own - 1.0) - (other - 1.0) * (other - 1.0))
            apart = max(abs(own * own - other * other), if_true)
            weight = REACH / max(apart, REACH)
            gains = [(difference - 0.01) / 1.01, weight * (0.01 - difference) / (REACH + 0.01)]
            for direction, gain in enumerate(gains):
                summed = 0.0
                for k, share in enumerate(BETS.tolist()):
                    wealth[direction][k] *= 1.0 + share * gain
                    summed += wealth[direction][k]
                peaks[direction] = max(peaks[direction], summed / len(BETS))
        assert [found.peak(direction, 0, row) for direction in (WORSE, HOLDS)] == peaks
        assert found.sums("brier", row).labels == count
        assert found.sums("brier", row).total == total
        assert mean_of(found, "brier", row) == total / count


def test_answers_that_are_no_numbers_are_counted_and_are_no_evidence() -> None:
    policy = POLICIES["regression"]
    rows = Labelled(
        np.array([0.0, 1.0, 2.0]),
        np.array([math.nan, math.inf, 1.0]),
        {"champion": np.ones(3)},
        {"carrier": np.array(["AA", "AA", "AA"])},
    )
    found = Evidence(policy)
    found.update(rows)
    assert found.odd == 2
    assert found.sums("mse", 0).labels == 1


def test_slices_beyond_the_most_share_one() -> None:
    policy = Policy(Binary(), [Gate("brier", no_worse_by=0.0)], ["city"])
    count = MOST_SLICES + 20
    names = np.array([f"c{i}" for i in range(count)])
    answers = np.full(count, 0.5)
    rows = Labelled(np.ones(count), answers, {"champion": answers}, {"city": names})
    found = Evidence(policy)
    found.update(rows)
    slices = all_slices(found)
    assert len(slices) == MOST_SLICES + 1
    assert slices[-1][1] == OTHER
    assert found.sums("brier", slices[-1][0]).labels == 20


def test_other_gates_and_a_lacking_slice_are_refused() -> None:
    found = Evidence(POLICIES["classes"])
    with pytest.raises(DefinitionError, match="other gates"):
        Evidence.restored(POLICIES["binary"], found.checkpoint())
    rows = drawn(POLICIES["classes"].task, 5)
    with pytest.raises(DefinitionError, match="no slice 'carrier'"):
        found.update(rows._replace(slices={}))
