"""A snapshot's manifest: what it is, what it was made from, and the digest of its arrays; and how a
snapshot is named."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


class SnapshotName(msgspec.Struct, frozen=True):
    """Which snapshot: its files are found by this name, below the run's own folder, and their
    manifest must bear it."""

    app: str
    model: str
    lineage: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}.{self.lineage}.{self.number}"


class Identity(SnapshotName, frozen=True):
    """The one snapshot of this name that has this digest, which is that of its manifest, and so of
    its arrays, too."""

    digest: str

    # Else it would be that of structs, with the digest in it: files are named by this text.
    __str__ = SnapshotName.__str__


class Manifest(msgspec.Struct, frozen=True):
    """Signed by the trainer (provenance) and by the qualifier (approval), both over its canonical
    bytes.

    `sha256` and `size` are those of the safetensors file beside it. `tick` is the app's clock at
    the cut (ms), `examples` how many the lineage had learned, `position` the next offset of the
    examples log.
    """

    app: str
    model: str
    lineage: str
    number: int
    kind: str
    meta: dict[str, Any]
    vectors: str
    tick: int
    examples: int
    position: int
    sha256: str
    size: int

    @property
    def name(self) -> SnapshotName:
        return SnapshotName(self.app, self.model, self.lineage, self.number)


def canonical(manifest: Manifest) -> bytes:
    """The bytes that are signed: JSON with sorted keys and no white space."""
    return msgspec.json.encode(manifest, order="sorted")


def digest_of(text: bytes) -> str:
    """Of a manifest's bytes, as they are signed."""
    return hashlib.sha256(text).hexdigest()


def parsed(data: bytes) -> Manifest:
    return msgspec.json.decode(data, type=Manifest)
