"""The kernels against the slow reference, and rows under any batching, dump, load and loss of the
store."""

from __future__ import annotations

import hashlib
import math
import struct
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.partition import rows as partition_rows
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.partition.warm import warm
from freshet.features.rows.decay_kernels import halved
from freshet.features.rows.layout import SUM, TAIL, TILED, VALUES
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.parted_arrays import parts_of
from freshet.schemas.text.columns import Texts
from tests.features.rows.reference import ReferenceRow
from tests.features.rows.reference import halved as reference_halved

TILE = 1_000
untimed = settings(deadline=None)  # the first call compiles
NAMES = ["", "a", "bb", "ключ", "a key that is longer than eight bytes"]
FIELDS = ["x", "y"]


@dataclass(frozen=True)
class Event:
    key: str
    t: int
    x: float
    y: float


numbers = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1.0, 1e300, math.nan, math.inf, -math.inf])
)
times = st.one_of(
    st.integers(-40_000, 40_000), st.integers(0, 30).map(lambda q: q * 500), st.integers(0, 10**13)
)
events = st.lists(st.builds(Event, st.sampled_from(NAMES), times, numbers, numbers), max_size=40)
overs = st.integers(1, 12).map(lambda k: f"{k}s")
fields = st.sampled_from(FIELDS)
aggregate: st.SearchStrategy[fr.Aggregate] = st.one_of(
    st.builds(lambda over: fr.count(over=over), overs),
    st.builds(
        lambda make, field, over: make(field, over=over),
        st.sampled_from([fr.sum, fr.mean, fr.min, fr.max, fr.variance, fr.deviation]),
        fields,
        overs,
    ),
    st.builds(fr.last, fields),
    st.builds(fr.first, fields),
    st.builds(fr.decayed_sum, fields, st.sampled_from(["1ms", "700ms", "1h"])),
    st.builds(lambda over, per: fr.rate(over=over, per=per), overs, st.sampled_from(["1s", "7m"])),
    st.builds(
        lambda field, above, below: fr.ratio(fr.sum(field, over=above), fr.count(over=below)),
        fields,
        overs,
        overs,
    ),
    st.builds(
        lambda field, other, above, below: fr.ratio(
            fr.sum(field, over=above), fr.sum(other, over=below)
        ),
        fields,
        fields,
        overs,
        overs,
    ),
    st.builds(
        lambda field, half, prior, weight: fr.decayed_mean(field, half, prior=prior, weight=weight),
        fields,
        st.sampled_from(["1ms", "700ms", "1h"]),
        st.one_of(st.none(), st.floats(-100, 100)),
        st.sampled_from([0.5, 3.0]),
    ),
    st.just(fr.age()),
)
views = st.lists(aggregate, min_size=1, max_size=7).map(
    lambda all_: {f"f{i}": a for i, a in enumerate(all_)}
)


def fold(rows: ViewRows, batch: list[Event], offset: int, index: int = 0) -> None:
    values = np.array([[getattr(e, f) for f in rows.plan.fields] for e in batch], np.float64)
    rows.fold(
        Texts.of([e.key for e in batch]),
        np.array([e.t for e in batch], np.int64),
        values.reshape(len(batch), len(rows.plan.fields)),
        offset,
        np.arange(index, index + len(batch), dtype=np.int32),
    )


def folded(
    features: dict[str, fr.Aggregate], batch: list[Event], tile_ms: int | None = TILE
) -> ViewRows:
    rows = ViewRows(RowPlan.compile(features, tile_ms))
    fold(rows, batch, 0)
    return rows


def reference(
    features: dict[str, fr.Aggregate], batch: list[Event], tile_ms: int | None = TILE
) -> dict[bytes, ReferenceRow]:
    out: dict[bytes, ReferenceRow] = {}
    for i, e in enumerate(batch):
        row = out.setdefault(e.key.encode(), ReferenceRow(features, tile_ms))
        row.fold(e.t, {"x": e.x, "y": e.y}, (0, i))
    return out


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes()
        for k in a
    )


def taken(packed: tuple[list[bytes], Packed]) -> tuple[list[bytes], list[bytes]]:
    return packed[0], list(packed[1])


