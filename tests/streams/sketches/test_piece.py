"""Sketches that intake makes: those of a plain loop, the same for any cuts and restarts, in bounded
memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics import impute
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import IntakeTask
from freshet.streams.operators.task import Append
from freshet.streams.sketches import sketch_kernels as kernels
from freshet.streams.sketches.cells import MOST_CELLS
from freshet.streams.sketches.piece import FIRST_EVERY_MS
from freshet.streams.sketches.sketch import Sketch, merged, unpacked
from tests.streams.sketches.test_sketch import exact, of_numbers, of_words
from tests.streams.toy_events import START, Sent, batch, plan, topic

untimed = settings(deadline=None, max_examples=40)
TO = "app.statistics.hours"
HOUR = START // HOUR_MS
MINUTE_MS = 60_000
ON_THE_HOUR = (HOUR + 1) * HOUR_MS
SCHEMA = EventSchema.parse(
    {
        "type": "record",
        "name": "sales",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "shop", "type": ["null", "string"]},
            {"name": "item", "type": ["null", "string"]},
            {"name": "price", "type": ["null", "double"]},
            {"name": "pieces", "type": ["null", "long"]},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["web", "shop"]}},
            {"name": "paid", "type": "boolean"},
            {"name": "raw", "type": ["null", "bytes"]},
        ],
    },
    "sales",
)
SKETCHED = ("item", "price", "pieces", "kind", "paid")
Rows = dict[tuple[int, str | None, str], Sketch]


def task_of(**changes: Any) -> IntakeTask:
    declared = topic(
        **{
            "name": "sales",
            "schema": SCHEMA,
            "source": "shop",
            "drop": {},
            "impute": {},
            "dedup": "1s",
            **changes,
        }
    )
    bare = replace(plan(1), topic=declared, codec=EventCodec(SCHEMA), clean=(), labels=())
    return IntakeTask(replace(bare, statistics=TO), 0)


def sale(number: int, time: int, **values: Any) -> Sent:
    empty = dict.fromkeys(("shop", "item", "price", "pieces", "raw"))
    event = {**empty, "id": f"e{number}", "at": time, "kind": "web", "paid": True, **values}
    return Sent(time, raw=encode(SCHEMA, [event])[0])


def records_of(appends: Sequence[Append]) -> Iterator[blocks.Block]:
    for append in appends:
        if append.topic == TO:
            for value in append.values:
                yield blocks.decode(value)


def rows_of(found: Iterator[blocks.Block]) -> list[Mapping[str, Any]]:
    return [row for block in found if block.rows is not None for row in block.rows.to_pylist()]


def sketches_of(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """All pieces that ended, and the newest of what did not."""
    newest: dict[int, tuple[bool, int]] = {}
    for row in rows:
        reached = (row["ended"], row["through"])
        newest[row["first"]] = max(newest.get(row["first"], reached), reached)
    parts: dict[tuple[int, str | None, str], list[Sketch]] = {}
    seen = set()
    for row in rows:
        at = (row["hour"], row["source"], row["field"])
        if (row["ended"], row["through"]) != newest[row["first"]] or (row["first"], *at) in seen:
            continue
        seen.add((row["first"], *at))
        parts.setdefault(at, []).append(unpacked(row["sketch"]))
    return {at: merged(found) for at, found in parts.items()}


def expected(events: Sequence[Mapping[str, Any]]) -> Rows:
    """A plain loop."""
    cells: dict[tuple[int, str | None], list[Mapping[str, Any]]] = {}
    for event in events:
        cells.setdefault((event["at"] // HOUR_MS, event.get("shop")), []).append(event)
    found: Rows = {}
    for (hour, shop), mine in cells.items():
        for name in SKETCHED:
            values = [event[name] for event in mine if event.get(name) is not None]
            if name in ("item", "kind"):
                made = replace_rows(of_words(values), len(mine))
            else:
                made = of_numbers([float(value) for value in values], len(mine))
            found[hour, shop, name] = made
    return found


def replace_rows(sketch: Sketch, rows: int) -> Sketch:
    return msgspec.structs.replace(sketch, rows=rows)


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "later": st.integers(0, 40 * 60_000),
            "shop": st.sampled_from(["a", "b", "", None]),
            "item": st.one_of(st.none(), st.text("äxyz", max_size=30)),
            "price": st.one_of(st.none(), st.floats(-1e6, 1e6)),
            "pieces": st.one_of(st.none(), st.integers(-(2**62), 2**62)),
            "kind": st.sampled_from(["web", "shop"]),
            "paid": st.booleans(),
        }
    ),
    min_size=1,
    max_size=40,
)


def sent_of(events: Sequence[dict[str, Any]]) -> tuple[list[Sent], list[dict[str, Any]]]:
    sent = []
    known = []
    time = START
    for number, event in enumerate(events):
        time += event["later"]
        values = {name: value for name, value in event.items() if name != "later"}
        sent.append(sale(number, time, **values))
        known.append({**values, "at": time})
    return sent, known


def cut_text(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= kernels.TEXT_BYTES - 1:
        return name
    return encoded[: kernels.TEXT_BYTES - 1].decode(errors="ignore") + "…"


def comparable(rows: Rows) -> dict[tuple[int, str | None, str], tuple[object, ...]]:
    found = {}
    for at, sketch in rows.items():
        *rest, names = exact(sketch)
        shown = None if names is None else [cut_text(name) for name in names]  # type: ignore[attr-defined]
        found[at] = (*rest, shown)
    return found


@untimed
@given(EVENTS, st.lists(st.integers(1, 39), max_size=5), st.integers(0, 5))
def test_sketches_are_those_of_a_plain_loop_for_any_cuts_and_restarts(
    events: list[dict[str, Any]], cuts: list[int], restart: int
) -> None:
    sent, known = sent_of(events)
    task = task_of()
    appends: list[Append] = []
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    for number, (first, after) in enumerate(pairwise(edges)):
        if number == restart:
            state = load(save(task.dump(full=True)))
            task = task_of()
            task.load(state, [])
        appends += task.apply(batch(sent[first:after], first)).appends
    last = sent[-1].time + 2 * FIRST_EVERY_MS
    appends += task.tick(last, 1).appends
    rows = sketches_of(rows_of(records_of(appends)))
    mine = {at: sketch for at, sketch in rows.items() if at[2] in SKETCHED}
    assert comparable(mine) == comparable(expected(known))


def test_cuts_change_no_byte_of_a_piece_that_ended() -> None:
    events = [
        {"later": 7 * 60_000, "shop": "ab"[i % 2], "item": str(i % 5), "price": i / 7, "pieces": i}
        for i in range(60)
    ]
    sent, _ = sent_of(events)
    whole = [a for a in task_of().apply(batch(sent, 0)).appends if a.topic == TO]
    task = task_of()
    singly = [
        append
        for i, one in enumerate(sent)
        for append in task.apply(batch([one], i)).appends
        if append.topic == TO
    ]
    assert [v for a in whole for v in a.values] == [v for a in singly for v in a.values]
    assert whole


def test_ids_times_and_sources_are_counted_only() -> None:
    task = task_of()
    appends = [*task.apply(batch([sale(1, START, shop="a")], 0)).appends]
    appends += task.tick(START + FIRST_EVERY_MS, 1).appends
    rows = sketches_of(rows_of(records_of(appends)))
    for name in ("id", "at", "shop", "raw"):
        sketch = rows[HOUR, "a", name]
        assert (sketch.rows, sketch.present) == (1, int(name != "raw"))
        assert not sketch.keys
        assert sketch.names is None


def test_what_is_not_a_number_is_no_value() -> None:
    task = task_of()
    sent = [sale(1, START, shop="a", price=float("nan")), sale(2, START, shop="a")]
    appends = [*task.apply(batch(sent, 0)).appends]
    appends += task.tick(START + FIRST_EVERY_MS, 1).appends
    rows = sketches_of(rows_of(records_of(appends)))
    price = rows[HOUR, "a", "price"]
    # Whether it is taken at all is intake's to say.
    assert price.present == 0


def test_values_are_counted_as_they_were_sent_whatever_fills_them() -> None:
    filled = {"item": impute.constant("none"), "price": impute.constant(1.0)}
    task = task_of(impute=filled)
    appends = [*task.apply(batch([sale(1, START, shop="a"), sale(2, START)], 0)).appends]
    appends += task.tick(START + FIRST_EVERY_MS, 1).appends
    rows = sketches_of(rows_of(records_of(appends)))
    for name in filled:
        assert rows[HOUR, "a", name].rows == 1
        assert rows[HOUR, "a", name].present == 0


def test_a_long_run_of_one_source_is_counted_as_singly() -> None:
    """Longer than what is counted at a time, with other sources and hours between."""
    sent = []
    for i in range(3 * kernels.CHUNK):
        shop = "b" if i % 700 == 0 else "a"
        at = START + HOUR_MS * (i // 1_100)
        sent.append(sale(i, at, shop=shop, item=str(i % 90), price=i % 130 / 7, pieces=i))
    told = []
    for size in (len(sent), 1, 37):
        task = task_of()
        appends = []
        for first in range(0, len(sent), size):
            appends += task.apply(batch(sent[first : first + size], first)).appends
        appends += task.tick(sent[-1].time + 2 * FIRST_EVERY_MS, 1).appends
        told.append([value for a in appends if a.topic == TO for value in a.values])
    assert told[0] == told[1] == told[2]


def test_figures_are_told_soon_and_then_at_intervals_that_grow() -> None:
    """Each time the whole piece is told, and stays in the log: so an hour costs four at most."""
    task = task_of()
    task.apply(batch([sale(1, ON_THE_HOUR)], 0))
    first = list(records_of(task.tick(ON_THE_HOUR + FIRST_EVERY_MS, 3).appends))
    assert [block.rows is None for block in first] == [False, True]
    assert first[-1].tick == ON_THE_HOUR + FIRST_EVERY_MS
    assert first[-1].partitions == 3
    told = [at for at, has_rows in told_in_an_hour(task, range(2, 61), busy=True) if has_rows]
    # With the next hour's first event the piece is at its end.
    assert told == [15, 30, 60]


def test_a_partition_that_is_quiet_tells_its_time_once_an_hour() -> None:
    task = task_of()
    task.apply(batch([sale(1, ON_THE_HOUR)], 0))
    told = told_in_an_hour(task, range(5, 186), busy=False)
    assert told == [(5, True), (65, False), (125, False), (185, False)]


def test_a_piece_that_begins_within_an_hour_is_not_left_for_its_end() -> None:
    task = task_of()
    task.tick(ON_THE_HOUR + 31 * MINUTE_MS, 1)
    task.apply(batch([sale(1, ON_THE_HOUR + 32 * MINUTE_MS)], 0))
    told = told_in_an_hour(task, range(32, 60), busy=False)
    assert told == [(35, True)]


def test_where_the_clock_goes_by_strides_figures_are_told_once_an_hour() -> None:
    """The next hour is a moment away, and each telling is the whole piece."""
    task = task_of()
    task.tick(ON_THE_HOUR, 1)
    told = told_in_an_hour(task, range(15, 196, 15), busy=True)
    # With an hour's first event the piece before it ends; what came since is told at :15.
    assert told == [(at, True) for at in (15, 60, 75, 120, 135, 180, 195)]


def told_in_an_hour(task: IntakeTask, minutes: range, busy: bool) -> list[tuple[int, bool]]:
    """The minutes in which anything is told, and whether that is rows; a `busy` partition has an
    event in each."""
    found = []
    for minute in minutes:
        appends = []
        if busy:
            sent = sale(minute, ON_THE_HOUR + minute * MINUTE_MS)
            appends += task.apply(batch([sent], minute)).appends
        appends += task.tick(ON_THE_HOUR + minute * MINUTE_MS, 1).appends
        told = list(records_of(appends))
        if told:
            found.append((minute, any(block.rows is not None for block in told)))
    return found


def test_a_hundred_thousand_sources_have_bounded_memory() -> None:
    task = task_of()
    sent = [
        sale(i, START + i, shop=f"shop {i}", item=str(i), price=float(i)) for i in range(100_000)
    ]
    appends = task.apply(batch(sent, 0)).appends
    rows = rows_of(records_of([*appends, *task.tick(sent[-1].time + FIRST_EVERY_MS, 1).appends]))
    known = {row["source"] for row in rows}
    assert len(known) == kernels.SOURCES + 1
    of_price = [unpacked(row["sketch"]) for row in rows if row["field"] == "price"]
    assert sum(sketch.rows for sketch in of_price) == len(sent)
    assert merged(of_price).present == len(sent)
    assert sum(array.nbytes for array in task.dump(full=True).values()) < 16 << 20


def test_many_hours_at_once_make_more_pieces_and_lose_nothing() -> None:
    """As where a year of events is loaded within an hour."""
    task = task_of()
    made = 3 * MOST_CELLS
    appended = START + made * HOUR_MS
    sent = [
        replace(sale(i, START + i * HOUR_MS, shop="a", price=1.0), time=appended)
        for i in range(made)
    ]
    appends = task.apply(batch(sent, 0)).appends
    rows = rows_of(records_of([*appends, *task.tick(appended + HOUR_MS, 1).appends]))
    told = sketches_of(rows)
    assert sum(s.rows for (_, _, name), s in told.items() if name == "price") == made
    assert len({row["first"] for row in rows}) == 3


def test_a_piece_of_a_topic_that_was_declared_otherwise_is_left_out() -> None:
    task = task_of()
    task.apply(batch([sale(1, START, shop="a")], 0))
    other = task_of(source="kind")
    other.load(task.dump(full=True), [])
    assert not rows_of(records_of(other.tick(START + FIRST_EVERY_MS, 1).appends))


def test_without_a_log_for_them_none_are_made() -> None:
    task = IntakeTask(plan(1), 0)
    assert not [name for name in task.dump(full=True) if name.startswith("sketches")]
