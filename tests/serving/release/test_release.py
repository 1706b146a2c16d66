"""Release: every snapshot judged once, alias moved by policy, the same after a restart."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.contract import Export
from freshet.learners.model import Model
from freshet.learners.release_config import ReleaseConfig
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import Identity, SnapshotName
from freshet.schemas.wire.messages import Cut, Message, Ruling, Settled, Verdict, decode, encode
from freshet.serving.release import open_cuts
from freshet.serving.release.gate import GateBounds
from freshet.serving.release.judge import Judge
from freshet.serving.release.release import Release
from tests.odd_values import odd_records
from tests.toy_app import toy_app

HOUR = 3_600_000


class Desk:
    def __init__(self, path: Path) -> None:
        self.path, self.told = path, list[Message]()
        self.learned = 0  # by all lineages, as manifests say
        for who in ("trainer", "qualifier", "stranger"):
            create_key(path / who)
        config = ReleaseConfig(min_examples=10, margin=0.01, hold_ms=2 * HOUR)
        self.model: Model = replace(toy_app().models[0], release=config)
        self.baseline, self.hashed = (self.model.lineage(x) for x in self.model.learners)
        self.release = self.open()

    def open(self) -> Release:
        trainer, signer = Verifier.load(self.path / "trainer"), Signer.load(self.path / "qualifier")
        judge = Judge("toy", self.model, self.root, trainer, signer)
        return Release(judge, self.told.extend, patient=True)

    @property
    def root(self) -> Path:
        return self.path / "snapshots"

    def file(self, cut: Cut) -> Path:
        return snapshots.path_of(self.root, SnapshotName("toy", cut.model, cut.lineage, cut.number))

    def identity(self, cut: Cut) -> Identity:
        assert cut.digest is not None
        return Identity("toy", cut.model, cut.lineage, cut.number, cut.digest)

    def cut(
        self,
        which: int,
        number: int,
        hours: int,
        loss: float,
        signer: str = "trainer",
        **arrays: Any,
    ) -> Cut:
        spec = self.model.learners[which]
        export = spec.make(self.model.vectors).export()
        export = Export(export.kind, export.meta, {**export.arrays, **arrays})
        lineage = self.model.lineage(spec)
        facts = snapshots.Facts(
            "toy",
            "unpaid",
            lineage,
            number,
            self.model.vectors,
            hours * HOUR,
            self.learned,
            0,
        )
        which = snapshots.write(self.root, facts, export, Signer.load(self.path / signer))
        stats = {"rolling": {"n": 100, "log_loss": loss}}
        return Cut("unpaid", lineage, number, hours * HOUR, which.digest, stats)

    def hand(self, *cuts: Cut) -> list[Message]:
        before = len(self.told)
        for c in cuts:
            self.release.note(c)
        self.release.act()
        return self.told[before:]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_tick_is_settled_when_every_lineage_has_cut(desk: Desk) -> None:
    first = desk.hand(desk.cut(0, 1, 1, 0.6))
    assert [type(m) for m in first] == [Verdict]
    second = desk.hand(desk.cut(1, 1, 1, 0.5))
    assert [type(m) for m in second] == [Verdict, Settled]
    settled = second[-1]
    assert isinstance(settled, Settled)
    assert (settled.lineage, settled.number) == (desk.hashed, 1)


def test_the_alias_moves_only_after_the_hold_and_the_margin(desk: Desk) -> None:
    losses = [(0.5, 0.6), (0.6, 0.5), (0.6, 0.599), (0.6, 0.5)]
    served = []
    for hours, (base, hashed) in enumerate(losses, 1):
        told = desk.hand(desk.cut(0, hours, hours, base), desk.cut(1, hours, hours, hashed))
        settled = told[-1]
        assert isinstance(settled, Settled)
        served.append(settled.lineage)
    assert served == [desk.baseline, desk.baseline, desk.baseline, desk.hashed]


def test_an_approved_snapshot_verifies_and_a_refused_one_is_not_signed(desk: Desk) -> None:
    good, forged = desk.cut(0, 1, 1, 0.6), desk.cut(1, 1, 1, 0.5, signer="stranger")
    told = desk.hand(good, forged)
    verdicts = {m.lineage: m for m in told if isinstance(m, Verdict)}
    assert verdicts[desk.baseline].approved
    assert not verdicts[desk.hashed].approved
    assert "provenance" in verdicts[desk.hashed].reasons[0]
    trainer, qualifier = (
        Verifier.load(desk.path / "trainer"),
        Verifier.load(desk.path / "qualifier"),
    )
    assert (
        snapshots.read_verified(desk.root, desk.identity(good), trainer, qualifier).manifest.number
        == 1
    )
    assert not desk.file(forged).with_suffix(".approval.sig").exists()
    settled = told[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage == desk.baseline


def test_weights_that_are_not_finite_are_refused(desk: Desk) -> None:
    weights = np.full(1 << 10, np.nan, np.float32)
    told = desk.hand(desk.cut(0, 1, 1, 0.6), desk.cut(1, 1, 1, 0.1, weights=weights))
    refused = [m for m in told if isinstance(m, Verdict) and not m.approved]
    assert [m.lineage for m in refused] == [desk.hashed]
    assert "not finite" in refused[0].reasons[0]


def test_a_cut_that_came_while_its_tick_was_settled_is_not_judged_after_a_restart(
    desk: Desk,
) -> None:
    """Its place in the log is before the decision, which was made without it; its file may have
    been pruned since."""
    in_time = desk.cut(0, 1, 1, 0.6)
    late = desk.cut(1, 1, 1, 0.5)
    verdict = Verdict("unpaid", desk.baseline, 1, in_time.tick, in_time.digest, True, [])
    settled = Settled("unpaid", 1, in_time.tick, desk.baseline, 1, in_time.digest, "")
    for file in desk.file(late).parent.iterdir():
        file.unlink()
    assert desk.hand(in_time, verdict, late, settled) == []
    after = desk.hand(desk.cut(0, 2, 2, 0.6), desk.cut(1, 2, 2, 0.5))
    assert all(m.approved for m in after if isinstance(m, Verdict))
    assert isinstance(after[-1], Settled)


def test_after_a_restart_nothing_is_judged_or_settled_twice(desk: Desk) -> None:
    cuts = [desk.cut(0, 1, 1, 0.6), desk.cut(1, 1, 1, 0.5)]
    desk.hand(*cuts)
    history = [*cuts, *desk.told]
    desk.told.clear()
    desk.release = desk.open()
    for m in history:
        desk.release.note(m)
    desk.release.act()
    assert desk.told == []
    told = desk.hand(desk.cut(0, 2, 2, 0.4), desk.cut(1, 2, 2, 0.5))
    settled = told[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage == desk.hashed, (
        "the hold counts from the first promotion, which was before the restart"
    )


def test_only_the_newest_are_kept(desk: Desk) -> None:
    desk.release.keep = 3
    for n in range(1, 7):
        desk.hand(desk.cut(0, n, n, 0.6), desk.cut(1, n, n, 0.5))
    left = sorted(p.stem for p in (desk.root / "unpaid" / desk.hashed).glob("*.safetensors"))
    assert left == ["000004", "000005", "000006"]


def test_what_has_learned_nothing_is_not_served(desk: Desk) -> None:
    blank = (
        replace_stats(desk.cut(0, 1, 1, 0.6), learned=0),
        replace_stats(desk.cut(1, 1, 1, 0.5), learned=0),
    )
    settled = desk.hand(*blank)[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage is None
    learned = desk.hand(
        replace_stats(desk.cut(0, 2, 2, 0.6), learned=3),
        replace_stats(desk.cut(1, 2, 2, 0.5), learned=0),
    )
    settled = learned[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage == desk.baseline


def replace_stats(cut: Cut, **more: Any) -> Cut:
    return msgspec.structs.replace(cut, stats={**cut.stats, **more})


def copied(cut: Cut, **other: Any) -> Cut:
    return msgspec.structs.replace(cut, **other)


def served(told: list[Message]) -> tuple[str | None, int | None]:
    settled = told[-1]
    assert isinstance(settled, Settled)
    return settled.lineage, settled.number


def both(desk: Desk, number: int) -> list[Cut]:
    """The hashed one is the better."""
    return [desk.cut(0, number, number, 0.6), desk.cut(1, number, number, 0.5)]


def test_orders_rise_and_name_the_digest(desk: Desk) -> None:
    orders = []
    for number in (1, 2, 3):
        cuts = both(desk, number)
        settled = desk.hand(*cuts)[-1]
        assert isinstance(settled, Settled)
        assert (settled.digest, settled.back) == (cuts[1].digest, False)
        orders.append(settled.order)
    assert orders == [1, 2, 3]


@pytest.mark.parametrize(
    ("forge", "word"),
    [
        (lambda cut: copied(cut, tick=cut.tick + 9 * HOUR), "a message says"),
        (lambda cut: copied(cut, digest="0" * 64), "was asked for"),
        (lambda cut: copied(cut, number=7), "cannot be read"),
        (lambda cut: copied(cut, digest=None), "nothing to export, and it does"),
    ],
)
def test_a_cut_is_what_its_signed_manifest_says(desk: Desk, forge: Any, word: str) -> None:
    """What is told beside it is refused, and keeps nothing from being judged."""
    real, other = desk.cut(1, 1, 1, 0.5), desk.cut(0, 1, 1, 0.6)
    forged = forge(real)
    told = desk.hand(forged)
    assert [m.approved for m in told if isinstance(m, Verdict)] == [False]
    assert word in str(told[0])
    assert served(desk.hand(real, other)) == (desk.hashed, 1)


def test_figures_count_with_a_real_cut_only_and_once(desk: Desk) -> None:
    """A better loss that somebody tells of the same snapshot, or of none, moves no alias."""
    assert served(desk.hand(desk.cut(0, 1, 1, 0.5), desk.cut(1, 1, 1, 0.6))) == (desk.baseline, 1)
    base, hashed = desk.cut(0, 9, 9, 0.5), desk.cut(1, 9, 9, 0.6)
    boasting = copied(hashed, stats={"rolling": {"n": 5_000, "log_loss": 0.001}})
    assert served(desk.hand(hashed, boasting, copied(boasting, digest="0" * 64), base)) == (
        desk.baseline,
        9,
    )


def test_live_a_tick_at_which_nothing_was_cut_is_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that lies ahead would close all before it."""
    desk.release.patient = False
    monkeypatch.setattr(open_cuts, "PATIENCE_SECONDS", -1.0)
    forged = [copied(cut, tick=90 * HOUR) for cut in both(desk, 1)]
    assert not [m for m in desk.hand(*forged) if isinstance(m, Settled)]
    assert served(desk.hand(*both(desk, 2))) == (desk.hashed, 2)


