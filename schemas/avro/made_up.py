"""Random values of arrays and maps, for trying out users' expressions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from freshet.schemas.avro.leaves import alone_in, logical_of, widest
from freshet.schemas.avro.tree import (
    Array,
    Enum,
    Fixed,
    Map,
    Record,
    Type,
    Union,
    branch_names,
    is_null,
    record_of_item,
)

_MOST = 4  # items
_SCALARS: dict[str, tuple[Any, ...]] = {
    "null": (None,),
    "boolean": (True, False),
    "int": (0, 1, -7, (1 << 31) - 1),
    "long": (0, 1, -7, 1 << 40),
    "float": (0.0, -1.5, 1e30),
    "double": (0.0, -1.5, 1e300),
    "string": ("", "a", "??", "Zürich", "7"),
    "bytes": (b"", b"a", b"\xff\x00"),
}


def made_up(type_: Type, rng: np.random.Generator) -> Any:
    """A value of any type, as `freshet.schemas.events.lists` gives it to expressions."""
    if isinstance(type_, Array):
        return [made_up(type_.items, rng) for _ in range(rng.integers(0, _MOST))]
    if isinstance(type_, Map):
        pair = record_of_item(type_)
        return [made_up(pair, rng) for _ in range(rng.integers(0, _MOST))]
    if isinstance(type_, Record):
        return {own.name: made_up(own.type, rng) for own in type_.fields}
    if isinstance(type_, Union):
        return _one_of(type_, rng)
    if isinstance(type_, Enum):
        return _choice(type_.symbols, rng)
    logical = logical_of(type_)
    if logical is not None and logical.name == "decimal":
        return Decimal(int(rng.integers(0, 10))).scaleb(-logical.scale)
    if isinstance(type_, Fixed):
        if logical is not None and logical.name == "uuid":
            return "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
        return rng.bytes(type_.size)
    return _choice(_SCALARS[type_.kind], rng)


def _one_of(union: Union, rng: np.random.Generator) -> Any:
    alone = alone_in(union)
    if alone is union:
        return _choice((*_SCALARS[widest(union)], None), rng)
    if alone is not None:
        return made_up(alone, rng)
    named = zip(branch_names(union), union.branches)
    branches = [(name, branch) for name, branch in named if not is_null(branch)]
    # Each may be missing: at most one of them is there.
    chosen = int(rng.integers(0, len(branches) + 1))
    made = dict.fromkeys(name for name, _ in branches)
    for at, (name, branch) in enumerate(branches):
        if at == chosen:
            made[name] = made_up(branch, rng)
    return made


def _choice(values: tuple[Any, ...], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(0, len(values)))]
