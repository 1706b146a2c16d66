"""A snapshot's manifest: what it is, what it was made from, and the digest of its arrays."""

from __future__ import annotations

from typing import Any

import msgspec


class Manifest(msgspec.Struct, frozen=True):
    """Signed by the trainer (provenance) and by the qualifier (approval), both over its canonical bytes.

    `sha256` and `size` are those of the safetensors file beside it. `tick` is the app's clock at the cut (ms),
    `examples` how many the lineage had learned, `position` the next offset of the examples log.
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


def canonical(manifest: Manifest) -> bytes:
    """The bytes that are signed: JSON with sorted keys and no white space."""
    return msgspec.json.encode(manifest, order="sorted")


def read(data: bytes) -> Manifest:
    return msgspec.json.decode(data, type=Manifest)
