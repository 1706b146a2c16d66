"""What every `Store` promises. A subclass gives a `rig` fixture; see
`tests/contracts/test_store.py`."""

from __future__ import annotations

import hashlib
import struct
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.features.aggregates import last
from freshet.features.rows.finish import finish
from freshet.features.rows.rows import RowPlan, ViewRows
from freshet.features.stores.complete_store import CompleteStore
from freshet.features.stores.contract import RowKeys, Rows, Store
from freshet.features.stores.marks import PartitionMark
from freshet.schemas.errors import StoreError
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts

WIDTH = 56
Version = tuple[int, int]


class Rig(Protocol):
    """An implementation under test, and what its operator could do to it."""

    counts: bool  # whether `write` and `erase` know how many rows won

    def open(self) -> Store: ...
    def empty(self) -> None:
        """Lose all rows."""
        ...


@pytest.fixture
def store(rig: Rig) -> Iterator[Store]:
    opened = rig.open()
    yield opened
    opened.close()


@pytest.fixture
def writers(rig: Rig) -> Iterator[list[Store]]:
    opened = [rig.open() for _ in range(3)]
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def view() -> str:
    return view_name()


def view_name() -> str:
    """Servers are shared between tests, views are not."""
    return f"app.view.{uuid.uuid4().hex}"


def pack(version: Version) -> bytes:
    return struct.pack(">QQ", *version)


def row(key: bytes, version: Version, width: int = WIDTH) -> bytes:
    """The one row that this key has at this version."""
    body = hashlib.shake_128(key + pack(version)).digest(width - 16)
    return pack(version) + body


def block(rows: Sequence[bytes], width: int = WIDTH) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), width)


def put(
    store: Store, view: str, versions: Sequence[tuple[bytes, Version]], width: int = WIDTH
) -> int:
    keys = [key for key, _ in versions]
    return store.write(view, keys, block([row(key, v, width) for key, v in versions], width))


def get(store: Store, view: str, keys: Sequence[bytes], width: int = WIDTH) -> list[bytes | None]:
    (rows,) = store.read([RowKeys(view, keys, width)])
    assert rows.data.shape == (len(keys), width)
    assert rows.data.dtype == np.uint8
    assert rows.data.flags.c_contiguous
    assert rows.present.dtype == np.bool_
    assert not rows.data[~rows.present].any(), "zeros where absent"
    return [rows.data[i].tobytes() if rows.present[i] else None for i in range(len(keys))]


@dataclass(frozen=True)
class Step:
    """One call of one writer: all its rows at once, or an erasure."""

    writer: int
    erases: bool
    what: tuple[tuple[bytes, Version], ...]


# The extremes of 64 bits, and some that are no float64.
WHOLES = [-(1 << 63), (1 << 63) - 1, (1 << 53) + 1, -(1 << 53) - 1, 0, -1]
KEYS = [b"", b"a", b"\x00\xff", "Zürich".encode()]
# Close together, so that they meet; and where doubles, 32-bit halves and signs go wrong.
VERSIONS = st.tuples(
    st.sampled_from([0, 1, 2, 255, 256, (1 << 32) - 1, 1 << 32, (1 << 40) - 1]),
    st.sampled_from([0, 1, 255, 256, (1 << 20) - 1]),
)
WRITES = st.lists(st.tuples(st.sampled_from(KEYS), VERSIONS), min_size=1, max_size=6)
STEPS = st.lists(
    st.one_of(
        st.builds(lambda w, what: Step(w, False, tuple(what)), st.integers(0, 2), WRITES),
        st.builds(
            lambda w, keys, v: Step(w, True, tuple((key, v) for key in keys)),
            st.integers(0, 2),
            st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True),
            VERSIONS,
        ),
    ),
    max_size=8,
)
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def expected(steps: Sequence[Step]) -> dict[bytes, bytes | None]:
    """By the law: the newest version of a key stands, and a tombstone beats a row of its own
    version."""
    newest: dict[bytes, tuple[Version, bool]] = {}
    for step in steps:
        for key, version in step.what:
            newest[key] = max(newest.get(key, ((-1, -1), False)), (version, step.erases))
    return {key: None if erased else row(key, v) for key, (v, erased) in newest.items()}


