"""Values as of any time, against the slow reference."""

from __future__ import annotations

import math
import statistics
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import (
    NOT_FOUND,
    OUTSIDE_MAX_AGE,
    PRESENT,
    finish,
    finish_all,
    tables_of,
)
from freshet.features.rows.plan import RowPlan
from freshet.schemas.text.columns import Texts
from tests.features.partition.test_rows import (
    Event,
    events,
    folded,
    reference,
    times,
    untimed,
    views,
)


def bits(x: float) -> bytes:
    return b"nan" if math.isnan(x) else struct.pack("<d", x)


def values(rows: ViewRows, as_of: int, max_age_ms: int = 0) -> list[list[float]]:
    _, data = rows.all_rows()
    n = len(data)
    out = finish(rows.plan, data, np.full(n, as_of, np.int64), max_age_ms)
    return [[float(x) for x in row] for row in out.values]


@untimed
@given(
    views, events, st.lists(st.one_of(times, st.integers(-3_000, 15_000)), min_size=1, max_size=4)
)
def test_values_are_the_references_as_of_any_time(
    features: dict[str, fr.Aggregate], batch: list[Event], marks: list[int]
) -> None:
    rows, expected = folded(features, batch), reference(features, batch)
    newest = max((e.t for e in batch), default=0)
    for as_of in [*marks, *(newest + m for m in marks)]:
        for got, row in zip(values(rows, as_of), expected.values(), strict=True):
            assert [bits(x) for x in got] == [bits(x) for x in row.finish(as_of)]


