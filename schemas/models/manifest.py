"""A snapshot's manifest: what it is, what it was made from, and the digest of its arrays; and how a
snapshot is named."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from freshet.schemas.models.tasks import task_of
from freshet.schemas.models.vectors import VectorSchema


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


class Columns(msgspec.Struct, frozen=True, omit_defaults=True):
    """The vectors that a snapshot was made for: as of `VectorSchema`; `task` are the facts of what
    is predicted, none of a binary one."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    meaning: str
    meanings: tuple[str, ...]
    # Left out where it says nothing, so that what was signed before there were tasks stays valid.
    task: tuple[str, ...] = ()

    @staticmethod
    def of(schema: VectorSchema) -> Columns:
        return Columns(
            schema.categories,
            schema.numbers,
            schema.meaning,
            schema.meanings,
            schema.task.facts,
        )

    @property
    def schema(self) -> VectorSchema:
        return VectorSchema(
            self.categories,
            self.numbers,
            self.meaning,
            self.meanings,
            task_of(self.task),
        )


class Manifest(msgspec.Struct, frozen=True):
    """Signed by the trainer (provenance) and by the qualifier (approval), both over its canonical
    bytes.

    `vectors` is the digest of the vectors that it was made for, which `columns` tell by name: what
    is asked may hold more (None: it was made for all of that). `sha256` and `size` are those of the
    safetensors file beside it. `tick` is the app's clock at
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
    columns: Columns | None = None

    @property
    def name(self) -> SnapshotName:
        return SnapshotName(
            self.app,
            self.model,
            self.lineage,
            self.number,
        )


def canonical(manifest: Manifest) -> bytes:
    """The bytes that are signed: JSON with sorted keys and no white space."""
    return msgspec.json.encode(manifest, order="sorted")


def digest_of(text: bytes) -> str:
    """Of a manifest's bytes, as they are signed."""
    return hashlib.sha256(text).hexdigest()


def parsed(data: bytes) -> Manifest:
    return msgspec.json.decode(data, type=Manifest)


def made_for(manifest: Manifest, asked: VectorSchema) -> VectorSchema:
    """The vectors that a snapshot was made for, where `asked` are those that its model is."""
    if manifest.columns is None:
        return asked
    return manifest.columns.schema


def why_not_for(manifest: Manifest, asked: VectorSchema) -> str | None:
    """Why a snapshot cannot answer what a model is asked; None where it can, since that holds all
    of its columns."""
    own = made_for(manifest, asked)
    if manifest.vectors != own.digest or own.meaning != asked.meaning:
        return f"made for vectors {manifest.vectors}, the model has {asked.digest}"
    lacking = own.lacking(asked)
    if lacking:
        return f"reads {', '.join(lacking)}, which the model is not asked with as it was then"
    return None
