"""The tables that drive the hashed logistic kernels, compiled from a definition and a schema."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.inputs.numeric import Combinations, Knots, NumberTables
from freshet.learners.logistic import kernels
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import U64, VectorSchema

Plan = tuple[npt.NDArray[Any], ...]


def compile_plan(
    schema: VectorSchema,
    bits: int,
    soft: bool,
    knots: Knots | None,
    crosses: Sequence[Sequence[str]],
    combinations: Combinations | None,
    without: Sequence[str],
) -> Plan:
    """The kernels' `plan`: one flat array for each table. Raises `LearnerError` for a name the
    schema lacks.

    Every category, number and cross hashes under a seed made of its name, so that adding one moves
    no other.
    """
    numbers = NumberTables.compile(schema, knots, combinations)
    names = (*schema.categories, *numbers.names)
    place = {name: i for i, name in enumerate(names)}
    for name in sorted({n for cross in crosses for n in cross} - set(place)):
        raise LearnerError(
            f"crosses with {name!r}", "it is no feature", f"The features are {', '.join(names)}."
        )
    crossed = {n for cross in crosses for n in cross}
    alone = {n for n in names if not any(fnmatchcase(n, pattern) for pattern in without)}
    use = [kernels.ALONE * (n in alone) + kernels.CROSSED * (n in crossed) for n in names]
    shift = np.uint64(64 - bits)
    return (
        _seeds(schema.categories),
        numbers.knots,
        numbers.knot_start,
        kernels.number_ids(_seeds(numbers.names), numbers.knot_start, shift),
        numbers.start,
        numbers.inputs,
        numbers.factors,
        np.cumsum([0, *map(len, crosses)]).astype(np.int32),
        np.array([place[n] for cross in crosses for n in cross], np.int32),
        _seeds(["\x1f".join(cross) for cross in crosses]),
        np.array(use, np.int64),
        np.array([64 - bits, soft], np.int64),
    )


def _seeds(names: Sequence[str]) -> U64:
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(d, "little") for d in digests], np.uint64)
