"""What is believed no more: keys, and single snapshots, each with the reason and who said so.

    keys/revoked/0123456789abcdef.json     a key, by its id
    keys/revoked/{64 digits}.json          a snapshot, by the digest of its manifest

A file is there or not, so a revocation is one step, and whoever verifies looks for new ones every
few seconds. Whoever may write there may have anything revoked, and nothing served by it.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from freshet.schemas.errors import ComponentError
from freshet.streams import objects

FOLDER = "revoked"
LOOK_SECONDS = 5.0  # of a folder in a store of objects each look is a request
MOST_BYTES = 64 << 10
_NAME = re.compile(r"([0-9a-f]{16}|[0-9a-f]{64})\.json")
UNREADABLE = "for a reason that cannot be read"


class Revocation(msgspec.Struct, frozen=True):
    """Why, by whom, and when (wall, ms)."""

    why: str
    by: str
    at: int


def beside(place: str | Path) -> str:
    """Where revocations are of the keys of a signer."""
    return f"{str(place).rstrip('/').rpartition('/')[0]}/{FOLDER}"


def revoke(place: str, what: str, revocation: Revocation) -> bool:
    """Believe `what` no more: a key's id, or the digest of a manifest. False where it was revoked
    before, which stays as it was said first.

    Raises:
        ObjectStoreError: the store of objects is away, or refuses it.
        ComponentError: it cannot be written there.
    """
    assert _NAME.fullmatch(f"{what}.json")
    try:
        fs, root = objects.opened(place)
        fs.makedirs(root, exist_ok=True)
        objects.put_new(fs, f"{root}/{what}.json", msgspec.json.encode(revocation))
    except FileExistsError:
        return False
    except OSError as error:
        raise ComponentError(
            f"revocations in {place}",
            f"cannot be written: {error.strerror or error}",
            "Make the folder writable; nothing is revoked yet.",
        ) from error
    return True


def read(place: str) -> dict[str, Revocation]:
    """All of them; none where there is no folder.

    Raises:
        ObjectStoreError: the store of objects is away, or refuses it.
        ComponentError: the folder cannot be read.
    """
    try:
        fs, root = objects.opened(place)
        # A file in its place is listed as if it were a folder that holds it.
        if not objects.is_remote(place) and Path(place).is_file():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        found = [name for name in objects.names(fs, root) if _NAME.fullmatch(name)]
        return {name.partition(".")[0]: _of_file(fs, f"{root}/{name}") for name in found}
    except OSError as error:
        raise ComponentError(
            f"revocations in {place}",
            f"cannot be read: {error.strerror or error}",
            "Make the folder readable: until then nothing new is believed.",
        ) from error


class Revoked:
    """What is revoked beside a signer's keys, looked for again every few seconds."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._known: Mapping[str, Revocation] = {}
        self._looked: float | None = None

    def reason(self, what: str) -> str:
        """Why a key or snapshot is believed no more; empty if it is. Raises what `read` does."""
        found = self.known().get(what)
        if found is None:
            return ""
        return f"was revoked by {found.by}: {found.why}"

    def known(self) -> Mapping[str, Revocation]:
        """As of a few seconds ago at most."""
        now = time.monotonic()
        if self._looked is None or now - self._looked >= LOOK_SECONDS:
            self._known = read(self._place)
            self._looked = now
        return self._known


def _of_file(fs: Any, path: str) -> Revocation:
    """Its name alone revokes: what stands in it is for people."""
    try:
        data = fs.cat_file(path, start=0, end=MOST_BYTES)
        return msgspec.json.decode(data, type=Revocation)
    except (msgspec.DecodeError, UnicodeDecodeError, FileNotFoundError):
        return Revocation(UNREADABLE, "somebody", 0)
