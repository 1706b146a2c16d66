"""Key pairs: made once, private, replaced with an overlap, or kept elsewhere."""

from __future__ import annotations

import base64
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freshet.learners.snapshots import keys
from freshet.learners.snapshots.keys import create_key, id_of, rotate
from freshet.learners.snapshots.signing import PROVENANCE, Signer, Verifier
from freshet.schemas.errors import ComponentError

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
DIGITS = PRIVATE.private_bytes_raw().hex()


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    create_key(tmp_path / "trainer")
    before = {f.name: f.read_bytes() for f in (tmp_path / "trainer").iterdir()}
    create_key(tmp_path / "trainer")
    assert {f.name: f.read_bytes() for f in (tmp_path / "trainer").iterdir()} == before
    (private,) = (tmp_path / "trainer").glob("*.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_signer_that_runs_signs_by_the_new_key_and_what_it_signed_before_holds(
    tmp_path: Path,
) -> None:
    place = tmp_path / "trainer"
    create_key(place)
    signer = Signer.load(place)
    old = signer.sign(PROVENANCE, b"old")
    following = Verifier.following(place)
    assert following.accepts(PROVENANCE, b"old", old)
    made = rotate(place)
    new = signer.sign(PROVENANCE, b"new")
    assert Verifier.load(place).signer(PROVENANCE, b"new", new) == made
    # Also by who has looked for keys before there was this one.
    assert following.accepts(PROVENANCE, b"new", new)
    assert Verifier.load(place).accepts(PROVENANCE, b"old", old)
    assert len(list(place.glob("*.key"))) == 1
    assert len(list(place.glob("*.pub"))) == 2


def test_a_signer_whose_key_was_taken_away_signs_on(tmp_path: Path) -> None:
    create_key(tmp_path)
    signer = Signer.load(tmp_path)
    keys.newest(tmp_path).unlink()  # type: ignore[union-attr]
    assert Verifier.load(tmp_path).accepts(PROVENANCE, b"a", signer.sign(PROVENANCE, b"a"))


@pytest.mark.parametrize(
    "text", [DIGITS, f" {DIGITS.upper()}\n", base64.b64encode(bytes(range(32))).decode()]
)
def test_a_private_key_in_the_environment_never_lies_on_the_disk(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_KEY", text)
    create_key(tmp_path, "env:TRAINER_KEY")
    create_key(tmp_path, "env:TRAINER_KEY")
    (only,) = tmp_path.iterdir()
    assert only.read_bytes() == PRIVATE.public_key().public_bytes_raw()
    signature = Signer.load(tmp_path, source="env:TRAINER_KEY").sign(PROVENANCE, b"a")
    assert Verifier.load(tmp_path).signer(PROVENANCE, b"a", signature) == id_of(
        PRIVATE.public_key()
    )


def test_a_command_is_asked_for_a_private_key(tmp_path: Path) -> None:
    script = tmp_path / "a vault.py"
    script.write_text(f"print('{DIGITS}')")
    source = f"command:{sys.executable} '{script}'"
    create_key(tmp_path / "trainer", source)
    signature = Signer.load(tmp_path / "trainer", source=source).sign(PROVENANCE, b"a")
    assert Verifier.load(tmp_path / "trainer").accepts(PROVENANCE, b"a", signature)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("env:NOBODY", "variable NOBODY: is not set"),
        ("env:TORN", "variable TORN: is no key: it has 5 characters"),
        ("command:/nowhere/vault secret", "by command /nowhere/vault: could not be had"),
        (f"command:{sys.executable} -c exit(3)", "ended with status 3"),
        (f"command:{sys.executable} -c \"print('secret')\"", "is no key: it has 6 characters"),
    ],
)
def test_what_is_no_key_is_said_without_what_it_is(
    source: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORN", "abcde")
    with pytest.raises(ComponentError) as refused:
        create_key(tmp_path, source)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)
    assert not list(tmp_path.glob("*"))
