"""Records without a value: one fate each, and the key that they erase."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.audit.kept import Place, Record
from freshet.audit.ledger import recompute
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text import keys
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.serving.board.topic_figures import topic_figures
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.intake.tombstones import UNREADABLE, keys_of
from freshet.streams.log.contract import Batch, joined
from freshet.streams.operators.task import Append
from tests.streams import toy_events
from tests.streams.toy_events import batch_of

DEAD = "dead"


def with_nulls(batch: Batch, nulls: Sequence[bool], record_keys: Sequence[bytes | None]) -> Batch:
    found = Texts.from_arrow(pa.array(record_keys, pa.binary()))
    return replace(batch, nulls=np.array(nulls), keys=found)


def tombstones(*record_keys: bytes | None) -> Batch:
    count = len(record_keys)
    batch = batch_of([b""] * count, range(count), [0] * count)
    return with_nulls(batch, [True] * count, record_keys)


def read(kind: str, *record_keys: bytes | None) -> list[str | None]:
    found: list[str | None]
    found = (
        keys_of(tombstones(*record_keys), np.arange(len(record_keys)), kind).to_arrow().to_pylist()
    )
    return found


def test_a_record_key_is_the_text_of_the_field() -> None:
    assert read(keys.TEXT, b"ann", "Zoë".encode(), b"", b"a|b\\") == ["ann", "Zoë", "", "a\\|b\\\\"]
    assert read(keys.WHOLE, b"7", b"-7", b"007", b"9223372036854775807") == [
        "7",
        "-7",
        "7",
        "9223372036854775807",
    ]
    assert read(keys.BOOLEAN, b"true", b"false") == ["true", "false"]
    uuid = "0A1b2c3d-0000-1111-2222-333344445555"
    assert read(keys.UUID, uuid.encode()) == [uuid.lower()]


@pytest.mark.parametrize(
    ("kind", "unreadable"),
    [
        (keys.TEXT, b"\xff\xfe"),
        (keys.TEXT, None),
        (keys.TEXT, b"\0\0\0\0\x01\x06ann"),
        (keys.TEXT, b"x" * (KEY_BYTES + 1)),
        (keys.WHOLE, (7).to_bytes(8, "big")),
        (keys.WHOLE, b"7.0"),
        (keys.WHOLE, b" 7"),
        (keys.WHOLE, b""),
        (keys.WHOLE, b"9223372036854775808"),
        (keys.BOOLEAN, b"True"),
        (keys.UUID, b"0a1b2c3d"),
    ],
)
def test_what_is_no_such_text_is_none_and_harms_no_neighbour(
    kind: str, unreadable: bytes | None
) -> None:
    sound = {keys.WHOLE: b"1", keys.BOOLEAN: b"true"}.get(
        kind, b"0a1b2c3d-0000-1111-2222-333344445555"
    )
    assert read(kind, sound, unreadable, sound) == [sound.decode(), None, sound.decode()]


@given(st.lists(st.none() | st.binary(max_size=6) | st.text(max_size=4).map(str.encode)))
def test_texts_are_read_as_python_reads_them(record_keys: list[bytes | None]) -> None:
    def slowly(key: bytes | None) -> str | None:
        try:
            text = None if key is None else key.decode()
        except UnicodeDecodeError:
            return None
        if text is None or text.startswith("\0"):
            return None
        return keys.key_of([text])

    assert read(keys.TEXT, *record_keys) == list(map(slowly, record_keys))


# ------------------------------------------------------------------------------------- in intake
def task_of(tombstone: str) -> IntakeTask:
    topic = toy_events.topic(tombstone=tombstone, drop={}, impute={})
    clean = (CleanRoute("clean.gate", 2, ("gate",), ("delay",)),)
    plan = IntakePlan("log", topic, EventCodec(topic.events), clean, (), DEAD)
    return IntakeTask(plan, 0)


def event(name: str, gate: str) -> bytes:
    known = {"id": name, "at": toy_events.START, "gate": gate, "crew": 1, "late": False}
    others = {field.name: None for field in toy_events.SCHEMA.fields}
    return encode(toy_events.SCHEMA, [{**others, **known}])[0]


def mixed() -> Batch:
    """Events and tombstones of keys a, none, b and one that is no text; an empty value is none."""
    values = [event("1", "a"), b"", event("2", "b"), b"", b"", b"", b""]
    times = [toy_events.START] * len(values)
    nulls = [False, True, False, True, True, True, False]
    return with_nulls(
        batch_of(values, range(7), times), nulls, [None, b"a", None, None, b"b", b"\xff", None]
    )


def counts(task: IntakeTask) -> dict[str, int]:
    return {name: n for name, n in task.facts()["fates"].items() if n}


def clean_rows(appends: Sequence[Append]) -> list[dict[str, object]]:
    rows = []
    for append in appends:
        for value in append.values:
            block = blocks.decode(value)
            if append.topic != DEAD:
                assert block.rows is not None
                rows += block.rows.to_pylist()
    return sorted(rows, key=lambda row: int(row["_offset"]))


def ledger_of(task: IntakeTask, batch: Batch, told: dict[Place, str]) -> None:
    nulls = batch.nulls
    assert nulls is not None
    found = [
        Record(int(batch.offsets[i]), int(batch.times[i]), bytes(batch.value(i)), bool(nulls[i]))
        for i in range(len(batch))
    ]
    topic = task._plan.topic
    assert recompute(topic, iter(found), told) == task.ledger.entries()


def test_they_are_ignored_with_a_fate_of_their_own() -> None:
    task = task_of("ignore")
    out = task.apply(mixed())
    assert counts(task) == {"applied": 2, "ignored": 4, "dead:undecodable": 1}
    rows = clean_rows(out.appends)
    assert [(row["key"], row["_offset"]) for row in rows] == [("a", 0), ("b", 2)]
    assert all(blocks.ERASED not in row for row in rows)
    ledger_of(task, mixed(), {})


def test_they_erase_at_their_own_places_and_one_without_a_key_is_a_dead_letter() -> None:
    task = task_of("delete")
    out = task.apply(mixed())
    assert counts(task) == {"applied": 2, "erased": 2, "dead:undecodable": 3}
    rows = clean_rows(out.appends)
    assert [(row["key"], row["_offset"], row[blocks.ERASED]) for row in rows] == [
        ("a", 0, False),
        ("a", 1, True),
        ("b", 2, False),
        ("b", 4, True),
    ]
    (letters,) = [blocks.decode(append.values[0]) for append in out.appends if append.topic == DEAD]
    assert letters.rows is not None
    assert letters.rows.column("detail").to_pylist() == [UNREADABLE, UNREADABLE, None]
    ledger_of(task, mixed(), dict.fromkeys([(3, 0), (5, 0)], "undecodable"))


def test_alone_in_a_batch_they_are_taken_too() -> None:
    task = task_of("delete")
    out = task.apply(with_nulls(batch_of([b""], [0], [toy_events.START]), [True], [b"a"]))
    assert [(row["key"], row["field.delay"]) for row in clean_rows(out.appends)] == [("a", None)]
    assert counts(task) == {"erased": 1}


@given(st.lists(st.integers(0, 7), max_size=3), st.booleans())
def test_no_cut_into_batches_changes_anything(cuts: list[int], delete: bool) -> None:
    tombstone = "delete" if delete else "ignore"
    whole = task_of(tombstone)
    expected = clean_rows(whole.apply(mixed()).appends)
    task = task_of(tombstone)
    edges = sorted({0, 7, *cuts})
    appends = [
        append
        for first, after in itertools.pairwise(edges)
        for append in task.apply(mixed().rows(first, after)).appends
    ]

    def plain(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [{**row, blocks.ERASED: row.get(blocks.ERASED, False)} for row in rows]

    assert plain(clean_rows(appends)) == plain(expected)
    assert task.ledger.entries() == whole.ledger.entries()


def test_joined_batches_keep_which_records_have_no_value() -> None:
    plain = batch_of([b"x"], [0], [1])
    (one,) = joined([plain, replace(tombstones(b"k"), offsets=np.array([1]))])
    assert one.nulls is not None
    assert one.keys is not None
    assert one.nulls.tolist() == [False, True]
    assert one.keys.to_arrow().to_pylist() == [None, "k"]


@pytest.mark.parametrize(("tombstone", "fate"), [("ignore", "ignored"), ("delete", "erased")])
def test_what_the_page_shows_of_tombstones_is_what_the_ledger_has_and_the_log_says(
    tombstone: str, fate: str
) -> None:
    """A fate that is shown is one that happens."""
    topic = toy_events.topic(tombstone=tombstone)
    plan = replace(toy_events.plan(1, tombstone=tombstone), topic=topic)
    plan = replace(plan, clean=plan.clean[:1])
    task = IntakeTask(plan, 0)
    task.apply(tombstones(b"a", b"b"))
    records = [Record(offset, 0, b"", True) for offset in range(2)]
    assert task.ledger.entries() == recompute(topic, iter(records))
    assert task.facts()["fates"][fate] == 2
    shown = topic_figures(topic, [task.facts()])
    assert (shown.records, shown.tombstones) == (2, 2)