def test_only_rows_with_a_last_whole_number_are_laid_out_anew() -> None:
    others: dict[str, fr.Aggregate] = {"x": fr.last("x"), "y": fr.sum("y", over="1s")}
    plain = RowPlan.compile(others, TILE)
    # By the digest that such rows have without whole numbers in the view.
    text = f"2 {TILE} x=last(x)\x1fy=sum(y over 1s)"
    assert plain.digest == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert RowPlan.compile(others, TILE, ["y"]).digest == plain.digest
    whole = RowPlan.compile(others, TILE, ["x", "y"])
    assert whole.digest != plain.digest
    assert (list(whole.wholes), whole.most_bytes) == (["x"], plain.most_bytes)
    with pytest.raises(CheckpointError, match="another definition"):
        ViewRows(whole).load(ViewRows(plain).dump(), [])


def test_events_that_leave_the_digits_of_whole_numbers_out_are_refused() -> None:
    rows = ViewRows(RowPlan.compile({"x": fr.last("x")}, TILE, ["x"]))
    one = np.zeros(1, np.int64)
    with pytest.raises(DefinitionError, match="whole numbers"):
        rows.fold(Texts.of(["a"]), one, np.zeros((1, 1)), 0, one)
    with pytest.raises(DefinitionError, match="whole numbers"):
        rows.fold(Texts.of(["a"]), one, np.zeros((1, 1)), 0, one, More(np.zeros((1, 2), np.int64)))


@untimed
@given(views, events)
def test_version_newest_time_and_tail_are_those_of_the_reference(
    features: dict[str, fr.Aggregate], batch: list[Event]
) -> None:
    rows, expected = folded(features, batch), reference(features, batch)
    keys, data = rows.hand_over()
    assert keys == list(expected)
    for key, row in zip(keys, data):
        r = expected[key]
        assert struct.unpack(">2q", row[:16]) == r.version
        newest, held = struct.unpack("<2q", row[16:32])
        assert newest == r.newest
        events = 0
        if rows.plan.rings:
            events = held % TILED
            assert events <= min(len(r.events), TAIL)
        if held < TILED:
            assert len(row) == rows.plan.bytes_of(events)
        assert len(row) <= rows.plan.most_bytes


@untimed
@given(views, events, st.lists(st.integers(0, 40), max_size=6))
def test_any_batching_gives_the_same_bytes(
    features: dict[str, fr.Aggregate], batch: list[Event], cuts: list[int]
) -> None:
    whole, parts = folded(features, batch), ViewRows(RowPlan.compile(features, TILE))
    edges = [0, *sorted(min(c, len(batch)) for c in cuts), len(batch)]
    for a, b in pairwise(edges):
        fold(parts, batch[a:b], 0, a)
    assert same(whole.dump(), parts.dump())
    assert taken(whole.hand_over()) == taken(parts.hand_over())


@untimed
@given(views, events, st.integers(1, 4))
def test_a_dump_in_parts_is_all_rows_and_keys_and_no_part_is_larger(
    features: dict[str, fr.Aggregate], batch: list[Event], size: int
) -> None:
    rows = folded(features, batch)
    ids = rows._keys.ids()
    words, ends = rows._arena.pack(ids)
    texts = rows._keys.texts(ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition_rows, "A_PART", size)
        dumped = rows.dump_in_parts()
        parts = [list(parts_of(dumped[name])) for name in ("keys", "key_ends", "rows")]
        # As often as they are asked for: a write that failed is tried again.
        again = [list(parts_of(dumped[name])) for name in ("keys", "key_ends", "rows")]
        handed = list(rows.all_parts())
    wanted = (texts.data, texts.end, words)
    for first, second, values in zip(parts, again, wanted):
        assert np.array_equal(np.concatenate([values[:0], *first]), values)
        assert np.array_equal(np.concatenate([values[:0], *second]), values)
    assert all(part.size <= size for part in parts[1])
    longest = int(np.diff(ends, prepend=0).max(initial=0))
    assert all(part.size <= size * longest for part in parts[2])
    assert np.array_equal(dumped["row_ends"], ends)
    assert all(len(keys) <= size for keys, _ in handed)
    everything = rows.all_rows()
    assert [key for keys, _ in handed for key in keys] == everything[0]
    assert [row for _, packed in handed for row in packed] == list(everything[1])


