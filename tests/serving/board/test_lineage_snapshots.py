"""Of a lineage's snapshots, what was told again counts once."""

from __future__ import annotations

from freshet.schemas.wire.messages import Cut, Verdict
from freshet.serving.board.lineage_snapshots import LineageSnapshots


def cut(x: LineageSnapshots, number: int, digest: str | None = "0" * 64) -> None:
    x.cut(Cut("m", "x", number, number * 10, digest, {}))


def judge(x: LineageSnapshots, number: int, approved: bool, *reasons: str) -> None:
    x.judge(Verdict("m", "x", number, number * 10, "0" * 64, approved, list(reasons)))


def test_refusals_are_counted_and_the_newest_says_why() -> None:
    x = LineageSnapshots()
    for number, approved in ((1, True), (2, False), (3, True)):
        cut(x, number)
        judge(x, number, approved, "too large", "too slow")
    assert (x.cuts, x.number, x.tick, x.approvals, x.refusals) == (3, 3, 30, 2, 1)
    assert (x.approved, x.refused, x.reasons) == (3, 2, "snapshot 2: too large; too slow")


def test_what_a_resumed_trainer_tells_again_counts_once() -> None:
    x = LineageSnapshots()
    for number in (1, 2, 1, 2):
        cut(x, number)
        judge(x, number, True)
    assert (x.cuts, x.approvals, x.number) == (2, 2, 2)


def test_a_learner_that_is_only_compared_with_others_has_no_refusals() -> None:
    x = LineageSnapshots()
    cut(x, 1, digest=None)
    judge(x, 1, False, "its learner has no arrays to export")
    assert (x.cuts, x.refusals, x.refused) == (1, 0, None)
    assert "no arrays" in x.reasons
