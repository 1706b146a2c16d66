"""Keys and signatures."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import APPROVAL, PROVENANCE, Signer, Verifier
from freshet.schemas.errors import ComponentError


def test_a_signature_holds_for_its_payload_and_purpose_only(tmp_path: Path) -> None:
    create_key(tmp_path)
    signature, verifier = (
        Signer.load(tmp_path).sign(PROVENANCE, b"manifest"),
        Verifier.load(tmp_path),
    )
    assert verifier.accepts(PROVENANCE, b"manifest", signature)
    assert not verifier.accepts(APPROVAL, b"manifest", signature)
    assert not verifier.accepts(PROVENANCE, b"manifesto", signature)
    assert not verifier.accepts(PROVENANCE, b"", signature)
    for torn in (b"", signature[:-1], signature + b"\0", bytes(64)):
        assert not verifier.accepts(PROVENANCE, b"manifest", torn)


def test_purpose_and_payload_cannot_trade_bytes(tmp_path: Path) -> None:
    create_key(tmp_path)
    signature = Signer.load(tmp_path).sign("ab", b"c")
    assert not Verifier.load(tmp_path).accepts("a", b"bc", signature)


def test_after_a_rotation_old_signatures_hold_and_new_ones_are_by_the_new_key(
    tmp_path: Path,
) -> None:
    create_key(tmp_path)
    old = Signer.load(tmp_path).sign(PROVENANCE, b"old")
    (private,) = tmp_path.glob("*.key")
    private.unlink()
    create_key(tmp_path)
    new = Signer.load(tmp_path).sign(PROVENANCE, b"new")
    verifier = Verifier.load(tmp_path)
    assert verifier.accepts(PROVENANCE, b"old", old)
    assert verifier.accepts(PROVENANCE, b"new", new)
    sorted(tmp_path.glob("*.pub"))[0].unlink()
    assert not Verifier.load(tmp_path).accepts(PROVENANCE, b"old", old)


def test_a_directory_without_keys_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="no private key"):
        Signer.load(tmp_path)
    with pytest.raises(ComponentError, match="no public key"):
        Verifier.load(tmp_path)