@untimed
@given(
    views,
    events,
    st.lists(st.sampled_from(["take", "dump", "delta", "load"]), min_size=1, max_size=12),
)
def test_base_and_deltas_are_everything_at_any_point(
    features: dict[str, fr.Aggregate], batch: list[Event], steps: list[str]
) -> None:
    plan = RowPlan.compile(features, TILE)
    live, base, deltas = ViewRows(plan), ViewRows(plan).dump(), list[Any]()
    size = -(-len(batch) // len(steps))
    for i, step in enumerate(steps):
        fold(live, batch[i * size : (i + 1) * size], i)
        if step == "take":
            live.hand_over()
        elif step == "dump":
            base, deltas = live.dump(), []
        elif step == "delta":
            deltas.append(live.dump_delta())
        else:
            deltas.append(live.dump_delta())
            loaded = ViewRows(plan)
            loaded.load(base, deltas)
            live = loaded
    deltas.append(live.dump_delta())
    again = ViewRows(plan)
    again.load(base, deltas)
    assert again.dump_delta()["ids"].size == 0
    assert same(live.dump(), again.dump())
    fold(live, batch, 99)
    fold(again, batch, 99)
    assert same(live.dump_delta(), again.dump_delta())
    assert taken(live.hand_over()) == taken(again.hand_over())
    assert taken(live.all_rows()) == taken(again.all_rows())


def test_rows_are_handed_over_once_until_touched_again() -> None:
    rows = folded({"n": fr.count(over="10s")}, [Event("a", 0, 0.0, 0.0), Event("b", 0, 0.0, 0.0)])
    assert rows.hand_over()[0] == [b"a", b"b"]
    assert rows.hand_over()[0] == []
    fold(rows, [Event("b", 1, 0.0, 0.0)], 1)
    assert rows.hand_over()[0] == [b"b"]


def test_a_lost_store_gets_every_row_and_nothing_is_left_to_take() -> None:
    rows = folded({"n": fr.count(over="10s")}, [Event(k, 0, 0.0, 0.0) for k in "abc"])
    rows.hand_over()
    fold(rows, [Event("b", 1, 0.0, 0.0)], 1)
    keys, data = rows.all_rows()
    assert keys == [b"a", b"b", b"c"]
    assert data.present.all()
    assert rows.hand_over()[0] == []


def test_versions_compare_as_bytes() -> None:
    rows, seen = ViewRows(RowPlan.compile({"n": fr.count(over="1s")}, TILE)), []
    for offset, index in ((0, 0), (0, 255), (0, 256), (1, 0), (255, 7), (256, 0), (1 << 40, 0)):
        fold(rows, [Event("a", 0, 0.0, 0.0)], offset, index)
        seen.append(rows.hand_over()[1].row(0)[:16])
    assert seen == sorted(seen)


def test_dumps_do_not_change_afterwards() -> None:
    rows = folded({"n": fr.count(over="10s"), "x": fr.last("x")}, [Event("a", 0, 1.0, 0.0)])
    dump = rows.dump()
    before = {k: v.copy() for k, v in dump.items()}
    fold(rows, [Event("a", 1, 2.0, 0.0), Event("b", 1, 2.0, 0.0)], 1)
    assert same(dump, before)


def test_dumps_of_another_plan_or_a_missing_delta_are_refused() -> None:
    rows = folded({"n": fr.count(over="10s")}, [Event("a", 0, 0.0, 0.0)])
    base = rows.dump()
    with pytest.raises(CheckpointError, match="another definition"):
        ViewRows(RowPlan.compile({"n": fr.count(over="11s")}, TILE)).load(base, [])
    fold(rows, [Event("b", 0, 0.0, 0.0)], 1)
    rows.dump_delta()
    fold(rows, [Event("c", 0, 0.0, 0.0)], 2)
    with pytest.raises(CheckpointError, match="does not follow"):
        ViewRows(rows.plan).load(base, [rows.dump_delta()])


def test_events_of_another_shape_are_refused() -> None:
    rows = ViewRows(RowPlan.compile({"x": fr.mean("x", over="10s")}, TILE))
    one = np.zeros(1, np.int64)
    with pytest.raises(DefinitionError, match=r"values \(1, 2\)"):
        rows.fold(Texts.of(["a"]), one, np.zeros((1, 2)), 0, one)


def test_read_only_and_column_major_input_gives_the_same_rows() -> None:
    plan = RowPlan.compile({"x": fr.mean("x", over="10s"), "y": fr.last("y")}, TILE)
    t, values = np.arange(6) * 500, np.arange(12.0).reshape(6, 2)
    keys, index = Texts.of(list("ababab")), np.arange(6)
    plain, odd = ViewRows(plan), ViewRows(plan)
    plain.fold(keys, t, values, 0, index)
    columns = np.asfortranarray(values)
    for array in (t, columns, index):
        array.flags.writeable = False
    odd.fold(keys, t, columns, 0, index.astype(np.int32))
    assert same(plain.dump(), odd.dump())


def test_fold_makes_no_python_call_per_event() -> None:
    rows = ViewRows(
        RowPlan.compile({"n": fr.count(over="10s"), "x": fr.mean("x", over="10s")}, TILE)
    )

    def calls(n: int) -> int:
        keys, t = Texts.of(["a", "b"] * (n // 2)), np.arange(n)
        values, index, seen = np.zeros((n, 1)), np.arange(n), 0

        def count(*_: object) -> None:
            nonlocal seen
            seen += 1

        old = sys.getprofile()
        sys.setprofile(count)
        try:
            rows.fold(keys, t, values, 0, index)
            rows.hand_over()
        finally:
            sys.setprofile(old)
        return seen

    calls(1_000)
    assert calls(10) == calls(1_000)


def test_many_keys_grow_the_rows() -> None:
    features: dict[str, fr.Aggregate] = {"n": fr.count(over="2s"), "x": fr.last("x")}
    batch = [Event(f"k{i % 700}", i, float(i), 0.0) for i in range(2_000)]
    rows, expected = ViewRows(RowPlan.compile(features, TILE)), reference(features, batch)
    for a in range(0, 2_000, 100):
        fold(rows, batch[a : a + 100], 0, a)
    keys, data = rows.hand_over()
    assert keys == list(expected)
    assert [struct.unpack(">2q", r[:16])[1] for r in data] == [
        r.version[1] for r in expected.values()
    ]


@untimed
@given(st.integers(0, 10**9), st.integers(1, 10**7))
def test_halving_is_exact_to_the_reference_and_close_to_the_truth(
    elapsed: int, half_life: int
) -> None:
    share = halved(elapsed, float(half_life))
    assert share == reference_halved(elapsed, half_life)
    if elapsed / half_life < 1_000:
        assert share == pytest.approx(2.0 ** (-elapsed / half_life), rel=1e-13)
    assert halved(half_life, float(half_life)) == 0.5


def test_windows_of_broken_tiles_are_refused_with_the_fix() -> None:
    with pytest.raises(DefinitionError, match=r"tile='500ms' or over='2s'"):
        RowPlan.compile({"n": fr.count(over="1500ms")}, TILE)
    with pytest.raises(DefinitionError, match="longer tile"):
        RowPlan.compile({"n": fr.count(over="365d")}, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fr.count(over="10 minutes"),
        lambda: fr.count(over="0s"),
        lambda: fr.mean("", over="1h"),
        lambda: fr.sum(3, over="1h"),  # type: ignore[arg-type]
        lambda: fr.last(""),
        lambda: fr.min("x", over=600),  # type: ignore[arg-type]
        lambda: fr.decayed_mean("x", "0s"),
        lambda: fr.decayed_mean("x", prior=math.nan),
        lambda: fr.decayed_mean("x", weight=0.0),
    ],
)
def test_bad_declarations_are_refused(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


def test_the_digest_changes_with_what_changes_rows_and_not_with_how_it_is_written() -> None:
    def digest(tile_ms: int = TILE, **features: fr.Aggregate) -> str:
        return RowPlan.compile(features, tile_ms).digest

    one = digest(n=fr.count(over="60s"))
    assert len(one) == 16
    assert one == digest(n=fr.count(over="1m"))
    others = [
        digest(n=fr.count(over="2m")),
        digest(m=fr.count(over="1m")),
        digest(500, n=fr.count(over="1m")),
        digest(n=fr.sum("x", over="1m")),
        digest(n=fr.decayed_mean("x")),
        digest(n=fr.decayed_mean("x", prior=1.0)),
        digest(n=fr.decayed_mean("x", prior=1.0, weight=2.0)),
    ]
    assert len({one, *others}) == 8


def test_features_share_columns_and_states() -> None:
    plan = RowPlan.compile(
        {
            "mean_10s": fr.mean("x", over="10s"),
            "mean_5s": fr.mean("x", over="5s"),
            "sum_5s": fr.sum("x", over="5s"),
            "plain": fr.decayed_mean("x", "1h"),
            "drawn": fr.decayed_mean("x", "60m", prior=1.0),
        },
        TILE,
    )
    assert plan.fields == ("x",)
    # Counts of x and its sum, in ten tiles of one width, and one decayed state of three words.
    assert [(ring.width_ms, ring.tiles) for ring in plan.rings] == [(TILE, 10)]
    assert plan.columns.tolist() == [[SUM, 1, 0], [VALUES, 1, 0]]
    assert plan.bytes_of(0) == 8 * (4 + 3)


def test_warm_compiles() -> None:
    warm()
