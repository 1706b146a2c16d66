"""The walker reads what fastavro reads, row by row; what it cannot read it flags, and the
neighbours stay as they were."""

from __future__ import annotations

import json
import pickle
import struct
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.avro import walker_kernels
from freshet.schemas.errors import RequestError, SchemaError
from freshet.schemas.events import validation_kernels
from freshet.schemas.events.decode import REASONS, EventCodec, decode, encode, warm
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.validation import validate
from freshet.schemas.events.writer import is_json
from freshet.schemas.text.columns import Texts
from tests.schemas.events.strategies import (
    DEFAULTS,
    ENUM,
    TIMESTAMP,
    avro,
    avro_type,
    columns_of,
    nothing,
    oracle,
    records,
    rows_of,
    same,
    schemas,
)

FLIGHT = EventSchema.parse(
    avro(
        [
            {"name": "id", "type": "string"},
            {"name": "at", "type": ["null", TIMESTAMP], "default": None},
            {"name": "delay", "type": ["double", "null"], "default": 0.5},
            {"name": "gate", "type": ["null", ENUM]},
            {"name": "count", "type": "int"},
            {"name": "late", "type": "boolean"},
        ]
    ),
    "flight",
)
GOOD = {"id": "ä-1", "at": 12, "delay": 2.5, "gate": "BB", "count": -3, "late": True}
CODEC = EventCodec(FLIGHT)


def reasons(values: list[bytes], codec: EventCodec = CODEC) -> list[str]:
    return [REASONS[r] for r in columns_of(values, codec).reason]


def in_json(**changes: Any) -> bytes:
    event = {**GOOD, **changes}
    return json.dumps({k: v for k, v in event.items() if v is not ...}).encode()


# ------------------------------------------------------------ against the oracle
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_random_records_of_random_schemas_are_read_as_fastavro_reads_them(
    data: st.DataObject,
) -> None:
    schema = EventSchema.parse(data.draw(schemas()), "event")
    events = data.draw(st.lists(records(schema), min_size=1, max_size=5))
    values = encode(schema, events)
    columns = columns_of(values, EventCodec(schema))
    assert not columns.reason.any()
    for value, row in zip(values, rows_of(columns)):
        assert same(row, oracle(value, {7: schema}, schema))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_altered_bytes_give_fastavros_answer_or_are_flagged_and_leave_their_neighbours(
    data: st.DataObject,
) -> None:
    schema = EventSchema.parse(data.draw(schemas()), "event")
    first, victim, last = encode(
        schema, data.draw(st.lists(records(schema), min_size=3, max_size=3))
    )
    altered = data.draw(mutations(victim))
    columns = columns_of([first, altered, last], EventCodec(schema))
    rows = rows_of(columns)
    assert columns.reason[0] == 0
    assert columns.reason[2] == 0
    assert same(rows[0], oracle(first, {7: schema}, schema))
    assert same(rows[2], oracle(last, {7: schema}, schema))
    if columns.reason[1] == 0:
        assert same(rows[1], oracle(altered, {7: schema}, schema))
    else:
        assert REASONS[columns.reason[1]] in ("undecodable", "unknown_type")
        assert rows[1] == nothing(schema)
        texts = [columns.text(f.name) for f in schema.fields if f.type in ("string", "enum")]
        assert all(t.start[1] == t.end[1] for t in texts)


@st.composite
def mutations(draw: st.DrawFn, value: bytes) -> bytes:
    """Cut, flipped, spliced or made up; half of the time the header is left whole, so that the body
    is reached."""
    keep = draw(st.sampled_from([0, 5]))
    body = bytearray(value[keep:])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        kind = draw(st.sampled_from(["cut", "flip", "splice", "varint", "drop"]))
        if kind == "cut":
            del body[at:]
        elif kind == "flip" and at < len(body):
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "splice":
            body[at:at] = draw(st.binary(min_size=1, max_size=6))
        elif kind == "varint":
            body[at : at + 1] = b"\xff" * draw(st.integers(1, 11)) + bytes(
                [draw(st.integers(0, 255))]
            )
        else:
            del body[at : at + 1]
    return value[:keep] + bytes(body)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=24))
