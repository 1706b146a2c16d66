"""What learners share when they save themselves: who made a state, and whether an export may be
served."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from freshet.learners.contract import Arrays, Export, LearnerSpec, unpack_json
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import Vectors, VectorSchema


class Origin(NamedTuple):
    """Who makes a state: a learner's name, and the digests of its declaration and of its
    vectors."""

    name: str
    spec: str
    vectors: str

    def facts(self) -> dict[str, str]:
        """What a checkpoint's `origin` entry says of it."""
        return {"spec": self.spec, "vectors": self.vectors}


def origin(spec: LearnerSpec, schema: VectorSchema) -> Origin:
    """The origin of a learner that is made of this declaration, for these vectors."""
    return Origin(spec.name, hashlib.sha256(repr(spec).encode()).hexdigest()[:16], schema.digest)


def check_origin(state: Arrays, mine: Origin) -> dict[str, Any]:
    """The `origin` entry of a checkpoint. Raises `LearnerError` if another spec or schema made
    it."""
    if "origin" not in state:
        raise LearnerError(
            mine.name,
            "the checkpoint has no origin",
            "Restore what this learner's checkpoint() made.",
        )
    facts: dict[str, Any] = unpack_json(state["origin"])
    for what, digest in mine.facts().items():
        if facts.get(what) != digest:
            raise LearnerError(
                mine.name,
                f"the checkpoint is of other {what} ({facts.get(what)}, not {digest})",
                "Start a new lineage, or restore a checkpoint of this definition.",
            )
    return facts


def check_finite(export: Export) -> Export:
    """The export itself. Raises `LearnerError` if an array holds a value that is not finite."""
    for name, array in export.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise LearnerError(
                export.kind,
                f"{name} holds {int((~np.isfinite(array)).sum())} values that are not finite",
                "Lower the learning rate, or exclude the examples that broke it.",
            )
    return export


def check_vectors(meta: Mapping[str, Any], kind: str, schema: VectorSchema) -> None:
    """Raises `LearnerError` if an export was made for vectors of another schema."""
    if meta.get("vectors") != schema.digest:
        raise LearnerError(
            kind,
            f"the export is for vectors {meta.get('vectors')}, not {schema.digest}",
            "Serve a snapshot of this model.",
        )


def plain(vectors: Vectors) -> Vectors:
    """The same vectors in arrays that kernels were compiled for: contiguous, aligned and writable.

    A single row cut from a buffer is often none of that, and would set off a compilation of
    seconds.
    """
    categories = vectors.categories
    numbers = vectors.numbers
    if categories.flags.carray and numbers.flags.carray:
        return vectors
    return Vectors(
        np.require(categories, requirements=["C", "A", "W"]),
        np.require(numbers, requirements=["C", "A", "W"]),
    )
