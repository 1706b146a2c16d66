"""From rows to values: one pure function of row and time, the same in scorer, feature API and
backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.rows import kernels
from freshet.features.rows.kernels import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import StoreError

__all__ = [
    "NOT_FOUND",
    "NULL_VALUE",
    "OUTSIDE_MAX_AGE",
    "PRESENT",
    "Answers",
    "Finished",
    "Part",
    "Tables",
    "finish",
    "finish_into",
    "tables_of",
]

I64 = npt.NDArray[np.int64]
_FIRST = np.zeros(1, np.int64)


class Finished(NamedTuple):
    """Of `n` rows and `F` features: `values` float64 `[n, F]` (NaN: missing), `age_ms` int64 `[n]`
    (`as_of` less the newest event; -1 if absent, negative too where the row saw the future) and
    `status` uint8 `[n]`: PRESENT, NOT_FOUND or OUTSIDE_MAX_AGE. A missing value of a PRESENT row is
    a NULL_VALUE. `wholes` are the features of whole numbers by name, int64 `[n]`: every digit of
    what is there, and of no meaning where the value is missing."""

    values: npt.NDArray[np.float64]
    age_ms: I64
    status: npt.NDArray[np.uint8]
    wholes: Mapping[str, I64]


class _Space(NamedTuple):
    """What the kernel fills: all values one after the other, and of each row its age and status."""

    values: npt.NDArray[np.float64]
    age_ms: I64
    status: npt.NDArray[np.uint8]


class Tables(NamedTuple):
    """What drives the kernels for several views, one after the other: of each its shape and its
    bound of age (ms, 0: none), and where its features begin in the lines of all."""

    shapes: I64
    max_age_ms: I64
    first_feature: I64
    reads: I64
    read_params: npt.NDArray[np.float64]


class Part(NamedTuple):
    """Rows of one view, uint8 `[m, width]`, and which of them are `present`, bool `[m]`. Question
    `q` asks for row `place[q]` of them."""

    view: int
    data: npt.NDArray[np.uint8]
    present: npt.NDArray[np.bool_]
    place: Sequence[int]


class Answers(NamedTuple):
    """Where values of `n` questions go: features as float32 `[n, columns]`, the versions of the
    rows read as int64 `[n, 2 * views]`, and the age of the oldest row (ms) as int64 `[n]`."""

    numbers: npt.NDArray[np.float32]
    versions: I64
    age_ms: I64


class Stacked(NamedTuple):
    """Rows as the kernels walk them, one part after the other: the `words` of all, int64; of each
    row whether it is `present` and the time `as_of` (ms) that it is finished for; of each part its
    view (`asked`) and how many rows it has (`counts`)."""

    words: I64
    present: npt.NDArray[np.bool_]
    as_of: I64
    asked: I64
    counts: I64


def tables_of(plans: Sequence[RowPlan], max_ages_ms: Sequence[int]) -> Tables:
    sizes = [len(plan.names) for plan in plans]
    return Tables(
        np.array([plan.shape for plan in plans], np.int64).reshape(-1, 4),
        np.array(max_ages_ms, np.int64),
        np.cumsum([0, *sizes]),
        np.concatenate([np.empty((0, 4), np.int64), *(plan.reads for plan in plans)]),
        np.concatenate([np.empty((0, 3)), *(plan.read_params for plan in plans)]),
    )


def finish(
    plan: RowPlan,
    data: npt.NDArray[np.uint8],
    present: npt.NDArray[np.bool_],
    as_of: I64,
    max_age_ms: int = 0,
) -> Finished:
    """Values of rows (`data` uint8 `[n, plan.width]`) as of a time each (ms). `max_age_ms` 0: no
    bound.

    A window of `k` tiles covers the `k` newest tiles up to that of `as_of`, which may still fill.
    As of a time before the row's newest event, it counts only tiles up to `as_of` that the ring
    still has; `last` and `decayed_mean` cannot be taken back and are as of their newest value.

    Raises:
        StoreError: rows of another width than the plan's.
    """
    n = len(present)
    check_shape(plan, data, n)
    out = _space(n, n * len(plan.names))
    words = _words(data)
    rows = Stacked(
        words,
        kernels.plain(present, np.bool_),
        kernels.plain(as_of, np.int64),
        _FIRST,
        np.array([n]),
    )
    _fill(rows, tables_of([plan], [max_age_ms]), out)
    # A kernel that gave them, too, would be a second way for every value that has no use for it.
    by_row = words.reshape(n, plan.width // 8)
    wholes = {name: by_row[:, word] for name, word in plan.wholes.items()}
    values = out.values.reshape(n, len(plan.names))
    return Finished(values, out.age_ms, out.status, wholes)


def finish_into(
    tables: Tables,
    parts: Sequence[Part],
    as_of_ms: int,
    to: I64,
    into: Answers,
) -> None:
    """The same for the rows that `n` questions ask for, of several views at once: what a call costs
    by itself would else be most of a question's time.

    Feature `f` of the tables goes to column `to[f]` of the numbers (-1: to none), the versions of
    view `v` to the columns `2 * v` and `2 * v + 1`, and the age becomes that of the oldest row,
    where that is older.
    """
    for part in parts:
        if part.present.shape != part.data.shape[:1]:
            raise StoreError(
                f"{len(part.data)} rows",
                f"of which {len(part.present)} are said to be there or not",
                "A store says it of each row.",
            )
    # One copy of all bytes, which are words from here on.
    words = np.frombuffer(bytearray().join([part.data.data for part in parts]), np.int64)
    present = np.concatenate([part.present for part in parts])
    asked = np.array([part.view for part in parts])
    counts = np.array([len(part.present) for part in parts])
    places = np.array([part.place for part in parts])
    rows = len(present)
    as_of = np.full(rows, as_of_ms)
    # As if each row had the features of all views: what is not filled costs nothing.
    out = _space(rows, rows * int(tables.first_feature[-1]))
    _fill(Stacked(words, present, as_of, asked, counts), tables, out)
    # Plain tuples: numba keeps compiled kernels by the types of their arguments, and an index that
    # names a class of ours could not be read once that class is another.
    found = tuple(out)
    driven = tuple(tables)
    kernels.spread(found, words, asked, counts, places, driven, to, *into)


def check_shape(plan: RowPlan, data: npt.NDArray[np.uint8], n: int) -> None:
    """Raises `StoreError` for what is not `n` rows of the plan's width."""
    if data.shape != (n, plan.width):
        raise StoreError(
            f"rows of shape {data.shape}",
            f"are not the {n} rows of {plan.width} bytes that the view has",
            "Read them with the width of the view's plan.",
        )


def _words(data: npt.NDArray[np.uint8]) -> I64:
    words: I64 = kernels.plain(data, np.uint8).reshape(-1).view(np.int64)
    # What a store hands out may begin anywhere; kernels are compiled for aligned words.
    if not words.flags.aligned:
        return words.copy()
    return words


def _space(rows: int, values: int) -> _Space:
    return _Space(np.empty(values), np.empty(rows, np.int64), np.empty(rows, np.uint8))


def _fill(rows: Stacked, tables: Tables, out: _Space) -> None:
    words, *of_rows = rows
    # The same bytes: tiles are read as floats, times and versions as whole numbers.
    floats = words.view(np.float64)
    kernels.finish(words, floats, *of_rows, tuple(tables), *out)
