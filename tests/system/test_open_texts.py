"""Texts that nobody declared go from events to rows in a real Redis, and from there to consumers of
features and to models: what is learned from is what was served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.app import load
from freshet.explain.explain import explain
from freshet.features.catalog import open_store
from freshet.features.reading.api import read_request
from freshet.features.stores.contract import Store
from freshet.replay.report import outcomes_of
from freshet.roles.interface import feature_reader
from freshet.runs import record as run_record
from freshet.runs.opened import opened
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import parts_of
from freshet.schemas.wire.outcomes import ASKED
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
    {"name": "merchant", "type": ["null", "string"], "default": None},
    {"name": "amount", "type": ["null", "double"], "default": None},
    {"name": "late", "type": "boolean"},
]


def topic(name):
    schema = {"type": "record", "name": name, "fields": FIELDS}
    return fr.Topic(name, schema, event_id="id", event_time="at")


payments = topic("payments")
refunds = topic("refunds")
FEATURES = {
    "last": fr.last("merchant"),
    "before": fr.last_distinct("merchant", 2),
    "recent": fr.last_distinct("merchant", n=3),
    "amounts": fr.last_distinct("amount", n=2),
    "large": fr.last("merchant", where=pl.col("amount") > 50),
    "often": fr.most_frequent("merchant", over="1h"),
    "n": fr.count(over="1h"),
}
by_user = fr.View("by_user", payments, key="user", features=FEATURES)
of_all = fr.View("of_all", [payments, refunds], key=(), features={
    "newest": fr.last("merchant"),
    "refunded": fr.of(refunds, fr.last_distinct("merchant", n=2)),
})
model = fr.Model(
    "late",
    on=payments,
    id="id",
    label=fr.Label(payments, id="id", value=pl.col("late")),
    features=[
        fr.category(payments["user"]),
        by_user["last"],
        by_user["before"],
        by_user["often"],
        by_user["n"],
        of_all["newest"],
        fr.on_demand("short", pl.col("by_user.large").str.head(3), reads=[by_user["large"]]),
    ],
    learners=[fr.Baseline(), fr.HashedLogistic()],
    fallback=[fr.constant(0.5)],
    slices=["by_user.last"],
)
app = fr.App("shop", topics=[payments, refunds], views=[by_user, of_all], models=[model])
"""
NOW = 1_795_890_000_000
STEP = 10_000
LONG = "https://example.com/" + "кафе/" * 90
PAID = {
    "ann": ["amazon", "", "кафе", "amazon", None],
    "bob": [LONG, "b\x00b", "b\x00b"],
    "cy": [None],
}
USERS = [*PAID, "nobody"]
Ran = tuple[Path, LocalRun, Store]


def payment(name: str, at: int, **fields: Any) -> tuple[int, dict[str, Any]]:
    return at, {"id": name, "at": at, "late": False, **fields}


