"""Texts that rows have with them, against a loop over all events of a key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.cold.bounded_rows import BoundedRows
from freshet.features.cold.memory import RowMemory
from freshet.features.packed import Packed
from freshet.features.partition import rows as partition_rows
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.reading.text_values import TextValues
from freshet.features.rows.finish import NOT_FOUND, finish
from freshet.features.rows.layout import PRESENT
from freshet.features.texts.layout import LONGEST
from freshet.features.views.event_columns import codes, taken
from freshet.schemas.errors import DefinitionError
from freshet.schemas.text.columns import Texts

some = settings(max_examples=60, deadline=None)
HOUR = 3_600_000
KEEP = 48 * HOUR
NEAR = ["", "a", "кафе", "amazon", "amazon.de", "\x00", "🦆" * 9, "x" * 256]
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "user", "type": "string"},
]


def topic(name: str, of_texts: dict[str, Any]) -> fr.Topic:
    merchant = {"name": "merchant", "type": ["null", "string"], **of_texts}
    schema = {"type": "record", "name": name, "fields": [*FIELDS, merchant]}
    return fr.Topic(name, schema, event_id="id", event_time="at")


PAYMENTS = topic("payments", {})
BY_USER = fr.View(
    "by_user",
    PAYMENTS,
    key="user",
    features={
        "last": fr.last("merchant"),
        "first": fr.first("merchant"),
        "second": fr.last_distinct("merchant", 2),
        "recent": fr.last_distinct("merchant", n=3),
        "of_a_day": fr.last_distinct("merchant", n=2, over="1d"),
        "often": fr.most_frequent("merchant", over="8h"),
        "different": fr.distinct("merchant", over="8h"),
    },
    tile="1h",
    keep="2d",
)
TEXTS = TextValues(BY_USER)
PLAN = BY_USER.plan
Event = tuple[str, int, str | None]


def fold(rows: Any, events: Sequence[Event], offset: int) -> None:
    columns = {name: pa.array([e[2] for e in events], pa.string()) for name in PLAN.fields}
    values, wholes, texts = taken(PLAN, list(columns.values()), len(events))
    rows.fold(
        Texts.of([key for key, _, _ in events]),
        np.array([t for _, t, _ in events], np.int64),
        values,
        offset,
        np.arange(len(events)),
        More(wholes, texts=texts),
    )


def told(stored: Packed, as_of: int) -> list[dict[str, Any] | None]:
    """The values of each row as consumers get them; None where there is no row."""
    done = finish(PLAN, stored, np.full(len(stored), as_of))
    columns = {}
    for name, values in zip(PLAN.names, done.values.T):
        if name in done.lists:
            columns[name] = TEXTS.lists_of(name, done).tolist()
        elif name in TEXTS.names:
            columns[name] = TEXTS.of(name, done, values).tolist()
        else:
            columns[name] = values.tolist()
    return [
        None if status == NOT_FOUND else {name: column[at] for name, column in columns.items()}
        for at, status in enumerate(done.status.tolist())
    ]


def code(text: str) -> int:
    return int(codes(pa.array([text], pa.string()), True)[0])


def expected(events: Sequence[tuple[int, str | None]], as_of: int) -> dict[str, Any] | None:
    """Of the events of one key, in the order of the log."""
    alive: list[tuple[int, int, str | None]] = []
    for place, (t, text) in enumerate(events):
        if alive and t - max(t for t, _, _ in alive) > KEEP:
            alive = []
        alive.append((t, place, text))
    if as_of - max(t for t, _, _ in alive) > KEEP:
        return None
    there = [(t, place, text) for t, place, text in alive if text is not None]
    newest: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    for t, place, text in there:
        newest[text] = max((t, place), newest.get(text, (t, place)))
        if as_of // HOUR - 8 < t // HOUR <= as_of // HOUR:
            counts[text] = counts.get(text, 0) + 1
    recent = sorted(newest, key=newest.__getitem__, reverse=True)
    of_a_day = [text for text in recent if as_of - newest[text][0] < 24 * HOUR]
    return {
        "last": recent[0] if recent else None,
        "first": min(there, key=lambda event: event[:2])[2] if there else None,
        "second": recent[1] if len(recent) > 1 else None,
        "recent": recent[:3] or None,
        "of_a_day": of_a_day[:2] or None,
        "often": min(counts, key=lambda text: (-counts[text], code(text)), default=None),
        "different": float(len(counts)),
    }


texts = st.none() | st.sampled_from(NEAR) | st.text(max_size=70)
# Hours apart, minutes apart, days apart; at equal times and before the one before.
steps = st.sampled_from([0, 0, 1, -HOUR // 3, HOUR // 2, HOUR, 7 * HOUR, 50 * HOUR])
streams = st.lists(st.tuples(st.sampled_from(["ann", "bob", ""]), steps, texts), min_size=1)


def events_of(taken_steps: Sequence[tuple[str, int, str | None]]) -> list[Event]:
    now = 400 * HOUR
    out = []
    for key, step, text in taken_steps:
        now += step
        out.append((key, now, text))
    return out


def forget(rows: ViewRows) -> None:
    """As if there were too many texts."""
    assert rows._texts is not None
    rows._texts._most = -1
    rows._texts.forget(rows._keys.ids(), rows._arena.pack)


@some
@given(streams, st.integers(1, 3))
def test_rows_dumped_in_parts_have_their_texts_behind_each(taken_steps: Any, size: int) -> None:
    rows = ViewRows(PLAN)
    fold(rows, events_of(taken_steps), 7)
    words, ends = rows._with_texts(rows._keys.ids())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition_rows, "A_PART", size)
        dumped = rows.dump()
    assert dumped["rows"].tolist() == words.tolist()
    assert dumped["row_ends"].tolist() == ends.tolist()


@some
@given(streams, st.integers(1, 9), st.lists(st.integers(0, 4), min_size=1))
def test_texts_are_those_of_a_loop_in_any_batches_wherever_rows_were_dumped_and_texts_forgotten(
    taken_steps: Any, size: int, moments: list[int]
) -> None:
    events = events_of(taken_steps)
    whole = ViewRows(PLAN)
    fold(whole, events, 7)
    pieces = ViewRows(PLAN)
    base = pieces.dump()
    deltas: list[Any] = []
    for at in range(0, len(events), size):
        # As rows of one record, since their versions are those of their events.
        part = ViewRows(PLAN)
        part.load(base, deltas)
        what = moments[at // size % len(moments)]
        if what == 1:
            pieces = part
        elif what == 2:
            forget(pieces)
        fold_as(pieces, events[at : at + size], 7, at)
        if what == 3:
            base = pieces.dump()
            deltas = []
        else:
            deltas.append(pieces.dump_delta())
    keys, rows = whole.all_rows()
    assert (keys, list(rows)) == (pieces.all_rows()[0], list(pieces.all_rows()[1]))
    assert arrays(whole.dump()) == arrays(pieces.dump())
    for later in (0, HOUR // 2, 3 * HOUR, 30 * HOUR, 60 * HOUR):
        as_of = max(t for _, t, _ in events) + later
        for key, found in zip(keys, told(rows, as_of)):
            own = [(t, text) for of, t, text in events if of.encode() == key]
            assert found == expected(own, as_of)


def fold_as(rows: ViewRows, events: Sequence[Event], offset: int, first: int) -> None:
    """As a part of one record, from its row `first` on."""
    values, wholes, kept = taken(
        PLAN, [pa.array([e[2] for e in events], pa.string())] * len(PLAN.fields), len(events)
    )
    rows.fold(
        Texts.of([key for key, _, _ in events]),
        np.array([t for _, t, _ in events], np.int64),
        values,
        offset,
        np.arange(first, first + len(events)),
        More(wholes, texts=kept),
    )


def arrays(dumped: dict[str, Any]) -> dict[str, Any]:
    # What the store has yet to see depends on when it was last asked for.
    return {name: array.tolist() for name, array in dumped.items() if name != "pending"}


@settings(max_examples=20, deadline=None)
@given(streams, st.sampled_from([1, 2_000]))
def test_rows_on_disk_have_their_texts_there(
    tmp_path_factory: pytest.TempPathFactory, taken_steps: Any, most: int
) -> None:
    events = events_of(taken_steps)
    whole = ViewRows(PLAN)
    rows = BoundedRows(PLAN, RowMemory(tmp_path_factory.mktemp("rows"), most))
    for at in range(0, len(events), 3):
        fold(whole, events[at : at + 3], at)
        fold(rows, events[at : at + 3], at)
        assert by_key(whole.hand_over()) == by_key(rows.hand_over())
    assert by_key(whole.all_rows()) == by_key(*rows.all_parts())


def by_key(*parts: tuple[list[bytes], Packed]) -> dict[bytes, bytes]:
    return {key: rows.row(at) for keys, rows in parts for at, key in enumerate(keys)}


def test_endless_texts_take_no_more_memory_than_a_row_names() -> None:
    """A hundred times as many texts as rows name: 1,000 keys, of each the last three."""
    view = fr.View("v", PAYMENTS, key="user", features={"r": fr.last_distinct("merchant", n=3)})
    rows = ViewRows(view.plan)
    most = 0
    for batch in range(60):
        urls = pa.array([f"https://example.com/{batch}/{i}" for i in range(5_000)])
        values, wholes, kept = taken(view.plan, [urls], 5_000)
        keys = Texts.of([f"user {i % 1_000}" for i in range(5_000)])
        times = np.arange(batch * 5_000, (batch + 1) * 5_000)
        rows.fold(keys, times, values, batch, np.arange(5_000), More(wholes, texts=kept))
        assert rows._texts is not None
        most = max(most, len(rows._texts))
        if batch == 30:
            used = rows.used_bytes
    assert most <= 3_000 + 4_096 + 5_000, "those named, those left, and those of a batch"
    assert rows.used_bytes == used


def test_a_text_that_is_too_long_is_cut_where_everybody_sees_it() -> None:
    long = "https://example.com/" + "й" * 300
    other = long + "?"
    rows = ViewRows(PLAN)
    fold(rows, [("ann", 400 * HOUR, long), ("ann", 401 * HOUR, other), ("ann", 401 * HOUR, "a")], 0)
    [found] = told(rows.all_rows()[1], 401 * HOUR)
    assert found is not None
    assert found["different"] == 3.0, "they begin alike, and are two"
    cut = found["first"]
    assert len(cut.encode()) <= LONGEST
    beginning, digits = cut.split("…")
    assert long.startswith(beginning)
    assert int(digits, 16) == code(long) % 2**64


def test_what_is_no_row_with_texts_is_absent() -> None:
    rows = ViewRows(PLAN)
    fold(rows, [("ann", 400 * HOUR, "amazon"), ("ann", 400 * HOUR, "кафе")], 0)
    [row] = list(rows.all_rows()[1])
    without = row[:-8]
    too_much = row[:-8] + (10**6).to_bytes(8, "little")
    nothing = row[:-8] + bytes(8)
    words = np.frombuffer(bytearray(row), np.int64).copy()
    words[len(words) - int(words[-1])] = 1 << 60
    wrong = [without, too_much, nothing, words.tobytes(), row[:-3], b""]
    done = finish(PLAN, Packed.of([row, *wrong, row]), np.full(8, 400 * HOUR))
    assert done.status.tolist() == [PRESENT, *[NOT_FOUND] * 6, PRESENT]


def test_rows_of_other_views_have_no_word_more() -> None:
    few = topic("few", {"domain": ["a", "b"]})
    view = fr.View("v", few, key="user", features={"last": fr.last("merchant")})
    assert view.plan.texts is None
    assert view.plan.bytes_of(0) == 8 * (4 + 2)
    open_view = fr.View("v", PAYMENTS, key="user", features={"last": fr.last("merchant")})
    assert open_view.plan.bytes_of(0) == 8 * (4 + 2 + 1)
    assert open_view.plan.digest != view.plan.digest


def test_events_without_their_texts_are_refused() -> None:
    rows = ViewRows(PLAN)
    shape = (1, len(PLAN.fields))
    more = More(np.zeros(shape, np.int64))
    with pytest.raises(DefinitionError, match="keeps the texts of merchant: have 0 columns"):
        rows.fold(
            Texts.of(["ann"]), np.zeros(1, np.int64), np.ones(shape), 0, np.zeros(1, np.int64), more
        )


def test_a_checkpoint_is_a_file_that_needs_no_other(tmp_path: Path) -> None:
    """Its rows have their texts with them."""
    rows = ViewRows(PLAN)
    fold(rows, [("ann", 400 * HOUR, "amazon")], 0)
    np.savez(tmp_path / "base.npz", **rows.dump())
    again = ViewRows(PLAN)
    again.load(np.load(tmp_path / "base.npz"), [])
    assert told(again.all_rows()[1], 400 * HOUR) == told(rows.all_rows()[1], 400 * HOUR)