class StoreBattery:
    def test_rows_of_many_views_come_back_in_one_read(self, store: Store) -> None:
        views = [view_name() for _ in range(3)]
        for i, view in enumerate(views):
            assert put(store, view, [(b"a", (i, 0)), (b"b", (i, 1))], WIDTH + i) == 2
        read = store.read(
            [RowKeys(view, [b"b", b"none", b"a"], WIDTH + i) for i, view in enumerate(views)]
        )
        for i, rows in enumerate(read):
            assert rows.present.tolist() == [True, False, True]
            assert rows.data[0].tobytes() == row(b"b", (i, 1), WIDTH + i)
            assert rows.data[2].tobytes() == row(b"a", (i, 0), WIDTH + i)

    def test_the_longest_keys_are_taken_many_at_once_and_so_is_any_text(
        self, store: Store, view: str
    ) -> None:
        long = [bytes([65 + i]) * KEY_BYTES for i in range(26)]
        keys = [*long, b"", b"\0", b"a\0b", "\U0010ffff".encode(), b"%s\r\n{0}"]
        assert put(store, view, [(key, (1, 0)) for key in keys]) == len(keys)
        assert get(store, view, [*keys, b"absent"]) == [*(row(key, (1, 0)) for key in keys), None]
        store.erase(view, long, pack((2, 0)))
        assert get(store, view, long) == [None] * len(long)

    @given(steps=STEPS, data=st.data())
    @EXAMPLES
    def test_any_order_and_repetition_of_writes_leaves_the_newest(
        self, writers: list[Store], steps: list[Step], data: st.DataObject
    ) -> None:
        order, view = data.draw(st.permutations(steps + steps[:3])), view_name()
        for step in order:
            if step.erases:
                writers[step.writer].erase(
                    view, [key for key, _ in step.what], pack(step.what[0][1])
                )
            else:
                put(writers[step.writer], view, step.what)
        found = dict(zip(KEYS, get(writers[0], view, KEYS)))
        assert found == dict.fromkeys(KEYS) | expected(steps)

    def test_writers_at_the_same_time_leave_the_newest(self, rig: Rig, view: str) -> None:
        keys = [b"%d" % i for i in range(50)]

        def run(writer: int) -> None:
            own = rig.open()
            for step in np.random.default_rng(writer).permutation(30).tolist():
                put(own, view, [(key, (step, 0)) for key in keys])
            own.close()

        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened = rig.open()
        assert get(opened, view, keys) == [row(key, (29, 0)) for key in keys]
        opened.close()

    def test_threads_may_share_a_store(self, store: Store, view: str) -> None:
        wrong: list[object] = []

        def run(name: int) -> None:
            keys = [b"%d:%d" % (name, i) for i in range(20)]
            for step in range(20):
                put(store, view, [(key, (step, 0)) for key in keys])
                if get(store, view, keys) != [row(key, (step, 0)) for key in keys]:
                    wrong.append((name, step))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_a_stale_write_changes_nothing(self, rig: Rig, store: Store, view: str) -> None:
        put(store, view, [(b"k", (5, 5))])
        for stale in [(5, 5), (5, 4), (4, 9)]:
            assert put(store, view, [(b"k", stale)]) == 0 or not rig.counts
            assert get(store, view, [b"k"]) == [row(b"k", (5, 5))]
        assert put(store, view, [(b"k", (5, 6))]) == 1
        assert get(store, view, [b"k"]) == [row(b"k", (5, 6))]

    def test_the_newest_of_a_key_repeated_in_one_write_stands(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        won = put(store, view, [(b"k", (1, 0)), (b"k", (3, 0)), (b"k", (2, 0))])
        assert won == 2 or not rig.counts
        assert get(store, view, [b"k", b"k"]) == [row(b"k", (3, 0))] * 2

    def test_a_row_of_another_width_is_absent(self, store: Store, view: str) -> None:
        put(store, view, [(b"k", (1, 0))])
        assert get(store, view, [b"k"], WIDTH + 8) == [None]
        assert get(store, view, [b"k"], WIDTH - 8) == [None]
        put(store, view, [(b"k", (2, 0))], WIDTH + 8)
        assert get(store, view, [b"k"]) == [None]
        assert get(store, view, [b"k"], WIDTH + 8) == [row(b"k", (2, 0), WIDTH + 8)]

    def test_an_erased_row_is_absent_until_a_newer_one(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        put(store, view, [(b"a", (1, 0)), (b"b", (1, 1)), (b"c", (3, 0))])
        erased = store.erase(view, [b"a", b"b", b"c", b"none"], pack((2, 0)))
        assert erased == 2 or not rig.counts
        assert get(store, view, [b"a", b"b", b"c"]) == [None, None, row(b"c", (3, 0))]
        put(store, view, [(b"a", (1, 9)), (b"b", (2, 1)), (b"none", (2, 0))])
        assert get(store, view, [b"a", b"b", b"none"]) == [None, row(b"b", (2, 1)), None]

    def test_an_older_erasure_leaves_a_newer_tombstone(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        store.erase(view, [b"k"], pack((5, 0)))
        assert store.erase(view, [b"k"], pack((3, 0))) == 0 or not rig.counts
        put(store, view, [(b"k", (4, 0))])
        assert get(store, view, [b"k"]) == [None]

    def test_a_tombstone_is_absent_at_any_width(self, store: Store, view: str) -> None:
        store.erase(view, [b"k"], pack((5, 0)))
        assert get(store, view, [b"k"], 16) == [None]

    @given(st.lists(st.binary(max_size=40), max_size=20, unique=True))
    @EXAMPLES
    def test_keys_are_any_bytes(self, store: Store, keys: list[bytes]) -> None:
        view = view_name()
        put(store, view, [(key, (1, 0)) for key in keys])
        assert get(store, view, keys) == [row(key, (1, 0)) for key in keys]
        assert get(store, view + "x", keys) == [None] * len(keys)

    def test_nothing_to_do_is_nothing_done(self, store: Store, view: str) -> None:
        assert put(store, view, []) == 0
        assert store.erase(view, [], pack((1, 0))) == 0
        assert get(store, view, []) == []
        assert store.read([]) == []

    def test_many_keys_at_once(self, rig: Rig, store: Store, view: str) -> None:
        keys = [b"%d" % i for i in range(5_000)]
        assert put(store, view, [(key, (1, i)) for i, key in enumerate(keys)]) == 5_000
        assert get(store, view, keys) == [row(key, (1, i)) for i, key in enumerate(keys)]
        assert store.erase(view, keys, pack((2, 0))) == 5_000 or not rig.counts
        assert get(store, view, keys) == [None] * 5_000

    @pytest.mark.parametrize(
        "rows",
        [
            np.zeros((2, WIDTH), np.uint8),
            np.zeros((1, 16), np.uint8),
            np.zeros((1, WIDTH), np.int8),
        ],
        ids=["too many", "only a version", "of another type"],
    )
    def test_rows_that_are_none_are_refused(
        self, store: Store, view: str, rows: npt.NDArray[np.uint8]
    ) -> None:
        with pytest.raises(ValueError, match=view):
            store.write(view, [b"k"], rows)
        with pytest.raises(ValueError, match="version"):
            store.erase(view, [b"k"], b"short")

    def test_the_generation_stays_while_rows_do(self, rig: Rig, store: Store, view: str) -> None:
        before = store.generation()
        put(store, view, [(b"k", (1, 0))])
        store.erase(view, [b"k"], pack((2, 0)))
        other = rig.open()
        assert store.generation() == other.generation() == before
        other.close()

    def test_the_generation_changes_when_rows_are_lost(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        other = rig.open()
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        rig.empty()
        assert get(store, view, [b"k"]) == [None]
        # A write notices nothing; the question after it does, whoever asks.
        put(store, view, [(b"j", (2, 0))])
        after = store.generation()
        assert after != before
        assert other.generation() == after
        put(other, view, [(b"k", (1, 0))])
        assert get(store, view, [b"k", b"j"]) == [row(b"k", (1, 0)), row(b"j", (2, 0))]
        other.close()

    def test_rows_say_the_generation_that_they_were_read_in(self, store: Store, view: str) -> None:
        put(store, view, [(b"k", (1, 0))])
        generation = store.generation()
        for keys in [[b"k"], [b"none"], [b"k", b"none"], [b"%d" % i for i in range(2_500)]]:
            assert {rows.generation for rows in read_twice(store, view, keys)} == {generation}

    def test_an_absent_row_is_of_another_generation_once_rows_were_lost(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        """Also where the reader's connection never broke, and nobody has asked since."""
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        assert {rows.generation for rows in read_twice(store, view, [b"k"])} == {before}
        rig.empty()
        assert before not in {rows.generation for rows in read_twice(store, view, [b"k"])}
        after = store.generation()
        assert {rows.generation for rows in read_twice(store, view, [b"k"])} == {after}

    def test_a_store_is_complete_while_each_partition_is_marked_in_its_generation(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        reader = CompleteStore(rig.open(), {view: 3})
        for turn in range(3):
            with pytest.raises(StoreError, match=r"does not hold all rows.*0, 1, 2 are missing"):
                reader.read([RowKeys(view, [b"k"], WIDTH)])
            mark(store, view, 0, turn)
            mark(store, view, 2, turn)
            with pytest.raises(StoreError, match="partitions 1 are missing"):
                reader.read([RowKeys(view, [b"k"], WIDTH)])
            mark(store, view, 1, turn)
            assert get(reader, view, [b"k"]) == [None]
            put(store, view, [(b"k", (turn, 0))])
            assert get(reader, view, [b"k", b"none"]) == [row(b"k", (turn, 0)), None]
            rig.empty()
        reader.close()

    def test_whole_numbers_come_back_to_the_last_digit(self, store: Store, view: str) -> None:
        plan = RowPlan.compile({"x": last("x"), "y": last("y")}, 60_000, integers=["x"])
        rows = ViewRows(plan)
        exact = np.zeros((len(WHOLES), 2), np.int64)
        exact[:, 0] = WHOLES
        keys = [str(number) for number in WHOLES]
        zeros = np.zeros(len(keys), np.int64)
        # Of each key the value, then an event that has none.
        for values in (exact.astype(np.float64), np.full(exact.shape, np.nan)):
            rows.fold(Texts.of(keys), zeros, values, 7, np.arange(len(keys)), exact)
            exact = np.zeros_like(exact)
        written = rows.hand_over()
        store.write(view, *written)
        (found,) = store.read([RowKeys(view, [b"none", *written[0]], plan.width)])
        as_of = np.zeros(len(keys) + 1, np.int64)
        done = finish(plan, found.data, found.present, as_of)
        assert done.wholes["x"][1:].tolist() == WHOLES
        assert np.isnan(done.values[0]).all()
        assert done.values[1:].tolist() == [[float(number), 0.0] for number in WHOLES]

    def test_a_mark_stands_for_one_partition_of_one_view(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        mark(store, view, 0, 7)
        other = view_name()
        for partitions in ({view: 2}, {other: 1}):
            with pytest.raises(StoreError, match="does not hold all rows"):
                CompleteStore(store, partitions).read(
                    [RowKeys(next(iter(partitions)), [b"k"], WIDTH)]
                )


def mark(store: Store, view: str, partition: int, position: int) -> None:
    """As an owner that has written all its rows."""
    PartitionMark(store, view, partition).put(store.generation(), position)


def read_twice(store: Store, view: str, keys: Sequence[bytes]) -> list[Rows]:
    """In one read."""
    return store.read([RowKeys(view, keys, WIDTH), RowKeys(view, keys[:1], WIDTH)])