def test_garbage_is_never_read_otherwise_than_fastavro_reads_it(body: bytes) -> None:
    value = b"\0\0\0\0\7" + body
    columns = columns_of([value], CODEC)
    if columns.reason[0] == 0:
        assert same(rows_of(columns)[0], oracle(value, {7: FLIGHT}, FLIGHT))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_older_records_are_promoted_and_filled_as_fastavro_does_it(data: st.DataObject) -> None:
    older = EventSchema.parse(data.draw(schemas()), "event")
    newer = EventSchema.parse(data.draw(evolved(older)), "event")
    codec = EventCodec(newer, {7: older})
    old = encode(older, data.draw(st.lists(records(older), min_size=1, max_size=3)))
    new = encode(newer, data.draw(st.lists(records(newer), min_size=1, max_size=3)))
    values = data.draw(st.permutations([*old, *new, b"\0\0\0\0\x63"]))
    columns = columns_of(values, codec)
    for value, row, reason in zip(values, rows_of(columns), columns.reason):
        if len(value) == 5 and value[4] == 0x63:
            assert REASONS[reason] == "unknown_type"
            assert row == nothing(newer)
        else:
            assert same(row, oracle(value, {7: older, 8: newer}, newer))


def test_a_whole_number_read_as_a_float_is_rounded_once_to_what_a_float_holds() -> None:
    older = EventSchema.parse(avro([{"name": "a", "type": "long"}]), "event")
    newer = EventSchema.parse(avro([{"name": "a", "type": "float"}], schema_id=8), "event")
    tricky = (1 << 53) + (1 << 29) + 1  # by way of a float64 it would be rounded twice, to 2^53
    columns = columns_of(
        encode(older, [{"a": 16777217}, {"a": tricky}]), EventCodec(newer, {7: older})
    )
    assert columns.numbers("a")[0].tolist() == [16777216.0, float((1 << 53) + (1 << 30))]


