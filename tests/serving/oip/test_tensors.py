"""Tensors to columns, and a table of everything that may be wrong with them, each with what was
expected."""

from __future__ import annotations

import struct
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from freshet.schemas.errors import RequestError
from freshet.schemas.sizes import KEY_BYTES, ROW_BYTES
from freshet.serving.oip import messages as oip
from freshet.serving.oip.tensors import read_question
from freshet.serving.scoring.contract import ModelCard, Question, TensorSpec
from tests.serving.scoring.toy_answering import CARD


def tensor(
    name: str, datatype: str, data: Any, shape: list[int] | None = None, **parameters: Any
) -> dict[str, Any]:
    out = {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}
    return {**out, "parameters": parameters} if parameters else out


CARRIER, DISTANCE = tensor("carrier", "BYTES", ["UA", "AA"]), tensor("distance", "FP64", [1.5, 2])


def question(
    *inputs: dict[str, Any], card: ModelCard = CARD, tail: bytes = b"", **parameters: Any
) -> Question:
    body = msgspec.json.encode({"inputs": inputs, "parameters": parameters})
    return read_question(oip.read_request(body), memoryview(tail), card, None, 100)


def test_columns_come_in_the_declared_types() -> None:
    q = question(
        CARRIER,
        DISTANCE,
        tensor("seats", "INT64", [1, 2]),
        tensor("cancelled", "BOOL", [True, False]),
    )
    assert q.n == 2
    assert q.columns["carrier"] == ["UA", "AA"]
    kinds = {name: set(map(type, q.columns[name])) for name in ("distance", "seats", "cancelled")}
    assert kinds == {"distance": {float}, "seats": {int}, "cancelled": {bool}}


def test_binary_columns_come_as_arrays_of_the_declared_types() -> None:
    a, raw_a = binary("distance", "FP32", np.array([1.5, 2.25], "<f4").tobytes(), 2)
    b, raw_b = binary("seats", "INT64", np.array([1, 2], "<i8").tobytes(), 2)
    c, raw_c = binary("cancelled", "BOOL", b"\x00\x01", 2)
    q = question(CARRIER, a, b, c, tail=raw_a + raw_b + raw_c)
    kinds = {name: q.columns[name].dtype for name in ("distance", "seats", "cancelled")}
    assert kinds == {"distance": np.float64, "seats": np.int32, "cancelled": np.bool_}


def test_a_single_from_json_is_the_number_that_its_type_has() -> None:
    card = ModelCard("late", (TensorSpec("share", "FP32"),))
    one, raw = binary("share", "FP32", np.array([0.1, np.nan], "<f4").tobytes(), 2)
    sent = question(tensor("share", "FP32", [0.1, None]), card=card).columns["share"]
    np.testing.assert_array_equal(sent, question(one, card=card, tail=raw).columns["share"])


def test_a_column_may_be_n_by_1_nested_or_flat() -> None:
    flat = tensor("distance", "FP64", [1.5, 2], [2, 1])
    nested = tensor("distance", "FP64", [[1.5], [2]], [2, 1])
    for one in (flat, nested):
        q = question(tensor("carrier", "BYTES", [["UA"], ["AA"]], [2, 1]), one)
        assert q.columns["carrier"] == ["UA", "AA"]
        assert list(q.columns["distance"]) == [1.5, 2.0]


def test_null_is_a_missing_value_where_one_may_be() -> None:
    q = question(
        CARRIER, tensor("distance", "FP64", [None, 2]), tensor("seats", "INT32", [None, 5])
    )
    assert q.columns["distance"] == [None, 2.0]
    assert q.columns["seats"] == [None, 5]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_whole_numbers_keep_every_digit_beside_a_missing_one(number: int) -> None:
    card = ModelCard("late", (TensorSpec("n", "INT64"),))
    assert question(tensor("n", "INT64", [number, None]), card=card).columns["n"] == [number, None]
    assert question(tensor("n", "INT64", [number, 0]), card=card).columns["n"] == [number, 0]
    one, raw = binary("n", "INT64", np.array([number], "<i8").tobytes(), 1)
    assert question(one, card=card, tail=raw).columns["n"].tolist() == [number]


def test_truths_stay_truths_beside_a_missing_one() -> None:
    card = ModelCard("late", (TensorSpec("late", "BOOL"),))
    assert question(tensor("late", "BOOL", [True, None, False]), card=card).columns["late"] == [
        True,
        None,
        False,
    ]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**30])
def test_a_whole_number_out_of_range_is_refused_beside_a_missing_one(number: int) -> None:
    card = ModelCard("late", (TensorSpec("n", "INT32"),))
    with pytest.raises(RequestError, match=r"has a value out of range\. Its datatype is INT32"):
        question(tensor("n", "INT32", [None, number]), card=card)


