"""From rows to values: one pure function of row and time, the same in scorer, feature API and
backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.rows import finish_kernels as kernels
from freshet.features.rows.layout import NEVER, NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from freshet.features.rows.plan import RowPlan
from freshet.features.rows.reads import READ_WORDS
from freshet.features.rows.sketch_kernels import frequent_codes
from freshet.features.sketches.layout import EDGES, HALVES, MISSING, SKETCH_WORDS
from freshet.features.sketches.window_kernels import ALL_BUT_SIGN
from freshet.features.texts.plan import RecentList
from freshet.features.texts.sections import Sections, cut_stored
from freshet.schemas.text.columns import Texts

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
    "finish_all",
    "finish_into",
    "tables_of",
]

I64 = npt.NDArray[np.int64]
FEW_BYTES = 64 << 10


class Several(NamedTuple):
    """Of `n` rows at most `k` values each: `values` `[n, k]`, int64 where they are whole numbers or
    codes and else float64, of which the first `counts` int64 `[n]` are there; and, where they are
    texts that lie behind rows, the texts of each place, `k` columns."""

    values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    counts: I64
    texts: Sequence[Texts] = ()


class Finished(NamedTuple):
    """Of `n` rows and `F` features: `values` float64 `[n, F]` (NaN: missing), `age_ms` int64 `[n]`
    (`as_of` less the newest event; -1 if absent, negative too where the row saw the future) and
    `status` uint8 `[n]`: PRESENT, NOT_FOUND or OUTSIDE_MAX_AGE. A missing value of a PRESENT row is
    a NULL_VALUE. `wholes` are the features of whole numbers by name, int64 `[n]`: every digit of
    what is there, and of no meaning where the value is missing; of texts they are the codes.
    `texts` are those of texts that lie behind rows. `lists` are the features that are several
    values, of which `values` has the first."""

    values: npt.NDArray[np.float64]
    age_ms: I64
    status: npt.NDArray[np.uint8]
    wholes: Mapping[str, I64]
    texts: Mapping[str, Texts]
    lists: Mapping[str, Several]


class _Space(NamedTuple):
    """What the kernel fills: all values one after the other, and of each row its age, its status
    and the word at which it begins (-1: it is absent)."""

    values: npt.NDArray[np.float64]
    age_ms: I64
    status: npt.NDArray[np.uint8]
    starts: I64


class Tables(NamedTuple):
    """What drives the kernels for several views, one after the other: of each its shape, its bound
    of age (ms, 0: none) and for how long it keeps rows (ms), and where its features begin in the
    lines of all; the rings of all and their columns; the sketches of all, and the edges and values
    of their buckets, `[2, n]`. The room says how many numbers, values, words of sketches, and words
    of windows that are merged the largest row comes to."""

    shapes: I64
    max_age_ms: I64
    keep_ms: I64
    first_feature: I64
    reads: I64
    read_params: npt.NDArray[np.float64]
    rings: I64
    columns: I64
    room: I64
    sketches: I64
    scales: npt.NDArray[np.float64]


class Part(NamedTuple):
    """Rows of one view. Question `q` asks for row `place[q]` of them."""

    view: int
    rows: Packed
    place: Sequence[int]


class Answers(NamedTuple):
    """Where values of `n` questions go: features as float32 or float64 `[n, columns]`, the versions
    of the rows read as int64 `[n, 2 * views]`, and the age of the oldest row (ms) as int64
    `[n]`."""

    numbers: npt.NDArray[np.floating[Any]]
    versions: I64
    age_ms: I64


class Stacked(NamedTuple):
    """Rows as the kernels walk them, one part after the other: the `words` of all, int64; of each
    row the byte of its part at which it `ends`, and the time `as_of` (ms) that it is finished for;
    of each part its view (`asked`) and how many rows it has (`counts`)."""

    words: I64
    ends: I64
    as_of: I64
    asked: I64
    counts: I64


class Rows(NamedTuple):
    """Rows by where they begin in words, and the time (ms) that each is finished for."""

    words: I64
    starts: I64
    as_of: I64


def tables_of(plans: Sequence[RowPlan], max_ages_ms: Sequence[int]) -> Tables:
    shapes = []
    rings = [np.empty((0, 6), np.int64)]
    sketches = [np.empty((0, SKETCH_WORDS), np.int64)]
    first_ring = 0
    first_column = 0
    first_sketch = 0
    first_edge = 0
    for plan in plans:
        # A row's own rings are counted from 0, all of them one after the other.
        first = np.array(
            [0, 0, first_ring, first_ring, first_sketch, first_sketch],
        )
        shapes.append(plan.shape + first)
        rings.append(plan.ring_table + np.array([0, 0, 0, first_column, 0, 0]))
        first_ring += len(plan.rings)
        first_column += len(plan.columns)
        table = plan.sketches.table.copy()
        table[:, EDGES] += first_edge
        sketches.append(table)
        first_sketch += len(table)
        first_edge += plan.sketches.edges.size
    room = [
        (
            plan.room.numbers,
            plan.room.values,
            plan.sketches.room.gathered,
            plan.sketches.room.merging,
        )
        for plan in plans
    ]
    kept = [plan.sketches for plan in plans]
    return Tables(
        np.array(shapes, np.int64).reshape(-1, 6),
        np.array(max_ages_ms, np.int64),
        np.array([plan.keeps[0] for plan in plans], np.int64),
        np.cumsum([0, *(len(plan.names) for plan in plans)]),
        np.concatenate([np.empty((0, READ_WORDS), np.int64), *(plan.reads for plan in plans)]),
        np.concatenate([np.empty((0, 3)), *(plan.read_params for plan in plans)]),
        np.concatenate(rings),
        np.concatenate([np.empty((0, 3), np.int64), *(plan.columns for plan in plans)]),
        np.array([(0, 0, 1, HALVES), *room], np.int64).max(axis=0),
        np.concatenate(sketches),
        np.concatenate(
            [np.empty((2, 0)), *(np.stack((one.edges, one.middles)) for one in kept)], axis=1
        ),
    )


@lru_cache(maxsize=1_024)
def _tables_of_one(plan: RowPlan, max_age_ms: int) -> Tables:
    return tables_of([plan], [max_age_ms])


def finish(plan: RowPlan, rows: Packed, as_of: I64, max_age_ms: int = 0) -> Finished:
    """Values of rows as of a time each (ms). `max_age_ms` 0: no bound.

    A window of `k` tiles covers the `k` newest tiles up to that of `as_of`, which may still fill.
    As of a time before the row's newest event, it counts only tiles up to `as_of` that the row
    still has: the newest of each width. `last` and `decayed_mean` cannot be taken back and are as
    of their newest value.

    Absent is also a row whose newest event is older than the view keeps it, and bytes that are no
    row of this plan.
    """
    (done,) = _finished([plan], _tables_of_one(plan, max_age_ms), [rows], as_of)
    return done


def finish_all(
    plans: Sequence[RowPlan], tables: Tables, rows: Sequence[Packed], as_of_ms: int
) -> list[Finished]:
    """The same for rows of each of the plans that the tables are of, as of one time (ms): of few
    rows, what a call costs by itself would else be most of it."""
    if sum(own.data.size for own in rows) > FEW_BYTES:
        # All as one would be a copy of them.
        ages = tables.max_age_ms.tolist()
        return [
            finish(plan, own, np.full(len(own), as_of_ms), max_age_ms)
            for plan, own, max_age_ms in zip(plans, rows, ages)
        ]
    return _finished(plans, tables, rows, np.full(sum(map(len, rows)), as_of_ms))


def _finished(
    plans: Sequence[RowPlan], tables: Tables, rows: Sequence[Packed], as_of: I64
) -> list[Finished]:
    cut = [_cut(plan, own) for plan, own in zip(plans, rows)]
    words, ends = _joined([own for own, _ in cut])
    counts = np.array([len(own) for own, _ in cut])
    asked = np.arange(len(cut))
    values = sum(len(own) * len(plan.names) for plan, (own, _) in zip(plans, cut))
    out = _space(len(ends), values)
    _fill(Stacked(words, ends, kernels.plain(as_of, np.int64), asked, counts), tables, out)
    done = []
    row = 0
    value = 0
    for plan, (own, sections) in zip(plans, cut):
        next_row = row + len(own)
        next_value = value + len(own) * len(plan.names)
        part = slice(row, next_row)
        space = _Space(
            out.values[value:next_value], out.age_ms[part], out.status[part], out.starts[part]
        )
        done.append(_of_view(plan, space, Rows(words, space.starts, as_of[part]), sections))
        row = next_row
        value = next_value
    return done


def _cut(plan: RowPlan, rows: Packed) -> tuple[Packed, Sections | None]:
    """Rows as whole words, without the texts behind them."""
    if plan.texts is None:
        return _aligned(rows), None
    return cut_stored(rows)


def _joined(rows: Sequence[Packed]) -> tuple[I64, I64]:
    """The words of all, and at which byte of its own part each row ends."""
    if len(rows) == 1:
        return _words(rows[0].data), kernels.plain(rows[0].ends, np.int64)
    data = bytearray().join([own.data.data for own in rows])
    return np.frombuffer(data, np.int64), np.concatenate([own.ends for own in rows])


def _of_view(plan: RowPlan, out: _Space, rows: Rows, sections: Sections | None) -> Finished:
    values = out.values.reshape(len(out.age_ms), len(plan.names))
    if not (plan.wholes or plan.frequent_wholes or plan.lists):
        return Finished(
            values,
            out.age_ms,
            out.status,
            {},
            {},
            {},
        )
    # A kernel that gave them, too, would be a second way for every value that has no use for it.
    wholes = {name: _word(rows, at) for name, at in plan.wholes.items()}
    present = rows._replace(starts=np.where(out.status == PRESENT, rows.starts, -1))
    for name in plan.frequent_wholes:
        wholes[name] = _frequent_codes(plan, name, present)
    texts: dict[str, Texts] = {}
    if plan.texts is not None and sections is not None:
        for name in plan.texts.names:
            column = values[:, plan.names.index(name)]
            texts[name] = _text_of(sections, wholes[name], column)
    lists = {
        name: _several(own, name in texts, sections, present) for name, own in plan.lists.items()
    }
    return Finished(
        values,
        out.age_ms,
        out.status,
        wholes,
        texts,
        lists,
    )


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
    where that is older. Rows come without the texts behind them.
    """
    found = [part.rows for part in parts]
    ends = np.concatenate([rows.ends for rows in found])
    # Asked of all at once: no store has such rows, unless others write to it.
    if np.bitwise_or.reduce(ends) & 7:
        found = [_aligned(rows) for rows in found]
        ends = np.concatenate([rows.ends for rows in found])
    # One copy of all bytes, which are words from here on.
    words = np.frombuffer(bytearray().join([rows.data.data for rows in found]), np.int64)
    asked = np.array([part.view for part in parts])
    counts = np.array([len(rows) for rows in found])
    places = np.array([part.place for part in parts])
    rows = len(ends)
    as_of = np.full(rows, as_of_ms)
    # As if each row had the features of all views: what is not filled costs nothing.
    out = _space(rows, rows * int(tables.first_feature[-1]))
    _fill(Stacked(words, ends, as_of, asked, counts), tables, out)
    # Plain tuples: numba keeps compiled kernels by the types of their arguments, and an index that
    # names a class of ours could not be read once that class is another.
    finished = tuple(out)
    first_feature = tables.first_feature
    kernels.spread(
        finished,
        words,
        asked,
        counts,
        places,
        first_feature,
        to,
        *into,
    )