@untimed
@given(
    views,
    events,
    st.lists(times, min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_a_batch_is_what_its_rows_are_one_by_one(
    features: dict[str, fr.Aggregate], batch: list[Event], marks: list[int], there: list[bool]
) -> None:
    rows = folded(features, batch)
    data = Packed.of([row if is_ else b"" for row, is_ in zip(rows.all_rows()[1], there)])
    n = len(data)
    as_of = np.array(marks[:n], np.int64)
    whole = finish(rows.plan, data, as_of, 5_000)
    for i in range(n):
        one = finish(rows.plan, data.part(i, i + 1), as_of[i : i + 1], 5_000)
        for a, b in zip(whole[:3], one[:3]):
            assert a[i : i + 1].tobytes() == b.tobytes()


@untimed
@given(st.lists(st.tuples(views, events), min_size=1, max_size=3), times, st.booleans())
def test_several_views_at_once_are_what_each_is_by_itself(
    several: list[tuple[dict[str, fr.Aggregate], list[Event]]], as_of: int, is_large: bool
) -> None:
    made = [folded(features, batch) for features, batch in several]
    # Of a row with text behind it the texts come, too; one absent.
    words = ViewRows(RowPlan.compile({"w": fr.last("w")}, 60_000, ["w"], open_texts=["w"]))
    texts = Texts.of(["a", "a longer text"])
    one = np.arange(2)
    codes = texts.hashes().view(np.int64)[:, np.newaxis]
    words.fold(texts, one, np.ones((2, 1)), 0, one, More(codes, texts=[texts]))
    made.append(words)
    plans = [rows.plan for rows in made]
    packed = [Packed.of([b"", *rows.all_rows()[1]]) for rows in made]
    if is_large:
        packed = [Packed.of([*rows] * 2_000) for rows in packed]
    ages = [5_000, 0, 0, 0][: len(made)]
    together = finish_all(plans, tables_of(plans, ages), packed, as_of)
    for plan, rows, max_age_ms, found in zip(plans, packed, ages, together, strict=True):
        alone = finish(plan, rows, np.full(len(rows), as_of), max_age_ms)
        for a, b in zip(found[:3], alone[:3]):
            assert a.tobytes() == b.tobytes()
        assert {name: own.tobytes() for name, own in found.wholes.items()} == {
            name: own.tobytes() for name, own in alone.wholes.items()
        }
        shown = [{n: own.to_arrow() for n, own in done.texts.items()} for done in (found, alone)]
        assert shown[0] == shown[1]
    assert together[-1].texts["w"].to_arrow().to_pylist()[:3] == [None, "a", "a longer text"]


def test_a_count_over_ten_minutes_is_right_ten_minutes_after_the_last_event() -> None:
    features = {"n": fr.count(over="10m"), "x": fr.mean("x", over="10m")}
    plan = RowPlan.compile(features, 60_000, keep_ms=3_600_000)
    rows, minutes = ViewRows(plan), 10
    t = np.arange(minutes, dtype=np.int64) * 60_000 + 30_000  # one event in each of minutes 0 to 9
    rows.fold(Texts.of(["a"] * minutes), t, t.reshape(-1, 1) / 1e3, 0, np.arange(minutes))
    for later in range(12):
        [[n, mean]] = values(rows, int(t[-1]) + later * 60_000)
        assert n == max(0, 10 - later)
        assert math.isnan(mean) if n == 0 else mean == pytest.approx(t[later:].mean() / 1e3)


def test_a_late_event_within_the_ring_counts_in_its_own_tile() -> None:
    rows = folded(
        {"n": fr.count(over="3s"), "x": fr.last("x")},
        [Event("a", 9_000, 9.0, 0), Event("a", 7_500, 7.0, 0)],
    )
    assert values(rows, 9_999) == [[2.0, 9.0]]
    assert values(rows, 10_000) == [[1.0, 9.0]]


def test_an_event_older_than_the_ring_is_in_no_window_and_still_decays_in() -> None:
    features: dict[str, fr.Aggregate] = {"n": fr.count(over="3s"), "x": fr.decayed_mean("x", "1s")}
    rows = folded(features, [Event("a", 9_000, 8.0, 0), Event("a", 6_000, 0.0, 0)])
    assert values(rows, 9_000) == [[1.0, 8.0 / 1.125]]


def test_as_of_an_earlier_time_only_tiles_up_to_it_that_the_ring_still_has_count() -> None:
    rows = folded({"n": fr.count(over="3s")}, [Event("a", t * 1_000, 0.0, 0) for t in range(6)])
    assert [values(rows, t * 1_000)[0][0] for t in range(8)] == [0, 0, 0, 1, 2, 3, 2, 1]


def test_silence_draws_a_decayed_mean_to_its_prior_and_leaves_the_plain_one() -> None:
    features: dict[str, fr.Aggregate] = {
        "plain": fr.decayed_mean("x", "1s"),
        "drawn": fr.decayed_mean("x", "1s", prior=2.0, weight=0.5),
    }
    rows = folded(features, [Event("a", 0, 10.0, 0)])
    assert values(rows, 0) == [[10.0, (10.0 + 1.0) / 1.5]]
    assert values(rows, 1_000) == [[10.0, (5.0 + 1.0) / 1.0]]
    assert values(rows, 10**9) == [[10.0, 2.0]]
    assert values(rows, -5_000) == values(rows, 0)


def test_last_takes_the_newest_time_and_of_equal_times_the_later_in_the_log() -> None:
    e = [
        Event("a", 5, 1.0, 0),
        Event("a", 5, 2.0, 0),
        Event("a", 4, 3.0, 0),
        Event("a", 9, math.nan, 0),
    ]
    assert values(folded({"x": fr.last("x")}, e), 10) == [[2.0]]


def test_nothing_seen_in_a_window_is_zero_or_missing() -> None:
    features: dict[str, fr.Aggregate] = {
        "n": fr.count(over="2s"),
        "sum": fr.sum("x", over="2s"),
        "mean": fr.mean("x", over="2s"),
        "min": fr.min("x", over="2s"),
        "max": fr.max("x", over="2s"),
        "last": fr.last("x"),
        "decayed": fr.decayed_mean("x"),
        "age": fr.age(),
    }
    [row] = values(folded(features, [Event("a", 0, math.nan, 0)]), 0)
    assert row[:2] == [1.0, 0.0]
    assert all(math.isnan(x) for x in row[2:7])
    assert row[7] == 0.0


def test_absent_and_outdated_rows_are_missing_with_their_status() -> None:
    rows = folded({"n": fr.count(over="2s"), "age": fr.age()}, [Event("a", 1_000, 0.0, 0)])
    [row] = rows.all_rows()[1]
    data = Packed.of([row, row, row, b""])
    out = finish(rows.plan, data, np.array([1_000, 6_000, 6_001, 1_000]), 5_000)
    assert out.status.tolist() == [PRESENT, PRESENT, OUTSIDE_MAX_AGE, NOT_FOUND]
    assert out.age_ms.tolist() == [0, 5_000, 5_001, -1]
    assert out.values[:2].tolist() == [[1.0, 0.0], [0.0, 5.0]]
    assert np.isnan(out.values[2:]).all()


def test_rows_may_be_read_only_misaligned_or_none() -> None:
    rows = folded({"n": fr.count(over="2s")}, [Event("a", 0, 0.0, 0)])
    _, data = rows.all_rows()
    t = np.zeros(1, np.int64)
    shifted = Packed(np.frombuffer(b"." + data.row(0), np.uint8)[1:], data.ends)
    assert finish(rows.plan, shifted, t).values.tolist() == [[1.0]]
    assert finish(rows.plan, data.part(0, 0), t[:0]).values.shape == (0, 1)


@pytest.mark.parametrize("cut", [1, 8, 16])
def test_bytes_that_are_no_row_of_the_plan_are_absent_and_leave_the_others_as_they_are(
    cut: int,
) -> None:
    rows = folded({"n": fr.count(over="2s")}, [Event("a", 0, 0.0, 0)])
    [row] = rows.all_rows()[1]
    for wrong in (row[:-cut], row + b"\0" * cut):
        done = finish(rows.plan, Packed.of([row, wrong, row]), np.zeros(3, np.int64))
        assert done.status.tolist() == [PRESENT, NOT_FOUND, PRESENT]
        assert done.values[[0, 2]].tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("gap", range(1, 12))
def test_a_jump_over_any_number_of_tiles_leaves_nothing_stale(gap: int) -> None:
    features: dict[str, fr.Aggregate] = {"n": fr.count(over="4s"), "max": fr.max("x", over="4s")}
    batch = [Event("a", t * 1_000, 9.0, 0) for t in range(6)] + [
        Event("a", (5 + gap) * 1_000, 1.0, 0)
    ]
    expected = reference(features, batch)[b"a"]
    rows = folded(features, batch)
    for as_of in range(0, 20_000, 1_000):
        assert [bits(x) for x in values(rows, as_of)[0]] == [
            bits(x) for x in expected.finish(as_of)
        ]


def test_a_decayed_mean_starts_at_its_first_value_even_if_a_newer_event_had_none() -> None:
    features: dict[str, fr.Aggregate] = {"x": fr.decayed_mean("x", "1s", prior=2.0, weight=0.5)}
    rows = folded(features, [Event("a", 9_000, math.nan, 0), Event("a", 8_000, 10.0, 0)])
    assert values(rows, 8_000) == [[(10.0 + 1.0) / 1.5]]
    assert values(rows, 9_000) == [[(5.0 + 1.0) / 1.0]]


def variances(values: list[float]) -> list[float]:
    """Variance and deviation of values that come two in each second."""
    features: dict[str, fr.Aggregate] = {
        "v": fr.variance("x", over="100s"),
        "d": fr.deviation("x", over="100s"),
    }
    plan = RowPlan.compile(features, 1_000)
    rows = ViewRows(plan)
    count = len(values)
    times = np.arange(count) * 500
    numbers = np.array(values).reshape(count, 1)
    rows.fold(Texts.of(["k"] * count), times, numbers, 0, np.arange(count))
    found = finish(plan, rows.all_rows()[1], times[-1:])
    out: list[float] = found.values[0].tolist()
    return out


@pytest.mark.parametrize("most", [3, 100])
@pytest.mark.parametrize(("far", "within"), [(0.0, 1e-12), (1e9, 1e-9), (-1e12, 1e-5)])
def test_a_variance_of_values_far_from_zero_is_theirs(most: int, far: float, within: float) -> None:
    # The mean has 53 bits, so a spread of 1e-13 of it cannot be told better. Sums of squares would
    # leave nothing of it: they err by the square of that.
    rng = np.random.default_rng(3)
    values = (far + rng.integers(-100, 101, most) / 4).tolist()
    exact = statistics.variance([Fraction(value) for value in values])
    found, deviation = variances(values)
    assert found == pytest.approx(float(exact), rel=within)
    assert deviation == math.sqrt(found)


def test_a_variance_of_fewer_than_two_values_or_beyond_float64_is_missing() -> None:
    assert np.isnan(variances([3.0])).all()
    assert np.isnan(variances([math.nan, 3.0, math.inf])).all()
    assert np.isnan(variances([1e200, -1e200, 1.0])).all()
    assert variances([1e200, 1e200]) == [0.0, 0.0]
    assert variances([3.0, math.nan, 5.0]) == [2.0, math.sqrt(2.0)]


def test_a_ratio_to_nothing_and_one_beyond_float64_are_missing() -> None:
    features: dict[str, fr.Aggregate] = {
        "to_nothing": fr.ratio(fr.count(over="10s"), fr.sum("x", over="1s")),
        "beyond": fr.ratio(fr.sum("y", over="10s"), fr.sum("z", over="10s")),
        "share": fr.ratio(fr.count(over="1s"), fr.count(over="10s")),
    }
    plan = RowPlan.compile(features, 1_000)
    rows = ViewRows(plan)
    columns = {"x": 0.0, "y": 1e300, "z": 1e-300}
    numbers = np.array([[columns[name] for name in plan.fields]] * 2)
    rows.fold(Texts.of(["k"] * 2), np.array([0, 5_000]), numbers, 0, np.arange(2))
    found = finish(plan, rows.all_rows()[1], np.array([5_000])).values[0].tolist()
    assert [math.isnan(value) for value in found] == [True, True, False]
    assert found[2] == 0.5
