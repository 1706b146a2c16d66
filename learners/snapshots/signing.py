"""Ed25519 signatures (RFC 8032). Nothing here knows what is signed; keys are in `keys.py`.

A signature is made for a purpose, which is signed with the payload: a provenance can never pass as
an approval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from freshet.learners.snapshots import keys as key_files
from freshet.learners.snapshots import revoked
from freshet.learners.snapshots.keys import id_of
from freshet.learners.snapshots.revoked import Revoked
from freshet.schemas.errors import ComponentError

# Part of what is signed: another text would refuse every snapshot there is.
PROVENANCE = "freshet snapshot provenance v1"
APPROVAL = "freshet snapshot approval v1"
NOT_HELD = "does not hold"


class Signer:
    """Signs with the newest private key of a folder, or with one that is kept elsewhere."""

    def __init__(self, directory: Path, source: str, others: Verifier | None) -> None:
        self._directory = directory
        self._source = source
        self._others = others
        self._file = key_files.newest(directory)
        self._key = key_files.private_key(directory, source)
        self._revoked = Revoked(revoked.beside(directory))

    @staticmethod
    def load(directory: Path, others: Verifier | None = None, source: str = "") -> Signer:
        """`others` accepts what signers of this kind have signed elsewhere, or before; `source` is
        where the private key is, as `freshet.learners.snapshots.keys.private_key` has it.

        Raises `ComponentError` if there is no private key, or the newest is torn."""
        return Signer(directory, source, others)

    def verifier(self) -> Verifier:
        """Accepts what this signer signed, and the others."""
        return Verifier([self._newest().public_key()], self._others, self._revoked)

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """64 bytes over purpose and payload, by the newest key as of now."""
        return self._newest().sign(_bound(purpose, payload))

    def _newest(self) -> Ed25519PrivateKey:
        """One that is kept elsewhere is asked for once, when its role starts."""
        if self._source:
            return self._key
        file = key_files.newest(self._directory)
        # None: it was taken away while its role runs, which signs on by what it has.
        if file is not None and file != self._file:
            self._key = key_files.private_key(self._directory)
            self._file = file
        return self._key


class Verifier:
    """Accepts what any of its public keys signed that is not revoked; the newest is tried first."""

    def __init__(
        self,
        keys: Sequence[Ed25519PublicKey],
        others: Verifier | None = None,
        revocations: Revoked | None = None,
    ) -> None:
        self._keys = tuple(keys)
        self._others = others
        self._revoked = revocations

    @staticmethod
    def load(place: str | Path) -> Verifier:
        """Raises `ComponentError` if there is no public key, or one is torn."""
        keys = key_files.public_keys(place)
        if not keys:
            raise ComponentError(
                f"keys in {place}",
                "there is no public key",
                "Copy the signer's .pub files here.",
            )
        return Verifier(keys, None, Revoked(revoked.beside(place)))

    @staticmethod
    def following(place: str | Path) -> Verifier:
        """Of whichever keys there are by then: where a signature does not hold, it looks for new
        ones. `refusal` then raises what `load` does, but that there is none."""
        return _Following(place)

    def accepts(self, purpose: str, payload: bytes, signature: bytes) -> bool:
        """Whether nothing speaks against a signature."""
        return not self.refusal(purpose, payload, signature)

    def refusal(self, purpose: str, payload: bytes, signature: bytes) -> str:
        """Why a signature does not count, as the end of a sentence; empty if it does.

        Raises:
            ObjectStoreError: what is revoked cannot be read while its store is away.
            ComponentError: nor can it where its folder cannot be read.
        """
        signer = self.signer(purpose, payload, signature)
        if signer is None:
            return NOT_HELD
        why = self.revocation(signer)
        if why:
            return f"is by key {signer}, which {why}"
        return ""

    def signer(self, purpose: str, payload: bytes, signature: bytes) -> str | None:
        """The id of the key that signed, revoked or not; None: it is none of these."""
        for key in self._keys:
            try:
                key.verify(signature, _bound(purpose, payload))
            except InvalidSignature:
                continue
            return id_of(key)
        if self._others is None:
            return None
        return self._others.signer(purpose, payload, signature)

    def revocation(self, what: str) -> str:
        """Why a key's id, or the digest of a manifest, is believed no more; empty if it is."""
        if self._revoked is not None and (why := self._revoked.reason(what)):
            return why
        # A signer's own folder may be another than the one that all share.
        if self._others is not None:
            return self._others.revocation(what)
        return ""


class _Following(Verifier):
    def __init__(self, place: str | Path) -> None:
        super().__init__((), None, Revoked(revoked.beside(place)))
        self._find: Callable[[], Sequence[Ed25519PublicKey]] = lambda: key_files.public_keys(place)

    def signer(self, purpose: str, payload: bytes, signature: bytes) -> str | None:
        found = super().signer(purpose, payload, signature)
        if found is not None:
            return found
        self._keys = tuple(self._find())
        return super().signer(purpose, payload, signature)


def _bound(purpose: str, payload: bytes) -> bytes:
    """Purpose and payload, so that no other pair gives the same bytes."""
    name = purpose.encode()
    return len(name).to_bytes(2, "big") + name + payload
