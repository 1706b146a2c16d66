"""Dead letters are counted once each, shown with the origin that they have in their topic, and read
as far as they go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.cli.main import cli
from freshet.dead_letters import letters as dead_letters
from freshet.dead_letters.letters import Letter, kinds, newest
from freshet.dead_letters.value import hex_dump, readable
from freshet.runs.opened import OpenedRun, opened
from freshet.schemas.errors import RequestError
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.testing import LocalRun
from tests.freshet.toy_day import HOURS, bad_payments, toy_day
from tests.toy_app import topics

OF_EACH_ROUND = {
    "undecodable": 3,
    "unknown_type": 1,
    "out_of_range": 1,
    "far_future": 1,
    "missing_required": 1,
}
ROUNDS = len(range(0, HOURS, 4))
_, PAYMENTS = topics()
GOOD: dict[str, Any] = {"order_id": "o1", "at": 1_000, "shop": "north", "late": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("letters")
    with toy_day(made):
        pass
    return made


@pytest.fixture
def run(folder: Path) -> Iterator[OpenedRun]:
    with opened(folder) as found:
        yield found


def letter(
    value: bytes, reason: str = "undecodable", field: str | None = None, size: int | None = None
) -> Letter:
    return Letter(
        "payments", 0, 7, 5, 6, reason, field, None, len(value) if size is None else size, value
    )


def test_a_letter_of_one_event_of_several_shows_its_element() -> None:
    line = {"type": "record", "name": "l", "fields": [{"name": "n", "type": "int"}]}
    fields = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "lines", "type": {"type": "array", "items": line}},
    ]
    schema = {"type": "record", "name": "order", "fields": fields}
    topic = fr.Topic("orders", schema, event_id="id", event_time="at", explode="lines")
    event = {"id": "1", "at": 5, "lines": [{"n": 1}, {"n": 2}]}
    value = EventWriter(topic.records).encode(event)
    found = readable(replace(letter(value, "out_of_range", "lines.n"), place=1), topic, {})
    assert found.fields == {"id": "1", "at": 5, "lines.n": 2}
    assert found.marked == "lines.n"
    assert found.what.endswith("element 1 of 2 in lines")
    # Of a record that was cut off there is what was kept of it.
    torn = readable(replace(letter(value[:-2], size=99), place=7), topic, {})
    assert torn.fields["id"] == "1"


def test_a_letter_of_a_row_shows_its_key() -> None:
    found = readable(letter("Zoë".encode(), "refused"), None, {})
    assert (found.form, found.text) == ("text", "Zoë")
    assert found.what == "the key of a row that the store refuses"


def test_counts_are_those_of_what_was_published(run: OpenedRun) -> None:
    found = {(k.topic, k.reason): k.n for k in kinds(run)}
    assert found == {("payments", reason): n * ROUNDS for reason, n in OF_EACH_ROUND.items()}
    assert [k.n for k in kinds(run)] == sorted(found.values(), reverse=True)
    assert {k.reason for k in kinds(run, reason="far_future")} == {"far_future"}
    assert kinds(run, "orders") == []


def test_an_example_names_a_record_that_is_bad_for_that_reason(run: OpenedRun) -> None:
    records = {r.offset: r for r in kept_by_run.records(run.log, "toy.payments", 0)}
    for k in kinds(run):
        topic, partition, offset, _ = k.example
        record = records[offset]
        event, reason = audit.read_event(record.value, PAYMENTS.events)
        judged = reason
        if event is not None:
            late = audit.judge_time(event["at"], record.time + 300_000)
            judged = audit.judge(event, PAYMENTS.events) or late
        assert (topic, partition, judged) == ("payments", 0, k.reason)
        assert k.first_ms <= record.time <= k.last_ms


def test_the_newest_are_shown_first_each_with_its_own_bytes_and_append_time(run: OpenedRun) -> None:
    found = newest(run, limit=1_000)
    assert len(found) == sum(OF_EACH_ROUND.values()) * ROUNDS
    assert [x.offset for x in found] == sorted((x.offset for x in found), reverse=True)
    records = {r.offset: r for r in kept_by_run.records(run.log, "toy.payments", 0)}
    assert all(
        (x.value, x.append_ms) == (records[x.offset].value, records[x.offset].time) for x in found
    )
    assert newest(run, limit=3) == found[:3]
    assert (
        newest(run, reason="far_future", limit=2)
        == [x for x in found if x.reason == "far_future"][:2]
    )


def test_letters_that_were_buried_twice_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "CHUNK_RECORDS", 1)

    def bury_again(hour: int, local: LocalRun) -> None:
        if hour == 3:
            writer = local.log.writer()
            for r in list(kept_by_run.records(local.log, "toy.dead", 0)):
                writer.append("toy.dead", 0, [r.value], r.time + 1)
            writer.flush()
            writer.close()

    with toy_day(tmp_path, before=bury_again, hours=4), opened(tmp_path) as run:
        assert Counter({k.reason: k.n for k in kinds(run)}) == Counter(OF_EACH_ROUND)
        assert len(newest(run, limit=100)) == sum(OF_EACH_ROUND.values())


def test_an_unknown_topic_or_reason_is_told_with_those_there_are(run: OpenedRun) -> None:
    with pytest.raises(
        RequestError, match=r"topic 'pay': is none of app toy\. Its topics are orders, payments"
    ):
        kinds(run, "pay")
    with pytest.raises(
        RequestError, match=r"reason 'bad': is unknown\. Reasons are undecodable, .*crash"
    ):
        newest(run, reason="bad")


def test_avro_that_is_cut_off_is_read_up_to_the_field_where_it_ends() -> None:
    whole = EventWriter(PAYMENTS.events).encode(GOOD)
    found = readable(letter(whole[:-3], field="late"), PAYMENTS, {})
    assert (found.form, dict(found.fields)) == (
        "avro",
        {k: v for k, v in GOOD.items() if k != "late"},
    )
    assert found.marked == "late"
    assert found.rest == whole[found.rest_at : -3]
    long = readable(letter(whole + b"ab"), PAYMENTS, {})
    assert (dict(long.fields), long.rest, long.rest_at) == (GOOD, b"ab", len(whole))
    assert "2 bytes follow the last field" in long.why


@pytest.mark.parametrize(
    ("changes", "reason", "field", "why"),
    [
        ({"late": 2_000.0}, "out_of_range", "late", "it must be within 0 and 1000"),
        ({"shop": None}, "missing_required", "shop", "it is required, and missing"),
        ({"at": 9_999_999_999}, "far_future", "at", "more than max_future (5m as declared)"),
    ],
)
def test_a_broken_rule_is_told_beside_the_field(
    changes: dict[str, Any], reason: str, field: str, why: str
) -> None:
    event = {**GOOD, **changes}
    for value in (EventWriter(PAYMENTS.events).encode(event), json.dumps(event).encode()):
        found = readable(letter(value, reason, field), PAYMENTS, {})
        assert (dict(found.fields), found.marked) == (event, field)
        assert why in found.why


@pytest.mark.parametrize(
    ("at", "reason", "hint"),
    [
        (1_795_890_000_000_000, "far_future", 'as µs it would be near the record\'s: did you mean event_time=fr.time("at", unit="us")?'),
        (-1_795_890_000_000_000, "bad_time", "it is no time from 1900 on (ms since 1970)"),
    ],
)  # fmt: skip
def test_a_time_in_another_unit_is_told_by_what_it_would_be(
    at: int, reason: str, hint: str
) -> None:
    value = EventWriter(PAYMENTS.events).encode({**GOOD, "at": at})
    found = readable(
        replace(letter(value, reason, "at"), append_ms=1_795_890_000_000), PAYMENTS, {}
    )
    assert found.marked == "at"
    assert found.why.endswith(hint)


def test_every_kind_of_bytes_is_named_for_what_it_is() -> None:
    block = blocks.encode(
        Block(blocks.LABELS, "payments", 2, pa.RecordBatch.from_pydict({"id": ["a", "b"]}))
    )
    told = {
        b"\0\0\0\0\x63rest": "of schema_id 99, which payments never had (it has 2)",
        b'{"at": 5, ': "JSON that cannot be read",
        b"hello there": "text, but no JSON object",
        b"a,b\r\n1,\t2\n": "text, but no JSON object",
        b"\xff\xfe\0": "neither JSON nor in the Confluent wire format",
        b"": "no bytes at all",
        block: "a block of 2 labels rows from payments partition 2",
        block[:-20]: "a block that cannot be read",
    }
    for value, what in told.items():
        assert what in readable(letter(value), PAYMENTS, {}).what
    torn = readable(letter(b'{"at": "' + b"x" * 50, size=100_000), PAYMENTS, {})
    assert "only its first bytes were kept" in torn.what


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("unreadable_schema", "of schema_id 99, which payments cannot read"),
        ("unknown_type", "of schema_id 99, which the registry of payments does not know"),
    ],
)
def test_of_a_registry_s_id_it_is_told_who_does_not_know_it(reason: str, what: str) -> None:
    registered = replace(PAYMENTS, registry="payments-value")
    found = readable(letter(b"\0\0\0\0\x63rest", reason), registered, {})
    assert found.what == f"in the Confluent wire format, {what}"


def test_a_dump_holds_every_byte_once() -> None:
    value = bytes(range(200))
    lines = list(hex_dump(value, 5, None))
    assert bytes.fromhex("".join(line[7:54] for line in lines)) == value
    assert lines[1].startswith("00015  10 11")
    assert list(hex_dump(value))[-1] == "… 136 more bytes"


def test_commands_list_and_show(folder: Path) -> None:
    listed = CliRunner().invoke(cli, ["dlq", "list", "--run-dir", str(folder)])
    assert listed.exit_code == 0
    assert all(reason in listed.stdout for reason in OF_EACH_ROUND)
    shown = CliRunner().invoke(
        cli, ["dlq", "show", "--reason", "out_of_range", "--limit", "1", "--run-dir", str(folder)]
    )
    assert shown.exit_code == 0
    assert "▶ late 2000.0  it must be within 0 and 1000" in shown.stdout
    raw = CliRunner().invoke(
        cli, ["dlq", "show", "--reason", "unknown_type", "--raw", "--run-dir", str(folder)]
    )
    assert raw.stdout.count("00 00 00 00 63 72 65 73 74") == ROUNDS
    none = CliRunner().invoke(cli, ["dlq", "list", "--topic", "orders", "--run-dir", str(folder)])
    assert (none.exit_code, none.stdout.strip()) == (0, "no dead letters of topic orders")


def test_every_bad_payment_of_a_day_can_be_shown(folder: Path) -> None:
    shown = CliRunner().invoke(cli, ["dlq", "show", "--limit", "1000", "--run-dir", str(folder)])
    assert shown.exit_code == 0
    n = len(bad_payments(EventWriter(PAYMENTS.events), 0)) * ROUNDS
    assert shown.stdout.count("payments partition 0 offset") == n


# ------------------------------------------------------------ nested records
VISITS = fr.Topic(
    "visits",
    {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {
                "name": "place",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "Place",
                        "fields": [
                            {"name": "city", "type": "string"},
                            {"name": "size", "type": ["int", "string"]},
                        ],
                    },
                ],
            },
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    },
    event_id="id",
    event_time="at",
)


def test_a_nested_record_is_read_by_paths_up_to_what_is_torn() -> None:
    visit = {"id": "a", "at": 1, "place": {"city": "Bonn", "size": "big"}, "tags": ["x", "yy"]}
    whole = EventWriter(VISITS.events).encode(visit)
    before = {"id": "a", "at": 1, "place.city": "Bonn", "place.size.string": "big"}
    found = readable(letter(whole[:-3]), VISITS, {})
    assert dict(found.fields) == {**before, "place.size.int": None}
    assert (found.marked, found.why) == ("tags", "these bytes are no array: 2 bytes are not there")
    # The branch of the union within: there are two.
    torn = whole.replace(b"\2\6big", b"\x08\6big")
    found = readable(letter(torn), VISITS, {})
    assert (found.marked, found.why) == (
        "place.size",
        "these bytes are no union: no branch or symbol 4",
    )
    assert dict(found.fields) == {"id": "a", "at": 1, "place.city": "Bonn"}
