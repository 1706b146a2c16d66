"""Key pairs of those who sign, one folder a signer; how they are made, replaced and made known.

    keys/trainer/20130101T000000000000.key    private, 0600, raw 32 bytes
    keys/trainer/20130101T000000000000.pub    public, raw 32 bytes; older ones stay to verify what
    they signed

A private key may be kept elsewhere: in the environment, or by whatever a command asks. Then only
its public one lies here.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from freshet.schemas.errors import ComponentError
from freshet.schemas.whole_files import PRIVATE, write_whole
from freshet.streams import objects

KEY_BYTES = 32
PRIVATE_FILE = ".key"
PUBLIC = ".pub"
ID_DIGITS = 16  # of its digest: enough that no two keys of a run share them
ENVIRONMENT = "env:"
COMMAND = "command:"
COMMAND_SECONDS = 30.0  # whoever keeps a key may ask a person to touch something
OF_PRIVATE = (
    "Restore it from a copy, or remove it and start the app: it makes a new key, "
    "and what the old one signed holds."
)
OF_PUBLIC = "Restore it from a copy, or remove it: snapshots that this key signed are then refused."
OF_TEXT = "It is 32 bytes, as 64 hexadecimal digits or in base64."


def create_key(directory: Path, source: str = "") -> None:
    """Make a key pair in `directory` unless one is there; of a private key that is kept elsewhere
    (`source`, as `private_key` has it) its public one. Done before roles start, so that none races
    another.

    Raises:
        ComponentError: a key that is there is no key, or none can be written or had.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if source:
            _know(directory, private_key(directory, source).public_key())
            return
        if any(directory.glob(f"*{PRIVATE_FILE}")):
            # Told now, once, and not by every process that will need them.
            private_key(directory)
            public_keys(directory)
            return
        _make(directory)
    except OSError as error:
        raise _unwritable(directory, error) from error


def rotate(directory: Path) -> str:
    """A new key pair, by which everything is signed from now on; what was signed before holds, as
    its public key stays. The private one goes. Returns the new one's id.

    Raises:
        ComponentError: none can be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        before = sorted(directory.glob(f"*{PRIVATE_FILE}"))
        made = _make(directory)
        # After the new one is there: whoever signs meanwhile finds one or the other.
        for old in before:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(directory, error) from error
    return made


def _make(directory: Path) -> str:
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    # The public one first: what the private one signs can then be verified, whenever this process
    # ends.
    write_whole(directory / f"{name}{PUBLIC}", public.public_bytes_raw(), durable=True)
    private = directory / f"{name}{PRIVATE_FILE}"
    write_whole(private, key.private_bytes_raw(), mode=PRIVATE, durable=True)
    return id_of(public)


def _know(directory: Path, public: Ed25519PublicKey) -> None:
    """Keep a public key that has no private one here, once."""
    if any(id_of(known) == id_of(public) for known in public_keys(directory)):
        return
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    write_whole(directory / f"{name}{PUBLIC}", public.public_bytes_raw(), durable=True)


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


def id_of(key: Ed25519PublicKey) -> str:
    """Sixteen hexadecimal digits, by which people and revocations name a key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:ID_DIGITS]


def newest(directory: Path) -> Path | None:
    """The file of the private key by which is signed now; None: there is none."""
    return max(directory.glob(f"*{PRIVATE_FILE}"), default=None)


def private_key(directory: Path, source: str = "") -> Ed25519PrivateKey:
    """Of a source: empty, the newest file in `directory`; `env:NAME`, a variable; `command:…`,
    what a command prints. No shell comes by: the command's words are split as one would.

    Raises:
        ComponentError: there is none, or it is torn.
    """
    if source.startswith(ENVIRONMENT):
        return _of_variable(source.removeprefix(ENVIRONMENT))
    if source.startswith(COMMAND):
        return _of_command(source.removeprefix(COMMAND))
    file = newest(directory)
    if file is None:
        raise ComponentError(
            f"keys in {directory}",
            "there is no private key",
            "Start the app once: it makes one.",
        )
    return Ed25519PrivateKey.from_private_bytes(_bytes(file, OF_PRIVATE))


def public_keys(place: str | Path) -> list[Ed25519PublicKey]:
    """The newest first; none where there is no folder.

    Raises:
        ComponentError: one is torn.
    """
    where = str(place)
    if not objects.is_remote(where):
        files = sorted(Path(where).glob(f"*{PUBLIC}"), reverse=True)
        return [Ed25519PublicKey.from_public_bytes(_bytes(file, OF_PUBLIC)) for file in files]
    fs, root = objects.opened(where)
    found = [name for name in objects.names(fs, root) if name.endswith(PUBLIC)]
    keys = []
    for name in reversed(found):
        data = fs.cat_file(f"{root}/{name}", start=0, end=KEY_BYTES + 1)
        if len(data) != KEY_BYTES:
            raise ComponentError(
                f"key {where}/{name}", f"is torn: a key has {KEY_BYTES} bytes", OF_PUBLIC
            )
        keys.append(Ed25519PublicKey.from_public_bytes(data))
    return keys


def _of_variable(name: str) -> Ed25519PrivateKey:
    text = os.environ.get(name)
    what = f"private key in variable {name}"
    if text is None:
        raise ComponentError(what, "is not set", f"Set it for the role that signs. {OF_TEXT}")
    return _of_text(text, what)


def _of_command(command: str) -> Ed25519PrivateKey:
    words = shlex.split(command)
    # Its arguments may be secrets: the program alone is named.
    what = f"private key by command {words[0]}"
    step = "Run it by hand as the user of that role."
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComponentError(what, f"could not be had: {_said(error)}", step) from error
    if done.returncode:
        raise ComponentError(what, f"ended with status {done.returncode}", step)
    return _of_text(done.stdout.decode(errors="replace"), what)


def _said(error: OSError | subprocess.TimeoutExpired) -> str:
    # Its own text names all words of the command.
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it took more than {COMMAND_SECONDS:.0f} s"
    return error.strerror or type(error).__name__


def _of_text(text: str, what: str) -> Ed25519PrivateKey:
    """What was said is told by nobody: it may be a key all the same."""
    said = text.strip()
    data = b""
    with contextlib.suppress(ValueError, binascii.Error):
        if len(said) == 2 * KEY_BYTES:
            data = bytes.fromhex(said)
        else:
            data = base64.b64decode(said, validate=True)
    if len(data) != KEY_BYTES:
        raise ComponentError(what, f"is no key: it has {len(said)} characters", OF_TEXT)
    return Ed25519PrivateKey.from_private_bytes(data)


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


def _unwritable(directory: Path, error: OSError) -> ComponentError:
    return ComponentError(
        f"keys in {directory}",
        f"cannot be written: {error.strerror or error}",
        "Make room there, or make the folder writable.",
    )
