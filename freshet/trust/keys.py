"""The keys of a run: which there are, which sign, which are believed no more; and what people
change of that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots import keys as key_files
from freshet.learners.snapshots import revoked
from freshet.learners.snapshots.revoked import Revocation
from freshet.runs import folder
from freshet.runs import record as run_record
from freshet.schemas.errors import RequestError, SnapshotError
from freshet.schemas.models.manifest import SnapshotName
from freshet.settings import SIGNERS, Settings, settings
from freshet.streams import objects
from freshet.streams.clock import wall_now_ms

SIGNS = "signs"
VERIFIES = "verifies what it signed"
REVOKED = "revoked"
_DIGEST = re.compile(r"[0-9a-f]{64}")
LEAST_DIGITS = 6  # by which a key may be named, where no other begins so
OF_WHAT = "Name a key as freshet keys does, or a snapshot as MODEL/LINEAGE/NUMBER."


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a run: who signs by it, when it was made (UTC; None: nobody knows), what it is good
    for, and why it is revoked (None: it is not)."""

    signer: str
    key: str
    made: datetime | None
    state: str
    revocation: Revocation | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was revoked, and whether that was new."""

    what: str
    is_new: bool
    # The newest of a signer's: what it signs from now on is refused, too.
    signs: str = ""


@dataclass(frozen=True, slots=True)
class TrustedRun:
    """Where the keys of a run are, as far as they are on this machine or shared."""

    app: str
    settings: Settings

    @staticmethod
    def at(run_dir: str) -> TrustedRun:
        """Raises `ComponentError`: nothing was ever started there."""
        here = folder.local(run_dir)
        record = run_record.read(here)
        local = ""
        if record.shared:
            local = str(here)
        given = settings(run_dir=record.shared or str(here), local_dir=local)
        return TrustedRun(record.app, given)

    @property
    def revoked_url(self) -> str:
        return f"{self.settings.keys_url}/{revoked.FOLDER}"


def keys_of(run: TrustedRun) -> list[Key]:
    """By signer, the newest first."""
    out = []
    told = revoked.read(run.revoked_url)
    for signer in SIGNERS:
        signing = _signs(run, signer)
        for made, key in _public(f"{run.settings.keys_url}/{signer}"):
            state = VERIFIES
            if key == signing:
                state = SIGNS
            if key in told:
                state = REVOKED
            out.append(Key(signer, key, made, state, told.get(key)))
    return out


def revoked_snapshots(run: TrustedRun) -> Mapping[str, Revocation]:
    """By the digests of their manifests."""
    return {
        what: why for what, why in revoked.read(run.revoked_url).items() if _DIGEST.fullmatch(what)
    }


def rotate(run: TrustedRun, signer: str) -> str:
    """Make a new key pair for a signer on this machine, and make its public key known. Returns its
    id.

    Raises:
        RequestError: nobody of that name signs, or its private key is kept elsewhere.
        ComponentError: it cannot be written.
    """
    if signer not in SIGNERS:
        raise RequestError(f"signer {signer!r}", "signs nothing", f"Name {' or '.join(SIGNERS)}.")
    if signer in run.settings.keys:
        raise RequestError(
            f"key of the {signer}",
            "is kept elsewhere, by the setting keys",
            "Put a new one there, and start the roles that sign anew.",
        )
    directory = run.settings.keys_dir / signer
    made = key_files.rotate(directory)
    if run.settings.is_shared:
        key_files.publish(directory, f"{run.settings.keys_url}/{signer}")
    return made


def revoke(run: TrustedRun, what: str, why: str, by: str) -> Revoked:
    """Believe a key or a snapshot no more: `what` is a key's id or how it begins, a digest of a
    manifest, or `MODEL/LINEAGE/NUMBER`.

    Raises:
        RequestError: there is none, or several; or no reason is given.
    """
    if not why.strip():
        raise RequestError("a revocation", "has no reason", "Say it with --why: others read it.")
    named, signs = _named(run, what)
    is_new = revoked.revoke(run.revoked_url, named, Revocation(why, by, wall_now_ms()))
    return Revoked(named, is_new, signs)


def _named(run: TrustedRun, what: str) -> tuple[str, str]:
    """What is meant, and by whom it is signed with now (empty: nobody)."""
    if _DIGEST.fullmatch(what):
        return what, ""
    if "/" in what:
        return _digest(run, what), ""
    known = keys_of(run)
    found = [key for key in known if len(what) >= LEAST_DIGITS and key.key.startswith(what)]
    if len(found) != 1:
        told = "is no key of this run"
        if found:
            told = "is how several keys begin"
        have = ", ".join(f"{key.key} ({key.signer})" for key in known)
        raise RequestError(f"key {what!r}", told, f"{OF_WHAT} Keys are {have or 'none'}.")
    (key,) = found
    signs = ""
    # Also where it was revoked before: that it signs is what counts.
    if key.key == _signs(run, key.signer):
        signs = key.signer
    return key.key, signs


def _digest(run: TrustedRun, what: str) -> str:
    """Of the manifest of a snapshot that is named by its place."""
    model, _, rest = what.partition("/")
    lineage, _, number = rest.partition("/")
    if not number.isdecimal():
        raise RequestError(f"snapshot {what!r}", "is no MODEL/LINEAGE/NUMBER", OF_WHAT)
    name = SnapshotName(run.app, model, lineage, int(number))
    try:
        return snapshots.digest_at(run.settings.snapshots_url, name)
    except SnapshotError as error:
        raise RequestError(
            f"snapshot {what}", f"is not there: {error.cause}", "See freshet models."
        ) from error


def _signs(run: TrustedRun, signer: str) -> str | None:
    """The id of the key that a signer on this machine signs with; None: none does here."""
    directory = run.settings.keys_dir / signer
    if signer not in run.settings.keys and key_files.newest(directory) is None:
        return None
    source = run.settings.keys.get(signer, "")
    return key_files.id_of(key_files.private_key(directory, source).public_key())


def _public(place: str) -> list[tuple[datetime | None, str]]:
    """Public keys with when they were made, the newest first."""
    found = key_files.public_keys(place)
    fs, root = objects.opened(place)
    names = [name for name in objects.names(fs, root) if name.endswith(key_files.PUBLIC)]
    # As they are read: the newest, by name, is first.
    return [(_made(name), key_files.id_of(key)) for name, key in zip(reversed(names), found)]


def _made(name: str) -> datetime | None:
    try:
        return datetime.strptime(Path(name).stem, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        # Somebody's own: it need not be named as ours are.
        return None
