"""A view's features, compiled to the layout of its rows and to the tables that drive the
kernels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.features.aggregates import Age, Aggregate, DecayedMean, Last, Window
from freshet.features.rows import kernels
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError

LAYOUT = 1  # raise it whenever the same features come to other bytes
# Half a megabyte a row for each column of the ring, and a question reads rows whole.
MAX_TILES = 1 << 16
_COLUMNS = {
    "count": (kernels.ROWS,),
    "sum": (kernels.SUM,),
    "mean": (kernels.VALUES, kernels.SUM),
    "min": (kernels.MIN,),
    "max": (kernels.MAX,),
}
_READS = {
    "count": kernels.F_TOTAL,
    "sum": kernels.F_TOTAL,
    "mean": kernels.F_MEAN,
    "min": kernels.F_MIN,
    "max": kernels.F_MAX,
}
# How many words a state takes: its sum, weight and time; or its value and time.
_STATE_WORDS = {kernels.DECAYED: 3, kernels.LAST: 2, kernels.LAST_WHOLE: 2}
# What a tile of no events holds, 0.0 where it is not said: any value is below, or above, it.
_EMPTY = {kernels.MIN: math.inf, kernels.MAX: -math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """The layout of a view's rows (`features/rows/kernels.py` draws it) and the kernels' tables.

    `names` are the features, `fields` the number fields they use, in order of declaration; rows are
    `width` bytes. `wholes` are the features that are whole numbers to the last digit, each with the
    word of a row that holds it. `digest` is 16 hex digits that change with anything that changes
    rows or values.
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
    wholes: Mapping[str, int]

    @staticmethod
    def compile(
        features: Mapping[str, Aggregate], tile_ms: int, integers: Collection[str] = ()
    ) -> RowPlan:
        """`integers` are the fields that are declared as whole numbers.

        Raises `DefinitionError` for a window that is not a whole number of tiles, or of too many.
        """
        named = [getattr(feature, "field", None) for feature in features.values()]
        fields = tuple(dict.fromkeys(field for field in named if field))
        tiles = max((_tiles(name, one, tile_ms) for name, one in features.items()), default=0)
        exact = frozenset(fields.index(name) for name in fields if name in integers)
        columns = _columns(features, fields)
        states = _states(features, fields, exact)
        ring = kernels.HEADER + sum(_STATE_WORDS[kind] for kind, _, _ in states)
        ops = [(kind, field, at) for at, (kind, field) in enumerate(columns)]
        ops += [(kind, field, at) for (kind, field, _), at in states.items()]
        params = [_EMPTY.get(kind, 0.0) for kind, _ in columns]
        params += [half_life for _, _, half_life in states]
        reads = [_read(one, fields, columns, states, tile_ms) for one in features.values()]
        wholes = {
            name: line[1]
            for name, (line, _) in zip(features, reads)
            if line[0] == kernels.F_LAST_WHOLE
        }
        declared = "\x1f".join(f"{name}={feature}" for name, feature in features.items())
        text = f"{LAYOUT} {tile_ms} {declared}"
        # Rows of other views have the bytes that they always had.
        if wholes:
            text += f"\x1fwhole {','.join(wholes)}"
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
            reads=np.array([line for line, _ in reads], np.int64).reshape(-1, 4),
            read_params=np.array([of_line for _, of_line in reads], np.float64).reshape(-1, 3),
            wholes=wholes,
        )


def _tiles(name: str, window: Aggregate, tile_ms: int) -> int:
    """Tiles of a window; 0 for what has none."""
    if not isinstance(window, Window):
        return 0
    tiles, rest = divmod(window.over_ms, tile_ms)
    if rest:
        best = math.gcd(window.over_ms, tile_ms)
        raise DefinitionError(
            f"feature {name}: over={window.over!r}",
            f"is not a multiple of the tile of {text_of(tile_ms)}",
            f"Set tile={text_of(best)!r} or over={text_of((tiles + 1) * tile_ms)!r}.",
        )
    if tiles > MAX_TILES:
        raise DefinitionError(
            f"feature {name}: over={window.over!r}",
            f"is {tiles} tiles of {text_of(tile_ms)}, more than {MAX_TILES}",
            "Set a longer tile, or put short and long windows into two views.",
        )
    return tiles


def _field(feature: Window | Last | DecayedMean, fields: tuple[str, ...]) -> int:
    # A count is of the events themselves: -1 is of no field.
    return fields.index(feature.field) if feature.field is not None else -1


def _columns(features: Mapping[str, Aggregate], fields: tuple[str, ...]) -> list[tuple[int, int]]:
    """The ring's columns, each (kind, field) once."""
    windows = [window for window in features.values() if isinstance(window, Window)]
    return list(
        dict.fromkeys(
            (kind, _field(window, fields)) for window in windows for kind in _COLUMNS[window.kind]
        )
    )


def _states(
    features: Mapping[str, Aggregate], fields: tuple[str, ...], exact: Collection[int]
) -> dict[tuple[int, int, float], int]:
    """The word at which each state, (kind, field, half-life), starts; `exact` are the fields of
    whole numbers."""
    out: dict[tuple[int, int, float], int] = {}
    at = kernels.HEADER
    for feature in features.values():
        if not isinstance(feature, Last | DecayedMean):
            continue
        state = _state(feature, fields, exact)
        if state in out:
            continue
        out[state] = at
        kind = state[0]
        at += _STATE_WORDS[kind]
    return out


def _state(
    feature: Last | DecayedMean, fields: tuple[str, ...], exact: Collection[int]
) -> tuple[int, int, float]:
    field = _field(feature, fields)
    if isinstance(feature, Last):
        kind = kernels.LAST
        if field in exact:
            kind = kernels.LAST_WHOLE
        return kind, field, 0.0
    return kernels.DECAYED, field, float(feature.half_life_ms)


def _read(
    feature: Aggregate,
    fields: tuple[str, ...],
    columns: list[tuple[int, int]],
    states: dict[tuple[int, int, float], int],
    tile_ms: int,
) -> tuple[tuple[int, int, int, int], tuple[float, float, float]]:
    """The line of the finish tables for one feature."""
    nothing = (0.0, 0.0, 0.0)
    if isinstance(feature, Age):
        return (kernels.F_AGE, 0, 0, 0), nothing
    if isinstance(feature, Last):
        return _read_last(_field(feature, fields), states), nothing
    if isinstance(feature, DecayedMean):
        # A prior of weight 0 is none.
        prior = nothing[1:]
        if feature.prior is not None:
            prior = (
                float(feature.prior),
                float(feature.weight),
            )
        state = kernels.DECAYED, _field(feature, fields), float(feature.half_life_ms)
        return (kernels.F_DECAYED, states[state], 0, 0), (float(feature.half_life_ms), *prior)
    at = [columns.index((kind, _field(feature, fields))) for kind in _COLUMNS[feature.kind]]
    return (_READS[feature.kind], at[0], at[-1], feature.over_ms // tile_ms), nothing


def _read_last(
    field: int, states: Mapping[tuple[int, int, float], int]
) -> tuple[int, int, int, int]:
    whole = states.get((kernels.LAST_WHOLE, field, 0.0))
    if whole is not None:
        return kernels.F_LAST_WHOLE, whole, 0, 0
    return kernels.F_LAST, states[kernels.LAST, field, 0.0], 0, 0
