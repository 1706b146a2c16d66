"""Release: every snapshot judged once, alias moved by policy, the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.learners.contract import Export
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Signer, Verifier, create_key
from freshet.schemas.models.manifest import Identity, SnapshotName
from freshet.schemas.wire.messages import Cut, Message, Settled, Verdict
from freshet.serving.release.judge import Judge
from freshet.serving.release.policy import ReleaseConfig
from freshet.serving.release.release import Release
from tests.toy_app import toy_app

HOUR = 3_600_000


class Desk:
    def __init__(self, path: Path) -> None:
        self.path, self.told = path, list[Message]()
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

    def cut(self, which: int, number: int, hours: int, loss: float, signer: str = "trainer", **arrays: Any) -> Cut:
        spec = self.model.learners[which]
        export = spec.make(self.model.vectors).export()
        export = Export(export.kind, export.meta, {**export.arrays, **arrays})
        lineage = self.model.lineage(spec)
        facts = snapshots.Facts("toy", "unpaid", lineage, number, self.model.vectors.digest, hours * HOUR, 0, 0)
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
    trainer, qualifier = Verifier.load(desk.path / "trainer"), Verifier.load(desk.path / "qualifier")
    assert snapshots.read_verified(desk.root, desk.identity(good), trainer, qualifier).manifest.number == 1
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


def test_a_cut_that_came_while_its_tick_was_settled_is_not_judged_after_a_restart(desk: Desk) -> None:
    """Its place in the log is before the decision, which was made without it; its file may have been pruned since."""
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
    assert settled.lineage == desk.hashed, "the hold counts from the first promotion, which was before the restart"


def test_only_the_newest_are_kept(desk: Desk) -> None:
    desk.release.keep = 3
    for n in range(1, 7):
        desk.hand(desk.cut(0, n, n, 0.6), desk.cut(1, n, n, 0.5))
    left = sorted(p.stem for p in (desk.root / "unpaid" / desk.hashed).glob("*.safetensors"))
    assert left == ["000004", "000005", "000006"]


def test_what_has_learned_nothing_is_not_served(desk: Desk) -> None:
    blank = replace_stats(desk.cut(0, 1, 1, 0.6), learned=0), replace_stats(desk.cut(1, 1, 1, 0.5), learned=0)
    settled = desk.hand(*blank)[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage is None
    learned = desk.hand(
        replace_stats(desk.cut(0, 2, 2, 0.6), learned=3), replace_stats(desk.cut(1, 2, 2, 0.5), learned=0)
    )
    settled = learned[-1]
    assert isinstance(settled, Settled)
    assert settled.lineage == desk.baseline


def replace_stats(cut: Cut, **more: Any) -> Cut:
    import msgspec

    return msgspec.structs.replace(cut, stats={**cut.stats, **more})