@st.composite
def evolved(draw: st.DrawFn, older: EventSchema) -> dict[str, Any]:
    """A later version that still reads `older`: fields dropped, added, moved, renamed, widened,
    made nullable."""
    wider = {
        "int": ["int", "long", "float", "double"],
        "long": ["long", "float", "double"],
        "float": ["float", "double"],
    }
    fields = []
    for f in older.fields:
        if draw(st.integers(0, 4)) == 0:
            continue
        kind = draw(st.sampled_from(wider.get(f.type, [f.type])))
        null = f.null_branch if f.nullable else draw(st.sampled_from([None, 0, 1]))
        field: dict[str, Any] = {"name": f.name, "type": avro_type(kind, null, f.name)}
        if draw(st.integers(0, 4)) == 0:
            field |= {"name": f"new_{f.name}", "aliases": [f.name]}
        fields.append(field)
    for i in range(draw(st.integers(0 if fields else 1, 3))):
        kind, null = draw(st.sampled_from(list(DEFAULTS))), draw(st.sampled_from([None, 0, 1]))
        default = None if null == 0 else DEFAULTS[kind]
        fields.append(
            {"name": f"added{i}", "type": avro_type(kind, null, f"added{i}"), "default": default}
        )
    return avro(draw(st.permutations(fields)), schema_id=8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_batch_is_read_as_its_rows_one_by_one(data: st.DataObject) -> None:
    mixed = st.sampled_from(
        [
            *encode(FLIGHT, [GOOD, {**GOOD, "at": None}]),
            in_json(),
            in_json(count="x"),
            b"",
            b"{",
            b"\0\0\0\0\7\2",
        ]
    )
    values = data.draw(st.lists(mixed, min_size=1, max_size=8))
    whole = columns_of(values, CODEC)
    alone = [columns_of([v], CODEC) for v in values]
    assert rows_of(whole) == [rows_of(c)[0] for c in alone]
    assert whole.reason.tolist() == [int(c.reason[0]) for c in alone]
    assert whole.detail_field.tolist() == [int(c.detail_field[0]) for c in alone]


# ------------------------------------------------------------ bytes that try something
@pytest.mark.parametrize(
    "body",
    [
        b"\x01a",  # a length of -1
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of -2^63
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01a",  # a length of 2^63 - 1
        b"\xff" * 40,  # a number without an end
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",  # 65 bits
        b"\x02\xff",  # not UTF-8
        b"\x06\xed\xa0\x80",  # a surrogate
        b"\x04\xc0\x80",  # an overlong form
        b"\x08\xf4\x90\x80\x80",  # beyond U+10FFFF
        b"\x04\xe2\x82",  # a sequence cut off by the end
        b"\x02a\x00",  # a byte too many
        b"",
    ],
)
def test_a_text_that_is_no_text_is_undecodable(body: bytes) -> None:
    codec = EventCodec(EventSchema.parse(avro([{"name": "a", "type": "string"}]), "event"))
    good = b"\0\0\0\0\7\2x"
    columns = columns_of([good, b"\0\0\0\0\7" + body, good], codec)
    assert [REASONS[r] for r in columns.reason] == ["ok", "undecodable", "ok"]
    assert rows_of(columns) == [{"a": "x"}, {"a": None}, {"a": "x"}]


def test_the_field_at_fault_is_named() -> None:
    value = encode(FLIGHT, [GOOD])[0]
    columns = columns_of([value[:-1], value[:7], value + b"\0", b"\1" + value[1:]], CODEC)
    assert columns.detail_field.tolist() == [FLIGHT.position("late"), FLIGHT.position("id"), -1, -1]


def test_whole_numbers_beyond_their_type_booleans_beyond_one_and_unknown_symbols_are_undecodable() -> (
    None
):
    def first(kind: Any) -> EventCodec:
        return EventCodec(EventSchema.parse(avro([{"name": "a", "type": kind}]), "event"))

    assert reasons([b"\0\0\0\0\7\x80\x80\x80\x80\x10"], first("int")) == ["undecodable"]
    assert reasons([b"\0\0\0\0\7\x80\x80\x80\x80\x10"], first("long")) == ["ok"]
    assert reasons([b"\0\0\0\0\7\2"], first("boolean")) == ["undecodable"]
    assert reasons([b"\0\0\0\0\7\6", b"\0\0\0\0\7\1", b"\0\0\0\0\7\4"], first(ENUM)) == [
        "undecodable",
        "undecodable",
        "ok",
    ]
    assert reasons([b"\0\0\0\0\7\4\2"], first(["null", "int"])) == ["undecodable"]


def test_spans_outside_the_data_are_undecodable() -> None:
    value = np.frombuffer(encode(FLIGHT, [GOOD])[0], np.uint8)
    n = len(value)
    spans = np.array(
        [[0, n], [-5, n], [0, n + 1], [n, 0], [n, n], [1 << 62, (1 << 62) + 9]], np.int64
    )
    columns = decode(value, spans[:, 0], spans[:, 1], CODEC)
    assert [REASONS[r] for r in columns.reason] == ["ok"] + ["undecodable"] * 5
    assert [REASONS[r] for r in decode(value[:0], spans[4:, 0], spans[4:, 1], CODEC).reason] == [
        "undecodable"
    ] * 2
    assert decode(value, spans[:0, 0], spans[:0, 1], CODEC).n == 0


def test_ten_megabytes_are_read() -> None:
    text = "ä" * 5_000_000
    values = [*encode(FLIGHT, [{**GOOD, "id": text}]), in_json(id=text), *encode(FLIGHT, [GOOD])]
    columns = columns_of(values, CODEC)
    assert not columns.reason.any()
    assert [len(r["id"]) for r in rows_of(columns)] == [5_000_000, 5_000_000, 3]


# ------------------------------------------------------------ JSON
def test_a_json_event_is_read_as_its_avro() -> None:
    columns = columns_of([in_json(), *encode(FLIGHT, [GOOD]), in_json(more=[{"x": 1}])], CODEC)
    assert not columns.reason.any()
    assert rows_of(columns) == [GOOD, GOOD, GOOD]


def test_json_numbers_may_be_whole_where_floats_are_meant_and_missing_fields_get_their_defaults() -> (
    None
):
    columns = columns_of([in_json(delay=2), in_json(delay=..., at=...)], CODEC)
    assert [(r["delay"], r["at"]) for r in rows_of(columns)] == [(2.0, 12), (0.5, None)]


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"count": "3"}, "wrong_type", "count"),
        ({"count": 1.0}, "wrong_type", "count"),
        ({"count": True}, "wrong_type", "count"),
        ({"count": 1 << 31}, "wrong_type", "count"),
        ({"at": 1 << 63}, "wrong_type", "at"),
        ({"at": "2013-01-01"}, "wrong_type", "at"),
        ({"delay": "1"}, "wrong_type", "delay"),
        ({"delay": 10**400}, "wrong_type", "delay"),
        ({"late": 1}, "wrong_type", "late"),
        ({"id": ["a"]}, "wrong_type", "id"),
        ({"gate": "Z"}, "out_of_domain", "gate"),
        ({"gate": 1}, "wrong_type", "gate"),
        ({"id": ...}, "missing_required", "id"),
        ({"id": None}, "missing_required", "id"),
        ({"gate": ...}, "missing_required", "gate"),
    ],
)
def test_a_json_event_that_does_not_fit_is_refused_by_reason_and_field(
    changes: dict[str, Any], reason: str, field: str
) -> None:
    columns = columns_of([in_json(), in_json(**changes), *encode(FLIGHT, [GOOD])], CODEC)
    assert [REASONS[r] for r in columns.reason] == ["ok", reason, "ok"]
    assert columns.detail_field.tolist() == [-1, FLIGHT.position(field), -1]
    assert rows_of(columns) == [GOOD, nothing(FLIGHT), GOOD]


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"{}x",
        b'{"id": "a',
        b'{"id": NaN}',
        b'{"id": -Infinity}',
        b'{"id": 1e400',
        b'{"id": 1e400, "x": NaN}',
        b'{"id": 1e400, "x": "\xff"}',
        b'{"id": 1e400, "x": ' + b"[" * 100_000,
        '{"id": "a"}'.encode("utf-16"),
        b"\xef\xbb{}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b" [{}]",
        b"\xef\xbb\xbf",
        b" \r\n\t",
        b"{}\0",
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b'{"a":' * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(21),
)
def test_what_is_no_json_object_is_undecodable_however_deep(text: bytes) -> None:
    columns = columns_of([in_json(), text, *encode(FLIGHT, [GOOD])], CODEC)
    assert [REASONS[r] for r in columns.reason] == ["ok", "undecodable", "ok"]
    assert rows_of(columns) == [GOOD, nothing(FLIGHT), GOOD]