def test_an_order_says_what_its_snapshot_reflects_however_long_its_lineage_is_silent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody could tell that what is served waits for its trainer."""
    monkeypatch.setattr(open_cuts, "PATIENCE_SECONDS", -1.0)
    desk.release.patient = False
    cuts = [*both(desk, 1), *(desk.cut(0, hours, hours, 0.6) for hours in (2, 3))]
    assert served(desk.hand(*cuts[:2])) == (desk.hashed, 1)
    assert waits(desk, desk.hand(cuts[2])) == (2 * HOUR, HOUR)
    history = [*cuts, *desk.told]
    desk.release = desk.open()
    desk.release.patient = False
    for m in history:
        desk.release.note(m)
    assert waits(desk, desk.hand()) == (3 * HOUR, HOUR)


def waits(desk: Desk, told: list[Message]) -> tuple[int, int | None]:
    """When something was settled, and as of when that is."""
    order = told[-1]
    assert isinstance(order, Settled)
    assert order.lineage == desk.hashed
    return order.tick, order.reflects


def test_live_a_silent_lineage_is_waited_for_once_until_it_cuts_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.release.patient = False
    desk.hand(*both(desk, 1))
    assert not settlements(desk.hand(desk.cut(0, 2, 2, 0.6)))
    with monkeypatch.context() as late:
        late.setattr(open_cuts, "PATIENCE_SECONDS", -1.0)
        assert settlements(desk.hand())
    assert settlements(desk.hand(desk.cut(0, 3, 3, 0.6)))
    desk.hand(desk.cut(1, 3, 3, 0.5))
    assert not settlements(desk.hand(desk.cut(0, 4, 4, 0.6)))
    assert settlements(desk.hand(desk.cut(1, 4, 4, 0.5)))


def settlements(told: list[Message]) -> list[Settled]:
    return [m for m in told if isinstance(m, Settled)]


def test_a_verdict_and_an_order_that_release_did_not_give_change_nothing(desk: Desk) -> None:
    desk.hand(*both(desk, 1))
    unapproved = desk.cut(1, 2, 2, 0.5)
    foreign = Verdict("unpaid", desk.hashed, 2, unapproved.tick, unapproved.digest, True, [])
    order = Settled("unpaid", 2, 1 << 40, desk.hashed, 2, unapproved.digest, "mine")
    for m in (foreign, order):
        desk.release.note(m)
    desk.release.act()
    told = desk.hand(*both(desk, 3))
    assert served(told) == (desk.hashed, 3)
    settled = told[-1]
    assert isinstance(settled, Settled)
    assert settled.order == 3, "above the one that somebody used up"


def test_an_approval_before_a_restart_is_a_signature_and_no_message(desk: Desk) -> None:
    cuts = both(desk, 1)
    told = [Verdict("unpaid", c.lineage, 1, c.tick, c.digest, True, []) for c in cuts]
    history = [*cuts, *told, Settled("unpaid", 1, cuts[0].tick, desk.hashed, 1, cuts[1].digest, "")]
    after = desk.hand(*history)
    assert after == []
    later = desk.hand(desk.cut(0, 2, 2, 0.6), copied(desk.cut(1, 2, 2, 0.5), digest="0" * 64))
    assert served(later) == (desk.baseline, 2), "what was said to be approved never was"


def test_forged_messages_delete_nothing(desk: Desk, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    names = [f"{n:06}.safetensors" for n in range(1, 30)]
    for name in names:
        (kept / name).write_bytes(b"mine")
    (desk.root / "unpaid").mkdir(parents=True)
    (desk.root / "unpaid" / desk.baseline).symlink_to(kept)
    desk.release.keep = 1
    hashed = desk.cut(1, 1, 1, 0.5)
    forged = Cut("unpaid", desk.baseline, 29, HOUR, "0" * 64, hashed.stats)
    told = desk.hand(forged, hashed)
    assert served(told) == (desk.hashed, 1)
    assert sorted(f.name for f in kept.iterdir()) == names


def far(desk: Desk, number: int, learned: int) -> list[Cut]:
    """The hashed one says something else altogether, as after a jump of the base rate."""
    weights = np.zeros(1 << 10, np.float32)
    cuts = [
        desk.cut(0, number, number, 0.6),
        desk.cut(1, number, number, 0.5, weights=weights, bias=np.full(2, 9.0)),
    ]
    return [replace_stats(cut, learned=learned) for cut in cuts]


def knowing(desk: Desk, number: int, learned: int) -> list[Cut]:
    return [replace_stats(cut, learned=learned) for cut in both(desk, number)]


def verdicts(desk: Desk, told: list[Message]) -> list[Verdict]:
    return [m for m in told if isinstance(m, Verdict) and m.lineage == desk.hashed]


def test_what_answers_otherwise_is_held_back_until_it_is_confirmed(desk: Desk) -> None:
    desk.release.bounds = GateBounds(held_ms=100 * HOUR)
    assert served(desk.hand(*knowing(desk, 1, 5_000))) == (desk.hashed, 1)
    found = []
    for number in (2, 3, 4):
        told = desk.hand(*far(desk, number, 5_000 + number))
        (verdict,) = verdicts(desk, told)
        found.append((verdict.approved, verdict.held, served(told)[1]))
    assert found == [(False, True, 1), (False, True, 1), (True, False, 4)]
    assert "3 successive cuts agree" in verdict.reasons[0]


def test_after_a_restart_it_is_compared_with_the_one_that_was_approved_before(desk: Desk) -> None:
    """What had been held goes on being held, and its hour goes on."""
    desk.learned = 5_000
    history: list[Message] = []
    for cuts in (knowing(desk, 1, 5_000), far(desk, 2, 5_002)):
        history += [*cuts, *desk.hand(*cuts)]
    desk.release = desk.open()
    for m in history:
        desk.release.note(m)
    desk.release.act()
    told = desk.hand(*far(desk, 3, 5_003))
    (verdict,) = verdicts(desk, told)
    assert verdict.approved
    assert "from snapshot 1" in verdict.reasons[0]
    assert "that has lasted for 1h" in verdict.reasons[0], "cuts are an hour apart"


def ruled(desk: Desk, number: int, approved: bool, lineage: str = "") -> list[Message]:
    desk.release.note(Ruling("unpaid", lineage or desk.hashed, number, approved, "ann@laptop", 5))
    before = len(desk.told)
    desk.release.rule()
    return desk.told[before:]


def test_a_person_lets_through_what_was_held_back(desk: Desk) -> None:
    desk.hand(*knowing(desk, 1, 5_000))
    desk.hand(*far(desk, 2, 5_002))
    told = ruled(desk, 2, approved=True)
    assert served(told) == (desk.hashed, 2)
    (verdict,) = verdicts(desk, told)
    assert (verdict.approved, verdict.by, verdict.reasons) == (
        True,
        "ann@laptop",
        ["let through by ann@laptop"],
    )
    assert ruled(desk, 2, approved=True)[1:] == [], "it is served already"
    told = desk.hand(*far(desk, 3, 5_003))
    assert served(told) == (desk.hashed, 3), "what follows is compared with it"


def test_a_person_goes_back_by_refusing_what_is_served_and_the_order_says_so(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.hand(*both(desk, number))
    told = ruled(desk, 3, approved=False)
    settled = told[-1]
    assert isinstance(settled, Settled)
    assert (settled.number, settled.back, settled.order) == (2, True, 4)
    trainer, qualifier = (
        Verifier.load(desk.path / "trainer"),
        Verifier.load(desk.path / "qualifier"),
    )
    name = SnapshotName("toy", "unpaid", desk.hashed, 3)
    with pytest.raises(SnapshotError, match="no approval signature"):
        snapshots.read_signed(desk.root, name, trainer, qualifier)
    settled = ruled(desk, 1, approved=True)[-1]
    assert isinstance(settled, Settled)
    assert (settled.number, settled.back) == (1, True)
    assert served(desk.hand(*both(desk, 4))) == (desk.hashed, 4), "the next cut goes on"


def test_what_a_person_said_is_carried_out_once_also_over_a_restart(desk: Desk) -> None:
    history: list[Message] = []
    for number in (1, 2):
        cuts = both(desk, number)
        history += [*cuts, *desk.hand(*cuts)]
    ruling = Ruling("unpaid", desk.hashed, 2, False, "ann@laptop", 5)
    history += [ruling, *ruled(desk, 2, approved=False)]
    desk.told.clear()
    desk.release = desk.open()
    for m in history:
        desk.release.note(m)
    desk.release.act()
    assert desk.told == []
    assert served(
        desk.hand(desk.cut(0, 3, 3, 0.6), copied(desk.cut(1, 3, 3, 0.5), digest="0" * 64))
    ) == (
        desk.hashed,
        1,
    )


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize(("number", "lineage"), [(77, ""), (1, "other-0a")])
def test_a_person_names_what_is_not_there(
    desk: Desk, approved: bool, number: int, lineage: str
) -> None:
    desk.hand(*both(desk, 1))
    told = ruled(desk, number, approved, lineage)
    assert [(m.approved, m.by) for m in told if isinstance(m, Verdict)] == [(False, "ann@laptop")]
    assert len(told) == 1, "nothing is ordered for that"


def test_a_person_cannot_make_sound_what_is_not(desk: Desk) -> None:
    desk.hand(
        desk.cut(0, 1, 1, 0.6), desk.cut(1, 1, 1, 0.1, weights=np.full(1 << 10, np.nan, np.float32))
    )
    (verdict,) = verdicts(desk, ruled(desk, 1, approved=True))
    assert not verdict.approved
    assert "not finite" in verdict.reasons[0]


REAL: list[bytes] = []


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """What was really said, each kind at least once."""
    made = Desk(tmp_path_factory.mktemp("real"))
    cuts = both(made, 1)
    ruling = Ruling("unpaid", made.hashed, 1, True, "ann@laptop", 5)
    REAL[:] = [encode(m) for m in [*cuts, *made.hand(*cuts), ruling]]
    return made


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_said_stops_release_or_makes_it_write_elsewhere(
    real: Desk, seed: int
) -> None:
    """Nor keeps the next real cuts from being served; over a restart, too, which reads all of it
    again."""
    real.told.clear()
    real.release = real.open()
    for record in odd_records(REAL, seed):
        with contextlib.suppress(msgspec.DecodeError):
            real.release.note(decode(record))
    real.release.patient = False
    real.release.act()
    newest = 10**6 if real.release._settled is None else real.release._settled.tick // HOUR + 1
    number = 2 + len(list((real.root / "unpaid" / real.hashed).glob("*.json")))
    told = real.hand(*(real.cut(which, number, newest, 0.6 - which / 10) for which in (0, 1)))
    assert served(told) == (real.hashed, number)
    assert {x.name for x in real.path.iterdir()} == {
        "trainer",
        "qualifier",
        "stranger",
        "snapshots",
    }
