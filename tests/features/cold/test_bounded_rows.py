"""Rows of which most lie on disk are, bit for bit, those that never left memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.cold.bounded_rows import BoundedRows
from freshet.features.cold.memory import RowMemory
from freshet.features.packed import Packed
from freshet.features.partition.as_stored import is_erased, is_over
from freshet.features.partition.events import NO_MORE, More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import finish
from freshet.features.rows.layout import PRESENT
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError
from freshet.schemas.text.columns import Texts

FOR_EVER = RowPlan.compile(
    {"n": fr.count(over="1m"), "s": fr.sum("x", over="10m"), "x": fr.last("x")}, None
)
KEPT = RowPlan.compile({"n": fr.count(over="1m"), "s": fr.sum("x", over="1m")}, None)
KEYS = ["", "ключ", "a key that is longer than eight bytes", *(f"k{i}" for i in range(30))]
Named = tuple[list[bytes], Packed]


def by_key(*parts: Named) -> dict[bytes, bytes]:
    return {key: rows.row(at) for keys, rows in parts for at, key in enumerate(keys)}


@dataclass
class Kept:
    """What a checkpoint has: a base with its files, and deltas."""

    folder: Path
    base: dict[str, Any] = field(default_factory=dict)
    deltas: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    def save(self, rows: BoundedRows, full: bool) -> None:
        if not (full or rows.wants_full or not self.base):
            self.deltas.append(rows.dump_delta())
            return
        self.base = rows.dump()
        self.deltas = []
        self.files = {}
        for at, path in enumerate(rows.files):
            place = self.folder / f"{len(list(self.folder.iterdir()))}-{at}"
            os.link(path, place)
            self.files[path.name] = place

    def load(self, memory: RowMemory, plan: RowPlan) -> BoundedRows:
        rows = BoundedRows(plan, memory)
        if self.files:
            folder = rows.folder()
            for name, path in self.files.items():
                os.link(path, folder / name)
        rows.load(self.base, self.deltas)
        return rows


events = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 300_000), st.floats(-9, 9)), max_size=30
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fold"), events),
        st.tuples(st.just("erase"), st.lists(st.sampled_from(KEYS), max_size=5, unique=True)),
        st.tuples(st.just("write"), st.none()),
        st.tuples(st.just("rewrite"), st.none()),
        st.tuples(st.just("save"), st.booleans()),
        st.tuples(st.just("restart"), st.integers(0, 3)),
    ),
    min_size=5,
    max_size=60,
)
# The least leaves room for no row at all, and the most for all of them.
memories = st.sampled_from([1, 1_000, 3_000, 6_000, 1 << 20])


def folded(
    rows: Any, found: Sequence[tuple[str, int, float]], offset: int, now: int | None
) -> None:
    keys = Texts.of([key for key, _, _ in found])
    times = np.array([time for _, time, _ in found], np.int64)
    values = np.array([[x] for _, _, x in found]).reshape(-1, 1)
    more = NO_MORE
    if now is not None:
        more = More(clocks=np.full(len(found), now))
    rows.fold(keys, times, values, offset, np.arange(len(found)), more)


@settings(max_examples=40, deadline=None)
@given(steps, memories, st.sampled_from([0, 1, 3_000]))
def test_rows_are_equal_wherever_they_lie(
    tmp_path_factory: pytest.TempPathFactory, taken: Any, most: int, later: int
) -> None:
    """Whatever is folded, erased, written, saved and loaded, with more memory or less, or with none
    that is bounded."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "kept").mkdir()
    whole = ViewRows(FOR_EVER)
    rows = BoundedRows(FOR_EVER, RowMemory(folder / "one", most))
    kept = Kept(folder / "kept")
    saved: Any = None
    for offset, (what, how) in enumerate(taken):
        if what == "fold":
            folded(whole, how, offset, None)
            folded(rows, how, offset, None)
        elif what == "erase":
            for each in (whole, rows):
                each.erase(Texts.of(how), offset, np.arange(len(how)))
        elif what == "write":
            expected = whole.hand_over()
            found = rows.hand_over()
            assert found[0] == expected[0]
            assert list(found[1]) == list(expected[1])
            assert sorted(rows.let_go()) == sorted(whole.let_go())
        elif what == "rewrite":
            assert by_key(*rows.all_parts()) == by_key(whole.all_rows())
        elif what == "save":
            kept.save(rows, how)
            # As one that was loaded: a checkpoint is all that it has seen.
            saved = whole.dump()
        elif saved is not None:
            again = ViewRows(FOR_EVER)
            again.load(saved, [])
            whole = again
            rows = kept.load(RowMemory(folder / "next", [most, later][how % 2]), FOR_EVER)
            # In any order: who loads has the ids of another time.
            assert by_key(rows.hand_over()) == by_key(whole.hand_over())
        assert len(rows) == len(whole)
    assert by_key(*rows.all_parts()) == by_key(whole.all_rows())


