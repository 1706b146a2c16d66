"""Distinct counts, quantiles and most frequent values: those of a plain Python loop to the last
bit, whatever form a row has, and within what is declared of the truth."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import NOT_FOUND, finish
from freshet.features.rows.layout import TILED
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import DefinitionError
from freshet.schemas.text.columns import Texts
from tests.features.rows.sketch_reference import SketchRow, code_of
from tests.features.rows.streams import DAY, HOUR, moments, stream
from tests.features.rows.test_finish import bits

seeds = st.integers(0, 2**32)
some = settings(max_examples=40, deadline=None)
MISSING = -(1 << 63)
WHOLE = ["w"]
Event = tuple[int, float, int | float]  # time, a number, and a whole number or NaN
EVERYTHING: dict[str, fr.Aggregate] = {
    "median": fr.quantile("x", 0.5, over="1d"),
    "p95": fr.quantile("x", 0.95, over="1d"),
    "least": fr.quantile("x", 0.0, over="6h", error=0.25),
    "greatest": fr.quantile("x", 1.0, over="7d", error=0.1),
    "of_w": fr.quantile("w", 0.3, over="1d", error=0.05),
    "crowded": fr.quantile("x", 0.4, over="30d", error=0.25),
    "kinds": fr.distinct("w", over="1d", exact=3, error=0.25),
    "many": fr.distinct("w", over="30d", exact=2, error=0.05),
    "all": fr.distinct("w", over="7d", exact=1_000),
    "numbers": fr.distinct("x", over="1d", exact=4),
    "mode": fr.most_frequent("w", over="1d"),
    "squeezed": fr.most_frequent("w", over="7d", exact=2),
    "of_x": fr.most_frequent("x", over="7d", exact=5),
}
BESIDE: dict[str, fr.Aggregate] = {
    "n": fr.count(over="1d"),
    "spread": fr.deviation("x", over="7d"),
    "newest": fr.last("w"),
}
ALL_AND_OTHERS = {**EVERYTHING, **BESIDE}
SHARED: dict[str, fr.Aggregate] = {
    "short": fr.distinct("w", over="2h", exact=2),
    "long": fr.distinct("w", over="1d", exact=2),
    "median": fr.quantile("x", 0.5, over="3h"),
    "later": fr.quantile("x", 0.9, over="1d"),
    "mode": fr.most_frequent("w", over="1h", exact=1),
}
VIEWS: list[tuple[dict[str, fr.Aggregate], int | None]] = [
    (EVERYTHING, None),
    (ALL_AND_OTHERS, None),
    (SHARED, HOUR),
    ({"one": fr.distinct("w", over="7ms", exact=1, error=0.25)}, None),
]
plans = st.sampled_from(VIEWS)


def events_of(seed: int, most: int = 300) -> list[Event]:
    """A stream of the one kind, with few or many whole numbers beside, some of them of 64 bits."""
    rng = np.random.default_rng(seed)
    kinds = int(rng.choice([1, 3, 40, 10_000]))
    out: list[Event] = []
    for t, x, _ in stream(seed, most):
        whole: int | float = int(rng.integers(0, kinds)) + (1 << 62) * int(rng.integers(-1, 2))
        if rng.random() < 0.05:
            whole = math.nan
        if rng.random() < 0.3:
            x = float(rng.integers(-3, 4))
        out.append((t, x, whole))
    return out


def fold(rows: ViewRows, events: list[Event], first: int) -> None:
    """Events `first` and on of a stream, as they stand in the log."""
    count = len(events)
    fields = rows.plan.fields
    values = np.empty((count, len(fields)))
    codes = np.empty((count, len(fields)), np.int64)
    for at, (_, x, w) in enumerate(events):
        for column, field in enumerate(fields):
            value = {"x": x, "w": w}[field]
            values[at, column] = value
            there = isinstance(value, int) or math.isfinite(value)
            codes[at, column] = code_of(value) if there else MISSING
    times = np.array([t for t, _, _ in events], np.int64)
    keys = Texts.of(["k"] * count)
    rows.fold(keys, times, values, 0, np.arange(first, first + count), More(codes))


def rows_of(view: tuple[dict[str, fr.Aggregate], int | None]) -> ViewRows:
    return ViewRows(RowPlan.compile(*view, WHOLE))


def row_of(rows: ViewRows) -> bytes:
    [row] = rows.all_rows()[1]
    return row


def put_back(rows: ViewRows) -> ViewRows:
    again = ViewRows(rows.plan)
    again.load(rows.dump(), [])
    return again


@some
@given(plans, seeds)
def test_values_are_the_references_however_long_the_stream(
    view: tuple[dict[str, fr.Aggregate], int | None], seed: int
) -> None:
    events = events_of(seed)
    rows = rows_of(view)
    fold(rows, events, 0)
    expected = SketchRow(*view)
    for t, x, w in events:
        expected.fold(t, {"x": x, "w": w})
    packed = rows.all_rows()[1]
    times = [(t, 0.0, 0.0) for t, _, _ in events]
    for as_of in moments(times, np.random.default_rng(seed)):
        done = finish(rows.plan, packed, np.array([as_of]))
        for name, value in zip(rows.plan.names, done.values[0].tolist()):
            if name in BESIDE:
                continue
            wanted = expected.value(name, as_of)
            assert bits(value) == bits(float(wanted)), name
            if name in done.wholes and isinstance(wanted, int):
                assert int(done.wholes[name][0]) == wanted, "to the last digit"


@some
@given(plans, seeds)
def test_bytes_follow_from_events_alone_stored_and_put_back_or_not(
    view: tuple[dict[str, fr.Aggregate], int | None], seed: int
) -> None:
    events = events_of(seed, most=150)
    stays = rows_of(view)
    moves = rows_of(view)
    rng = np.random.default_rng(seed)
    for at, event in enumerate(events):
        fold(stays, [event], at)
        fold(moves, [event], at)
        if rng.random() < 0.2:
            moves = put_back(moves)
        assert row_of(stays) == row_of(moves)
    whole = rows_of(view)
    fold(whole, events, 0)
    assert row_of(whole) == row_of(stays)
    assert len(row_of(whole)) <= whole.plan.most_bytes


@some
@given(plans, seeds, st.lists(st.integers(0, 300), max_size=6))
def test_any_batching_gives_the_same_bytes(
    view: tuple[dict[str, fr.Aggregate], int | None], seed: int, cuts: list[int]
) -> None:
    events = events_of(seed)
    whole = rows_of(view)
    fold(whole, events, 0)
    parts = rows_of(view)
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for first, after in pairwise(edges):
        fold(parts, events[first:after], first)
    assert row_of(whole) == row_of(parts)


@some
@given(seeds)
def test_other_features_are_what_they_are_without_sketches(seed: int) -> None:
    events = events_of(seed)
    rows = rows_of((ALL_AND_OTHERS, None))
    alone = rows_of((BESIDE, None))
    fold(rows, events, 0)
    fold(alone, events, 0)
    for as_of in (events[-1][0], events[-1][0] + DAY):
        both = finish(rows.plan, rows.all_rows()[1], np.array([as_of])).values[0]
        found = dict(zip(rows.plan.names, both.tolist()))
        [only] = finish(alone.plan, alone.all_rows()[1], np.array([as_of])).values.tolist()
        assert [bits(found[name]) for name in BESIDE] == [bits(value) for value in only]


@some
@given(seeds, st.integers(0, 2**16), plans)
def test_bytes_that_were_changed_are_absent_or_read_within_their_row(
    seed: int, at: int, view: tuple[dict[str, fr.Aggregate], int | None]
) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of(view)
    fold(rows, events_of(seed, most=120), 0)
    row = bytearray(row_of(rows))
    row[at % len(row)] ^= int(rng.integers(1, 256))
    changed = bytes(row)[: len(row) - 8 * int(rng.integers(0, 3))]
    done = finish(rows.plan, Packed.of([changed]), np.array([max(0, at)]))
    assert done.status[0] in (NOT_FOUND, 1)


@some
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60), st.integers(0, 70), plans)
def test_any_bytes_are_finished_without_harm(
    words: list[int], tail: int, view: tuple[dict[str, fr.Aggregate], int | None]
) -> None:
    for held in (tail, tail + TILED):
        row = np.array([*words[:3], held, *words[3:]], np.int64).tobytes()
        plan = RowPlan.compile(*view, WHOLE)
        done = finish(plan, Packed.of([row, b"", row]), np.zeros(3, np.int64))
        assert done.status[1] == NOT_FOUND


@pytest.mark.parametrize("error", [0.001, 0.01, 0.05, 0.25])
def test_a_quantile_is_within_its_error_of_the_value_at_its_rank(error: float) -> None:
    rng = np.random.default_rng(3)
    shares = [0.0, 0.01, 0.5, 0.9, 0.99, 1.0]
    features = {f"q{at}": fr.quantile("x", share, over="1h", error=error)
                for at, share in enumerate(shares)}  # fmt: skip
    for scale in (0.1, 1.0, 2.0):
        rows = rows_of((dict(features), None))
        values = rng.lognormal(0.0, scale, 5_000) * rng.choice([-1.0, 1.0, 1.0], 5_000)
        fold(rows, [(at, float(x), 0) for at, x in enumerate(values)], 0)
        [found] = finish(rows.plan, rows.all_rows()[1], np.array([5_000])).values.tolist()
        ordered = np.sort(values)
        for share, got in zip(shares, found, strict=True):
            true = float(ordered[int(share * (len(ordered) - 1))])
            assert abs(got - true) <= error * abs(true) * (1 + 1e-12)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.001, 0.013, 0.25]))
@settings(deadline=None)
def test_the_quantile_of_one_value_is_within_its_error(x: float, error: float) -> None:
    rows = rows_of(({"q": fr.quantile("x", 0.5, over="1h", error=error)}, None))
    fold(rows, [(0, x, 0)], 0)
    got = float(finish(rows.plan, rows.all_rows()[1], np.array([0])).values[0, 0])
    # Below the least normal number there are too few bits for any error.
    assert abs(got - x) <= max(error * abs(x) * (1 + 1e-12), 5e-324)
    assert math.copysign(1.0, got) == math.copysign(1.0, x) or x == 0.0


@pytest.mark.parametrize("error", [0.02, 0.05, 0.25])
def test_distinct_counts_are_as_near_as_their_standard_error(error: float) -> None:
    rng = np.random.default_rng(5)
    features = {"n": fr.distinct("w", over="1h", exact=1, error=error)}
    for kinds in (50, 1_000, 20_000):
        shares = []
        for _ in range(40):
            rows = rows_of((dict(features), None))
            codes = rng.integers(-(1 << 62), 1 << 62, (kinds, 1))
            # All of them twice: in one tile, and in two.
            for offset, at in enumerate((0, 0, 200_000)):
                times = np.full(kinds, at)
                keys = Texts.of(["k"] * kinds)
                numbers = np.zeros((kinds, 1))
                rows.fold(keys, times, numbers, offset, np.arange(kinds), More(codes))
            done = finish(rows.plan, rows.all_rows()[1], np.array([200_000]))
            shares.append(float(done.values[0, 0]) / kinds - 1.0)
        # Of 40 of them: their spread is within a third of it, and their mean is theirs.
        spread = math.sqrt(statistics.fmean(share * share for share in shares))
        assert spread <= 1.35 * error
        assert abs(statistics.fmean(shares)) <= 0.5 * error


def test_a_count_is_exact_up_to_the_bound_and_an_estimate_of_a_whole_number_beyond() -> None:
    rows = rows_of(({"n": fr.distinct("w", over="1h", exact=5)}, None))
    for kinds in range(1, 40):
        fold(rows, [(kinds, 0.0, kinds)], kinds)
        [[found]] = finish(rows.plan, rows.all_rows()[1], np.array([50])).values.tolist()
        assert found.is_integer()
        if kinds <= 5:
            assert found == kinds
        assert abs(found - kinds) <= 2


def test_of_equally_frequent_values_the_least_is_it() -> None:
    rows = rows_of(({"x": fr.most_frequent("x", over="1h")}, None))
    values = [2.5, -1.0, -0.0, 2.5, -1.0, 0.0]
    fold(rows, [(at, x, 0) for at, x in enumerate(values)], 0)
    [[found]] = finish(rows.plan, rows.all_rows()[1], np.array([10])).values.tolist()
    assert found == -1.0


def test_sketches_that_may_grow_beyond_a_record_are_refused_with_the_fix() -> None:
    with pytest.raises(DefinitionError, match=r"feature q: 1440 tiles of 1m.*longer tile"):
        RowPlan.compile({"q": fr.quantile("x", 0.5, over="1d", error=0.001)}, 60_000)


def test_features_of_one_window_and_error_share_a_sketch() -> None:
    one = RowPlan.compile({"a": fr.quantile("x", 0.5, over="1h")}, None)
    two = RowPlan.compile(
        {"a": fr.quantile("x", 0.5, over="1h"), "b": fr.quantile("x", 0.9, over="1h")}, None
    )
    assert two.most_bytes == one.most_bytes
    assert two.digest != one.digest