@pytest.mark.parametrize(
    "before", [b"", b" ", b"\n", b"\r\n", b"\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r\n"]
)
@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n \t"])
def test_json_is_taken_with_white_space_around_it_and_after_a_byte_order_mark(
    before: bytes, after: bytes
) -> None:
    columns = columns_of([before + in_json() + after, *encode(FLIGHT, [GOOD])], CODEC)
    assert rows_of(columns) == [GOOD, GOOD]
    assert is_json(before + in_json())


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000])
def test_a_number_that_no_field_holds_is_the_fault_of_its_own_field(number: str) -> None:
    schema = EventSchema.parse(
        {
            "type": "record",
            "name": "n",
            "fields": [{"name": "x", "type": "double"}, {"name": "n", "type": "long"}],
        },
        "n",
    )
    records = [
        f'{{"x": {number}, "n": 1}}',
        f'{{"x": 1, "n": {number}}}',
        f'{{"x": 1, "n": 1, "other": {number}}}',
    ]
    columns = columns_of([r.encode() for r in records], EventCodec(schema))
    validate(columns, np.zeros(3, np.int64), "n", np.zeros(3, np.int64), 0)
    assert [REASONS[r] for r in columns.reason] == ["out_of_range", "wrong_type", "ok"]
    assert columns.detail_field.tolist() == [0, 1, -1]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(1 << 63), (1 << 63) - 1), st.booleans())
