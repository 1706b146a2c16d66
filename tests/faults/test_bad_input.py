"""Every byte string is a possible event: none crashes intake, each bad one is a dead letter, and no
neighbour notices."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.roles import plans
from freshet.schemas.events.decode import encode
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import IntakeTask
from freshet.streams.log.contract import Batch
from freshet.streams.operators.dead_letters import KEPT_BYTES
from tests.toy_app import toy_app

# An altered record may still be a good one of another time: late enough that it makes none of its
# neighbours late.
APP = toy_app(freshness={"lateness": "4h"})
PAYMENTS = APP.topic("payments")
HOUR = 3_600_000


def good(i: int) -> bytes:
    event = {"order_id": f"o{i}", "at": HOUR + i, "shop": "ab"[i % 2], "late": float(i)}
    return encode(PAYMENTS.events, [event])[0]


def batch(values: list[bytes]) -> Batch:
    size = np.array([len(v) for v in values], np.int64)
    end = np.cumsum(size)
    data = np.frombuffer(b"".join(values) or b"\0", np.uint8)
    n = len(values)
    return Batch("toy.payments", 0, data, end - size, end, np.arange(n), np.full(n, 2 * HOUR))


def take(values: list[bytes]) -> tuple[IntakeTask, dict[int, list[dict[str, Any]]]]:
    """The task after these records, and what it appended, rows by kind of block."""
    task = IntakeTask(plans.intake_plan(APP, PAYMENTS), 0)
    rows: dict[int, list[dict[str, Any]]] = {}
    for append in task.apply(batch(values)).appends:
        for value in append.values:
            block = blocks.decode(value)
            if block.rows is not None:
                rows.setdefault(block.kind, []).extend(
                    pa.Table.from_batches([block.rows]).to_pylist()
                )
    return task, rows


mutations = st.builds(
    lambda i, at, byte: good(i)[:at] + bytes([byte]) + good(i)[at + 1 :],
    st.integers(0, 50),
    st.integers(0, 20),
    st.integers(0, 255),
)
truncations = st.builds(lambda i, keep: good(i)[:keep], st.integers(0, 50), st.integers(0, 15))
wrong_ids = st.builds(
    lambda i, n: b"\0" + struct.pack(">I", n) + good(i)[5:],
    st.integers(0, 50),
    st.integers(3, 2**32 - 1),
)
deep_json = st.builds(lambda n: b'{"a":' * n, st.integers(1, 5_000))
odd_json = st.sampled_from(
    [
        b"{}",
        b"{",
        b'{"order_id": 1}',
        b'{"order_id": null, "at": 1}',
        b'{"at": 1e400}',
        b'{"order_id": "\xff"}',
        b"[1]",
    ]
)
anything = st.binary(max_size=64) | mutations | truncations | wrong_ids | deep_json | odd_json


@settings(max_examples=150, deadline=None)
@given(st.lists(anything, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_bad_records_are_dead_letters_and_their_neighbours_are_untouched(
    bad: list[bytes], random: Any
) -> None:
    values = [good(100 + i) for i in range(8)]
    places = sorted(random.randrange(len(values) + 1) for _ in bad)
    mixed = list(values)
    for shift, (place, record) in enumerate(zip(places, bad)):
        mixed.insert(place + shift, record)
    task, rows = take(mixed)
    _, alone = take(values)
    ids = {f"o{100 + i}" for i in range(8)}
    wanted = {(r["key"], r["field.late"]) for r in alone[blocks.CLEAN]}
    kept = [r for r in rows[blocks.LABELS] if r["id"] in ids]
    assert [r["id"] for r in kept] == [f"o{100 + i}" for i in range(8)]
    assert wanted <= {(r["key"], r["field.late"]) for r in rows[blocks.CLEAN]}
    fates = task.facts()["fates"]
    assert sum(fates.values()) == len(mixed), "every record has exactly one fate"
    dead = rows.get(blocks.DEAD, [])
    assert len(dead) == sum(n for fate, n in fates.items() if fate.startswith("dead:"))
    for letter in dead:
        assert letter["value"] == mixed[letter["_offset"]], (
            "a dead letter names its origin and keeps its bytes"
        )
        assert letter["reason"]


def test_ten_megabytes_are_a_dead_letter_of_bounded_size() -> None:
    huge = b"\0" + struct.pack(">I", 2) + b"\xff" * 10_000_000
    task, rows = take([good(1), huge, good(2)])
    assert task.facts()["fates"]["applied"] == 2
    letter = rows[blocks.DEAD][0]
    assert (letter["size"], len(letter["value"]), letter["_offset"]) == (10_000_005, KEPT_BYTES, 1)


def test_json_as_deep_as_it_gets_is_a_dead_letter() -> None:
    task, _ = take([good(1), b'{"order_id":' * 200_000, good(2)])
    fates = task.facts()["fates"]
    assert (fates["applied"], fates["dead:undecodable"]) == (2, 1)
