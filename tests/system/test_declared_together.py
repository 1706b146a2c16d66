"""Views of all events and of several topics, and on-demand features of both, in whole runs: on real
Redis and Kafka as in one process, with restarts, and explained by the events that they come
from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from freshet.app import App, load
from freshet.explain.explain import explain
from freshet.explain.text import show_explanation
from freshet.features.catalog import open_store
from freshet.features.stores.contract import Store
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.runs import record as run_record
from freshet.runs.opened import opened
from freshet.settings import Settings
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun, vectors_of
from tests import howto

HOUR = 3_600_000
START = 1_795_888_800_000
HOURS = 8
Event = dict[str, Any]


class Sent(list[Event]):
    """Events, each in the partition of its user, as a producer keys them."""

    def split(self, partitions: int) -> list[Sent]:
        return [Sent(e for e in self if e["user"] % partitions == p) for p in range(partitions)]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(event["at"], [json.dumps(event).encode()]) for event in self]


def orders_of(hour: int) -> list[Event]:
    at = START + hour * HOUR
    return [
        {
            "id": f"{hour}.{user}",
            "at": at + 60_000 * user + 1,
            "user": user,
            "amount": 10.0 * user + hour,
            "returned": user % 2 == 0,
        }
        for user in range(1, 5)
    ]


def clicks_of(hour: int) -> list[Event]:
    at = START + hour * HOUR
    return [
        {
            "id": f"{hour}.{n}",
            "at": at + 30_000 * n + 2,
            "user": n % 5,
            "page": "cart" if n % 3 else "home",
            "seconds": float(n),
        }
        for n in range(12)
    ]


def asked_in(hour: int) -> dict[str, list[Any]]:
    """The orders of the hour, as they are placed."""
    own = orders_of(hour)
    return {name: [event[name] for event in own] for name in ("id", "at", "user", "amount")}


def app_in(folder: Path) -> App:
    howto.write("several-topics", folder)
    return load(folder / "app.py")


def ran(
    app: App,
    folder: Path,
    store: Store,
    parts: tuple[range, ...] = (range(HOURS),),
    log: Callable[[], Log | None] = lambda: None,
) -> dict[str, bytes]:
    for part in parts:
        with LocalRun(app, folder / "run", store, snapshot_every="1h", log=log()) as local:
            for hour in part:
                end = START + (hour + 1) * HOUR
                sent = {"orders": Sent(orders_of(hour)), "clicks": Sent(clicks_of(hour))}
                local.step(end - HOUR, end, asked_in(hour), sent)
            served = vectors_of(local, app.models[0])
    return served


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("together")
    return folder, ran(app_in(folder), folder, MemoryStore())


def test_on_redis_and_with_a_restart_the_same_is_served(
    in_memory: tuple[Path, dict[str, bytes]], tmp_path: Path, redis_address: str
) -> None:
    store = open_store(f"redis://{redis_address}")
    try:
        found = ran(app_in(tmp_path), tmp_path, store, (range(4), range(4, HOURS)))
    finally:
        store.close()
    assert len(found) == 4 * HOURS
    assert vectors(found) == vectors(in_memory[1])


def test_on_kafka_the_same_is_served(
    in_memory: tuple[Path, dict[str, bytes]], tmp_path: Path, kafka: str
) -> None:
    app = replace(app_in(tmp_path), name=f"shop{uuid.uuid4().hex[:8]}")
    admin = AdminClient({"bootstrap.servers": kafka})
    # Its events are old: by default a broker would delete them.
    made = [
        NewTopic(name, partitions, 1, config={"retention.ms": "-1"})
        for name, partitions in plans.topics(app).items()
    ]
    for created in admin.create_topics(made).values():
        created.result()
    found = ran(app, tmp_path, MemoryStore(), log=lambda: KafkaLog(kafka))
    assert vectors(found) == vectors(in_memory[1])


def vectors(served: dict[str, bytes]) -> dict[str, bytes]:
    """Without the probabilities: those are of what was learned, in whichever order two partitions'
    labels came."""
    return {name: row[:-8] for name, row in served.items()}


def app_of(folder: Path) -> App:
    return load(folder / "app.py")


def test_what_is_served_is_what_happened_before_the_question(
    in_memory: tuple[Path, dict[str, bytes]],
) -> None:
    folder, served = in_memory
    model = app_of(folder).models[0]
    names = model.vectors.numbers
    for hour in range(1, HOURS):
        as_of = START + hour * HOUR
        before = [event for h in range(hour) for event in orders_of(h)]
        clicked = [event for h in range(hour) for event in clicks_of(h)]
        for order in orders_of(hour):
            numbers = np.frombuffer(served[order["id"]], np.float32, len(names))
            row = dict(zip(names, numbers.tolist()))
            own = [event for event in before if event["user"] == order["user"]]
            its = [event for event in clicked if event["user"] == order["user"]]
            carts = [event for event in its if event["page"] == "cart"]
            mean = sum(event["amount"] for event in before) / len(before)
            expected = {
                "by_user.spent_30d": sum(event["amount"] for event in own),
                "by_user.orders_1d": len(own),
                "by_user.carts_1d": len(carts),
                "by_user.seconds_1d": sum(event["seconds"] for event in its) / len(its),
                "by_user.orders_a_click": len(own) / len(its),
                "by_user.since_click": (as_of - its[-1]["at"]) / 1000,
                "everybody.orders_1d": len(before),
                "dear": order["amount"] / mean,
            }
            assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_an_explanation_tells_what_was_computed_and_of_which_events(
    in_memory: tuple[Path, dict[str, bytes]],
) -> None:
    folder, _ = in_memory
    given = Settings(run_dir=folder / "run")
    run_record.write("shop", str(folder / "app.py"), given)
    with opened(folder / "run") as run:
        found = explain(run, "5.3", whole_window=True)
        console = Console(record=True, width=160)
        show_explanation(found, console)
    by_user, everybody = found.views
    assert (everybody.key, everybody.keyed_by) == ("", [])
    assert everybody.window is not None
    assert everybody.window.agrees
    assert len(everybody.window.events) == 20
    assert [(value.name, value.kind) for value in found.request] == [("dear", "on demand")]
    assert by_user.window is not None
    assert by_user.window.agrees
    assert {event.topic for event in by_user.window.events} == {"orders", "clicks"}
    assert by_user.newest is not None
    # The one that came last into the view's log: which topic that is of, no clock decides.
    own = [event for event in [*orders_of(4), *clicks_of(4)] if event["user"] == 3]
    assert by_user.newest.fields in own
    text = console.export_text()
    assert "view everybody  one row for all events" in text
    assert "computed on demand" in text