def test_whole_numbers_of_64_bits_are_exact_from_json_and_avro(
    number: int, beside_null: bool
) -> None:
    schema = EventSchema.parse(
        {"type": "record", "name": "n", "fields": [{"name": "n", "type": ["null", "long"]}]}, "n"
    )
    other = None if beside_null else 0
    records = [
        f'{{"n": {number}}}'.encode(),
        json.dumps({"n": other}).encode(),
        *encode(schema, [{"n": number}]),
    ]
    columns = columns_of(records, EventCodec(schema))
    assert columns.arrow("n", np.arange(3)).to_pylist() == [number, other, number]


def test_a_json_field_may_come_by_an_alias_and_of_two_of_a_name_the_last_counts() -> None:
    schema = EventSchema.parse(
        {
            "type": "record",
            "name": "n",
            "fields": [{"name": "n", "type": "long", "aliases": ["m", "l"]}],
        },
        "n",
    )
    records = [
        b'{"l": 1}',
        b'{"m": 2, "l": 1}',
        b'{"l": 1, "n": 3}',
        b'{"n": 3, "n": 4}',
        b'{"k": 5}',
    ]
    columns = columns_of(records, EventCodec(schema))
    assert columns.arrow("n", np.arange(4)).to_pylist() == [1, 2, 3, 4]
    assert REASONS[columns.reason[4]] == "missing_required"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"{", b" {", b"\xef\xbb\xbf{", b"\n", b"\xef"]), st.binary(max_size=30))
def test_anything_that_begins_like_json_is_settled(head: bytes, tail: bytes) -> None:
    columns = columns_of([head + tail, in_json()], CODEC)
    assert columns.reason[0] != 0
    assert rows_of(columns) == [nothing(FLIGHT), GOOD]


def test_json_rows_far_apart_in_a_shared_buffer_are_read() -> None:
    values = [b"#" * 50, in_json(), b"#" * 50, *encode(FLIGHT, [GOOD]), b"#" * 50]
    ends = np.cumsum([len(v) for v in values])
    starts = ends - [len(v) for v in values]
    columns = decode(np.frombuffer(b"".join(values), np.uint8), starts[1:4:2], ends[1:4:2], CODEC)
    assert rows_of(columns) == [GOOD, GOOD]


# ------------------------------------------------------------ columns
def test_values_come_by_kind_with_where_they_are_there() -> None:
    columns = columns_of(
        encode(FLIGHT, [GOOD, {**GOOD, "at": None, "delay": None, "gate": None}]), CODEC
    )
    values, valid = columns.integers("at")
    assert (values.tolist(), valid.tolist(), values.dtype) == ([12, 0], [True, False], np.int64)
    numbers, there = columns.numbers("delay")
    assert (numbers.tolist(), there.tolist(), numbers.dtype) == (
        [2.5, 0.0],
        [True, False],
        np.float64,
    )
    assert columns.numbers("late")[0].tolist() == [1.0, 1.0]
    assert columns.numbers("count")[0].tolist() == [-3.0, -3.0]
    gate = columns.text("gate")
    assert (gate.to_arrow().to_pylist(), (gate.end - gate.start).tolist()) == (["BB", None], [2, 0])
    with pytest.raises(SchemaError, match=r"'id'.*string"):
        columns.numbers("id")
    with pytest.raises(SchemaError, match="no field 'x'"):
        columns.text("x")


