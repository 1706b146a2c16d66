"""Snapshots on disk: plain arrays, a manifest, and two signatures over it.

    {number:06}.safetensors      the arrays; this path names the snapshot
    {number:06}.json             the manifest (canonical JSON), which holds their digest
    {number:06}.provenance.sig   by the trainer
    {number:06}.approval.sig     by the qualifier

Nothing is parsed before its signature and digest hold, and nothing is ever changed: the manifest is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from freshet.learners.contract import Export
from freshet.learners.snapshots.signing import APPROVAL, PROVENANCE, Signer, Verifier
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import Manifest, canonical, read
from freshet.schemas.whole_files import write_whole

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
ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE = ".safetensors", ".json", ".provenance.sig", ".approval.sig"
DO_NOT = "Do not serve it; look who wrote it."


@dataclass(frozen=True, slots=True)
class Facts:
    """What a trainer knows of a snapshot besides its arrays; see `freshet.schemas.models.manifest.Manifest`."""

    app: str
    model: str
    lineage: str
    number: int
    vectors: str
    tick: int
    examples: int
    position: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot whose signatures, size and digest hold."""

    manifest: Manifest
    data: memoryview


def write(directory: Path, facts: Facts, export: Export, signer: Signer) -> Path:
    """Write a snapshot and sign its provenance; returns its path. Writing it again is harmless."""
    directory.mkdir(parents=True, exist_ok=True)
    data = save({k: np.ascontiguousarray(v) for k, v in export.arrays.items()})
    manifest = Manifest(
        facts.app, facts.model, facts.lineage, facts.number, export.kind, dict(export.meta), facts.vectors, facts.tick,
        facts.examples, facts.position, hashlib.sha256(data).hexdigest(), len(data),
    )  # fmt: skip
    text = canonical(manifest)
    path = directory / f"{facts.number:06}{ARRAYS}"
    # Not forced to the disk: after a power failure a torn file is refused by its digest, and the trainer, which resumes
    # from an older checkpoint, writes it again.
    write_whole(path, data)
    write_whole(path.with_suffix(PROVENANCE_FILE), signer.sign(PROVENANCE, text))
    write_whole(path.with_suffix(MANIFEST_FILE), text)
    return path


def approve(path: Path, signer: Signer) -> None:
    """Sign that the snapshot at `path` may be served."""
    write_whole(path.with_suffix(APPROVAL_FILE), signer.sign(APPROVAL, path.with_suffix(MANIFEST_FILE).read_bytes()))


def read_manifest(path: Path, trainer: Verifier, qualifier: Verifier | None = None) -> Manifest:
    """The manifest of the snapshot at `path`, if its provenance (and, with a qualifier, its approval) holds.

    Raises:
        SnapshotError: unsigned, altered, or signed by a key that is not known.
    """
    text = _bytes(path.with_suffix(MANIFEST_FILE))
    _check(path, PROVENANCE_FILE, PROVENANCE, text, trainer)
    if qualifier is not None:
        _check(path, APPROVAL_FILE, APPROVAL, text, qualifier)
    try:
        manifest = read(text)
    except msgspec.DecodeError as error:
        raise SnapshotError(str(path), f"its manifest cannot be read: {error}", DO_NOT) from error
    if path.stem != f"{manifest.number:06}":
        raise SnapshotError(
            str(path), f"it is the manifest of snapshot {manifest.number}", "Files were swapped. " + DO_NOT
        )
    return manifest


def read_verified(path: Path, trainer: Verifier, qualifier: Verifier | None = None) -> Snapshot:
    """The snapshot at `path`: its manifest as `read_manifest` has it, and the bytes of its arrays.

    Raises:
        SnapshotError: as `read_manifest`, or the arrays are not those that were signed.
    """
    manifest = read_manifest(path, trainer, qualifier)
    data = _bytes(path)
    if len(data) != manifest.size:
        raise SnapshotError(str(path), f"its arrays have {len(data)} bytes, its manifest says {manifest.size}", DO_NOT)
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise SnapshotError(str(path), f"its arrays were altered: their digest is {found[:12]}…", DO_NOT)
    return Snapshot(manifest, memoryview(data))


def _check(path: Path, suffix: str, purpose: str, text: bytes, verifier: Verifier) -> None:
    what = suffix.split(".")[1]
    try:
        signature = path.with_suffix(suffix).read_bytes()
    except FileNotFoundError as error:
        raise SnapshotError(str(path), f"it has no {what} signature", DO_NOT) from error
    if not verifier.accepts(purpose, text, signature):
        raise SnapshotError(str(path), f"its {what} signature does not hold", DO_NOT)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SnapshotError(
            str(path), f"cannot be read: {error.strerror}", "Keep the snapshot that is served."
        ) from error


def arrays_of(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Views of the arrays in a safetensors buffer; nothing is copied.

    Raises:
        SnapshotError: the header is torn, or an array lies outside the buffer.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8 : 8 + size])) if 0 < size <= len(data) - 8 else None
        if not isinstance(header, dict):
            raise ValueError("no header")
        return {k: _array(data[8 + size :], entry) for k, entry in header.items() if k != "__metadata__"}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SnapshotError("arrays", f"are no safetensors: {error}", DO_NOT) from error


def _array(body: memoryview, entry: dict[str, Any]) -> npt.NDArray[Any]:
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(int(x) for x in entry["shape"])
    first, last = (int(x) for x in entry["data_offsets"])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if not 0 <= first <= last <= len(body) or last - first != count * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"array of {entry['dtype']} {shape} at {first} to {last} of {len(body)} bytes")
    return np.frombuffer(body[first:last], dtype, count).reshape(shape)


def prune(directory: Path, keep: int, in_use: Collection[Path] = ()) -> int:
    """Remove all but the newest `keep` snapshots, and those in use; returns how many went."""
    found = sorted(directory.glob(f"[0-9]*{ARRAYS}"))
    gone = [p for p in found[: max(0, len(found) - keep)] if p not in in_use]
    for path in gone:
        path.unlink(missing_ok=True)
        for suffix in (ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE):
            path.with_suffix(suffix).unlink(missing_ok=True)
    return len(gone)
