"""A whole number keeps every digit from the event to whoever reads features or an explanation, over
a restart, too; a model reads it as float32."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.app import load
from freshet.explain.explain import explain
from freshet.features.reading.api import read_request
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles.interface import feature_reader
from freshet.runs import record as run_record
from freshet.runs.opened import opened
from freshet.settings import Settings
from freshet.testing import LocalRun
from tests.howto import Sent

APP = """
import polars as pl
import freshet as fr

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "user", "type": "string"},
    {"name": "order", "type": ["null", "long"], "default": None},
    {"name": "few", "type": ["null", "int"], "default": None},
    {"name": "late", "type": "boolean"},
]
visits = fr.Topic(
    "visits", {"type": "record", "name": "visit", "fields": FIELDS}, event_id="id", event_time="at",
)
by_user = fr.View(
    "by_user",
    visits,
    key="user",
    features={
        "order": fr.last("order"),
        "few": fr.last("few"),
        "at": fr.last("at"),
        "most": fr.max("order", over="1h"),
        "late": fr.last("late"),
    },
)
model = fr.Model(
    "late",
    on=visits,
    id="id",
    label=fr.Label(visits, id="id", value=pl.col("late")),
    features=[fr.category(visits["user"]), by_user["order"]],
    learners=[fr.Baseline()],
    fallback=[fr.constant(0.5)],
)
app = fr.App("shop", topics=[visits], views=[by_user], models=[model])
"""
NOW, STEP = 1_795_890_000_000, 10_000
ORDERS = [-(2**63), 2**63 - 1, 2**53 + 1, -(2**53) - 1, 0, None]
USERS = [f"user {number}" for number in range(len(ORDERS))]
FEW = [-(2**31), 2**31 - 1, 7, -7, 0, None]
Ran = tuple[Path, LocalRun, MemoryStore]


def visit(name: str, at: int, **fields: Any) -> tuple[int, dict[str, Any]]:
    return at, {"id": name, "at": at, "late": False, **fields}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Every user's order in one process, and in the next one a visit without an order."""
    folder = tmp_path_factory.mktemp("whole")
    store = MemoryStore()
    (folder / "app.py").write_text(APP)
    app = load(folder / "app.py")
    run_record.write(app.name, str(folder / "app.py"), Settings(run_dir=folder))
    first = [
        visit(f"first {user}", NOW + i, user=user, order=order, few=few)
        for i, (user, order, few) in enumerate(zip(USERS, ORDERS, FEW))
    ]
    second = [visit(f"second {user}", NOW + STEP + i, user=user) for i, user in enumerate(USERS)]
    with LocalRun(app, folder, store) as local:
        local.step(NOW, NOW + STEP, {}, {"visits": Sent(first)})
    store = MemoryStore()
    asked = {"id": [f"asked {user}" for user in USERS], "user": USERS}
    with LocalRun(app, folder, store) as local:
        local.step(NOW + STEP, NOW + 2 * STEP, {}, {"visits": Sent(second)})
        local.step(NOW + 2 * STEP, NOW + 3 * STEP, asked, {})
        yield folder, local, store


def columns(ran: Ran, *features: str) -> list[list[Any]]:
    _, local, store = ran
    asked = {"features": [f"by_user:{name}" for name in features], "entities": {"user": USERS}}
    request = read_request(json.dumps(asked).encode())
    found = feature_reader(local.app).answer(request, store, NOW + 2 * STEP)
    return [column.values for column in found.results[1:]]


def test_a_last_value_has_every_digit_of_its_event_after_a_restart(ran: Ran) -> None:
    order, few, at = columns(ran, "order", "few", "at")
    assert order == ORDERS
    assert few == FEW
    assert at == [NOW + STEP + i for i in range(len(USERS))]
    assert {type(value) for value in (*order, *few, *at)} == {int, type(None)}


def test_what_is_computed_of_whole_numbers_and_a_last_truth_are_numbers_as_before(ran: Ran) -> None:
    most, late = columns(ran, "most", "late")
    assert most == [None if order is None else float(order) for order in ORDERS]
    assert late == [0.0] * len(USERS)
    assert {type(value) for value in (*most, *late)} == {float, type(None)}


def test_a_model_reads_it_as_float32_and_the_explanation_has_the_digits_of_the_event(
    ran: Ran,
) -> None:
    folder = ran[0]
    for user, order in zip(USERS, ORDERS):
        with opened(folder) as run:
            (view,) = explain(run, f"asked {user}", whole_window=True).views
        served = None if order is None else float(np.float32(order))
        assert view.values == {"order": served}
        assert view.window is not None
        reads = [event.read["order"] for event in view.window.events]
        assert reads == [order, None]
        assert isinstance(reads[0], int | None)