def test_columns_are_typed_as_their_schema_says() -> None:
    columns = columns_of(encode(FLIGHT, [GOOD] * 3), CODEC)
    types = [columns.arrow(f.name, np.array([2, 0])).type for f in FLIGHT.fields]
    assert types == [pa.string(), pa.int64(), pa.float64(), pa.string(), pa.int32(), pa.bool_()]
    frame = columns.frame(["count", "gate"], np.array([2, 0]))
    assert frame.equals(
        pl.DataFrame(
            {"count": [-3, -3], "gate": ["BB", "BB"]}, schema_overrides={"count": pl.Int32}
        )
    )
    assert columns.frame([], np.array([2, 0])).with_columns(pl.lit(True)).height == 2


def test_what_is_replaced_is_seen_by_every_accessor_and_leaves_what_was_decoded() -> None:
    columns = columns_of(encode(FLIGHT, [{**GOOD, "delay": None, "gate": None}, GOOD]), CODEC)
    both = np.ones(2, np.bool_)
    columns.replace("delay", np.array([7.5, 2.5]), both)
    columns.replace("count", np.array([4.6, -3.0]), both)
    columns.replace("gate", Texts.of(["C_3", "BB"]), both)
    every = np.arange(2)
    assert columns.numbers("delay")[0].tolist() == [7.5, 2.5]
    assert columns.integers("count")[0].tolist() == [5, -3]
    assert columns.numbers("count")[0].tolist() == [5.0, -3.0]
    assert columns.arrow("count", every).type == pa.int32()
    assert columns.text("gate").to_arrow().to_pylist() == ["C_3", "BB"]
    assert columns.frame(["delay", "gate"], every).rows() == [(7.5, "C_3"), (2.5, "BB")]
    assert columns.valid[FLIGHT.position("delay")].tolist() == [False, True]
    assert rows_of(columns_of(encode(FLIGHT, [GOOD]), CODEC)) == [GOOD]


# ------------------------------------------------------------ producers
def test_encoding_refuses_by_record_and_field() -> None:
    with pytest.raises(RequestError, match=r"flight|event record 1, field 'count': wrong_type"):
        encode(FLIGHT, [GOOD, {**GOOD, "count": "x"}])
    with pytest.raises(RequestError, match="undecodable"):
        encode(FLIGHT, [{**GOOD, "id": "\ud800"}])


def test_the_wire_format_is_confluents() -> None:
    value = encode(
        EventSchema.parse(avro([{"name": "a", "type": "int"}], schema_id=258), "e"), [{"a": 1}]
    )[0]
    assert value == b"\0" + struct.pack(">I", 258) + b"\2"


def test_a_codec_refuses_what_it_could_not_read() -> None:
    other = EventSchema.parse(avro([{"name": "id", "type": "int"}], schema_id=6), "flight")
    with pytest.raises(SchemaError, match=r"'id'.*|int for writers"):
        EventCodec(FLIGHT, {6: other})
    with pytest.raises(SchemaError, match="schema_id 7"):
        EventCodec(FLIGHT, {7: other})


def test_a_pickled_codec_reads_the_same_and_compiles_nothing_more() -> None:
    warm()
    before = [len(k.signatures) for k in (walker_kernels.walk, validation_kernels.judge)]
    codec = pickle.loads(pickle.dumps(CODEC))
    data = np.array(bytearray(encode(FLIGHT, [GOOD])[0]))
    assert data.flags.writeable
    spans = np.zeros(4, np.int64)
    spans[2] = len(data)
    assert rows_of(decode(data, spans[::2][:1], spans[2:3], codec)) == [GOOD]
    assert rows_of(columns_of([in_json()], codec)) == [GOOD]
    assert (
        [len(k.signatures) for k in (walker_kernels.walk, validation_kernels.judge)]
        == before
        # The walker for records of values alone, and that for nested ones.
        == [2, 1]
    )


def test_fastavro_reads_what_we_write() -> None:
    assert oracle(encode(FLIGHT, [GOOD])[0], {7: FLIGHT}, FLIGHT) == GOOD
