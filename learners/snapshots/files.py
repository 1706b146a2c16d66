"""Snapshots on disk: plain arrays, a manifest, and two signatures over it.

    MODEL/LINEAGE/{number:06}.safetensors      the arrays
                  {number:06}.json             the manifest (canonical JSON), with their digest
                  {number:06}.provenance.sig   by the trainer
                  {number:06}.approval.sig     by the qualifier

Nothing is parsed before its signature and digest hold, and nothing is ever changed: the manifest is
written last.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from freshet.learners.contract import Export
from freshet.learners.snapshots import folder as folders
from freshet.learners.snapshots.folder import Folder, Root
from freshet.learners.snapshots.signing import APPROVAL, PROVENANCE, Signer, Verifier
from freshet.learners.snapshots.stored_folder import StoredFolder
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import (
    Columns,
    Identity,
    Manifest,
    SnapshotName,
    canonical,
    digest_of,
    parsed,
)
from freshet.schemas.models.vectors import VectorSchema

DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "U32": np.uint32,
    "I32": np.int32,
    "U64": np.uint64,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
ARRAYS = ".safetensors"
MANIFEST_FILE = ".json"
PROVENANCE_FILE = ".provenance.sig"
APPROVAL_FILE = ".approval.sig"
# Read before any signature holds, so these are bounds, not trust: a manifest is read whole, and
# told in one line of the sidecar; what is signed says how large the arrays are, up to what a scorer
# has room for.
MANIFEST_BYTES = 8 << 20
SIGNATURE_BYTES = 64
MOST_BYTES = 1 << 30
_STEM = re.compile(r"[0-9]{6,10}")
DO_NOT = "Do not serve it; look who wrote it."


@dataclass(frozen=True, slots=True)
class Facts:
    """What a trainer knows of a snapshot besides its arrays; see
    `freshet.schemas.models.manifest.Manifest`."""

    app: str
    model: str
    lineage: str
    number: int
    vectors: VectorSchema
    tick: int
    examples: int
    position: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest whose signatures hold, its digest, and the ids of the keys that signed."""

    manifest: Manifest
    digest: str
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot whose signatures, size and digest hold."""

    manifest: Manifest
    data: memoryview


def place_of(root: Root, name: SnapshotName) -> str:
    """Of a snapshot's arrays; its other files lie beside them."""
    return f"{folders.place_of(root, name.model, name.lineage)}/{_file(name, ARRAYS)}"


def path_of(root: Path, name: SnapshotName) -> Path:
    """The same, of snapshots on this machine."""
    return Path(place_of(root, name))


def is_there(root: Root, name: SnapshotName) -> bool:
    """Whether it was written, and not pruned since."""
    try:
        with folders.opened_if_there(root, name.model, name.lineage) as folder:
            return folder is not None and _file(name, MANIFEST_FILE) in folder.names()
    except SnapshotError:
        # under such a name none was ever written, or its folder is a link: nothing of ours
        return False


def _file(name: SnapshotName, suffix: str) -> str:
    return f"{name.number:06}{suffix}"


def _folder(root: Root, name: SnapshotName, create: bool = False) -> Folder | StoredFolder:
    return folders.opened(root, name.model, name.lineage, create)


def write(root: Root, facts: Facts, export: Export, signer: Signer) -> Identity:
    """Write a snapshot below `root` and sign its provenance. Writing it again is harmless."""
    data = save({key: np.ascontiguousarray(array) for key, array in export.arrays.items()})
    manifest = Manifest(
        app=facts.app,
        model=facts.model,
        lineage=facts.lineage,
        number=facts.number,
        kind=export.kind,
        meta=dict(export.meta),
        vectors=facts.vectors.digest,
        tick=facts.tick,
        examples=facts.examples,
        position=facts.position,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        columns=Columns.of(facts.vectors),
    )
    text = canonical(manifest)
    name = manifest.name
    with _folder(root, name, create=True) as folder:
        folder.put(_file(name, ARRAYS), data)
        folder.put(_file(name, PROVENANCE_FILE), signer.sign(PROVENANCE, text))
        # Last: a snapshot is there once its manifest is.
        folder.put(_file(name, MANIFEST_FILE), text)
    return Identity(name.app, name.model, name.lineage, name.number, digest_of(text))


