"""Ed25519 signatures (RFC 8032), one key directory per signer. Nothing here knows what is signed.

A signature is made for a purpose, which is signed with the payload: a provenance can never pass as
an approval.

    keys/trainer/20130101T000000000000.key    private, 0600, raw 32 bytes
    keys/trainer/20130101T000000000000.pub    public, raw 32 bytes; older ones stay to verify what
    they signed
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from freshet.schemas.errors import ComponentError
from freshet.schemas.whole_files import PRIVATE, write_whole
from freshet.streams import objects

KEY_BYTES = 32
PUBLIC = ".pub"
OF_PRIVATE = (
    "Restore it from a copy, or remove it and start the app: it makes a new key, "
    "and what the old one signed holds."
)
OF_PUBLIC = "Restore it from a copy, or remove it: snapshots that this key signed are then refused."
# Part of what is signed: another text would refuse every snapshot there is.
PROVENANCE = "freshet snapshot provenance v1"
APPROVAL = "freshet snapshot approval v1"


def create_key(directory: Path) -> None:
    """Make a key pair in `directory` unless one is there. Done before roles start, so that none
    races another.

    Raises:
        ComponentError: a key that is there is no key, or none can be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.glob("*.key")):
            # Told now, once, and not by every process that will need them.
            Signer.load(directory)
            Verifier.load(directory)
            return
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        key = Ed25519PrivateKey.generate()
        # The public one first: what the private one signs can then be verified, whenever this
        # process ends.
        write_whole(directory / f"{name}.pub", key.public_key().public_bytes_raw(), durable=True)
        write_whole(directory / f"{name}.key", key.private_bytes_raw(), mode=PRIVATE, durable=True)
    except OSError as error:
        raise ComponentError(
            f"keys in {directory}",
            f"cannot be written: {error.strerror or error}",
            "Make room there, or make the folder writable.",
        ) from error


def publish(directory: Path, place: str) -> None:
    """Put the public keys of `directory` where those who verify read them, on whichever machine.
    The private ones stay.

    Raises:
        ObjectStoreError: the store of objects is away, or refuses it.
    """
    fs, root = objects.opened(place)
    fs.makedirs(root, exist_ok=True)
    there = objects.names(fs, root)
    for file in sorted(directory.glob(f"*{PUBLIC}")):
        if file.name not in there:
            with contextlib.suppress(FileExistsError):
                objects.put_new(fs, f"{root}/{file.name}", _bytes(file, OF_PUBLIC))


def _bytes(path: Path, next_step: str) -> bytes:
    """The bytes of a key file, as many as a key has.

    Raises:
        ComponentError: it cannot be read, or holds something else.
    """
    try:
        # One more than a key has: whatever else lies there need not be read.
        with path.open("rb") as file:
            found = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise ComponentError(
            f"key file {path}",
            f"cannot be read: {error.strerror or error}",
            "Make it readable by this user.",
        ) from error
    if len(found) != KEY_BYTES:
        cause = "is empty"
        if found:
            cause = f"is torn: it has {path.stat().st_size} bytes, a key has {KEY_BYTES}"
        raise ComponentError(f"key file {path}", cause, next_step)
    return found


class Signer:
    """Signs with the newest private key."""

    def __init__(self, key: Ed25519PrivateKey, others: Verifier | None = None) -> None:
        self._key = key
        self._others = others

    @staticmethod
    def load(directory: Path, others: Verifier | None = None) -> Signer:
        """`others` accepts what signers of this kind have signed elsewhere, or before.

        Raises `ComponentError` if there is no private key, or the newest is torn."""
        found = sorted(directory.glob("*.key"))
        if not found:
            raise ComponentError(
                f"keys in {directory}",
                "there is no private key",
                "Start the app once: it makes one.",
            )
        key = Ed25519PrivateKey.from_private_bytes(_bytes(found[-1], OF_PRIVATE))
        return Signer(key, others)

    def verifier(self) -> Verifier:
        """Accepts what this signer signed, and the others."""
        return Verifier([self._key.public_key()], self._others)

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """64 bytes over purpose and payload."""
        return self._key.sign(_bound(purpose, payload))


class Verifier:
    """Accepts what any of its public keys signed; the newest is tried first."""

    def __init__(self, keys: Sequence[Ed25519PublicKey], others: Verifier | None = None) -> None:
        self._keys = tuple(keys)
        self._others = others

    @staticmethod
    def load(place: str | Path) -> Verifier:
        """Raises `ComponentError` if there is no public key, or one is torn."""
        keys = _public_keys(str(place))
        if not keys:
            raise ComponentError(
                f"keys in {place}",
                "there is no public key",
                "Copy the signer's .pub files here.",
            )
        return Verifier(keys)

    @staticmethod
    def following(place: str | Path) -> Verifier:
        """Of whichever keys there are by then: where a signature does not hold, it looks for new
        ones. `accepts` then raises what `load` does, but that there is none."""
        return _Following(lambda: _public_keys(str(place)))

    def accepts(self, purpose: str, payload: bytes, signature: bytes) -> bool:
        if self._own_accept(purpose, payload, signature):
            return True
        return self._others is not None and self._others.accepts(purpose, payload, signature)

    def _own_accept(self, purpose: str, payload: bytes, signature: bytes) -> bool:
        for key in self._keys:
            try:
                key.verify(signature, _bound(purpose, payload))
            except InvalidSignature:
                continue
            return True
        return False


class _Following(Verifier):
    def __init__(self, find: Callable[[], Sequence[Ed25519PublicKey]]) -> None:
        super().__init__(())
        self._find = find

    def accepts(self, purpose: str, payload: bytes, signature: bytes) -> bool:
        if super().accepts(purpose, payload, signature):
            return True
        self._keys = tuple(self._find())
        return super().accepts(purpose, payload, signature)


def _public_keys(place: str) -> list[Ed25519PublicKey]:
    """The newest first; none where there is no folder."""
    if not objects.is_remote(place):
        files = sorted(Path(place).glob(f"*{PUBLIC}"), reverse=True)
        return [Ed25519PublicKey.from_public_bytes(_bytes(file, OF_PUBLIC)) for file in files]
    fs, root = objects.opened(place)
    found = [name for name in objects.names(fs, root) if name.endswith(PUBLIC)]
    keys = []
    for name in reversed(found):
        data = fs.cat_file(f"{root}/{name}", start=0, end=KEY_BYTES + 1)
        if len(data) != KEY_BYTES:
            raise ComponentError(
                f"key {place}/{name}", f"is torn: a key has {KEY_BYTES} bytes", OF_PUBLIC
            )
        keys.append(Ed25519PublicKey.from_public_bytes(data))
    return keys


def _bound(purpose: str, payload: bytes) -> bytes:
    """Purpose and payload, so that no other pair gives the same bytes."""
    name = purpose.encode()
    return len(name).to_bytes(2, "big") + name + payload
