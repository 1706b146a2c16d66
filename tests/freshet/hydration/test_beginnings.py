"""A window that reaches back behind the first record there is has no value until it has moved on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.app import App
from freshet.features.reading.api import FeaturesRequest
from freshet.features.stores.memory_store import MemoryStore
from freshet.hydration import beginnings
from freshet.roles.interface import feature_reader
from freshet.roles.plans import vector_plan
from freshet.schemas.errors import CheckpointError
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.freshet.hydration.test_hydrator import HOUR, sent, topic

STEPS = 12
CHANGED_AT = 6
CUT_AT = 3
BY_USER = {"user": ["u1", "u2"]}
LATER = {
    "short": fr.count(over="1h"),
    "long": fr.count(over="6h"),
    "shops": fr.last_distinct("shop", 2, over="6h"),
    "ever": fr.last("x"),
}


def app(views: dict[str, Any]) -> App:
    visits = topic("visits", 1)
    calls = replace(topic("calls", 1), impute={})
    made = [fr.View(name, visits, key="user", features=own) for name, own in views.items()]
    # Asked on what no view has to do with.
    model = fr.Model(
        "busy",
        on=calls,
        id="id",
        label=fr.Label(calls, id="id", value=pl.col("x") > 10),
        features=[calls["shop"], *(view[name] for view in made for name in ("long", "short"))],
        learners=[fr.Baseline()],
        fallback=[fr.constant(0.5)],
    )
    return fr.App("past", topics=[visits, calls], views=made, models=[model])


BEFORE = {"old": {"long": fr.count(over="6h"), "short": fr.count(over="1h")}}
AFTER = {**BEFORE, "new": LATER}


class Run:
    def __init__(self, folder: Path, store: MemoryStore, views: dict[str, Any]) -> None:
        self.local = LocalRun(app(views), folder, store, "1h")
        self.store = store
        self.url = str(folder / "checkpoints")

    def go(self, steps: range) -> None:
        for step in steps:
            self.local.step(step * HOUR, (step + 1) * HOUR, {}, sent(step))

    def of(self, view: str, now_ms: int) -> dict[str, list[Any]]:
        held = beginnings.incomplete(self.url, self.local.app)
        names = [f"{view}:{name}" for name in self.local.app.view(view).features]
        asked = FeaturesRequest(entities={**BY_USER}, features=names)
        answer = feature_reader(self.local.app, held).answer(asked, self.store, now_ms)
        columns = zip(answer.metadata.feature_names, answer.results)
        return {name: column.values for name, column in columns}


def cut(log: Log, step: int) -> None:
    """Let go of what was appended before a step."""
    name = "past.visits"
    before = sum(len(sent(each)["visits"]) for each in range(step))
    log.delete_before(name, {0: before})


def test_what_reaches_back_behind_the_log_is_null_until_its_window_has_moved_on(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    whole = MemoryStore()
    run = Run(tmp_path / "run", store, BEFORE)
    from_the_start = Run(tmp_path / "whole", whole, AFTER)
    with run.local:
        run.go(range(CHANGED_AT))
        cut(run.local.log, CUT_AT)
    with from_the_start.local:
        from_the_start.go(range(STEPS))
    again = Run(tmp_path / "run", store, AFTER)
    begins = beginnings.begin_of(
        again.url, again.local.app, again.local.app.view("new"), again.local.log, 0
    )
    assert begins is not None
    assert CUT_AT * HOUR <= begins < (CUT_AT + 1) * HOUR
    with again.local:
        for step in range(CHANGED_AT, STEPS):
            again.go(range(step, step + 1))
            now = (step + 1) * HOUR
            seen = again.of("new", now)
            assert again.of("old", now)["long"] != [None, None], (
                "what ran from the start lacks nothing"
            )
            assert seen["ever"] != [None, None], "what has no window says what it knows"
            assert seen["short"] != [None, None]
            if now < begins + 6 * HOUR:
                assert (seen["long"], seen["shops"]) == ([None, None], [None, None])
        expected = from_the_start.of("new", STEPS * HOUR)
        assert again.of("new", STEPS * HOUR) == expected
        assert None not in expected["long"]


def test_vectors_lack_it_too_and_a_request_may_bring_it(tmp_path: Path) -> None:
    store = MemoryStore()
    run = Run(tmp_path / "run", store, BEFORE)
    with run.local:
        run.go(range(3))
    made = run.local.app
    model = made.models[0]
    sent_fields = {"shop": ["a", "a"], **BY_USER}
    now = 3 * HOUR
    plain = vector_plan(made, model).read(store, sent_fields, 2, now)
    held = vector_plan(made, model, {"old.long": now + 1}).read(store, sent_fields, 2, now)
    over = vector_plan(made, model, {"old.long": now}).read(store, sent_fields, 2, now)
    brought = {**sent_fields, "old.long": [3.0, 4.0]}
    given = vector_plan(made, model, {"old.long": now + 1}).read(store, brought, 2, now)
    at = model.vectors.numbers.index("old.long")
    other = model.vectors.numbers.index("old.short")
    assert over.vectors.numbers.tobytes() == plain.vectors.numbers.tobytes()
    assert not (held.vectors.numbers[:, at] == held.vectors.numbers[:, at]).any(), "NaN"
    assert held.vectors.numbers[:, other].tolist() == plain.vectors.numbers[:, other].tolist()
    assert given.vectors.numbers[:, at].tolist() == [3.0, 4.0]


def test_a_view_over_a_log_that_lacks_nothing_has_all_its_values(tmp_path: Path) -> None:
    store = MemoryStore()
    run = Run(tmp_path / "run", store, BEFORE)
    with run.local:
        run.go(range(2))
    again = Run(tmp_path / "run", store, AFTER)
    with again.local:
        again.go(range(2, 3))
        assert beginnings.incomplete(again.url, again.local.app) == {}
        assert again.of("new", 3 * HOUR)["long"] != [None, None]


def test_a_file_that_is_not_what_was_written_is_named(tmp_path: Path) -> None:
    made = app(BEFORE)
    file = tmp_path / "beginnings" / f"old.{made.view('old').digest}.json"
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(CheckpointError, match=r"old\..*json.*cannot be read"):
        beginnings.incomplete(str(tmp_path), made)