def approve(root: Root, which: Identity, signer: Signer) -> None:
    """Sign that this very snapshot may be served.

    Raises:
        SnapshotError: its manifest is another one by now.
    """
    with _folder(root, which) as folder:
        text = folder.read(_file(which, MANIFEST_FILE), MANIFEST_BYTES)
        _agree(root, which, digest_of(text))
        folder.put(_file(which, APPROVAL_FILE), signer.sign(APPROVAL, text))


def withdraw(root: Root, name: SnapshotName) -> None:
    """Take an approval back: from now on nobody loads it."""
    with _folder(root, name) as folder:
        folder.remove(_file(name, APPROVAL_FILE))


def read_signed(
    root: Root, name: SnapshotName, trainer: Verifier, qualifier: Verifier | None = None
) -> Signed:
    """The manifest of the snapshot of this name, if its provenance (and, with a qualifier, its
    approval) holds.

    Raises: SnapshotError: unsigned, altered, signed by a key that is not known, or another's under
        this name; it or one of the keys is revoked.
    """
    path = place_of(root, name)
    with _folder(root, name) as folder:
        text = folder.read(_file(name, MANIFEST_FILE), MANIFEST_BYTES)
        signers = [_check(folder, name, PROVENANCE_FILE, PROVENANCE, text, trainer)]
        if qualifier is not None:
            signers.append(_check(folder, name, APPROVAL_FILE, APPROVAL, text, qualifier))
    digest = digest_of(text)
    if why := trainer.revocation(digest):
        raise SnapshotError(path, f"it {why}", "Keep the one that is served instead.")
    try:
        manifest = parsed(text)
    except msgspec.DecodeError as error:
        raise SnapshotError(path, f"its manifest cannot be read: {error}", DO_NOT) from error
    found = manifest.name
    if found != SnapshotName(name.app, name.model, name.lineage, name.number):
        whose = f"snapshot {found} of app {found.app}"
        raise SnapshotError(path, f"it is the manifest of {whose}", "Files were swapped. " + DO_NOT)
    return Signed(manifest, digest, tuple(signers))


def read_manifest(
    root: Root, which: Identity, trainer: Verifier, qualifier: Verifier | None = None
) -> Manifest:
    """As `read_this`, its manifest alone."""
    return read_this(root, which, trainer, qualifier).manifest


def digest_at(root: Root, name: SnapshotName) -> str:
    """Of the manifest that lies under a name, whoever wrote it.

    Raises:
        SnapshotError: there is none.
    """
    with _folder(root, name) as folder:
        return digest_of(folder.read(_file(name, MANIFEST_FILE), MANIFEST_BYTES))


def read_this(
    root: Root, which: Identity, trainer: Verifier, qualifier: Verifier | None = None
) -> Signed:
    """As `read_signed`, of this very snapshot.

    Raises:
        SnapshotError: as `read_signed`, or another one lies under its name.
    """
    signed = read_signed(root, which, trainer, qualifier)
    _agree(root, which, signed.digest)
    return signed


def _agree(root: Root, which: Identity, digest: str) -> None:
    if digest != which.digest:
        told = f"its manifest has digest {digest[:12]}…, {which.digest[:12]}… was asked for"
        raise SnapshotError(place_of(root, which), told, DO_NOT)


def read_verified(
    root: Root,
    which: Identity,
    trainer: Verifier,
    qualifier: Verifier | None = None,
    most_bytes: int = MOST_BYTES,
) -> Snapshot:
    """This very snapshot: its manifest as `read_manifest` has it, and the bytes of its arrays.

    Raises: SnapshotError: as `read_manifest`, the arrays are not those that were signed, or larger
        than `most_bytes`.
    """
    manifest = read_manifest(root, which, trainer, qualifier)
    return Snapshot(manifest, memoryview(read_arrays(root, manifest, most_bytes)))


