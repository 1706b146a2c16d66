"""The release policy as a table: what is known, what is done, and a word of the reason."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.learners.release_config import ReleaseConfig
from freshet.serving.release.policy import (
    Keep,
    LineageStanding,
    Promote,
    Reference,
    Standing,
    decide,
)

CONFIG = ReleaseConfig(min_examples=100, margin=0.01, hold_ms=1000, no_worse_by=0.02)


def lineage(
    name: str, loss: float, examples: int = 500, approved: int | None = 1
) -> LineageStanding:
    return LineageStanding(name, approved, examples, loss)


def standing(
    *lineages: LineageStanding,
    champion: str | None = "a",
    now: int = 5000,
    since: int = 0,
    reference: float | None = None,
) -> Standing:
    return Standing(
        now,
        champion,
        since,
        lineages,
        None if reference is None else Reference("frozen", reference),
    )


TABLE = [
    # nobody can be promoted without an approved snapshot
    (standing(champion=None), Keep, "no lineage"),
    (standing(lineage("a", 0.5, approved=None), champion=None), Keep, "no lineage"),
    (standing(lineage("a", 0.5), lineage("b", 0.1, approved=None)), Keep, "no challenger"),
    # no champion yet: the best approved one, measured ones first
    (standing(lineage("a", 0.5), lineage("b", 0.4), champion=None), "b", "no champion yet"),
    (
        standing(lineage("a", 0.5), lineage("b", 0.1, examples=3), champion=None),
        "a",
        "no champion yet",
    ),
    (
        standing(lineage("a", math.nan, 0), lineage("b", 0.9, 3), champion=None),
        "b",
        "no champion yet",
    ),
    (
        standing(lineage("b", math.nan, 0), lineage("a", math.nan, 0), champion=None),
        "a",
        "no champion yet",
    ),
    (standing(lineage("a", 0.5, approved=None), lineage("b", 0.6)), "b", "a has no approved"),
    (standing(lineage("b", 0.6), champion="gone"), "b", "gone has no approved"),
    # hysteresis
    (standing(lineage("a", 0.5), lineage("b", 0.4)), "b", "20.00% better"),
    (standing(lineage("a", 0.5), lineage("b", 0.4), lineage("c", 0.45)), "b", "better"),
    (standing(lineage("a", 0.5), lineage("b", 0.496)), Keep, "1.00% better is needed"),
    (standing(lineage("a", 0.5), lineage("b", 0.6)), Keep, "20.00% worse"),
    (standing(lineage("a", 0.5), lineage("b", 0.4, examples=99)), Keep, "no challenger has 100"),
    (standing(lineage("a", 0.5, examples=99), lineage("b", 0.4)), Keep, "a has 99 of 100"),
    (standing(lineage("a", math.nan), lineage("b", 0.4)), Keep, "a has"),
    (standing(lineage("a", 0.5), lineage("b", math.nan)), Keep, "no challenger"),
    (standing(lineage("a", 0.5), lineage("b", 0.4), since=4500), Keep, "has stood"),
    (standing(lineage("a", 0.5), lineage("b", 0.4), since=4000), "b", "better"),
    # a frozen reference: better than the champion is not enough
    (standing(lineage("a", 0.5), lineage("b", 0.4), reference=0.39), Keep, "frozen has 0.3900"),
    (standing(lineage("a", 0.5), lineage("b", 0.4), reference=0.395), "b", "better"),
    (standing(lineage("a", 0.5), lineage("b", 0.4), reference=math.nan), "b", "better"),
]


@pytest.mark.parametrize(("state", "wanted", "word"), TABLE)
def test_the_alias_moves_as_the_table_says(state: Standing, wanted: object, word: str) -> None:
    got = decide(state, CONFIG)
    assert word in got.reason
    if isinstance(wanted, str):
        assert isinstance(got, Promote)
        assert got.lineage == wanted
    else:
        assert got.__class__ is wanted


lineages = st.builds(
    LineageStanding,
    st.sampled_from("abcd"),
    st.none() | st.integers(0, 3),
    st.integers(0, 300),
    st.sampled_from([0.0, 0.3, 0.301, 0.31, 0.5, math.nan, math.inf]),
)


@given(
    st.lists(lineages, max_size=4, unique_by=lambda x: x.lineage),
    st.none() | st.sampled_from("abcd"),
)
def test_a_promotion_done_is_not_done_again_and_never_goes_to_one_without_a_snapshot(
    them: list[LineageStanding], champion: str | None
) -> None:
    state = Standing(5000, champion, 0, tuple(them))
    first = decide(state, CONFIG)
    assert decide(state, CONFIG) == first
    if isinstance(first, Promote):
        assert next(x for x in them if x.lineage == first.lineage).approved is not None
        assert first.lineage != champion
        after = decide(Standing(5000, first.lineage, 5000, tuple(them)), CONFIG)
        assert isinstance(after, Keep)


def test_many_small_losses_do_not_ratchet() -> None:
    """Each champion is a little better than the last in its own window; all are worse than the
    frozen one."""
    config = ReleaseConfig(min_examples=1, margin=0.0, hold_ms=0, no_worse_by=0.02)
    frozen, champion, loss = 0.40, "a", 0.40
    for step in range(100):
        drifted = loss * 1.01
        state = standing(
            lineage(champion, drifted * 1.001),
            lineage("next", drifted),
            champion=champion,
            now=step,
            reference=frozen,
        )
        if isinstance(decide(state, config), Promote):
            champion, loss = f"c{step}", drifted
    assert loss <= frozen * 1.02
