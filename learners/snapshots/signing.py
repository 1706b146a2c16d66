"""Ed25519 signatures (RFC 8032), one key directory per signer. Nothing here knows what is signed.

A signature is made for a purpose, which is signed with the payload: a provenance can never pass as an approval.

    keys/trainer/20130101T000000000000.key    private, 0600, raw 32 bytes
    keys/trainer/20130101T000000000000.pub    public, raw 32 bytes; older ones stay to verify what they signed
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from freshet.schemas.errors import ComponentError

PROVENANCE, APPROVAL = "freshet snapshot provenance v1", "freshet snapshot approval v1"


def create_key(directory: Path) -> None:
    """Make a key pair in `directory` unless one is there. Done before roles start, so that none races another."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("*.key")):
        return
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    key = Ed25519PrivateKey.generate()
    (directory / f"{name}.pub").write_bytes(key.public_key().public_bytes_raw())
    fd = os.open(directory / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(key.private_bytes_raw())


class Signer:
    """Signs with the newest private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @staticmethod
    def load(directory: Path) -> Signer:
        """Raises `ComponentError` if there is no private key."""
        found = sorted(directory.glob("*.key"))
        if not found:
            raise ComponentError(f"keys in {directory}", "there is no private key", "Start the app once: it makes one.")
        return Signer(Ed25519PrivateKey.from_private_bytes(found[-1].read_bytes()))

    def verifier(self) -> Verifier:
        """Accepts what this signer signed."""
        return Verifier([self._key.public_key()])

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """64 bytes over purpose and payload."""
        return self._key.sign(_bound(purpose, payload))


class Verifier:
    """Accepts what any of its public keys signed; the newest is tried first."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = tuple(keys)

    @staticmethod
    def load(directory: Path) -> Verifier:
        """Raises `ComponentError` if there is no public key."""
        found = sorted(directory.glob("*.pub"), reverse=True)
        if not found:
            raise ComponentError(f"keys in {directory}", "there is no public key", "Copy the signer's .pub files here.")
        return Verifier([Ed25519PublicKey.from_public_bytes(f.read_bytes()) for f in found])

    def accepts(self, purpose: str, payload: bytes, signature: bytes) -> bool:
        for key in self._keys:
            try:
                key.verify(signature, _bound(purpose, payload))
            except InvalidSignature:
                continue
            return True
        return False


def _bound(purpose: str, payload: bytes) -> bytes:
    """Purpose and payload, so that no other pair gives the same bytes."""
    name = purpose.encode()
    return len(name).to_bytes(2, "big") + name + payload
