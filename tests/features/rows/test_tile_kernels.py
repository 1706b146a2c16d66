"""Rows that are a tail of raw events, and rows with tiles: the same values to the last bit, and the
same bytes whatever happened to them in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import NOT_FOUND, finish
from freshet.features.rows.layout import TAIL, TILED
from freshet.features.rows.plan import RowPlan
from freshet.features.rows.tile_kernels import quotient
from freshet.schemas.text.columns import Texts
from tests.features.rows.reference import ReferenceRow
from tests.features.rows.streams import DAY, HOUR, Stream, moments, stream
from tests.features.rows.test_finish import bits

seeds = st.integers(0, 2**32)
some = settings(max_examples=60, deadline=None)
OVERS = ["10m", "1h", "1d", "7d", "30d"]
EVERYTHING: dict[str, fr.Aggregate] = {
    **{f"n_{over}": fr.count(over=over) for over in OVERS},
    **{f"sum_{over}": fr.sum("x", over=over) for over in OVERS},
    **{f"max_{over}": fr.max("x", over=over) for over in OVERS},
    "mean_1h": fr.mean("y", over="1h"),
    "min_7d": fr.min("y", over="7d"),
    "mean_7d": fr.mean("x", over="7d"),
    "variance_7d": fr.variance("x", over="7d"),
    "variance_1h": fr.variance("y", over="1h"),
    "deviation_1d": fr.deviation("x", over="1d"),
    "last": fr.last("y"),
    "short": fr.decayed_mean("x", "10m"),
    "long": fr.decayed_mean("x", "1d", prior=0.5, weight=2.0),
    "age": fr.age(),
}
FEW: dict[str, fr.Aggregate] = {
    "n_1d": fr.count(over="1d"),
    "n_6h": fr.count(over="6h"),
    "least": fr.min("y", over="1d"),
    "mean": fr.mean("y", over="12h"),
    "spread": fr.deviation("y", over="12h"),
    "share": fr.ratio(fr.sum("x", over="6h"), fr.count(over="1d")),
    "rate": fr.rate(over="12h", per="1m"),
    "first": fr.first("x"),
    "decayed": fr.decayed_sum("y", "1h"),
}
# Windows of their own tiles, of one tile, and of so many that a bitmap has many words.
VIEWS: list[tuple[dict[str, fr.Aggregate], int | None]] = [
    (EVERYTHING, None),
    (FEW, None),
    (FEW, HOUR),
    (FEW, 60_000),
    ({"n": fr.count(over="30d")}, 3_600_000),
    ({"n": fr.count(over="1009ms"), "x": fr.sum("x", over="7ms")}, None),
    ({"last": fr.last("x"), "age": fr.age()}, None),
]
plans = st.sampled_from(VIEWS)


def fold(rows: ViewRows, events: Stream, first: int, key: str = "k") -> None:
    """Events `first` and on of a stream, as they stand in the log."""
    values = [[{"x": x, "y": y}[field] for field in rows.plan.fields] for _, x, y in events]
    rows.fold(
        Texts.of([key] * len(events)),
        np.array([t for t, _, _ in events], np.int64),
        np.array(values, np.float64).reshape(len(events), len(rows.plan.fields)),
        0,
        np.arange(first, first + len(events)),
    )


def reference(features: dict[str, fr.Aggregate], tile: int | None, events: Stream) -> ReferenceRow:
    row = ReferenceRow(features, tile)
    for at, (t, x, y) in enumerate(events):
        row.fold(t, {"x": x, "y": y}, (0, at))
    return row


def row_of(rows: ViewRows) -> bytes:
    """The bytes of the one row."""
    [row] = rows.all_rows()[1]
    return row


def put_back(rows: ViewRows) -> ViewRows:
    """As a checkpoint gives it back, in another memory."""
    again = ViewRows(rows.plan)
    again.load(rows.dump(), [])
    return again


@some
@given(plans, seeds)
def test_values_are_the_references_however_long_the_stream(
    view: tuple[dict[str, fr.Aggregate], int | None], seed: int
) -> None:
    features, tile = view
    events = stream(seed)
    rows = ViewRows(RowPlan.compile(features, tile))
    fold(rows, events, 0)
    expected = reference(features, tile, events)
    packed = rows.all_rows()[1]
    for as_of in moments(events, np.random.default_rng(seed)):
        [values] = finish(rows.plan, packed, np.array([as_of])).values.tolist()
        assert [bits(x) for x in values] == [bits(x) for x in expected.finish(as_of)]


@some
@given(plans, seeds)
def test_bytes_follow_from_events_alone_stored_and_put_back_or_not(
    view: tuple[dict[str, fr.Aggregate], int | None], seed: int
) -> None:
    features, tile = view
    events = stream(seed, most=150)
    plan = RowPlan.compile(features, tile)
    stays = ViewRows(plan)
    moves = ViewRows(plan)
    rng = np.random.default_rng(seed)
    for at, event in enumerate(events):
        fold(stays, [event], at)
        fold(moves, [event], at)
        if rng.random() < 0.2:
            moves = put_back(moves)
        assert row_of(stays) == row_of(moves)
    whole = ViewRows(plan)
    fold(whole, events, 0)
    assert row_of(whole) == row_of(stays)


@some
@given(seeds)
def test_deltas_replace_rows_of_any_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = RowPlan.compile(EVERYTHING, None)
    live = ViewRows(plan)
    base, deltas = live.dump(), list[Any]()
    streams = {key: stream(seed + at, most=200) for at, key in enumerate("abc")}
    for part in range(6):
        for key, events in streams.items():
            size = len(events) // 6 + 1
            if rng.random() < 0.7:
                fold(live, events[part * size : (part + 1) * size], part * size, key)
        deltas.append(live.dump_delta())
    again = ViewRows(plan)
    again.load(base, deltas)
    assert list(live.all_rows()[1]) == list(again.all_rows()[1])


@pytest.mark.parametrize(("features", "tile"), VIEWS)
def test_no_row_is_longer_than_its_plan_says(
    features: dict[str, fr.Aggregate], tile: int | None
) -> None:
    """One event a minute for 31 days fills every tile of the usual windows."""
    rows = ViewRows(RowPlan.compile(features, tile))
    times = np.arange(31 * 24 * 60) * 60_000
    values = np.ones((len(times), len(rows.plan.fields)))
    for first in range(0, len(times), 1_000):
        part = times[first : first + 1_000]
        keys = Texts.of(["k"] * len(part))
        rows.fold(keys, part, values[: len(part)], first, np.arange(len(part)))
    assert len(row_of(rows)) <= rows.plan.most_bytes


def test_a_quiet_row_of_five_windows_is_short_and_a_busy_one_is_bounded() -> None:
    windows: dict[str, fr.Aggregate] = {}
    for over in OVERS:
        windows[f"n_{over}"] = fr.count(over=over)
        windows[f"sum_{over}"] = fr.sum("x", over=over)
        windows[f"max_{over}"] = fr.max("x", over=over)
    plan = RowPlan.compile(windows, None)
    assert plan.bytes_of(5) <= 400
    assert plan.most_bytes <= 4_000


def test_events_that_no_window_has_any_more_leave_the_tail() -> None:
    """Else a key with an event a month would come to tiles, all of them empty but one."""
    rows = ViewRows(RowPlan.compile({"n": fr.count(over="1d")}, None))
    for at in range(200):
        fold(rows, [(at * 30 * DAY, 0.0, 0.0)], at)
        assert len(row_of(rows)) <= rows.plan.bytes_of(4)


@some
@given(seeds, st.integers(0, 2**16))
def test_bytes_that_were_changed_are_absent_or_read_within_their_row(seed: int, at: int) -> None:
    """Whatever a store gives back, kernels look at nothing but it."""
    rng = np.random.default_rng(seed)
    rows = ViewRows(RowPlan.compile(EVERYTHING, None))
    fold(rows, stream(seed, most=120), 0)
    row = bytearray(row_of(rows))
    row[at % len(row)] ^= int(rng.integers(1, 256))
    changed = bytes(row)[: len(row) - 8 * int(rng.integers(0, 3))]
    packed = Packed.of([changed])
    done = finish(rows.plan, packed, np.array([max(0, at)]))
    if len(changed) < len(row):
        assert done.status[0] in (NOT_FOUND, 1)


@some
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60), st.integers(0, 70), plans)
def test_any_bytes_are_finished_without_harm(
    words: list[int], tail: int, view: tuple[dict[str, fr.Aggregate], int | None]
) -> None:
    for held in (tail, tail + TILED):
        row = np.array([*words[:3], held, *words[3:]], np.int64).tobytes()
        plan = RowPlan.compile(*view)
        done = finish(plan, Packed.of([row, b"", row]), np.zeros(3, np.int64))
        assert done.status[1] == NOT_FOUND
        assert [bits(x) for x in done.values[0]] == [bits(x) for x in done.values[2]]


def test_many_keys_that_grow_together_are_compacted_and_stay_what_they_are() -> None:
    """Every row moves some ten times; dead blocks are given back."""
    plan = RowPlan.compile(EVERYTHING, None)
    rows = ViewRows(plan)
    keys = [f"key {at}" for at in range(3_000)]
    texts = Texts.of(keys)
    rng = np.random.default_rng(1)
    rounds = TAIL * 2 + 5
    times = rng.integers(0, 30 * DAY, (rounds, len(keys)))
    times.sort(axis=0)
    values = rng.normal(size=(rounds, len(keys), 2))
    for at in range(rounds):
        rows.fold(texts, times[at], values[at], at, np.arange(len(keys)))
    packed = rows.all_rows()[1]
    # A quarter of it may be dead, blocks have an eighth to spare, and segments their ends.
    assert rows.used_bytes <= 1.5 * packed.data.size + (4 << 20)
    order = {name: at for at, name in enumerate(plan.fields)}
    as_of = 30 * DAY
    done = finish(plan, packed, np.full(len(keys), as_of))
    for key in range(0, len(keys), 97):
        events: Stream = [
            (int(t), float(v[order["x"]]), float(v[order["y"]]))
            for t, v in zip(times[:, key], values[:, key])
        ]
        expected = reference(EVERYTHING, None, events).finish(as_of)
        assert [bits(x) for x in done.values[key].tolist()] == [bits(x) for x in expected]
    again = put_back(rows)
    assert list(again.all_rows()[1]) == list(packed)


_NEAR = st.integers(-2, 2)
_WHOLE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**53) - 3, 2**53 + 3),
    st.integers(-(10**13), 10**13),
)


@given(value=_WHOLE, width=st.one_of(st.integers(1, 2**53), st.integers(1, 10**10)), beside=_NEAR)
def test_a_quotient_is_that_of_whole_numbers(value: int, width: int, beside: int) -> None:
    # At the edges of a width, too, where a rounded quotient may be the next one.
    edge = value // width * width + beside
    for asked in (value, max(-(2**63), min(2**63 - 1, edge))):
        assert quotient(asked, width) == asked // width