TEXTS = ModelCard("late", tuple(TensorSpec(name, "BYTES", required=False) for name in "abcdef"))


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_text_that_no_store_takes_is_refused(letter: str) -> None:
    most = letter * (KEY_BYTES // len(letter.encode()))
    assert question(tensor("a", "BYTES", ["x", most]), card=TEXTS).columns["a"] == ["x", most]
    size = len((most + letter).encode())
    with pytest.raises(
        RequestError,
        match=f"input 'a': has a text of {size} bytes in row 1. A text may have {KEY_BYTES}",
    ):
        question(tensor("a", "BYTES", ["x", most + letter]), card=TEXTS)
    one, raw = binary("a", "BYTES", texts(b"x", (most + letter).encode()), 2)
    with pytest.raises(RequestError, match=f"has a text of {size} bytes"):
        question(one, card=TEXTS, tail=raw)


def test_a_row_that_no_block_holds_is_refused() -> None:
    most = "x" * (ROW_BYTES // 5)
    five = [tensor(name, "BYTES", ["", most]) for name in "abcde"]
    assert question(*five, card=TEXTS).n == 2
    with pytest.raises(
        RequestError,
        match=f"have {5 * len(most) + 6} bytes of text in row 1. The texts of a row may",
    ):
        question(*five, tensor("f", "BYTES", ["", "xxxxxx"]), card=TEXTS)


def test_parameters_say_when() -> None:
    before = time.monotonic()
    q = question(CARRIER, DISTANCE, as_of=1_357_000_000_000, deadline_ms=20)
    assert q.as_of_ms == 1_357_000_000_000
    assert q.deadline is not None
    assert before + 0.02 <= q.deadline <= time.monotonic() + 0.02
    # Triton's, in microseconds
    assert question(CARRIER, DISTANCE, timeout=5_000_000).deadline is not None
    assert question(CARRIER, DISTANCE).deadline is None


def binary(name: str, datatype: str, raw: bytes, n: int) -> tuple[dict[str, Any], bytes]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": [n],
        "parameters": {"binary_data_size": len(raw)},
    }, raw


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


def test_binary_tensors_follow_in_order() -> None:
    a, raw_a = binary("carrier", "BYTES", texts("Zürich".encode(), b""), 2)
    b, raw_b = binary("distance", "FP32", np.array([1.5, 2.25], "<f4").tobytes(), 2)
    c, raw_c = binary("cancelled", "BOOL", b"\x00\x01", 2)
    q = question(a, tensor("seats", "INT32", [1, 2]), b, c, tail=raw_a + raw_b + raw_c)
    assert q.columns["carrier"] == ["Zürich", ""]
    assert list(q.columns["distance"]) == [1.5, 2.25]
    assert list(q.columns["cancelled"]) == [False, True]


WRONG = [
    (
        (tensor("carier", "BYTES", ["UA"]),),
        "input 'carier': is unknown. The inputs of late are carrier, distance",
    ),
    ((CARRIER, CARRIER), "comes twice"),
    ((CARRIER,), "lack distance. Required are carrier, distance"),
    (
        (CARRIER, tensor("distance", "BYTES", ["1", "2"])),
        "has datatype BYTES. Its datatype is FP64",
    ),
    ((tensor("carrier", "INT64", [1, 2]), DISTANCE), "has datatype INT64. Its datatype is BYTES"),
    ((CARRIER, tensor("distance", "BF16", [1, 2])), "has datatype BF16. Its datatype is FP64"),
    (
        (CARRIER, DISTANCE, tensor("seats", "FP64", [1.0, 2.0])),
        "has datatype FP64. Its datatype is INT32",
    ),
    (
        (CARRIER, DISTANCE, tensor("cancelled", "INT32", [1, 0])),
        "has datatype INT32. Its datatype is BOOL",
    ),
    ((CARRIER, tensor("distance", "FP64", [1.0])), "has shape [1]. Use [2] or [2, 1]"),
    (
        (CARRIER, tensor("distance", "FP64", [1.0, 2.0], [1, 2])),
        "has shape [1, 2]. Use [2] or [2, 1]",
    ),
    (
        (CARRIER, tensor("distance", "FP64", [1.0, 2.0, 3.0], [2])),
        "has 3 values. Its shape [2] says 2",
    ),
    (
        (tensor("carrier", "BYTES", [], [0]),),
        "has shape [0]. Use [n] or [n, 1], with 1 to 100 rows",
    ),
    ((tensor("carrier", "BYTES", ["x"] * 101),), "with 1 to 100 rows"),
    ((tensor("carrier", "BYTES", ["x"], []),), None),
    ((), "inputs: are empty"),
    (
        (tensor("carrier", "BYTES", ["UA", 7]), DISTANCE),
        "has wrong data: Expected `str | null`, got `int`",
    ),
    (
        (CARRIER, tensor("distance", "FP64", ["1", 2])),
        "has wrong data: Expected `float | null`, got `str`",
    ),
    (
        (CARRIER, DISTANCE, tensor("seats", "INT32", [1.5, 2])),
        "has wrong data: Expected `int | null`",
    ),
    (
        (CARRIER, DISTANCE, tensor("seats", "INT32", [1 << 40, 2])),
        "has a value out of range. Its datatype is INT32",
    ),
    ((CARRIER, DISTANCE, tensor("seats", "INT32", [1 << 80, 2])), "out of range"),
    (
        (tensor("carrier", "BYTES", ["UA", None]), DISTANCE),
        "is null in row 1. It must have a value in every row",
    ),
    ((CARRIER, {"name": "distance", "datatype": "FP64", "shape": [2]}), "has no data"),
]


@pytest.mark.parametrize(("inputs", "text"), WRONG)
def test_a_wrong_tensor_is_refused_with_what_was_expected(
    inputs: tuple[dict[str, Any], ...], text: str | None
) -> None:
    with pytest.raises(RequestError) as error:
        question(*inputs)
    assert text is None or text in str(error.value)


WRONG_BINARY = [
    (binary("carrier", "BYTES", texts(b"UA"), 2), b"", "do not hold 2 texts"),
    (binary("carrier", "BYTES", texts(b"UA", b"AA", b"DL"), 2), b"", "do not hold 2 texts"),
    (
        binary("carrier", "BYTES", b"\xff\xff\xff\xff\xff\xff\xff\xff", 2),
        b"",
        "do not hold 2 texts",
    ),
    (binary("carrier", "BYTES", texts(b"UA", b"\xff\xfe"), 2), b"", "is not UTF-8 in row 1"),
    (binary("distance", "FP64", b"\0" * 8, 2), b"", "has 8 bytes. 2 values of FP64 are 16"),
    (binary("cancelled", "BOOL", b"\x01\x02", 2), b"", "neither 0 nor 1"),
    (binary("seats", "UINT32", b"\xff" * 8, 2), b"", "out of range"),
    (binary("distance", "FP64", struct.pack("<dd", 1.0, float("inf")), 2), b"", "out of range"),
    (
        binary("distance", "FP64", struct.pack("<dd", 1.0, 2.0), 2),
        b"more",
        "4 bytes follow the last tensor",
    ),
]


@pytest.mark.parametrize(("one", "more", "text"), WRONG_BINARY)
def test_a_wrong_binary_tensor_is_refused(
    one: tuple[dict[str, Any], bytes], more: bytes, text: str
) -> None:
    others = [x for x in (CARRIER, DISTANCE) if x["name"] != one[0]["name"]]
    with pytest.raises(RequestError) as error:
        question(*others, one[0], tail=one[1] + more)
    assert text in str(error.value)


def test_binary_data_that_is_said_but_not_sent_is_refused() -> None:
    one, raw = binary("distance", "FP64", b"\0" * 16, 2)
    with pytest.raises(RequestError, match="binary_data_size 16, 8 bytes are left"):
        question(CARRIER, one, tail=raw[:8])
    with pytest.raises(RequestError, match="binary_data_size"):
        question(CARRIER, {**one, "parameters": {"binary_data_size": "16"}}, tail=raw)


KEYED = ModelCard(
    "late",
    (
        TensorSpec("carrier", "BYTES", nullable=False),
        TensorSpec("origin", "BYTES", instead=("by_origin.n", "by_origin.late")),
        TensorSpec("by_origin.n", "FP64", required=False),
        TensorSpec("by_origin.late", "FP64", required=False),
    ),
)
ORIGIN = tensor("origin", "BYTES", ["JFK", "LGA"])
COUNT, LATE = (
    tensor("by_origin.n", "FP64", [1.0, 2.0]),
    tensor("by_origin.late", "FP64", [3.0, None]),
)


@pytest.mark.parametrize("sent", [(ORIGIN,), (COUNT, LATE), (ORIGIN, COUNT), (ORIGIN, COUNT, LATE)])
def test_features_keys_or_both_may_be_sent(sent: tuple[dict[str, Any], ...]) -> None:
    assert set(question(CARRIER, *sent, card=KEYED).columns) == {
        "carrier",
        *(x["name"] for x in sent),
    }


@pytest.mark.parametrize("sent", [(), (COUNT,), (LATE,)])
def test_neither_all_features_nor_their_key_is_too_little(sent: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(RequestError) as error:
        question(CARRIER, *sent, card=KEYED)
    expected = "lack origin. Required are carrier, origin (or by_origin.n and by_origin.late)."
    assert expected in str(error.value)


def test_a_number_that_must_be_there_may_not_be_nan() -> None:
    card = ModelCard("late", (TensorSpec("distance", "FP32", nullable=False),))
    one, raw = binary("distance", "FP64", struct.pack("<dd", 1.0, float("nan")), 2)
    with pytest.raises(RequestError, match="is NaN in row 1"):
        question(one, card=card, tail=raw)
    with pytest.raises(RequestError, match="out of range"):
        question(tensor("distance", "FP32", [1e300, 1.0]), card=card)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"as_of": "now"}, "parameter as_of: is 'now'. Send whole milliseconds"),
        ({"as_of": True}, "parameter as_of"),
        ({"deadline_ms": -1}, "parameter deadline_ms: is -1"),
        ({"as_of": -2_208_988_800_001}, "parameter as_of: is -2208988800001"),  # in 1899
        ({"as_of": 1 << 70}, "parameter as_of"),
        ({"deadline_ms": "soon"}, "parameter deadline_ms"),
        ({"deadline_ms": True}, "parameter deadline_ms"),
        ({"deadline_ms": 1e300}, "parameter deadline_ms"),
        ({"timeout": -5}, "parameter timeout: is -5. Send a number of microseconds above 0"),
        ({"timeout": "1s"}, "parameter timeout"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError) as error:
        question(CARRIER, DISTANCE, **parameters)
    assert text in str(error.value)