@pytest.fixture(scope="module")
def ran(redis_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Payments in one process, and more of them, questions and outcomes in the next one."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "app.py").write_text(APP)
    app = load(folder / "app.py")
    run_record.write(app.name, str(folder / "app.py"), Settings(run_dir=folder))
    first = []
    second = []
    for user, merchants in PAID.items():
        for i, merchant in enumerate(merchants):
            amount = 10.0 * (len(merchants) - i) + 30
            sent = {"user": user, "merchant": merchant, "amount": amount}
            if i == len(merchants) - 1:
                second.append(payment(f"{user} {i}", NOW + STEP + i, **sent))
            else:
                first.append(payment(f"{user} {i}", NOW + i, **sent))
    back = [payment(f"back {i}", NOW + STEP + i, user="x", merchant=f"m{i}") for i in range(9)]
    outcomes = [payment(f"asked {user}", NOW + 3 * STEP, user=user, late=True) for user in USERS]
    store = open_store(f"redis://{redis_address}/0")
    with LocalRun(app, folder, store) as local:
        local.step(NOW, NOW + STEP, {}, {"payments": Sent(first)})
    asked = {"id": [f"asked {user}" for user in USERS], "user": USERS}
    with LocalRun(app, folder, store) as local:
        events = {"payments": Sent(second), "refunds": Sent(back)}
        local.step(NOW + STEP, NOW + 2 * STEP, {}, events)
        local.step(NOW + 2 * STEP, NOW + 3 * STEP, asked, {})
        local.step(NOW + 3 * STEP, NOW + 4 * STEP, {}, {"payments": Sent(outcomes)})
        yield folder, local, store
    store.close()


def columns(ran: Ran, entities: dict[str, list[str]], *features: str) -> list[list[Any]]:
    _, local, store = ran
    asked = {"features": list(features), "entities": entities}
    request = read_request(json.dumps(asked).encode())
    found = feature_reader(local.app).answer(request, store, NOW + 2 * STEP)
    return [column.values for column in found.results[len(entities) :]]


def cut(text: str) -> str:
    """As rows have it: what it begins with, and its hash."""
    digits = f"{int(Texts.of([text]).hashes()[0]):016x}"
    room = 256 - len("…".encode()) - len(digits)
    return text.encode()[:room].decode(errors="ignore") + "…" + digits


def test_consumers_of_features_get_texts_and_lists(ran: Ran) -> None:
    names = ("last", "before", "recent", "amounts", "large", "often")
    asked = [f"by_user:{name}" for name in names]
    # Asked after the outcomes, which had neither a merchant nor an amount.
    last, before, recent, amounts, large, often = columns(ran, {"user": list(PAID)}, *asked)
    assert last == ["amazon", "b\x00b", None]
    assert before == ["кафе", cut(LONG), None]
    assert recent == [["amazon", "кафе", ""], ["b\x00b", cut(LONG)], None]
    assert amounts == [[40.0, 50.0], [40.0, 50.0], [40.0]]
    assert large == ["кафе", cut(LONG), None]
    assert often == ["amazon", "b\x00b", None]
    newest, refunded = columns(ran, {}, "of_all:newest", "of_all:refunded")
    assert newest == ["m8"]
    assert refunded == [["m8", "m7"]]


def test_what_is_learned_from_is_what_was_served(ran: Ran) -> None:
    _, local, _ = ran
    (model,) = local.app.models
    found = list(outcomes_of(local.app, local.log, model).rows)
    expected = {
        "asked ann": ["ann", "amazon", "кафе", "amazon", "m8", "каф"],
        "asked bob": ["bob", "b\x00b", cut(LONG), "b\x00b", "m8", "htt"],
        "asked cy": ["cy", None, None, None, "m8", None],
        "asked nobody": ["nobody", None, None, None, "m8", None],
    }
    served = {}
    learned = {}
    for rows in found:
        ids = rows.texts["id"].to_arrow().to_pylist()
        texts = rows.texts["categories"].to_arrow().to_pylist()
        for i, name in enumerate(ids):
            which = served if rows.kind[i] == ASKED else learned
            which[name] = (texts[i], rows.fixed[i]["categories"], rows.fixed[i]["numbers"])
    assert served.keys() == learned.keys() == expected.keys()
    for name, wanted in expected.items():
        text, categories, numbers = served[name]
        assert parts_of(text) == wanted, name
        assert categories.tolist() == Texts.of(wanted).hashes().tolist()
        again = learned[name]
        assert again[1].tobytes() == categories.tobytes()
        assert again[2].tobytes() == numbers.tobytes()
    assert np.isnan(served["asked nobody"][2]).all()


def test_an_explanation_tells_the_texts_that_were_served(ran: Ran) -> None:
    with opened(ran[0]) as run:
        told = explain(run, "asked ann", whole_window=True)
    by_user, of_all = told.views
    assert by_user.values == {"last": "amazon", "before": "кафе", "often": "amazon", "n": 5.0}
    assert by_user.window is not None
    assert by_user.window.agrees is True
    assert of_all.values == {"newest": "m8"}
    assert [value.name for value in told.request] == ["user", "short"]


def test_a_text_that_is_sent_with_the_question_is_taken_as_sent(ran: Ran) -> None:
    _, local, store = ran
    from freshet.roles.plans import vector_plan

    (model,) = local.app.models
    sent = {"id": ["a"], "user": ["ann"], "by_user.last": ["zalando"]}
    found = vector_plan(local.app, model).read(store, sent, 1, NOW + 2 * STEP)
    [text] = found.categories.to_arrow().to_pylist()
    assert parts_of(text)[:3] == ["ann", "zalando", "кафе"]
    assert found.vectors.categories[0, 1] == Texts.of(["zalando"]).hashes()[0]