def _aligned(rows: Packed) -> Packed:
    """The rows, or a copy without those that are not whole words: they would shift all others."""
    if not np.bitwise_or.reduce(rows.ends) & 7:
        return rows
    whole = [b"" if len(row) % 8 else row for row in rows]
    return Packed.of(whole)


def _word(rows: Rows, at: int) -> I64:
    """One word of each row; 0 of absent ones."""
    out = np.zeros(len(rows.starts), np.int64)
    there = rows.starts >= 0
    out[there] = rows.words[rows.starts[there] + at]
    return out


def _text_of(sections: Sections, codes: I64, values: npt.NDArray[np.float64]) -> Texts:
    """The text of each row's code, where there is a value (not NaN)."""
    found = sections.texts_of(codes)
    return Texts(found.data, found.start, found.end, found.valid & np.isfinite(values))


def _several(own: RecentList, are_texts: bool, sections: Sections | None, rows: Rows) -> Several:
    """A feature that is several values of each row."""
    n = len(rows.starts)
    there = rows.starts >= 0
    codes = np.full((n, own.most), MISSING)
    times = np.full((n, own.most), NEVER)
    # Of each value its code and its time.
    at = rows.starts[there, np.newaxis] + own.word + 2 * np.arange(own.most)
    codes[there] = rows.words[at]
    times[there] = rows.words[at + 1]
    is_value = times != NEVER
    if own.over_ms:
        # Of no value the difference would have no int64.
        known = np.where(
            is_value,
            times,
            rows.as_of[:, np.newaxis],
        )
        is_value &= rows.as_of[:, np.newaxis] - known < own.over_ms
    # The newest come first, so those that are too old are behind all others.
    counts = is_value.sum(axis=1)
    if are_texts:
        assert sections is not None
        texts = [sections.texts_of(codes[:, place]) for place in range(own.most)]
        return Several(codes, counts, texts)
    if own.is_whole:
        return Several(codes, counts)
    return Several(_numbers_of(codes), counts)


