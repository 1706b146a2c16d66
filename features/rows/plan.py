"""A view's features, compiled to the layout of its rows and to the tables that drive the
kernels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.features.aggregates import Age, Aggregate, DecayedMean, Last, Window
from freshet.features.rows import kernels as k
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError

LAYOUT = 1  # raise it whenever the same features come to other bytes
MAX_TILES = 1 << 16
_COLUMNS = {
    "count": (k.ROWS,),
    "sum": (k.SUM,),
    "mean": (k.VALUES, k.SUM),
    "min": (k.MIN,),
    "max": (k.MAX,),
}
_READS = {"count": k.F_TOTAL, "sum": k.F_TOTAL, "mean": k.F_MEAN, "min": k.F_MIN, "max": k.F_MAX}
_EMPTY = {k.MIN: math.inf, k.MAX: -math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """The layout of a view's rows (`features/rows/kernels.py` draws it) and the kernels' tables.

    `names` are the features, `fields` the number fields they use, in order of declaration; rows are
    `width` bytes. `digest` is 16 hex digits that change with anything that changes rows or values.
    """

    names: tuple[str, ...]
    fields: tuple[str, ...]
    tile_ms: int
    tiles: int
    width: int
    digest: str
    shape: npt.NDArray[np.int64]
    ops: npt.NDArray[np.int64]
    op_params: npt.NDArray[np.float64]
    reads: npt.NDArray[np.int64]
    read_params: npt.NDArray[np.float64]

    @staticmethod
    def compile(features: Mapping[str, Aggregate], tile_ms: int) -> RowPlan:
        """Raises `DefinitionError` for a window that is not a whole number of tiles, or of too
        many."""
        fields = tuple(
            dict.fromkeys(f for a in features.values() if (f := getattr(a, "field", None)))
        )
        tiles = max((_tiles(name, a, tile_ms) for name, a in features.items()), default=0)
        columns = _columns(features, fields)
        states = _states(features, fields)
        ring = k.HEADER + sum(3 if kind == k.DECAYED else 2 for kind, _, _ in states)
        ops = [(kind, field, c) for c, (kind, field) in enumerate(columns)]
        ops += [(kind, field, at) for (kind, field, _), at in states.items()]
        params = [_EMPTY.get(kind, 0.0) for kind, _ in columns] + [
            half_life for _, _, half_life in states
        ]
        reads = [_read(a, fields, columns, states, tile_ms) for a in features.values()]
        text = f"{LAYOUT} {tile_ms} " + "\x1f".join(f"{name}={a}" for name, a in features.items())
        return RowPlan(
            names=tuple(features),
            fields=fields,
            tile_ms=tile_ms,
            tiles=tiles,
            width=8 * (ring + tiles * len(columns)),
            digest=hashlib.sha256(text.encode()).hexdigest()[:16],
            shape=np.array([tile_ms, tiles, ring, len(columns)], np.int64),
            ops=np.array(ops, np.int64).reshape(-1, 3),
            op_params=np.array(params, np.float64),
            reads=np.array([r for r, _ in reads], np.int64).reshape(-1, 4),
            read_params=np.array([p for _, p in reads], np.float64).reshape(-1, 3),
        )


def _tiles(name: str, a: Aggregate, tile_ms: int) -> int:
    """Tiles of a window; 0 for what has none."""
    if not isinstance(a, Window):
        return 0
    tiles, rest = divmod(a.over_ms, tile_ms)
    if rest:
        best = math.gcd(a.over_ms, tile_ms)
        raise DefinitionError(
            f"feature {name}: over={a.over!r}",
            f"is not a multiple of the tile of {text_of(tile_ms)}",
            f"Set tile={text_of(best)!r} or over={text_of((tiles + 1) * tile_ms)!r}.",
        )
    if tiles > MAX_TILES:
        raise DefinitionError(
            f"feature {name}: over={a.over!r}",
            f"is {tiles} tiles of {text_of(tile_ms)}, more than {MAX_TILES}",
            "Set a longer tile, or put short and long windows into two views.",
        )
    return tiles


def _field(a: Window | Last | DecayedMean, fields: tuple[str, ...]) -> int:
    return fields.index(a.field) if a.field is not None else -1


def _columns(features: Mapping[str, Aggregate], fields: tuple[str, ...]) -> list[tuple[int, int]]:
    """The ring's columns, each (kind, field) once."""
    windows = [a for a in features.values() if isinstance(a, Window)]
    return list(
        dict.fromkeys((kind, _field(a, fields)) for a in windows for kind in _COLUMNS[a.kind])
    )


def _states(
    features: Mapping[str, Aggregate], fields: tuple[str, ...]
) -> dict[tuple[int, int, float], int]:
    """The word at which each state, (kind, field, half-life), starts."""
    out: dict[tuple[int, int, float], int] = {}
    at = k.HEADER
    for a in features.values():
        if isinstance(a, Last | DecayedMean) and (state := _state(a, fields)) not in out:
            out[state] = at
            at += 2 if isinstance(a, Last) else 3
    return out


def _state(a: Last | DecayedMean, fields: tuple[str, ...]) -> tuple[int, int, float]:
    field = _field(a, fields)
    return (
        (k.LAST, field, 0.0) if isinstance(a, Last) else (k.DECAYED, field, float(a.half_life_ms))
    )


def _read(
    a: Aggregate,
    fields: tuple[str, ...],
    columns: list[tuple[int, int]],
    states: dict[tuple[int, int, float], int],
    tile_ms: int,
) -> tuple[tuple[int, int, int, int], tuple[float, float, float]]:
    """The line of the finish tables for one feature."""
    nothing = (0.0, 0.0, 0.0)
    if isinstance(a, Age):
        return (k.F_AGE, 0, 0, 0), nothing
    if isinstance(a, Last):
        return (k.F_LAST, states[_state(a, fields)], 0, 0), nothing
    if isinstance(a, DecayedMean):
        prior = nothing[1:] if a.prior is None else (float(a.prior), float(a.weight))
        return (k.F_DECAYED, states[_state(a, fields)], 0, 0), (float(a.half_life_ms), *prior)
    at = [columns.index((kind, _field(a, fields))) for kind in _COLUMNS[a.kind]]
    return (_READS[a.kind], at[0], at[-1], a.over_ms // tile_ms), nothing