RULED = ModelCard(
    "late",
    (
        TensorSpec("carrier", "BYTES", domain=frozenset({"UA", "AA"})),
        TensorSpec("distance", "FP64", required=False, range=(0.0, 5_000.0)),
        TensorSpec("seats", "INT64", required=False, range=(1, 2**62 + 1)),
    ),
)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([tensor("carrier", "BYTES", ["UA", "ZZ"])], "input 'carrier': is 'ZZ' in row 1, which is not in its domain. Send one of AA, UA."),
        ([CARRIER, tensor("distance", "FP64", [1, -0.5])], "input 'distance': is -0.5 in row 1, which is out of its range. Send 0 to 5000."),
        ([CARRIER, tensor("distance", "FP64", [None, 5_001])], "is 5001.0 in row 1, which is out of its range"),
        ([CARRIER, tensor("seats", "INT64", [1, 2**62 + 2])], "is 4611686018427387906 in row 1"),
        ([CARRIER, tensor("seats", "INT64", [None, 0])], "input 'seats': is 0 in row 1, which is out of its range"),
    ],
)  # fmt: skip
def test_a_value_that_its_topic_would_not_take_is_refused_and_named(
    inputs: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(RequestError) as caught:
        question(*inputs, card=RULED)
    assert told in str(caught.value)


def test_values_at_the_ends_and_missing_ones_are_taken() -> None:
    ends = tensor("distance", "FP64", [0, 5_000])
    assert question(CARRIER, ends, tensor("seats", "INT64", [1, 2**62 + 1]), card=RULED).n == 2
    assert question(CARRIER, ends, tensor("seats", "INT64", [None, 1]), card=RULED).n == 2
    assert question(CARRIER, tensor("distance", "FP64", [None, 0]), card=RULED).n == 2
    assert question(tensor("carrier", "BYTES", [None, "AA"]), card=RULED).columns["carrier"] == [
        None,
        "AA",
    ]


@pytest.mark.parametrize("shares", [[0.1, 0.7], [0.1, None], [None, 0.7]])
def test_a_float_at_the_end_of_its_range_is_taken_also_beside_a_missing_one(
    shares: list[float | None],
) -> None:
    """32 bits have something above 0.1 for 0.1, and below 0.7 for 0.7."""
    bounds = float(np.float32(0.1)), float(np.float32(0.7))
    card = ModelCard("late", (TensorSpec("share", "FP32", nullable=True, range=bounds),))
    column = question(tensor("share", "FP32", shares), card=card).columns["share"]
    assert np.array_equal(column, np.array(shares, np.float32), equal_nan=True)


def test_a_binary_tensor_is_held_to_it_too() -> None:
    distance, raw = binary("distance", "FP64", struct.pack("<dd", 1.0, 9e9), 2)
    with pytest.raises(RequestError, match="out of its range"):
        question(CARRIER, distance, card=RULED, tail=raw)
