"""Compile what rows need, before the first event comes."""

from __future__ import annotations

import numpy as np

from freshet.features import aggregates
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import Answers, Part, finish, finish_into, tables_of
from freshet.features.rows.layout import DIRTY
from freshet.features.rows.plan import RowPlan
from freshet.features.texts.long import shortened
from freshet.schemas.durations import LATEST_MS
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Interner


def warm() -> None:
    """Compile (or load from numba's cache) every kernel on the way from events to values."""
    features: dict[str, aggregates.Aggregate] = {
        "n": aggregates.count(over="1m"),
        "x": aggregates.mean("x", over="1m"),
        "s": aggregates.last("x"),
        "r": aggregates.last_distinct("w", 2),
        "q": aggregates.quantile("x", 0.5, over="1m"),
        "d": aggregates.distinct("w", over="1m"),
        "f": aggregates.most_frequent("w", over="1m"),
    }
    plan = RowPlan.compile(features, 60_000, ["w"], keep_ms=60_000)
    rows = ViewRows(plan)
    again = ViewRows(plan)
    Interner(2)(Texts.of(["a", "b", "a key that is longer than there is room for"]))  # grows
    first = np.zeros(1, np.int64)
    codes = More(np.zeros((1, 2), np.int64))
    rows.fold(Texts.of(["a"]), first, np.zeros((1, 2)), 0, first, codes)
    base = rows.dump()
    rows.sweep(LATEST_MS, 1)
    rows.erase(Texts.of(["a"]), 1, first)
    packed = rows.hand_over()[1]
    rows.dump_delta()
    rows.let_go()
    again.load(base, [rows.dump_delta()])
    finish(plan, packed, first)
    # As where on-demand features read them; to vectors they go as float32, which any run does.
    unrounded = Answers(
        np.zeros((1, len(features))), np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
    )
    finish_into(
        tables_of([plan], [0]), [Part(0, packed, [0])], 0, np.arange(len(features)), unrounded
    )
    # As rows go to disk, and come back.
    keys = Texts.of(["b"])
    again.fold(keys, first, np.zeros((1, 2)), 2, first, codes)
    again.hand_over()
    _, words, ends = again.named(again.find(keys))
    again.mark(again.put(keys, words, ends), DIRTY)
    again.mark(again.find(keys), DIRTY, is_set=False)
    again.forget(again.unused(1, 1))
    _warm_texts()


def _warm_texts() -> None:
    """Rows with texts behind them, one of which is too long."""
    features: dict[str, aggregates.Aggregate] = {
        "l": aggregates.last("w"),
        "f": aggregates.most_frequent("w", over="1m"),
    }
    plan = RowPlan.compile(features, 60_000, ["w"], open_texts=["w"])
    rows = ViewRows(plan)
    again = ViewRows(plan)
    column = shortened(Texts.of(["a" * 1_000]))
    codes = column.hashes().view(np.int64)[:, np.newaxis]
    first = np.zeros(1, np.int64)
    more = More(codes, texts=[column])
    rows.fold(Texts.of(["a"]), first, np.ones((1, 1)), 0, first, more)
    again.load(rows.dump(), [])
    finish(plan, again.all_rows()[1], first)