def _numbers_of(codes: I64) -> npt.NDArray[np.float64]:
    """The float64 that codes are of, which are in the order of numbers."""
    bits = np.where(codes >= 0, codes, codes ^ ALL_BUT_SIGN)
    return bits.view(np.float64)


def _frequent_codes(plan: RowPlan, name: str, rows: Rows) -> I64:
    """A feature that is the most frequent whole number of each row; 0 of absent ones."""
    codes = np.zeros(len(rows.starts), np.int64)
    room = plan.sketches.room
    scratch = (
        np.empty(plan.room.numbers, np.int64),
        np.empty(room.gathered, np.int64),
        np.empty(room.merging, np.int64),
    )
    tables = (plan.ring_table, plan.sketches.table, plan.sketches.edges)
    read = plan.reads[plan.names.index(name)]
    frequent_codes(
        *rows,
        plan.shape,
        tables,
        read,
        scratch,
        codes,
    )
    return codes


def _words(data: npt.NDArray[np.uint8]) -> I64:
    words: I64 = kernels.plain(data, np.uint8).reshape(-1).view(np.int64)
    # What a store hands out may begin anywhere; kernels are compiled for aligned words.
    if not words.flags.aligned:
        return words.copy()
    return words


def _space(rows: int, values: int) -> _Space:
    return _Space(
        np.empty(values),
        np.empty(rows, np.int64),
        np.empty(rows, np.uint8),
        np.empty(rows, np.int64),
    )


def _fill(rows: Stacked, tables: Tables, out: _Space) -> None:
    words, *of_rows = rows
    numbers, values, gathered, merging = tables.room.tolist()
    # Room for the tiles of one row. Kernels allocate nothing: those that may count the references
    # of every array at each call, which costs more than their work.
    scratch = (
        np.empty(numbers, np.int64),
        np.empty(values),
        np.empty(gathered + merging, np.int64),
    )
    kernels.finish(words, *of_rows, tuple(tables), (*out, *scratch))
