"""Revocations: by key and by digest, in a folder here and in a store of objects; the first reason
stays, and what cannot be read revokes all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots import revoked
from freshet.learners.snapshots.keys import create_key, id_of, public_keys, rotate
from freshet.learners.snapshots.revoked import Revocation, Revoked
from freshet.learners.snapshots.signing import PROVENANCE, Signer, Verifier
from freshet.schemas.errors import ComponentError, SnapshotError
from tests.learners.snapshots.test_files import Desk

LEAKED = Revocation("it was in a backup", "ann", 5)


def test_what_a_revoked_key_signed_is_refused_with_the_reason_and_the_others_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked, "LOOK_SECONDS", 0.0)
    place = tmp_path / "trainer"
    create_key(place)
    signer = Signer.load(place)
    old = signer.sign(PROVENANCE, b"old")
    leaked = id_of(public_keys(place)[0])
    rotate(place)
    new = signer.sign(PROVENANCE, b"new")
    following = Verifier([], Verifier.load(place), Revoked(str(tmp_path / "revoked")))
    assert following.accepts(PROVENANCE, b"old", old)
    assert revoked.revoke(str(tmp_path / "revoked"), leaked, LEAKED)
    for verifier in (following, Verifier.load(place), Verifier.following(place)):
        assert verifier.refusal(PROVENANCE, b"old", old) == (
            f"is by key {leaked}, which was revoked by ann: it was in a backup"
        )
        assert verifier.refusal(PROVENANCE, b"new", new) == ""
        assert verifier.refusal(PROVENANCE, b"older", old) == "does not hold"


def test_a_signer_does_not_believe_its_own_key_once_it_is_revoked(tmp_path: Path) -> None:
    create_key(tmp_path / "qualifier")
    signer = Signer.load(tmp_path / "qualifier")
    revoked.revoke(str(tmp_path / "revoked"), id_of(public_keys(tmp_path / "qualifier")[0]), LEAKED)
    signature = signer.sign(PROVENANCE, b"a")
    assert not signer.verifier().accepts(PROVENANCE, b"a", signature)


def test_a_revoked_snapshot_is_refused_and_its_neighbours_are_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first, second = desk.cut(1), desk.cut(2)
    revoked.revoke(str(tmp_path / "revoked"), desk.cuts[1].digest, LEAKED)
    desk.known = Verifier.load(tmp_path / "trainer"), Verifier.load(tmp_path / "qualifier")
    with pytest.raises(SnapshotError, match="it was revoked by ann: it was in a backup"):
        desk.read(first)
    assert desk.read(second).manifest.number == 2
    assert snapshots.digest_at(desk.root, desk.cuts[1]) == desk.cuts[1].digest


def test_the_first_reason_stays(tmp_path: Path) -> None:
    place = str(tmp_path / "revoked")
    assert revoked.revoke(place, "0" * 16, LEAKED)
    assert not revoked.revoke(place, "0" * 16, Revocation("another", "bob", 6))
    assert revoked.read(place) == {"0" * 16: LEAKED}


def test_a_name_alone_revokes_and_strange_files_are_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "revoked"
    place.mkdir()
    for name in ("0" * 16 + ".json", "0" * 15 + ".json", "README", "1" * 16 + ".json.part"):
        (place / name).write_bytes(b"\xff torn")
    (only,) = revoked.read(str(place))
    assert only == "0" * 16
    assert Revoked(str(place)).reason(only) == (
        "was revoked by somebody: for a reason that cannot be read"
    )


def test_where_revocations_cannot_be_read_nothing_is_believed(tmp_path: Path) -> None:
    create_key(tmp_path / "trainer")
    (tmp_path / "revoked").write_text("a file, and no folder")
    signature = Signer.load(tmp_path / "trainer").sign(PROVENANCE, b"a")
    with pytest.raises(ComponentError, match="cannot be read"):
        Verifier.load(tmp_path / "trainer").accepts(PROVENANCE, b"a", signature)
