"""What every `Store` promises. A subclass gives a `rig` fixture; see
`tests/contracts/test_store.py`."""

from __future__ import annotations

import hashlib
import struct
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.features.aggregates import last
from freshet.features.packed import Packed
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import finish
from freshet.features.rows.plan import RowPlan
from freshet.features.stores.complete_store import CompleteStore
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows, RowsRefused, Store
from freshet.features.stores.marks import PartitionMark
from freshet.features.stores.refusals import refusal
from freshet.schemas.errors import StoreError
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts

# Of most rows here; rows of a view are of any length.
LENGTH = 56
Version = tuple[int, int]


class Rig(Protocol):
    """An implementation under test, and what its operator could do to it."""

    counts: bool  # whether `write` and `erase` know how many rows won

    def open(self) -> Store: ...
    def empty(self) -> None:
        """Lose all rows."""
        ...

    def spoil(self, view: str) -> tuple[bytes, bytes] | None:
        """A key and a row that the server will refuse; None where it refuses none."""
        ...

    def hide(self, view: str) -> bytes | None:
        """A key that the server will refuse to read; None where it refuses none."""
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


def row(key: bytes, version: Version, length: int = LENGTH) -> bytes:
    """The one row that this key has at this version."""
    body = hashlib.shake_128(key + pack(version)).digest(length - 16)
    return pack(version) + body


def put(
    store: Store, view: str, versions: Sequence[tuple[bytes, Version]], length: int = LENGTH
) -> int:
    keys = [key for key, _ in versions]
    return store.write(view, keys, Packed.of([row(key, v, length) for key, v in versions]))


