"""The digest of a request: the same for the same values however they came, another for others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.events.schema import EventSchema
from freshet.serving.scoring.request_digest import RequestDigests, bytes_of

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "shop", "type": ["null", "string"]},
    {"name": "cart", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
    {"name": "hour", "type": ["null", "int"]},
    {"name": "new", "type": ["null", "boolean"]},
    {"name": "price", "type": ["null", "float"]},
    {"name": "weight", "type": ["null", "double"]},
]
SCHEMA = EventSchema.parse({"type": "record", "name": "orders", "fields": FIELDS}, "orders")
DIGESTS = RequestDigests(SCHEMA, "id")
CART = "0f0e0d0c-0000-4000-8000-00000000000a"
SAID: dict[str, Any] = {
    "id": ["x"],
    "shop": ["a"],
    "cart": [CART],
    "hour": np.array([5], np.int32),
    "new": np.array([True]),
    "price": np.array([0.1], np.float32),
    "weight": np.array([0.1]),
    "shops.late": np.array([3.5]),
}


def digest(**changes: Any) -> list[int]:
    found: list[int] = DIGESTS.of({**SAID, **changes}, 1)[0].tolist()
    return found


@pytest.mark.parametrize(
    "sent",
    [
        {"id": ["y"]},
        {"cart": [CART.upper()]},
        {"hour": [5]},
        {"new": [True]},
        {"price": np.array([0.1])},
        {"price": np.array([np.float32(0.1)], np.float64)},
    ],
)
def test_how_a_value_was_sent_and_under_which_id_makes_no_difference(sent: dict[str, Any]) -> None:
    assert digest(**sent) == digest()


@pytest.mark.parametrize(
    "sent",
    [
        {"shop": ["b"]},
        {"shop": [None]},
        {"shop": [""]},
        {"shop": ["A"]},
        {"cart": [CART[:-1] + "b"]},
        {"hour": [6]},
        {"hour": [None]},
        {"new": [False]},
        {"new": [None]},
        {"price": np.array([np.nextafter(np.float32(0.1), np.float32(1))])},
        {"price": np.array([np.nan])},
        {"weight": np.array([np.nextafter(0.1, 1)])},
        {"shops.late": np.array([np.nan])},
        {"shops.n": np.array([1.0])},
    ],
)
def test_any_other_value_or_field_makes_another_digest(sent: dict[str, Any]) -> None:
    assert digest(**sent) != digest()


def test_a_field_that_was_left_out_is_not_one_that_was_null() -> None:
    with_null = digest(shop=[None])
    without = {name: column for name, column in SAID.items() if name != "shop"}
    assert DIGESTS.of(without, 1)[0].tolist() not in (with_null, digest())


def test_equal_values_of_other_fields_differ_and_joined_texts_are_told_apart() -> None:
    def pair(**columns: Any) -> list[int]:
        found: list[int] = DIGESTS.of(columns, 1)[0].tolist()
        return found

    assert pair(a=["x"]) != pair(b=["x"])
    assert pair(a=["x", "y"][:1], b=['y","z']) != pair(a=['x","y'], b=["z"])


def test_it_is_blake2b_of_names_and_values_whatever_process_asks() -> None:
    text = b'["hour","shop"][5,"a"]'
    found = DIGESTS.of({"shop": ["a"], "id": ["x"], "hour": [5]}, 1)
    assert found.tobytes() == hashlib.blake2b(text, digest_size=16).digest()


ROW = st.fixed_dictionaries(
    {
        "shop": st.sampled_from(["a", "b", None, "Ω"]),
        "hour": st.sampled_from([None, -1, (1 << 31) - 1]),
        "price": st.sampled_from([np.nan, 0.1, 2.5]),
    }
)


def columns_of(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """As the wire's reader has them: whole numbers are a list only where one is missing, floats are
    of 64 bits only there."""
    hours = [row["hour"] for row in rows]
    prices = np.array([row["price"] for row in rows])
    missing = np.isnan(prices).any()
    return {
        "shop": [row["shop"] for row in rows],
        "hour": hours if None in hours else np.array(hours, np.int32),
        "price": prices if missing else prices.astype(np.float32),
    }


@given(st.lists(ROW, min_size=1, max_size=8))
def test_a_row_has_one_digest_alone_and_among_others(rows: list[Mapping[str, Any]]) -> None:
    together = DIGESTS.of(columns_of(rows), len(rows))
    alone = [DIGESTS.of(columns_of([row]), 1)[0] for row in rows]
    assert together.tolist() == [one.tolist() for one in alone]


def test_a_request_of_nothing_but_ids_says_the_same_in_every_row() -> None:
    assert len({tuple(row) for row in DIGESTS.of({"id": ["x", "y"]}, 2).tolist()}) == 1


def test_what_no_json_can_hold_still_has_a_digest() -> None:
    odd = ["\ud800", object, 1 << 70]
    found = {tuple(DIGESTS.of({"shop": [value]}, 1)[0].tolist()) for value in odd}
    assert len(found) == len(odd)


def test_memory_is_reckoned_by_what_columns_hold() -> None:
    assert bytes_of({"hour": np.zeros(8, np.int32)}) == 32
    small, large = (bytes_of({"shop": ["x" * size, None]}) for size in (1, 10_001))
    assert large - small == 10_000