kept_steps = st.lists(
    st.one_of(
        st.tuples(st.just("fold"), events),
        st.tuples(st.just("time"), st.integers(0, 90_000)),
        st.tuples(st.just("erase"), st.lists(st.sampled_from(KEYS), max_size=5, unique=True)),
        st.tuples(st.just("write"), st.none()),
        st.tuples(st.just("sweep"), st.integers(0, 40_000)),
        st.tuples(st.just("look"), st.none()),
        st.tuples(st.just("save"), st.booleans()),
        st.tuples(st.just("restart"), st.integers(0, 3)),
    ),
    min_size=5,
    max_size=80,
)


def values_of(parts: Sequence[Named], as_of: int) -> dict[bytes, Any]:
    """What is read of each key that is there at a time."""
    found = {}
    for keys, rows in parts:
        done = finish(KEPT, rows, np.full(len(keys), as_of))
        # A store is told to remove those, and has none.
        gone = is_erased(rows) | is_over(rows)
        for at, key in enumerate(keys):
            if done.status[at] == PRESENT and not gone[at]:
                found[key] = done.values[at].tobytes()
    return found


@settings(max_examples=40, deadline=None)
@given(kept_steps, memories, st.sampled_from([0, 1, 3_000]))
def test_rows_that_end_end_alike_wherever_they_lie(
    tmp_path_factory: pytest.TempPathFactory, taken: Any, most: int, later: int
) -> None:
    """The reference looks at no row, so it removes none but those that are erased."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "kept").mkdir()
    whole = ViewRows(KEPT)
    rows = BoundedRows(KEPT, RowMemory(folder / "one", most))
    kept = Kept(folder / "kept")
    stored: dict[bytes, bytes] = {}
    saved: Any = None
    now = 0
    for offset, (what, how) in enumerate(taken):
        if what == "fold":
            at = [(key, min(time, now), x) for key, time, x in how]
            folded(whole, at, offset, now)
            folded(rows, at, offset, now)
        elif what == "time":
            now += how
        elif what == "erase":
            for each in (whole, rows):
                each.erase(Texts.of(how), offset, np.arange(len(how)))
        elif what == "sweep":
            rows.sweep(now, how)
        elif what == "write":
            whole.hand_over()
            stored |= by_key(rows.hand_over())
            rows.let_go()
        elif what == "save":
            kept.save(rows, how)
            saved = (whole.dump(), now, dict(stored))
        elif what == "restart" and saved is not None:
            state, now, stored = saved
            whole = ViewRows(KEPT)
            whole.load(state, [])
            rows = kept.load(RowMemory(folder / "next", [most, later][how % 2]), KEPT)
            saved = (state, now, dict(stored))
        elif what == "look":
            # Which hands all of them over, too.
            parts = list(rows.all_parts())
            stored |= by_key(*parts)
            for as_of in (now, now + 30_000):
                assert values_of(parts, as_of) == values_of([whole.all_rows()], as_of)
    stored |= by_key(rows.hand_over())
    in_store = [(list(stored), Packed.of(list(stored.values())))]
    assert values_of(in_store, now) == values_of([whole.all_rows()], now)


def crowd(rows: BoundedRows, first: int, after: int, now: int) -> None:
    """An event of each of some keys, at a time."""
    at = [(f"k{key}", now, 1.0) for key in range(first, after)]
    folded(rows, at, now, now)
    rows.sweep(now, len(at))
    rows.hand_over()


def test_memory_is_what_it_may_be_however_many_keys_come(tmp_path: Path) -> None:
    rows = BoundedRows(FOR_EVER, RowMemory(tmp_path, 200_000))
    for first in range(0, 10_000, 500):
        crowd(rows, first, first + 500, first)
        assert rows.used_bytes <= 150_000
    assert len(rows) == 10_000
    assert rows.on_disk > 9_000


def test_rows_on_disk_that_are_over_are_told_to_the_store_and_go(tmp_path: Path) -> None:
    rows = BoundedRows(KEPT, RowMemory(tmp_path, 200_000))
    crowd(rows, 0, 3_000, 0)
    assert rows.on_disk > 2_000
    ended: set[bytes] = set()
    # Keys come and go: as many end as begin.
    for turn in range(1, 12):
        now = turn * 200_000
        crowd(rows, 3_000 * turn, 3_000 * (turn + 1), now)
        for _ in range(4):
            rows.sweep(now, 40_000)
        keys, packed = rows.hand_over()
        ended |= {key for key, over in zip(keys, is_over(packed)) if over}
        rows.dump()
        rows.let_go()
        assert len(rows) < 7_000
    assert len(ended) > 25_000
    assert rows._places.disk is not None
    assert sum(len(keys) for keys, _ in rows._places.disk.parts(1_000)) < 7_000


def test_a_key_that_was_erased_does_not_come_back_from_the_disk(tmp_path: Path) -> None:
    rows = BoundedRows(FOR_EVER, RowMemory(tmp_path, 1))
    crowd(rows, 0, 10, 0)
    assert rows.on_disk == 10
    rows.erase(Texts.of(["k3"]), 1, np.zeros(1, np.int64))
    rows.hand_over()
    rows.dump()
    assert rows.let_go() == [b"k3"]
    folded(rows, [("k3", 5, 7.0)], 2, 5)
    alone = ViewRows(FOR_EVER)
    folded(alone, [("k3", 5, 7.0)], 2, 5)
    assert list(rows.hand_over()[1]) == list(alone.hand_over()[1])


def test_what_the_store_has_seen_since_a_base_is_handed_over_with_its_next_event(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path / "kept")
    kept.folder.mkdir()
    rows = BoundedRows(FOR_EVER, RowMemory(tmp_path / "one", 1))
    folded(rows, [("k1", 0, 1.0)], 0, None)
    # By ids, with a row that the store has yet to see.
    kept.save(rows, full=True)
    rows.hand_over()
    assert rows.on_disk == 1
    # By names, and by then it has seen it.
    kept.save(rows, full=False)
    again = kept.load(RowMemory(tmp_path / "next", 1), FOR_EVER)
    assert again.hand_over()[0] == []
    folded(again, [("k1", 1, 2.0)], 1, None)
    assert again.hand_over()[0] == [b"k1"]


def test_what_went_to_disk_beyond_a_deltas_room_asks_for_a_base(tmp_path: Path) -> None:
    rows = BoundedRows(FOR_EVER, RowMemory(tmp_path, 50_000))
    rows.dump()
    crowd(rows, 0, 2_000, 0)
    assert rows.wants_full
    rows.dump()
    assert not rows.wants_full
    crowd(rows, 0, 10, 1)
    assert not rows.wants_full


def test_a_delta_that_does_not_follow_its_base_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    kept.folder.mkdir()
    rows = BoundedRows(FOR_EVER, RowMemory(tmp_path / "one", 50_000))
    crowd(rows, 0, 2_000, 0)
    kept.save(rows, full=True)
    crowd(rows, 2_000, 2_010, 1)
    rows.dump_delta()  # and lost
    crowd(rows, 2_010, 2_020, 2)
    kept.save(rows, full=False)
    with pytest.raises(CheckpointError, match="rows of 2020 keys: are 2010: a part of them is"):
        kept.load(RowMemory(tmp_path / "next", 50_000), FOR_EVER)
