"""May this snapshot be served? Checked once per snapshot, in milliseconds; the answer is the
reasons why not.

Signatures, digest and size are checked where the snapshot is read, before anything here parses it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from freshet.learners.contract import Arrays, Predictor
from freshet.learners.snapshots.files import MOST_BYTES
from freshet.learners.snapshots.golden import ANSWERS, golden_vectors
from freshet.schemas.models.manifest import Manifest, made_for, why_not_for
from freshet.schemas.models.tasks import DEFAULT_TASK, Classes, Regression, Task
from freshet.schemas.models.vectors import F64, VectorSchema

# float32 sums in another order; a predictor that reads its arrays wrongly is far off
SAME_ANSWER = 1e-3
SUM_WITHIN = 1e-9  # of the probabilities of a row, float64


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
    """Ask a snapshot itself, of a model that is asked with vectors of `schema`. How it compares
    with others is asked by `freshet.serving.release.gate`."""
    bounds = bounds or Bounds()
    reasons = _of_manifest(candidate.manifest, schema, bounds) + _not_finite(candidate.arrays)
    # Before anything is built of them: a predictor may take for granted what was just asked.
    if reasons:
        return Unsound(reasons)
    golden = golden_vectors(made_for(candidate.manifest, schema))
    try:
        predictor = candidate.build()
        predictor.predict(golden)  # warm: compiling is not part of the latency
        start = time.perf_counter()
        answers = predictor.predict(golden)
        seconds = time.perf_counter() - start
        # Predicting must change nothing; a learner that learns by it is seen here.
        repeated = predictor.predict(golden)
        reasons = wrong_answers(answers, len(golden), schema.task) or _unlike_the_trainers(
            answers, candidate.manifest
        )
    # whatever is wrong with a snapshot is a reason to refuse it, and no error of ours
    except Exception as error:
        return Unsound([f"cannot predict the golden vectors: {error}"])
    if not reasons and not np.array_equal(answers, repeated):
        reasons.append("answers differ when the same vectors are asked again")
    if seconds > bounds.predict_seconds:
        allowed = f"{bounds.predict_seconds:.3f} s are allowed"
        reasons.append(f"{len(golden)} predictions took {seconds:.3f} s, {allowed}")
    if reasons:
        return Unsound(reasons)
    return Sound(answers)


def wrong_answers(probabilities: F64, rows: int, task: Task = DEFAULT_TASK) -> list[str]:
    """Reasons why these are no answers of a task for `rows` rows; the loader asks this once more
    before it swaps."""
    shape = (rows, task.width) if isinstance(task, Classes) else (rows,)
    if probabilities.shape != shape:
        return [f"predicts shape {probabilities.shape} for {rows} rows"]
    is_finite = np.isfinite(probabilities.reshape(rows, -1)).all(axis=1)
    wrong = int((~is_finite).sum())
    if wrong:
        return [f"{wrong} of {rows} golden predictions are not finite"]
    # Any finite number may be meant.
    if isinstance(task, Regression):
        return []
    # The ends themselves are certainty, of which one mistake costs an infinite log loss.
    lowest = probabilities.min()
    highest = probabilities.max()
    if lowest <= 0 or highest >= 1:
        return [f"golden predictions from {lowest:.3g} to {highest:.3g} leave (0, 1)"]
    if isinstance(task, Classes):
        off = float(np.abs(probabilities.sum(axis=1) - 1).max())
        if off > SUM_WITHIN:
            return [f"golden predictions of a row miss the sum of 1 by up to {off:.3g}"]
    return []


def _unlike_the_trainers(probabilities: F64, manifest: Manifest) -> list[str]:
    """The predictor must answer as the learner did whose snapshot it is; a manifest without answers
    is not held to any."""
    told = manifest.meta.get(ANSWERS)
    if told is None:
        return []
    if len(told) != len(probabilities):
        return [f"the trainer answered {len(told)} golden vectors, there are {len(probabilities)}"]
    answered = np.array(told)
    if answered.shape != probabilities.shape:
        return [f"the trainer's answers are {answered.shape}, these are {probabilities.shape}"]
    moved = float(np.abs(probabilities - answered).max())
    # Of numbers beyond 1 float32 keeps as many digits, and not as many places.
    allowed = SAME_ANSWER * max(1.0, float(np.abs(answered).max()))
    if moved > allowed:
        return [
            f"golden predictions differ from the trainer's own by up to {moved:.4f}, "
            f"{allowed:.4g} is allowed"
        ]
    return []


def _of_manifest(manifest: Manifest, schema: VectorSchema, bounds: Bounds) -> list[str]:
    reasons = []
    why_not = why_not_for(manifest, schema)
    if why_not:
        reasons.append(why_not)
    if manifest.size > bounds.max_bytes:
        reasons.append(f"{manifest.size} bytes, {bounds.max_bytes} are allowed")
    return reasons


def _not_finite(arrays: Arrays) -> list[str]:
    return [
        f"array {name!r} holds {int((~np.isfinite(array)).sum())} values that are not finite"
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]


def moved(answers: F64, before: F64, task: Task = DEFAULT_TASK, spread: float = math.nan) -> float:
    """How far two answers to the golden vectors are from each other. The mean |Δlogit|, of classes
    that of each one against all others, weighted by their mean probability: of two classes it is
    that of a binary task. Of numbers the mean |Δ| in `spread`s of the labels; 0 where that is not
    known yet."""
    if isinstance(task, Regression):
        apart = float(np.abs(answers - before).mean())
        # Labels that are all alike have no spread: nothing then says what is far.
        return apart / spread if spread > 0 else 0.0
    by_answer = np.abs(_logit(answers) - _logit(before))
    if isinstance(task, Classes):
        by_answer = (by_answer * (answers + before) / 2).sum(axis=1)
    return float(by_answer.mean())


def is_flat(probabilities: F64, before: F64) -> bool:
    """Whether `probabilities` tell no golden vectors apart, and `before` do."""
    return bool(np.ptp(probabilities, axis=0).max() == 0 and np.ptp(before, axis=0).max() > 0)


def _logit(probabilities: F64) -> F64:
    # Some 20.7 in logit: a probability that rounds to an end is not infinitely far from another.
    clipped = np.clip(probabilities, 1e-9, 1 - 1e-9)
    out: F64 = np.log(clipped / (1 - clipped))
    return out
