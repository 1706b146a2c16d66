"""May this snapshot be served? Checked once per snapshot, in milliseconds; the answer is the
reasons why not.

Signatures, digest and size are checked where the snapshot is read, before anything here parses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from freshet.learners.contract import Arrays, Predictor
from freshet.learners.snapshots.files import MOST_BYTES
from freshet.learners.snapshots.golden import ANSWERS, golden_vectors
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, VectorSchema

# float32 sums in another order; a predictor that reads its arrays wrongly is far off
SAME_ANSWER = 1e-3


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a snapshot must keep to. `predict_seconds` is for all golden vectors together."""

    max_bytes: int = MOST_BYTES
    predict_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot whose signature, size and digest hold. `build` makes its predictor, and may
    raise."""

    manifest: Manifest
    arrays: Arrays
    build: Callable[[], Predictor]


@dataclass(frozen=True, slots=True)
class Sound:
    """A snapshot that nothing speaks against, and its answers to the golden vectors."""

    answers: F64


@dataclass(frozen=True, slots=True)
class Unsound:
    reasons: list[str]


def qualify(
    candidate: Candidate, schema: VectorSchema, bounds: Bounds | None = None
) -> Sound | Unsound:
    """Ask a snapshot itself. How it compares with others is asked by
    `freshet.serving.release.gate`."""
    bounds = bounds or Bounds()
    if reasons := _of_manifest(candidate.manifest, schema, bounds) + _not_finite(candidate.arrays):
        return Unsound(reasons)
    golden = golden_vectors(schema)
    try:
        predictor = candidate.build()
        predictor.predict(golden)  # warm: compiling is not part of the latency
        start = time.perf_counter()
        p = predictor.predict(golden)
        seconds = time.perf_counter() - start
        repeated = predictor.predict(golden)
        reasons = wrong_answers(p, len(golden)) or _unlike_the_trainers(p, candidate.manifest)
    # whatever is wrong with a snapshot is a reason to refuse it, and no error of ours
    except Exception as error:
        return Unsound([f"cannot predict the golden vectors: {error}"])
    if not reasons and not np.array_equal(p, repeated):
        reasons.append("answers differ when the same vectors are asked again")
    if seconds > bounds.predict_seconds:
        reasons.append(
            f"{len(golden)} predictions took {seconds:.3f} s, {bounds.predict_seconds:.3f} s are allowed"
        )
    if reasons:
        return Unsound(reasons)
    return Sound(p)


def wrong_answers(p: F64, rows: int) -> list[str]:
    """Reasons why these are no probabilities for `rows` rows; the loader asks this once more before
    it swaps."""
    if p.shape != (rows,):
        return [f"predicts shape {p.shape} for {rows} rows"]
    if not np.isfinite(p).all():
        return [f"{int((~np.isfinite(p)).sum())} of {rows} golden predictions are not finite"]
    if p.min() <= 0 or p.max() >= 1:
        return [f"golden predictions from {p.min():.3g} to {p.max():.3g} leave (0, 1)"]
    return []


def _unlike_the_trainers(p: F64, manifest: Manifest) -> list[str]:
    """The predictor must answer as the learner did whose snapshot it is; a manifest without answers
    is not held to any."""
    told = manifest.meta.get(ANSWERS)
    if told is None:
        return []
    if len(told) != len(p):
        return [f"the trainer answered {len(told)} golden vectors, there are {len(p)}"]
    moved = float(np.abs(p - np.array(told)).max())
    if moved > SAME_ANSWER:
        return [
            f"golden predictions differ from the trainer's own by up to {moved:.4f}, {SAME_ANSWER} is allowed"
        ]
    return []


def _of_manifest(manifest: Manifest, schema: VectorSchema, bounds: Bounds) -> list[str]:
    reasons = []
    if manifest.vectors != schema.digest:
        reasons.append(f"made for vectors {manifest.vectors}, the model has {schema.digest}")
    if manifest.size > bounds.max_bytes:
        reasons.append(f"{manifest.size} bytes, {bounds.max_bytes} are allowed")
    return reasons


def _not_finite(arrays: Arrays) -> list[str]:
    return [
        f"array {name!r} holds {int((~np.isfinite(a)).sum())} values that are not finite"
        for name, a in arrays.items()
        if a.dtype.kind == "f" and not np.isfinite(a).all()
    ]


def moved(p: F64, before: F64) -> float:
    """The mean |Δlogit| between two answers to the golden vectors."""
    return float(np.abs(_logit(p) - _logit(before)).mean())


def is_flat(p: F64, before: F64) -> bool:
    """Whether `p` tells no golden vectors apart, and `before` does."""
    return bool(np.ptp(p) == 0 and np.ptp(before) > 0)


def _logit(p: F64) -> F64:
    q = np.clip(p, 1e-9, 1 - 1e-9)
    out: F64 = np.log(q / (1 - q))
    return out
