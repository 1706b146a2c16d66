"""Rows that a store refuses: the others are written, each is told once, and in the place of what
they were before stands what says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import freshet as fr
from freshet.audit.kept import records
from freshet.features.packed import Packed
from freshet.features.reading.refused_rows import check_given
from freshet.features.stores.contract import RowKeys, RowsRefused
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.stores.refusals import is_refusal
from freshet.features.views.refused import LAST_PLACE, MOST_KEYS, UNMARKED, RefusedRows
from freshet.schemas.errors import RequestError
from freshet.schemas.events.columns import REASONS, REFUSED
from freshet.schemas.wire import blocks
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun
from tests.contracts.store_battery import pack, row
from tests.howto import Sent

START = 1_700_000_000_000


class Picky(MemoryStore):
    """Refuses some keys, and counts calls; of keys that are `only_large` it takes what says so, as
    of a row that is too large."""

    def __init__(self, *keys: bytes, only_large: bool = False) -> None:
        super().__init__()
        self.refuses = {*keys}
        self.only_large = only_large
        self.calls: list[int] = []

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        self.calls.append(len(keys))
        refused = {
            at: "of another type"
            for at, key in enumerate(keys)
            if key in self.refuses and not (self.only_large and is_refusal(rows.row(at)))
        }
        kept = [at for at in range(len(keys)) if at not in refused]
        won = super().write(
            view, [keys[at] for at in kept], Packed.of([rows.row(at) for at in kept])
        )
        if refused:
            raise RowsRefused("in memory", "refuses rows", "Mend it.", rows=refused)
        return won

    def get(self, key: bytes) -> bytes:
        (found,) = self.read([RowKeys("v", [key])])
        return found.packed.row(0)


def put(rows: RefusedRows, offset: int, *keys: bytes, place: int = 0) -> None:
    rows.write(keys, Packed.of([row(key, (offset, place)) for key in keys]))


def test_a_refused_row_is_told_once_until_it_was_taken() -> None:
    store = Picky(b"b")
    rows = RefusedRows(store, "v")
    for offset in (1, 2, 3):
        put(rows, offset, b"a", b"b", b"c")
        assert store.get(b"a") == row(b"a", (offset, 0))
        assert store.get(b"b") == b""
    (told,) = rows.take_untold()
    assert (told.key, told.offset, told.place) == (b"b", 1, 0)
    assert told.why == f"of another type{UNMARKED}"
    assert rows.facts() == {"refused": 1, "refusal": "'b': of another type"}
    # Once it is known, the others are one call that nothing is the matter with.
    assert store.calls == [3, 1, 2, 1, 1, 2, 1, 1]
    store.refuses.clear()
    put(rows, 4, b"a", b"b")
    assert store.get(b"b") == row(b"b", (4, 0))
    assert rows.facts() == {}
    store.refuses.add(b"b")
    put(rows, 5, b"b")
    assert [refused.offset for refused in rows.take_untold()] == [5]
    assert rows.take_untold() == []


def test_what_says_so_stands_in_its_place_until_a_newer_row_is_taken() -> None:
    store = Picky(only_large=True)
    rows = RefusedRows(store, "v")
    put(rows, 1, b"a", b"k")
    store.refuses.add(b"k")
    for offset in (2, 3):
        put(rows, offset, b"a", b"k")
        (found,) = store.read([RowKeys("v", [b"a", b"k"])])
        assert found.refused == {1: "refused it when it was written: of another type"}
        assert list(found.packed) == [row(b"a", (offset, 0)), b""]
    (told,) = rows.take_untold()
    assert told.why == "of another type"
    # The very same row, as a role that starts anew writes it.
    store.refuses.clear()
    put(RefusedRows(store, "v"), 3, b"k")
    (found,) = store.read([RowKeys("v", [b"k"])])
    assert not found.refused
    assert found.packed.row(0) == row(b"k", (3, 0))


@pytest.mark.parametrize("end", ["erase", "forget"])
def test_a_key_whose_row_ended_has_nothing_that_says_so(end: str) -> None:
    store = Picky(b"k", only_large=True)
    rows = RefusedRows(store, "v")
    put(rows, 1, b"k")
    getattr(rows, end)([b"k"], pack((2, 0)))
    (found,) = store.read([RowKeys("v", [b"k"])])
    assert not found.refused
    assert not found.present[0]


@pytest.mark.parametrize("place", [0, 7])
def test_a_row_of_before_is_gone_and_the_very_same_one_is_taken_later(place: int) -> None:
    store = Picky()
    rows = RefusedRows(store, "v")
    put(rows, 1, b"k", place=LAST_PLACE)
    store.refuses.add(b"k")
    put(rows, 2, b"k", place=place)
    assert store.get(b"k") == b""
    store.refuses.clear()
    put(rows, 2, b"k", place=place)
    assert store.get(b"k") == row(b"k", (2, place))


def test_the_first_row_of_all_has_none_before_it() -> None:
    rows = RefusedRows(Picky(b"k"), "v")
    put(rows, 0, b"k")
    assert len(rows.take_untold()) == 1


def test_of_many_it_is_known_how_many() -> None:
    keys = [b"%d" % i for i in range(MOST_KEYS + 5)]
    rows = RefusedRows(Picky(*keys), "v")
    put(rows, 1, *keys)
    assert len(rows.take_untold()) == MOST_KEYS
    assert rows.facts()["refused"] == MOST_KEYS + 5


def test_an_erasure_that_is_refused_is_told_too() -> None:
    class Stubborn(MemoryStore):
        def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
            raise RowsRefused("in memory", "refuses rows", "Mend it.", rows={1: "no"})

    rows = RefusedRows(Stubborn(), "v")
    rows.erase([b"a", b"b"], pack((4, 2)))
    (told,) = rows.take_untold()
    assert (told.key, told.offset, told.place) == (b"b", 4, 2)


def test_a_key_whose_row_ended_is_refused_no_more() -> None:
    rows = RefusedRows(Picky(b"a", b"b", b"c"), "v")
    put(rows, 1, b"a", b"b", b"c")
    rows.forget([b"a"], pack((2, 0)))
    rows.erase([b"b"], pack((3, 0)))
    assert rows.facts() == {"refused": 1, "refusal": "'c': of another type"}


def test_in_an_app_it_is_a_dead_letter_and_a_refusal_also_of_a_store_that_is_filled_anew(
    tmp_path: Path,
) -> None:
    fields = [{"name": name, "type": "string"} for name in ("id", "gate")]
    schema = {"type": "record", "name": "p", "fields": [*fields, {"name": "at", "type": "long"}]}
    events = fr.Topic("events", schema, event_id="id", event_time="at")
    gates = fr.View("gates", events, key="gate", features={"n": fr.count(over="1h")})
    app = fr.App("toy", topics=[events], views=[gates], models=[])
    store = Picky(b"bad", only_large=True)
    stored = app.stored_as(gates)

    def check() -> None:
        keys = [b"a", b"bad", b"b"]
        (found,) = store.read([RowKeys(stored, keys)])
        assert found.present.tolist() == [True, False, True]
        with pytest.raises(RequestError, match=r"'bad' of view gates.*: of another type"):
            check_given("gates", keys, found)

    def sent(at: int) -> Sent:
        made: list[tuple[int, dict[str, Any]]] = [
            (at + i, {"id": f"{at}-{i}", "gate": gate, "at": at + i})
            for i, gate in enumerate(("a", "bad", "b"))
        ]
        return Sent(made)

    log = SqliteLog(tmp_path / "log.sqlite")
    with LocalRun(app, tmp_path, store, log=log) as run:
        for step in range(3):
            at = START + 10_000 * step
            run.step(at, at + 10_000, {}, {"events": sent(at)})
        tasks = [task for every in run.operators for task in every.tasks()]
        facts = {task.name: task.facts() for task in tasks}
    assert facts["view:gates:0"]["refused"] == 1
    check()
    log = SqliteLog(tmp_path / "log.sqlite")
    (record,) = records(log, app.dead_log, 0)
    log.close()
    block = blocks.decode(record.value)
    assert block.rows is not None
    (letter,) = block.rows.to_pylist()
    assert (block.origin, letter["reason"]) == (app.clean_log_of(gates), REASONS[REFUSED])
    assert (letter["value"], letter["detail"]) == (b"bad", "of another type")
    # By its checkpoints alone.
    store.lose()
    log = SqliteLog(tmp_path / "log.sqlite")
    with LocalRun(app, tmp_path, store, log=log) as run:
        at = START + 30_000
        run.step(at, at + 10_000, {}, {})
    check()