def read_arrays(root: Root, manifest: Manifest, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes that a manifest speaks of, of which the signatures hold.

    Raises:
        SnapshotError: they are others, or more than `most_bytes`.
    """
    path = place_of(root, manifest.name)
    check_size(manifest, most_bytes, path)
    with _folder(root, manifest.name) as folder:
        descriptor = folder.open(_file(manifest.name, ARRAYS))
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            # Looked at before anything is read: an altered file may be of any size.
            data = file.read(manifest.size) if size == manifest.size else b""
    check_digest(data, size, manifest, path)
    return data


def open_arrays(root: Root, name: SnapshotName) -> int:
    """The descriptor of a snapshot's arrays, which the caller closes; nothing of it is read."""
    with _folder(root, name) as folder:
        return folder.open(_file(name, ARRAYS))


def check_size(manifest: Manifest, most_bytes: int, what: str) -> None:
    """Raises `SnapshotError` if its arrays are too large."""
    if manifest.size > most_bytes:
        raise SnapshotError(
            what, f"its arrays have {manifest.size} bytes, {most_bytes} are allowed", DO_NOT
        )


def check_digest(data: bytes | mmap.mmap, size: int, manifest: Manifest, what: str) -> None:
    """Raises `SnapshotError` unless these are the bytes that were signed; `size` is that of the
    file."""
    if size != manifest.size:
        raise SnapshotError(
            what, f"its arrays have {size} bytes, its manifest says {manifest.size}", DO_NOT
        )
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise SnapshotError(what, f"its arrays were altered: their digest is {found[:12]}…", DO_NOT)


def _check(
    folder: Folder | StoredFolder,
    name: SnapshotName,
    suffix: str,
    purpose: str,
    text: bytes,
    verifier: Verifier,
) -> str:
    """The id of the key that signed."""
    what = suffix.split(".")[1]
    path = f"{folder.path}/{_file(name, ARRAYS)}"
    if _file(name, suffix) not in folder.names():
        raise SnapshotError(path, f"it has no {what} signature", DO_NOT)
    signature = folder.read(_file(name, suffix), SIGNATURE_BYTES)
    if why := verifier.refusal(purpose, text, signature):
        raise SnapshotError(path, f"its {what} signature {why}", DO_NOT)
    signer = verifier.signer(purpose, text, signature)
    assert signer is not None  # as nothing spoke against it
    return signer


def arrays_of(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Views of the arrays in a safetensors buffer; nothing is copied.

    Raises:
        SnapshotError: the header is torn, or an array lies outside the buffer.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        # Whatever the first 8 bytes say: no more is read than there is.
        if not 0 < size <= len(data) - 8:
            raise ValueError("no header")
        header = json.loads(bytes(data[8 : 8 + size]))
        if not isinstance(header, dict):
            raise ValueError("no header")
        return {
            name: _array(data[8 + size :], entry)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SnapshotError("arrays", f"are no safetensors: {error}", DO_NOT) from error


def _array(body: memoryview, entry: dict[str, Any]) -> npt.NDArray[Any]:
    dtype = np.dtype(DTYPES[entry["dtype"]])
    shape = tuple(int(number) for number in entry["shape"])
    first, last = (int(number) for number in entry["data_offsets"])
    # Python's own integers, which do not wrap around: a product of sizes could pass 64 bits.
    count = math.prod(shape)
    lies_within = 0 <= first <= last <= len(body)
    if not lies_within or last - first != count * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(
            f"array of {entry['dtype']} {shape} at {first} to {last} of {len(body)} bytes"
        )
    return np.frombuffer(body[first:last], dtype, count).reshape(shape)


def prune(root: Root, model: str, lineage: str, keep: int, in_use: Collection[int] = ()) -> int:
    """Remove all but the newest `keep` snapshots of a lineage, and those whose number is in use;
    returns how many went. Files of other names stay."""
    with folders.opened_if_there(root, model, lineage) as folder:
        if folder is None:
            return 0
        stems = [name.removesuffix(ARRAYS) for name in folder.names() if name.endswith(ARRAYS)]
        numbers = sorted(int(stem) for stem in stems if _STEM.fullmatch(stem))
        old = numbers[: max(0, len(numbers) - keep)]
        gone = [number for number in old if number not in in_use]
        for number in gone:
            # The approval first: whoever is stopped in between leaves nothing that may be served in
            # part.
            for suffix in (APPROVAL_FILE, PROVENANCE_FILE, MANIFEST_FILE, ARRAYS):
                folder.remove(f"{number:06}{suffix}")
    return len(gone)