def get(store: Store, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
    (rows,) = store.read([RowKeys(view, keys)])
    packed = rows.packed
    assert packed.data.dtype == np.uint8
    assert packed.data.flags.c_contiguous
    assert packed.ends.dtype == np.int64
    assert len(packed) == len(keys)
    assert packed.data.size == packed.lengths.sum(), "no bytes where absent"
    return [one or None for one in packed]


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
    def test_a_row_that_the_server_refuses_holds_up_no_other(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        spoiled = rig.spoil(view)
        if spoiled is None:
            return
        keys = [b"%d" % i for i in range(24)]
        rows = [row(key, (1, 0)) for key in keys]
        keys.insert(11, spoiled[0])
        rows.insert(11, spoiled[1])
        for _ in range(2):
            with pytest.raises(RowsRefused) as caught:
                store.write(view, keys, Packed.of(rows))
            assert list(caught.value.rows) == [11]
            assert "refuses 1 of 25 rows" in str(caught.value)
        assert get(store, view, keys) == [*rows[:11], None, *rows[12:]]
        # Others are written as ever, and all are erased that can be.
        assert put(store, view, [(b"0", (2, 0))]) == 1
        with suppress(RowsRefused):
            store.erase(view, keys, pack((3, 0)))
        assert get(store, view, keys) == [None] * 25

    def test_a_key_that_the_server_refuses_to_read_is_told_from_an_absent_one_and_hides_no_other(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        hidden = rig.hide(view)
        if hidden is None:
            return
        other = view_name()
        put(store, other, [(b"x", (1, 0))])
        keys = [b"%d" % i for i in range(24)]
        put(store, view, [(key, (1, 0)) for key in keys])
        asked = [b"absent", *keys[:11], hidden, *keys[11:]]
        wanted = [RowKeys(other, [b"x", b"absent"]), RowKeys(view, asked), RowKeys(other, [])]

        def check(found: list[Rows]) -> None:
            beside, rows, none = found
            assert not beside.refused
            assert not none.refused
            assert list(beside.packed) == [row(b"x", (1, 0)), b""]
            given = [row(key, (1, 0)) for key in keys]
            assert list(rows.packed) == [b"", *given[:11], b"", *given[11:]]
            assert list(rows.refused) == [12]
            assert "refuses a key or value (" in rows.refused[12]
            assert rows.generation == generation

        # A reader knows it once somebody has asked.
        generation = store.generation()
        for _ in range(2):
            check(store.read(wanted))
        # Whoever must not wait is told the same, or asks later.
        with suppress(NotAtOnce):
            check(store.read_at_once(wanted, 10.0))
        (without,) = store.read([RowKeys(view, [b"absent", *keys])])
        assert not without.refused

    def test_what_stands_for_a_refused_row_reads_as_refused_until_a_newer_one_is_there(
        self, store: Store, view: str
    ) -> None:
        store.generation()
        keys = [b"a", b"k", b"b"]
        put(store, view, [(key, (1, 0)) for key in keys])
        put(store, view, [(b"k", (2, 0))])
        # Once, so that whoever keeps copies has one.
        get(store, view, keys)
        why = "hangs up: " + "ä" * 300
        mark = Packed.of([refusal(pack((2, 1)), why)])
        for _ in range(2):
            store.write(view, [b"k"], mark)
            for rows in read_both_ways(store, view, [b"none", *keys]):
                assert list(rows.refused) == [2]
                told = rows.refused[2]
                assert told.startswith("refused it when it was written: hangs up: ä")
                assert why.startswith(told.partition(": ")[2])
                assert list(rows.packed) == [b"", row(b"a", (1, 0)), b"", row(b"b", (1, 0))]
        # An older row is not taken, and one that ended is refused no more.
        put(store, view, [(b"k", (2, 0))])
        (rows,) = store.read([RowKeys(view, keys)])
        assert list(rows.refused) == [1]
        put(store, view, [(b"k", (3, 0))])
        assert get(store, view, keys)[1] == row(b"k", (3, 0))
        store.write(view, [b"k"], Packed.of([refusal(pack((4, 0)), why)]))
        store.erase(view, [b"k"], pack((5, 0)))
        for rows in read_both_ways(store, view, keys):
            assert not rows.refused
            assert rows.present.tolist() == [True, False, True]

    def test_what_stands_for_a_refused_row_is_told_beside_what_the_server_refuses_to_read(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        hidden = rig.hide(view)
        if hidden is None:
            return
        put(store, view, [(b"a", (1, 0))])
        store.write(view, [b"k"], Packed.of([refusal(pack((2, 1)), "too large")]))
        (rows,) = store.read([RowKeys(view, [hidden, b"a", b"k"])])
        assert list(rows.packed) == [b"", row(b"a", (1, 0)), b""]
        assert sorted(rows.refused) == [0, 2]
        assert rows.refused[2] == "refused it when it was written: too large"

    def test_rows_of_many_views_come_back_in_one_read(self, store: Store) -> None:
        views = [view_name() for _ in range(3)]
        for i, view in enumerate(views):
            assert put(store, view, [(b"a", (i, 0)), (b"b", (i, 1))], LENGTH + i) == 2
        wanted = [RowKeys(view, [b"b", b"none", b"a"]) for view in views]
        # Some of no keys among them, too.
        read = store.read([RowKeys(views[0], []), *wanted, RowKeys(views[1], [])])
        assert [len(rows.packed) for rows in read] == [0, 3, 3, 3, 0]
        for i, rows in enumerate(read[1:4]):
            assert rows.present.tolist() == [True, False, True]
            assert rows.packed.row(0) == row(b"b", (i, 1), LENGTH + i)
            assert rows.packed.row(2) == row(b"a", (i, 0), LENGTH + i)

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

    def test_rows_of_any_length_stand_beside_each_other(self, store: Store, view: str) -> None:
        lengths = [24, 17, 64 << 10, 4_096, 25, 31, 1 << 10, 24]
        keys = [b"%d" % at for at in range(len(lengths))]
        rows = [row(key, (1, 0), length) for key, length in zip(keys, lengths)]
        assert store.write(view, keys, Packed.of(rows)) == len(keys)
        store.erase(view, keys[3:4], pack((2, 0)))
        rows[3] = b""
        expected = [one or None for one in rows]
        assert get(store, view, [*keys, b"none", *keys[::-1]]) == [
            *expected,
            None,
            *expected[::-1],
        ]

    def test_a_row_may_become_longer_and_shorter(self, store: Store, view: str) -> None:
        for offset, length in enumerate([24, 64 << 10, 17, 2_000, 24]):
            assert put(store, view, [(b"k", (offset, 0))], length) == 1
            assert get(store, view, [b"k"]) == [row(b"k", (offset, 0), length)]

    def test_more_rows_than_fit_into_one_call_are_written_and_read(
        self, store: Store, view: str
    ) -> None:
        keys = [b"%d" % at for at in range(130)]
        written = [row(key, (1, 0), 64 << 10) for key in keys]
        # As a view does it, whose part of all rows begins anywhere in them.
        rows = Packed.of([b"." * 24, *written]).part(1, 131)
        assert store.write(view, keys, rows) == 130
        assert get(store, view, keys) == written

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

    def test_a_forgotten_row_is_absent_and_its_key_may_return(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        put(store, view, [(b"a", (1, 0)), (b"b", (2, 0)), (b"c", (3, 0))])
        forgotten = store.forget(view, [b"a", b"b", b"c", b"none"], pack((2, 0)))
        assert forgotten == 2 or not rig.counts
        assert get(store, view, [b"a", b"b", b"c"]) == [None, None, row(b"c", (3, 0))]
        assert put(store, view, [(b"a", (2, 1)), (b"none", (2, 1))]) == 2
        assert get(store, view, [b"a", b"none"]) == [row(b"a", (2, 1)), row(b"none", (2, 1))]

    def test_a_tombstone_is_forgotten_and_a_newer_one_is_not(self, store: Store, view: str) -> None:
        put(store, view, [(b"a", (1, 0)), (b"b", (1, 0))])
        store.erase(view, [b"a"], pack((2, 0)))
        store.erase(view, [b"b"], pack((9, 0)))
        store.forget(view, [b"a", b"b"], pack((3, 0)))
        put(store, view, [(b"a", (3, 1)), (b"b", (8, 0))])
        assert get(store, view, [b"a", b"b"]) == [row(b"a", (3, 1)), None]

    def test_many_rows_are_forgotten_and_one_of_them_returns(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        keys = [b"%d" % i for i in range(5_000)]
        put(store, view, [(key, (1, i)) for i, key in enumerate(keys)])
        assert store.forget(view, keys, pack((2, 0))) == 5_000 or not rig.counts
        assert get(store, view, keys) == [None] * 5_000
        put(store, view, [(keys[7], (3, 0))])
        assert get(store, view, keys[6:9]) == [None, row(keys[7], (3, 0)), None]
        assert store.forget(view, [], pack((9, 0))) == 0

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
            Packed.of([bytes(LENGTH), bytes(LENGTH)]),
            Packed.of([bytes(16)]),
            Packed.of([b""]),
            Packed(np.zeros(LENGTH, np.int8), np.array([LENGTH])),
            Packed(np.zeros(LENGTH, np.uint8), np.array([LENGTH - 1])),
            Packed(np.zeros(LENGTH, np.uint8), np.array([LENGTH + 1])),
        ],
        ids=["too many", "only a version", "nothing", "of another type", "too short", "too long"],
    )
    def test_rows_that_are_none_are_refused(self, store: Store, view: str, rows: Packed) -> None:
        with pytest.raises(ValueError, match=view):
            store.write(view, [b"k"], rows)
        with pytest.raises(ValueError, match="version"):
            store.erase(view, [b"k"], b"short")
        with pytest.raises(ValueError, match="version"):
            store.forget(view, [b"k"], b"short")

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
                reader.read([RowKeys(view, [b"k"])])
            mark(store, view, 0, turn)
            mark(store, view, 2, turn)
            with pytest.raises(StoreError, match="partitions 1 are missing"):
                reader.read([RowKeys(view, [b"k"])])
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
            rows.fold(Texts.of(keys), zeros, values, 7, np.arange(len(keys)), More(exact))
            exact = np.zeros_like(exact)
        written = rows.hand_over()
        store.write(view, *written)
        (found,) = store.read([RowKeys(view, [b"none", *written[0]])])
        as_of = np.zeros(len(keys) + 1, np.int64)
        done = finish(plan, found.packed, as_of)
        assert done.wholes["x"][1:].tolist() == WHOLES
        assert np.isnan(done.values[0]).all()
        assert done.values[1:].tolist() == [[float(number), 0.0] for number in WHOLES]

    def test_texts_come_back_with_their_rows(self, store: Store, view: str) -> None:
        texts = ["", "amazon", "кафе 🦆", "\x00", "x" * 256, None]
        plan = RowPlan.compile({"x": last("x")}, None, integers=["x"], open_texts=["x"])
        rows = ViewRows(plan)
        column = Texts.of(texts)
        codes = column.hashes().view(np.int64)[:, np.newaxis]
        values = np.where(column.valid, 1.0, np.nan)[:, np.newaxis]
        keys = [f"key {at}" for at in range(len(texts))]
        zeros = np.zeros(len(keys), np.int64)
        more = More(codes, texts=[column])
        rows.fold(Texts.of(keys), zeros, values, 7, np.arange(len(keys)), more)
        written = rows.hand_over()
        store.write(view, *written)
        (found,) = store.read([RowKeys(view, [b"none", *written[0]])])
        done = finish(plan, found.packed, np.zeros(len(keys) + 1, np.int64))
        assert done.texts["x"].to_arrow().to_pylist() == [None, *texts]

    def test_a_mark_stands_for_one_partition_of_one_view(
        self, rig: Rig, store: Store, view: str
    ) -> None:
        mark(store, view, 0, 7)
        other = view_name()
        for partitions in ({view: 2}, {other: 1}):
            with pytest.raises(StoreError, match="does not hold all rows"):
                CompleteStore(store, partitions).read([RowKeys(next(iter(partitions)), [b"k"])])


def mark(store: Store, view: str, partition: int, position: int) -> None:
    """As an owner that has written all its rows."""
    PartitionMark(store, view, partition).put(store.generation(), position)


def read_both_ways(store: Store, view: str, keys: Sequence[bytes]) -> Iterator[Rows]:
    """As whoever may wait reads, and as whoever may not, unless that is told to ask later."""
    (rows,) = store.read([RowKeys(view, keys)])
    yield rows
    with suppress(NotAtOnce):
        (rows,) = store.read_at_once([RowKeys(view, keys)], 10.0)
        yield rows


def read_twice(store: Store, view: str, keys: Sequence[bytes]) -> list[Rows]:
    """In one read."""
    return store.read([RowKeys(view, keys), RowKeys(view, keys[:1])])
