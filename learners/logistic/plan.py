"""The tables that drive the hashed logistic kernels, compiled from a definition and a schema."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from freshet.learners.hashing import seeds_of
from freshet.learners.inputs.numeric import Combinations, Knots, NumberTables
from freshet.learners.logistic import kernels
from freshet.learners.logistic.kernels import Plan
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import VectorSchema


class Definition(NamedTuple):
    """What a prediction depends on, beside the weights; as `HashedLogistic` has it."""

    bits: int
    soft: bool
    knots: Knots | None
    crosses: Sequence[Sequence[str]]
    combinations: Combinations | None
    without: Sequence[str]


def compile_plan(schema: VectorSchema, definition: Definition) -> Plan:
    """The tables of the kernels. Raises `LearnerError` for a name the schema lacks.

    Every category, number and cross hashes under a seed made of its name, so that adding one moves
    no other.
    """
    numbers = NumberTables.compile(schema, definition.knots, definition.combinations)
    crosses = definition.crosses
    names = (*schema.categories, *numbers.names)
    place = {name: i for i, name in enumerate(names)}
    crossed = {name for cross in crosses for name in cross}
    for name in sorted(crossed - set(place)):
        raise LearnerError(
            f"crosses with {name!r}", "it is no feature", f"The features are {', '.join(names)}."
        )
    alone = {
        name
        for name in names
        if not any(fnmatchcase(name, pattern) for pattern in definition.without)
    }
    use = [kernels.ALONE * (name in alone) + kernels.CROSSED * (name in crossed) for name in names]
    shift = np.uint64(64 - definition.bits)
    return Plan(
        seeds=seeds_of(schema.categories),
        knots=numbers.knots,
        knot_start=numbers.knot_start,
        number_ids=kernels.number_ids(seeds_of(numbers.names), numbers.knot_start, shift),
        start=numbers.start,
        inputs=numbers.inputs,
        factors=numbers.factors,
        cross_start=np.cumsum([0, *map(len, crosses)]).astype(np.int32),
        members=np.array([place[name] for cross in crosses for name in cross], np.int32),
        # No name holds this character, so no two crosses share a text.
        cross_seeds=seeds_of(["\x1f".join(cross) for cross in crosses]),
        use=np.array(use, np.int64),
        shift=shift,
        soft=bool(definition.soft),
    )
