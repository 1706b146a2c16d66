"""Two questions for one id that say different things: over two scorers, join and trainers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from freshet.demo.flights.schedule import Records
from freshet.roles import plans
from freshet.schemas.events.writer import EventWriter
from freshet.serving.scoring.contract import Question
from freshet.serving.scoring.scorer import Logging, Scorer
from freshet.streams.clock import ManualClock
from freshet.testing import LocalRun, MemoryStore
from tests.toy_app import toy_app

HOUR = 3_600_000
HOURS, ORDERS = 6, 8
Columns = dict[str, list[Any]]


def asked(hour: int) -> Columns:
    """Orders of two shops; those of `bad` are paid late."""
    shops = ["good", "bad"] * (ORDERS // 2)
    return {
        "order_id": [f"{hour}.{i}" for i in range(ORDERS)],
        "shop": list(shops),
        "hour": [hour] * ORDERS,
        "price": [2.5] * ORDERS,
    }


def turned(columns: Columns) -> Columns:
    """As somebody asks who wants the model to learn the opposite."""
    return {**columns, "shop": ["bad" if s == "good" else "good" for s in columns["shop"]]}


def paid(hour: int, start: int) -> Records:
    writer = EventWriter(toy_app().topics[1].events)
    columns = asked(hour)
    values = []
    for order, shop in zip(columns["order_id"], columns["shop"]):
        late = 50.0 if shop == "bad" else 0.0
        values.append(
            writer.encode({"order_id": order, "at": start + 1, "shop": shop, "late": late})
        )
    return Records(values, [start + 1] * len(values), [str(i) for i in range(len(values))])


class World:
    """Some hours of questions and payments; in each hour all of `questions` are asked in turn, by
    the run's scorer and by a second one."""

    def __init__(self, folder: Path) -> None:
        self.run = LocalRun(toy_app(), folder, MemoryStore(), snapshot_every="1h")
        app = self.run.app
        models = [(m, plans.vector_plan(app, m), app.outcomes_log_of(m)) for m in app.models]
        self.second = Scorer(
            "second", models, MemoryStore(), ManualClock(), Logging(self.run.log.writer)
        )

    def ask(self, scorer: Scorer, columns: Columns, at: int) -> None:
        scorer.infer(Question("unpaid", columns, len(columns["order_id"]), as_of_ms=at))
        log = scorer.served["unpaid"].predictions
        assert log is not None
        while log.held:
            pass

    def go(self, hour: int, questions: Sequence[tuple[Scorer, Columns]]) -> None:
        start = (hour + 1) * HOUR
        for scorer, columns in questions:
            self.ask(scorer, columns, start)
        self.run.step(start, start + HOUR, {}, {"payments": paid(hour, start)})

    def facts(self, role: str) -> dict[str, Any]:
        (operator,) = [o for o in self.run.operators if o.role.startswith(role)]
        (task,) = operator.tasks()
        return dict(task.facts())

    def probability(self, shop: str) -> float:
        columns = {"order_id": [f"probe {shop}"], "shop": [shop], "hour": [1], "price": [2.5]}
        answer = self.run.scorer.infer(Question("unpaid", columns, 1))
        return float(answer.probabilities[0])

    def close(self) -> None:
        self.second.close()
        self.run.__exit__(None, None, None)


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    made.close()


def test_ids_that_a_stranger_asks_for_first_are_counted_and_teach_nothing(world: World) -> None:
    for hour in range(HOURS):
        honest = asked(hour)
        world.go(hour, [(world.second, turned(honest)), (world.run.scorer, honest)])
    join = world.facts("join")
    assert (join["conflicting_questions"], join["conflicted"]) == (HOURS * ORDERS, HOURS * ORDERS)
    assert (join["labelled"], join["conflicting_labels"]) == (0, HOURS * ORDERS)
    assert join["conflict"]["id"] == f"{HOURS - 1}.{ORDERS - 1}"
    assert world.facts("train.hashed")["learned"] == 0


def test_a_stranger_turns_nothing_of_what_honest_clients_teach(world: World) -> None:
    for hour in range(HOURS):
        honest = asked(hour)
        stranger = [(world.second, turned(honest))] if hour >= HOURS // 2 else []
        world.go(hour, [*stranger, (world.run.scorer, honest)])
    assert world.facts("train.hashed")["learned"] == HOURS // 2 * ORDERS
    assert world.probability("bad") > world.probability("good")


def test_a_client_that_tries_again_at_another_scorer_is_no_stranger(world: World) -> None:
    for hour in range(HOURS):
        honest = asked(hour)
        last = {name: column[-1:] for name, column in honest.items()}
        tries = [(world.run.scorer, honest), (world.second, honest), (world.second, last)]
        world.go(hour, tries)
    join = world.facts("join")
    assert join["repeated_questions"] == HOURS * (ORDERS + 1)
    assert (join["conflicting_questions"], join["labelled"]) == (0, HOURS * ORDERS)
    assert world.facts("train.hashed")["learned"] == HOURS * ORDERS


def test_what_was_learned_before_its_id_was_contested_stays_learned(world: World) -> None:
    for hour in range(HOURS):
        before = [(world.second, turned(asked(hour - 1)))] if hour else []
        world.go(hour, [(world.run.scorer, asked(hour)), *before])
    join = world.facts("join")
    assert (join["settled_conflicts"], join["conflicted"]) == ((HOURS - 1) * ORDERS, 0)
    assert world.facts("train.hashed")["learned"] == HOURS * ORDERS
    assert world.probability("bad") > world.probability("good")
