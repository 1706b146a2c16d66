"""Cuts wait for the others of their tick, and what was said of them goes with it."""

from __future__ import annotations

import pytest

from freshet.schemas.wire.messages import Cut, Verdict
from freshet.serving.release import open_cuts
from freshet.serving.release.open_cuts import OpenCuts, key_of

DIGEST = "0" * 64


def cut(lineage: str = "river-1", number: int = 1, tick: int = 1_000) -> Cut:
    rolling = {"n": 0, "log_loss": None}
    return Cut("late", lineage, number, tick, DIGEST, {"rolling": rolling})


def verdict(of: Cut) -> Verdict:
    return Verdict(of.model, of.lineage, of.number, of.tick, of.digest, True, [])


def test_a_tick_is_whole_once_each_lineage_has_cut_and_a_cut_said_again_is_one() -> None:
    cuts = OpenCuts()
    for said in (cut(), cut()):
        cuts.add(said)
    assert cuts.cuts(1_000) == (cut(),)
    assert cuts.missing(1_000, ("river-1", "baseline-1")) == {"baseline-1"}
    cuts.add(cut("baseline-1"))
    assert not cuts.missing(1_000, ("river-1", "baseline-1"))


def test_ticks_come_in_their_order_whenever_their_cuts_came() -> None:
    cuts = OpenCuts()
    for tick in (3_000, 1_000, 2_000):
        cuts.add(cut(tick=tick))
    assert cuts.ticks() == [1_000, 2_000, 3_000]


def test_closing_a_tick_lets_go_of_all_before_it_and_of_what_was_decided_of_them() -> None:
    cuts = OpenCuts()
    for tick in (1_000, 2_000, 3_000):
        cuts.add(cut(tick=tick))
        cuts.decide(verdict(cut(tick=tick)))
        cuts.believe(cut(tick=tick))
    cuts.close(2_000)
    assert cuts.ticks() == [3_000]
    assert cuts.verdict(cut(tick=1_000)) is None
    assert not cuts.has_genuine(2_000)
    assert cuts.verdict(cut(tick=3_000)) == verdict(cut(tick=3_000))


def test_a_tick_is_overdue_once_its_patience_is_over_and_never_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuts = OpenCuts()
    cuts.add(cut())
    assert not cuts.is_overdue(1_000)
    monkeypatch.setattr(open_cuts, "PATIENCE_SECONDS", -1.0)
    assert cuts.is_overdue(1_000)
    assert not cuts.is_overdue(2_000)


def test_a_cut_that_differs_in_anything_is_another() -> None:
    assert len({key_of(said) for said in (cut(), cut(number=2), cut("b-1"), cut(tick=1))}) == 4
