"""Snapshots by the files that a run left."""

from __future__ import annotations

from pathlib import Path

from freshet.schemas.models.manifest import Identity, digest_of, parsed


def identity_of(manifest: Path) -> Identity:
    """Whose manifest this file is."""
    text = manifest.read_bytes()
    name = parsed(text).name
    return Identity(name.app, name.model, name.lineage, name.number, digest_of(text))
