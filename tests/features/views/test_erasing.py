"""Rows that tombstones erase: what is left is what taking everything one by one leaves, whatever the
batches and restarts; and which views may have any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.partition.as_stored import is_erased
from freshet.features.stores.contract import VERSION_BYTES
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.schemas.errors import DefinitionError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from tests.streams.toy_events import batch_of, cut

SCHEMA = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "city", "type": "string"},
        {"name": "x", "type": "double"},
    ],
}
VISITS = fr.Topic("visits", SCHEMA, "id", "at", tombstone="delete")
FEATURES = {"n": fr.count(over="6s"), "x": fr.last("x"), "m": fr.decayed_mean("x", "2s")}
VIEW = fr.View("by_user", VISITS, key="user", tile="1s", features=FEATURES)
NAME = "app.by_user"


@dataclass(frozen=True)
class Row:
    key: str
    at: int
    x: float
    erases: bool


ROWS = st.builds(Row, st.sampled_from("abc"), st.integers(0, 9_000), st.floats(0, 9), st.booleans())


def block(rows: Sequence[Row], first: int) -> bytes:
    columns = {
        "key": pa.array([row.key for row in rows]),
        "t": pa.array([row.at for row in rows]),
        blocks.FIELD + "x": pa.array([None if row.erases else row.x for row in rows], pa.float64()),
        "_offset": pa.array(range(first, first + len(rows)), pa.int64()),
        "_index": pa.array([0] * len(rows), pa.int32()),
    }
    # As intake does: a column of blocks that have any.
    if any(row.erases for row in rows):
        columns[blocks.ERASED] = pa.array([row.erases for row in rows])
    made = pa.RecordBatch.from_pydict(columns)
    return blocks.encode(Block(blocks.CLEAN, "visits", 0, made))


def one_by_one(rows: Sequence[Row], edges: Sequence[tuple[int, int]]) -> dict[bytes, bytes]:
    """What is left of each key: a row of its own, of the events since it was last erased."""
    version = {}
    for offset, (first, after) in enumerate(edges):
        for i in range(first, after):
            version[i] = (offset, i - first)
    left: dict[bytes, bytes] = {}
    for key in {row.key for row in rows}:
        own = [(i, row) for i, row in enumerate(rows) if row.key == key]
        erased = [i for i, row in own if row.erases]
        since = [(i, row) for i, row in own if i > max(erased, default=-1)]
        if not since:
            continue
        store = MemoryStore()
        task = ViewTask(VIEW, NAME, 0, store)
        for i, row in since:
            task.apply(batch_of([block([row], i)], [i], [0]))
        task.write()
        data = store.rows[NAME, key.encode()][VERSION_BYTES:]
        newest = b"".join(part.to_bytes(8, "big") for part in version[since[-1][0]])
        left[key.encode()] = newest + data
    return left


def stored(store: MemoryStore) -> dict[bytes, bytes]:
    """Rows that are there, without tombstones and marks."""
    found = {key: row for (view, key), row in store.rows.items() if view == NAME}
    return {key: row for key, row in found.items() if len(row) > VERSION_BYTES and key in b"abc"}


@settings(deadline=None, max_examples=120)
@given(
    st.lists(ROWS, min_size=1, max_size=24),
    st.lists(st.integers(0, 24), max_size=5),
    st.lists(st.integers(0, 6), max_size=4),
    st.integers(0, 6),
    st.booleans(),
)
def test_all_at_once_is_one_by_one(
    rows: list[Row], cuts: list[int], written: list[int], restarted: int, loses: bool
) -> None:
    edges = [(first, after) for first, after in cut(len(rows), sorted(cuts)) if first < after]
    store = MemoryStore()
    task = ViewTask(VIEW, NAME, 0, store)
    base = task.dump(full=True)
    for offset, (first, after) in enumerate(edges):
        task.apply(batch_of([block(rows[first:after], first)], [offset], [0]))
        if offset in written:
            task.write()
        if offset == restarted:
            delta = task.dump(full=False)
            task = ViewTask(VIEW, NAME, 0, store)
            task.load(base, [delta])
    task.write()
    if loses:
        store.lose()
        task.write()
    assert stored(store) == one_by_one(rows, edges)


def test_a_row_with_any_event_is_not_taken_for_an_erased_one() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, NAME, 0, store)
    # All that can be nothing is nothing: the time, and the only value.
    task.apply(batch_of([block([Row("a", 0, 0.0, False)], 0)], [0], [0]))
    task.write()
    assert set(stored(store)) == {b"a"}
    task.apply(batch_of([block([Row("a", 0, 0.0, True), Row("b", 0, 0.0, True)], 1)], [1], [0]))
    keys, data = task._rows.all_rows()
    assert keys == [b"a", b"b"]
    assert is_erased(data).tolist() == [True, True]


# ----------------------------------------------------------------------------------- declarations
def app_of(*views: fr.View, topic: fr.Topic = VISITS) -> fr.App:
    return fr.App("shop", topics=[topic], views=views)


def view(name: str, key: str | tuple[str, ...], topic: fr.Topic = VISITS) -> fr.View:
    return fr.View(name, topic, key=key, features=FEATURES)


def test_views_with_one_and_the_same_key_may_be_erased() -> None:
    app_of(view("one", "user"), view("other", ("user",)))
    app_of()
    kept = fr.Topic("visits", SCHEMA, "id", "at")
    app_of(view("one", "user", kept), view("other", ("user", "city"), kept), topic=kept)


def test_other_views_are_refused_by_name() -> None:
    with pytest.raises(DefinitionError) as refused:
        app_of(view("one", "user"), view("other", "city"))
    assert str(refused.value) == (
        "definition view other: is keyed by city, and view one by user: tombstones of topic visits "
        "erase the row of their record's key, which is one field. Key all views of visits by the "
        'field that its records\' keys are, or leave tombstone="delete" out.'
    )
    with pytest.raises(DefinitionError, match="view pairs: is keyed by user and city: tombstones"):
        app_of(view("pairs", ("user", "city")))
    derived = replace(VISITS, derive={"who": pl.col("user").str.to_lowercase()})
    with pytest.raises(DefinitionError, match="is keyed by 'who', which is derived: tombstones"):
        app_of(view("one", "who", derived), topic=derived)


def test_an_unknown_word_is_refused_and_another_one_is_another_topic() -> None:
    with pytest.raises(DefinitionError, match="tombstone='keep' is unknown"):
        fr.Topic("visits", SCHEMA, "id", "at", tombstone="keep")
    kept = fr.Topic("visits", SCHEMA, "id", "at")
    assert kept.digest != VISITS.digest
    assert "tombstone" not in kept.facts


def test_events_of_a_key_keep_no_order_where_records_are_brought_together_by_another_id() -> None:
    by_id = replace(VISITS, dedup_by="topic")
    with pytest.raises(DefinitionError) as refused:
        app_of(view("one", "user", by_id), topic=by_id)
    assert str(refused.value) == (
        "definition topic visits: tombstones erase rows by user in the order of the log, and "
        'dedup_by="topic" keeps only events of one id in order. Leave dedup_by out, and have each '
        'key sent to one partition; or leave out tombstone="delete".'
    )
    app_of(view("one", "id", by_id), topic=by_id)
    app_of(topic=by_id)
