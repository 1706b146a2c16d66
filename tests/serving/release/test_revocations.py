"""What release serves once keys or snapshots are revoked: what is still believed, at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from freshet.learners.snapshots import revoked
from freshet.learners.snapshots.keys import id_of, public_keys, rotate
from freshet.learners.snapshots.revoked import Revocation
from freshet.learners.snapshots.signing import Verifier
from freshet.schemas.wire.messages import Settled
from freshet.serving.release.revocations import Revocations
from tests.serving.release.test_release import Desk, both, served

LEAKED = Revocation("it leaked", "ann", 5)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(revoked, "LOOK_SECONDS", 0.0)
    desk = Desk(tmp_path)
    # As its role has it: keys come later, too.
    trainer = Verifier.following(tmp_path / "trainer")
    desk.release.judge = replace(desk.release.judge, trainer=trainer)
    return desk


def revoke(desk: Desk, what: str) -> list[object]:
    """What release says of it, as its role has it look."""
    revoked.revoke(str(desk.path / "revoked"), what, LEAKED)
    before = len(desk.told)
    desk.release.look_again()
    return list(desk.told[before:])


def test_a_revoked_snapshot_gives_way_to_the_one_before_it(desk: Desk) -> None:
    desk.hand(*both(desk, 1))
    second = both(desk, 2)
    desk.hand(*second)
    champion = next(cut for cut in second if cut.lineage == desk.hashed)
    assert champion.digest is not None
    (order,) = revoke(desk, champion.digest)
    assert isinstance(order, Settled)
    assert (order.lineage, order.number, order.back) == (desk.hashed, 1, True)


def test_what_a_revoked_trainer_signed_answers_no_more_and_what_its_new_key_signs_does(
    desk: Desk,
) -> None:
    desk.hand(*both(desk, 1))
    leaked = id_of(public_keys(desk.path / "trainer")[0])
    rotate(desk.path / "trainer")
    (order,) = revoke(desk, leaked)
    assert isinstance(order, Settled)
    assert order.lineage is None, "nothing that it signed is left to serve"
    assert served(desk.hand(*both(desk, 2))) == (desk.hashed, 2)


def test_what_was_revoked_before_is_acted_on_once_and_what_comes_later_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked, "LOOK_SECONDS", 0.0)
    found = Revocations(str(tmp_path))
    assert found.are_new(), "nobody has looked yet"
    found.acted_on()
    assert not found.are_new()
    revoked.revoke(str(tmp_path / "revoked"), "0" * 16, LEAKED)
    assert found.are_new()
    found.acted_on()
    assert not found.are_new()


def test_where_they_cannot_be_read_nothing_is_acted_on(tmp_path: Path) -> None:
    (tmp_path / "revoked").write_text("a file, and no folder")
    assert not Revocations(str(tmp_path)).are_new()


def test_what_nobody_revoked_changes_nothing(desk: Desk) -> None:
    desk.hand(*both(desk, 1))
    assert revoke(desk, "0" * 16) == []
