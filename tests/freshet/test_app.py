"""Mistakes in declarations: each error names the thing, the cause and what to do. More are in
`test_error_texts.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import freshet as fr
from freshet.app import load
from freshet.roles import plans
from freshet.schemas.errors import DefinitionError, FreshetError
from freshet.streams.sqlite.log import SqliteLog
from tests.toy_app import ORDERS, PAYMENTS, topics, toy_app


def view(**changes: object) -> fr.View:
    given = {"key": "shop", "features": {"n": fr.count(over="1h")}, **changes}
    return fr.View("v", topics()[1], **given)  # type: ignore[arg-type]


def model(**changes: object) -> fr.Model:
    orders, payments = topics()
    given = {
        "on": orders,
        "id": "order_id",
        "label": fr.Label(payments, "order_id", pl.col("late") > 1),
        "features": [orders["shop"]],
        "learners": [fr.Baseline()],
        **changes,
    }
    return fr.Model("m", **given)  # type: ignore[arg-type]


def app_with(m: fr.Model) -> fr.App:
    return fr.App("a", topics=[*topics()], models=[m])


MISTAKES: dict[str, tuple[Callable[[], object], str, str]] = {
    "on_violation": (lambda: fr.Freshness(on_violation="panic"), "panic", "serve, fallback, refuse"),
    "event id type": (lambda: fr.Topic("t", ORDERS, "price", "at"), "of type double", "string"),
    "event id may be missing": (lambda: fr.Topic("t", PAYMENTS | {"fields": [{"name": "i", "type": ["null", "string"]}, {"name": "at", "type": "long"}]}, "i", "at"), "may be missing", "required"),
    "event time of another kind": (lambda: fr.Topic("t", ORDERS, "order_id", topics()[0]["price"]), "event_time", "fr.time"),
    "log of another kind": (lambda: fr.Topic("t", ORDERS, "order_id", "at", log=5), "log", "orders.v1"),
    "log name": (lambda: fr.Topic("t", ORDERS, "order_id", "at", log="my orders"), "log='my orders' is no name", "up to 249"),
    "log of its own": (lambda: fr.App("a", topics=[fr.Topic("t", ORDERS, "order_id", "at", log="a.t")]), "is a name of the app's own", "leave log= out"),
    "one log twice": (lambda: fr.App("a", topics=[fr.Topic(n, ORDERS, "order_id", "at", log="x") for n in ("t", "u")]), "log 'x'. is declared twice", "Rename"),
    "impute field": (lambda: fr.Topic("t", ORDERS, "order_id", "at", impute={"pice": fr.impute.constant(1.0)}), "'pice'", "order_id"),
    "view text field": (lambda: view(features={"x": fr.mean("shop", over="1h")}), "of type string", "late"),
    "view without features": (lambda: view(features={}), "has no features", "fr.count"),
    "window and tile": (lambda: view(tile="7m", features={"n": fr.count(over="1h")}), "n", "7m"),
    "learners": (lambda: model(learners=[fr.Baseline(), fr.Baseline()]), "learners", "a name of its own"),
    "model without features": (lambda: model(features=[]), "has no features to answer by", "topic"),
    "slice": (lambda: model(slices=["hour"]), "slice 'hour'", "shop"),
    "twice": (lambda: fr.App("a", topics=[topics()[0], topics()[0]]), "declared twice", "Rename"),
    "imputed request": (lambda: app_with(model(on=fr.Topic("orders", ORDERS, "order_id", "at", impute={"price": fr.impute.mean()}))), "does not list|imputed by mean", "."),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_cause_and_the_next_step(name: str) -> None:
    mistake, cause, step = MISTAKES[name]
    with pytest.raises(FreshetError) as told:
        mistake()
    import re

    assert re.search(cause, str(told.value)), str(told.value)
    assert re.search(step, told.value.next_step) or re.search(step, str(told.value)), str(
        told.value
    )


def test_an_error_in_the_file_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import freshet as fr\n\nfr.Freshness(lateness='soon')\n")
    with pytest.raises(DefinitionError, match=r"mine\.py:3"):
        load(file)
    file.write_text("x = 1\n")
    with pytest.raises(DefinitionError, match="declares 0 apps"):
        load(file)
    file.write_text("def f(:\n")
    with pytest.raises(DefinitionError, match=r"mine\.py:1"):
        load(file)
    with pytest.raises(DefinitionError, match="no such Python file"):
        load(tmp_path / "other.py")


def test_names_of_what_an_app_owns_carry_its_name() -> None:
    app = toy_app()
    owned = [app.control_log, app.dead_log, app.log_of("orders"), app.clean_log_of(app.views[0])]
    owned += [
        app.outcomes_log_of(app.models[0]),
        app.examples_log_of(app.models[0]),
        app.stored_as(app.views[0]),
    ]
    assert all(name.startswith("toy") for name in owned)
    assert len(set(owned)) == len(owned)


def test_a_topic_of_another_name_is_made_under_it_where_nobody_else_is(tmp_path: Path) -> None:
    orders = fr.Topic("orders", ORDERS, "order_id", "at", log="orders.v1", partitions=2)
    app = fr.App("a", topics=[orders])
    log = SqliteLog(tmp_path)
    plans.ensure_topics(app, log)
    assert len(log.bounds("orders.v1").spans) == 2
    assert app.origin_of("orders.v1") == "orders"
    plans.refuse_writing(app, log)
    log.close()


def test_a_lineage_changes_with_its_definition() -> None:
    m = toy_app().models[0]
    assert m.lineage(fr.HashedLogistic()) != m.lineage(fr.HashedLogistic(rate=0.1))
    assert m.lineage(fr.HashedLogistic()) == toy_app().models[0].lineage(fr.HashedLogistic())


def test_a_trainer_is_called_by_its_lineage_or_its_learner() -> None:
    from freshet.roles.names import trained_by

    app = toy_app()
    model, spec = app.models[0], app.models[0].learners[1]
    assert trained_by(app, f"train.unpaid.{model.lineage(spec)}") == (model, spec)
    assert trained_by(app, "train.unpaid.hashed_logistic") == (model, spec)
    with pytest.raises(DefinitionError, match=r"no such lineage.*train\.unpaid\.baseline"):
        trained_by(app, "train.unpaid.nobody")
