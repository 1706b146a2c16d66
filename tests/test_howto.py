"""The pages of `docs/howto/` are run: their files as they stand there, and what they say works, is
refused, or does not work yet."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import freshet as fr
from freshet.app import load
from freshet.cli.init import init
from freshet.features.partition.rows import ViewRows
from freshet.features.reading.api import read_request
from freshet.features.rows.finish import finish
from freshet.features.rows.plan import RowPlan
from freshet.learners.catalog import PREDICTORS
from freshet.past.examples import frame_of
from freshet.past.own_logs import blocks_of
from freshet.roles import preflight
from freshet.roles.interface import feature_reader
from freshet.roles.plans import vector_plan
from freshet.runs import record as run_record
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError, FreshetError, RequestError
from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.writer import Misfit
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import parts_of
from freshet.schemas.topics.reader import EventReader
from freshet.servers.registry_server import RegistryServer
from freshet.settings import Settings
from freshet.streams.sqlite.log import SqliteLog
from freshet.tables.declared_app import describe
from freshet.testing import LocalRun, MemoryStore, vectors_of
from tests import howto
from tests.contracts.learner_battery import Case, LearnerBattery
from tests.freshet.toy_day import toy_day
from tests.howto import Sent

PAGES = sorted(p.stem for p in howto.PAGES.glob("*.md") if p.stem != "README")
DAY = 86_400_000
NOW = 1_795_890_000_000
STEP = 10_000


def test_the_index_names_every_page() -> None:
    assert all(f"]({page}.md)" in howto.text("README") for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_python_on_a_page_is_python(page: str) -> None:
    for body in howto.blocks(page, "python"):
        ast.parse(body)


# ------------------------------------------------------------ topics with a schema registry
ORDERS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "customer", "type": "string"},
    {"name": "amount", "type": "double"},
]


def freshet(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "freshet", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60.0,
    )


def test_a_schema_is_pushed_pulled_and_its_app_checked_as_the_page_says(tmp_path: Path) -> None:
    howto.write("registry", tmp_path)
    first = {"type": "record", "name": "order", "fields": ORDERS}
    (tmp_path / "v1.avsc").write_text(json.dumps(first))
    city = {"name": "city", "type": "string"}
    (tmp_path / "v2.avsc").write_text(json.dumps({**first, "fields": [*ORDERS, city]}))
    with RegistryServer(tmp_path / "registry") as server:
        run = partial(freshet, tmp_path, FRESHET_REGISTRY=server.url)
        pushed = run("registry", "push", "v1.avsc", "orders.v1-value")
        assert pushed.stdout == "orders.v1-value: schema_id 1\n", pushed.stderr
        refused = run("registry", "push", "v2.avsc", "orders.v1-value")
        assert refused.returncode == 2
        told = refused.stderr.strip().replace(server.url, "http://127.0.0.1:8085")
        assert told in howto.text("registry")
        pulled = run("registry", "pull", "orders.v1-value", "orders.avsc")
        assert pulled.stdout == "orders.avsc: version 1 of orders.v1-value, schema_id 1\n"
        app = load(tmp_path / "app.py")
        assert app.topic("orders").events.schema_id == 1
        given = Settings(run_dir=tmp_path / "run", registry=server.url)
        log = SqliteLog(tmp_path / "log")
        preflight.check(app, log, given)
    # What it says of the id is kept by now: nobody is asked once more.
    preflight.check(app, log, given)
    log.close()


# ------------------------------------------------------------ derived fields
def test_what_is_derived_of_a_request_is_what_the_page_says(tmp_path: Path) -> None:
    howto.write("derived", tmp_path)
    app = load(tmp_path / "app.py")
    (model,) = app.models
    plan = vector_plan(app, model)
    brought = {"at", "district", "to_district", "lat", "lon", "to_lat", "to_lon"}
    assert set(plan.fields) == brought
    # A Saturday, 22:30 in New York; the distance is .1 km at least.
    request = {"at": [1_362_886_200_000], "to_district": ["JFK"], "district": [None]}
    request |= {name: [40.0] for name in ("lat", "lon", "to_lat", "to_lon")}
    read = plan.read(MemoryStore(), request, 1, NOW)
    hour, cell = parts_of(read.categories.to_arrow()[0].as_py())
    assert hour == "22"
    assert cell is not None
    assert 0 <= int(cell) < 1000
    numbers = dict(zip(model.vectors.numbers, read.vectors.numbers[0].tolist()))
    assert numbers["log_km"] == np.float32(np.log(0.1))


def test_what_is_computed_on_demand_is_what_the_page_says(tmp_path: Path) -> None:
    howto.write("on-demand", tmp_path)
    app = load(tmp_path / "app.py")
    (model,) = app.models
    plan = vector_plan(app, model)
    assert set(plan.fields) == {"user", "amount", "at", "lat", "lon"}
    assert model.vectors.numbers == ("by_user.n_1h", "times_mean", "km", "km_h")
    assert model.vectors.categories == ("too_fast",)
    payment = {"id": "a", "at": NOW, "user": 7, "amount": 20.0, "lat": 40.64, "lon": -73.78}
    with LocalRun(app, tmp_path / "run", MemoryStore()) as local:
        local.step(NOW - 1, NOW + STEP, {}, {"payments": Sent([(NOW, payment)])})
        # A degree of latitude in three minutes, as no traveller makes it.
        asked = {**payment, "id": "b", "at": NOW + 180_000, "amount": 60.0, "lat": 41.64}
        local.step(NOW + STEP, NOW + 2 * STEP, {k: [v] for k, v in asked.items()}, {})
        read = plan.read(local._store, {k: [v] for k, v in asked.items()}, 1, NOW + STEP)
        served = vectors_of(local, model)["b"]
    numbers = dict(zip(model.vectors.numbers, read.vectors.numbers[0].tolist()))
    assert numbers["times_mean"] == 3.0
    assert numbers["km"] == pytest.approx(111.2, abs=0.1)
    assert numbers["km_h"] == pytest.approx(2224, abs=1)
    assert parts_of(read.categories.to_arrow()[0].as_py()) == ["true"]
    # What is logged, and so learned, is that vector.
    logged = read.vectors.categories.tobytes() + read.vectors.numbers.tobytes()
    assert served.startswith(logged)


def test_views_of_all_events_are_asked_for_as_the_page_says(tmp_path: Path) -> None:
    howto.write("several-topics", tmp_path)
    app = load(tmp_path / "app.py")
    assert [view.partitions for view in app.views] == [3, 1]
    asked = re.search(r"```json\n(.*?)```", howto.text("several-topics"), re.DOTALL)
    assert asked is not None
    request = read_request(asked.group(1).strip().encode())
    answer = feature_reader(app).answer(request, MemoryStore(), NOW)
    assert answer.metadata.feature_names == ["orders_1d", "amount_1d"]
    assert [column.statuses for column in answer.results] == [["NOT_FOUND"]] * 2


def test_expressions_of_the_page_may_be_derived() -> None:
    cells = re.findall(r"`(\.[^`]+)`", howto.text("derived"))
    assert len(cells) == 8
    for cell in cells:
        column = "paid" if cell.startswith((".clip", ".log1p")) else "word"
        derive = {"d": eval(f'pl.col("{column}"){cell}')}
        fields = [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "word", "type": "string"},
            {"name": "paid", "type": "double"},
        ]
        topic = fr.Topic(
            "seen", {"type": "record", "name": "r", "fields": fields}, "id", "at", derive=derive
        )
        fr.App("app", topics=[topic])


# ------------------------------------------------------------ keys of several fields
def values(
    run: LocalRun,
    store: MemoryStore,
    entities: dict[str, list[str]],
    feature: str = "pair:euros_1h",
    as_of_ms: int = NOW + STEP,
) -> Any:
    asked = read_request(json.dumps({"features": [feature], "entities": entities}).encode())
    return feature_reader(run.app).answer(asked, store, as_of_ms).results[-1].values


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[LocalRun, MemoryStore]]:
    howto.write("keys", tmp_path)
    store = MemoryStore()
    sold = [("acme", "pan", 30.0), ("acme", "pot", 20.0), ("a|b", "c", 100.0), ("a", "b|c", 1.0)]
    events = Sent(
        (NOW + i, {"id": str(i), "at": NOW + i, "brand": brand, "item": item, "euros": euros})
        for i, (brand, item, euros) in enumerate(sold)
    )
    with LocalRun(load(tmp_path / "app.py"), tmp_path, store) as run:
        run.step(NOW, NOW + STEP, {}, {"sales": events})
        yield run, store


def test_each_pair_has_a_row_of_its_own(shop: tuple[LocalRun, MemoryStore]) -> None:
    assert values(*shop, {"brand": ["acme", "acme"], "item": ["pan", "pot"]}) == [30.0, 20.0]


def test_a_question_for_features_names_every_field_of_the_key(
    shop: tuple[LocalRun, MemoryStore],
) -> None:
    with pytest.raises(RequestError) as error:
        values(*shop, {"brand": ["acme"]})
    assert f"```\n{error.value}\n```" in howto.text("keys")


def test_texts_with_the_separator_have_rows_of_their_own(
    shop: tuple[LocalRun, MemoryStore],
) -> None:
    assert values(*shop, {"brand": ["a|b", "a"], "item": ["c", "b|c"]}) == [100.0, 1.0]


def test_a_float_as_key_is_refused_as_the_page_says(tmp_path: Path) -> None:
    app = howto.files("keys")["app.py"].replace('("brand", "item")', '("brand", "euros")')
    (tmp_path / "app.py").write_text(app)
    with pytest.raises(DefinitionError) as error:
        load(tmp_path / "app.py")
    told = str(error.value).partition("view pair: ")[2]
    assert f"*{told}*" in howto.text("keys")


# ------------------------------------------------------------ a schema as it is
def order(number: int, sku: str = "pan", **more: Any) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "placed": (NOW + number) * 1_000,
        "customer": {"number": 7, "address": {"city": "Bonn"}},
        "total": "19.90",
        "payment": {"Card": {"issuer": "visa"}},
        "items": [{"sku": sku, "amount": 1}],
        **more,
    }


def test_a_nested_schema_is_declared_as_it_is_and_its_values_named_by_their_paths(
    tmp_path: Path,
) -> None:
    howto.write("schemas", tmp_path)
    store = MemoryStore()
    by_path = order(5)
    del by_path["customer"]
    by_path |= {"customer.number": 7, "customer.address": None}
    sent = [
        order(1),
        order(2, total=0.1, payment={"days": 30}),
        order(3, "TEST"),
        order(4, items=[]),
        by_path,
        order(6, total="19.999"),
        order(7, total=10**7),
    ]
    events = Sent((NOW + i, event) for i, event in enumerate(sent))
    with LocalRun(load(tmp_path / "app.py"), tmp_path, store) as run:
        run.step(NOW, NOW + STEP, {}, {"orders": events})
        found = {
            name: values(run, store, {"customer.number": [7]}, f"customers:{name}")
            for name in ("orders_7d", "spent_7d")
        }
        # The other four: a test, an empty one, and two whose totals are none.
        assert found == {"orders_7d": [3.0], "spent_7d": [19.9 + 0.1 + 19.9]}


def line(name: str, sku: str = "pan", amount: int = 1) -> dict[str, Any]:
    return {"id": name, "sku": sku, "amount": amount}


def test_each_element_of_an_array_is_an_event(tmp_path: Path) -> None:
    howto.write("schemas", tmp_path)
    store = MemoryStore()
    orders = [
        [line("a"), line("b", "pot", 2), line("c", amount=0)],
        [line("d", amount=3), line("e", "TEST")],
        [line("d", amount=3)],
        [],
        None,
    ]
    events = Sent(
        (NOW + i, {"order": str(i), "placed": NOW + i, "shop": "north", "lines": lines})
        for i, lines in enumerate(orders)
    )
    with LocalRun(load(tmp_path / "lines.py"), tmp_path, store) as run:
        run.step(NOW, NOW + STEP, {}, {"lines": events})
        asked = {"lines.sku": ["pan", "pot"]}
        assert values(run, store, asked, "articles:sold_7d") == [4.0, 2.0]
        assert values(run, store, asked, "articles:lines_7d") == [2.0, 1.0]
        facts = {task.name: task.facts() for every in run.operators for task in every.tasks()}
    assert {fate: n for fate, n in facts["intake:lines:0"]["fates"].items() if n} == {
        "applied": 3,
        "deduplicated": 1,
        "dropped:tests": 1,
        "empty": 2,
        "dead:out_of_range": 1,
    }


# ------------------------------------------------------------ events that come twice
class Dealt(list[tuple[int, dict[str, Any]]]):
    """Events of one partition after the other, each with the time of its record."""

    def split(self, partitions: int) -> list[Sent]:
        return [Sent(self[p::partitions]) for p in range(partitions)]


@pytest.mark.parametrize(("declared", "euros"), [("topic", 6.0), ("partition", 12.0)])
def test_an_order_that_comes_in_two_partitions_counts_as_the_page_says(
    tmp_path: Path, declared: str, euros: float
) -> None:
    howto.write("duplicates", tmp_path)
    file = tmp_path / "app.py"
    file.write_text(file.read_text().replace('dedup_by="topic"', f'dedup_by="{declared}"'))
    orders = [
        {"id": str(i), "at": NOW, "customer": 7, "euros": float(i)} for i in (1, 2, 3, 2, 3, 1)
    ]
    store = MemoryStore()
    with LocalRun(load(file), tmp_path, store) as run:
        run.step(NOW, NOW + STEP, {}, {"orders": Dealt((NOW, order) for order in orders)})
        assert values(run, store, {"customer": [7]}, "spent:euros_1d") == [euros]


def test_what_check_says_of_repeats_is_what_the_page_says(tmp_path: Path) -> None:
    howto.write("duplicates", tmp_path)
    file = tmp_path / "app.py"
    file.write_text(file.read_text().replace('dedup_by="topic"', 'dedup_by="partition"'))
    console = Console(width=400)
    with console.capture() as captured:
        describe(load(file), console)
    told = " ".join(captured.get().split())
    (line,) = [line for line in howto.text("duplicates").splitlines() if line[:6] == "dedup "]
    assert " ".join(line.split()) in told


# ------------------------------------------------------------ what a view can hold
def test_aggregates_have_the_values_that_the_page_says(tmp_path: Path) -> None:
    howto.write("aggregates", tmp_path)
    app = load(tmp_path / "app.py")
    store = MemoryStore()
    paid = ((4.0, "paid"), (6.0, "paid"), (5.0, "refused"), (9.0, "paid"))
    minute = milliseconds("1m")
    events = Sent(
        (
            NOW + at * minute,
            {"id": str(at), "card": "c", "status": status, "at": NOW + at * minute, "euros": euros},
        )
        for at, (euros, status) in enumerate(paid)
    )
    asked = NOW + len(paid) * minute
    with LocalRun(app, tmp_path, store) as run:
        run.step(NOW, asked, {}, {"payments": events})
        for name in app.view("cards").features:
            [value] = values(run, store, {"card": ["c"]}, f"cards:{name}", asked)
            assert f"| `{name}` | {round(value, 2)} |" in howto.text("aggregates")


def test_rows_with_sketches_have_the_bytes_that_the_page_says() -> None:
    page = howto.text("aggregates")
    for written, feature in (
        ("distinct(…)", fr.distinct("x", over="1h")),
        ("distinct(…, error=0.02)", fr.distinct("x", over="1h", error=0.02)),
        ("quantile(…, error=0.05)", fr.quantile("x", 0.5, over="1h", error=0.05)),
        ("quantile(…)", fr.quantile("x", 0.5, over="1h")),
        ("most_frequent(…)", fr.most_frequent("x", over="1h")),
    ):
        plan = RowPlan.compile({"f": feature}, None)
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{written}`")]
        assert line.endswith(f"| {plan.most_bytes:,} |")
        # Five events: time and value of each.
        assert plan.bytes_of(5) == 32 + 5 * 16


# ------------------------------------------------------------ windows of any length
def test_rows_have_the_bytes_that_the_page_says(tmp_path: Path) -> None:
    howto.write("windows", tmp_path)
    [view] = load(tmp_path / "app.py").views
    text = howto.text("windows")
    for events in (1, 5, 32):
        assert f"| {events} | {view.plan.bytes_of(events)} |" in text
    assert f"| any number | {view.plan.most_bytes:,} at most |" in text
    assert "(here 16 bytes each)" in text


@pytest.mark.parametrize(("tile", "least"), [(None, "58m7.5s"), ("1m", "59m")])
def test_a_window_reaches_as_far_back_as_the_page_says(tile: str | None, least: str) -> None:
    assert f"| {least} to 1h |" in howto.text("windows")
    plan = RowPlan.compile({"n": fr.count(over="1h")}, tile and milliseconds(tile))
    for moment in range(0, 3_700_000, 7_001):
        as_of = NOW + moment
        for age, held in ((milliseconds(least), 1.0), (milliseconds("1h"), 0.0)):
            rows = ViewRows(plan)
            time = np.array([as_of - age])
            rows.fold(Texts.of(["c"]), time, np.zeros((1, 0)), 0, np.zeros(1, np.int64))
            counted = finish(plan, rows.all_rows()[1], np.array([as_of])).values
            assert counted.tolist() == [[held]]


# ------------------------------------------------------------ times as they are
def meter_app(folder: Path, event_time: str = "") -> Any:
    howto.write("times", folder)
    if event_time:
        text = (folder / "app.py").read_text()
        declared = 'fr.time("read_at", zone="Europe/Berlin")'
        assert declared in text
        (folder / "app.py").write_text(text.replace(declared, event_time))
    return load(folder / "app.py")


def read_meters(folder: Path, app: Any, *readings: tuple[int, str, float]) -> tuple[Any, Any]:
    """What a row says at `NOW + STEP` of readings that were published at a time, each of another
    time by its own account; and what became of them."""
    store = MemoryStore()
    events = Sent(
        (at, {"id": str(i), "meter": "m", "read_at": read_at, "kwh": kwh})
        for i, (at, read_at, kwh) in enumerate(readings)
    )
    with LocalRun(app, folder, store) as run:
        run.step(NOW, NOW + STEP, {}, {"readings": events})
        found = values(run, store, {"meter": ["m"]}, "by_meter:kwh_1h")
        tasks = {task.name: task for operator in run.operators for task in operator.tasks()}
        return found, tasks["intake:readings:0"].facts()["fates"]


def clocks_of(zone: str, ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def test_local_times_without_a_zone_are_those_of_the_one_declared(tmp_path: Path) -> None:
    berlin = clocks_of("Europe/Berlin", NOW)
    tokyo = clocks_of("Asia/Tokyo", NOW)
    found, fates = read_meters(
        tmp_path,
        meter_app(tmp_path),
        (NOW, berlin, 3.0),
        (NOW + 1, f"{tokyo}+09:00", 4.0),
        (NOW + 2, tokyo, 100.0),
        (NOW + 3, "half past ten", 100.0),
    )
    assert found == [7.0]
    assert {fate: n for fate, n in fates.items() if n} == {
        "applied": 2,
        "dead:far_future": 1,
        "dead:bad_time": 1,
    }


def test_a_topic_may_go_by_the_times_of_its_records(tmp_path: Path) -> None:
    app = meter_app(tmp_path, "None")
    found, fates = read_meters(tmp_path, app, (NOW, "whenever", 3.0), (NOW + 1, "", 4.0))
    assert found == [7.0]
    assert fates["applied"] == 2


# ------------------------------------------------------------ changing an app
@dataclass(frozen=True)
class Went:
    """What a run in the folder of an earlier one came to."""

    rungs: list[str]
    facts: dict[str, dict[str, Any]]
    told: list[str]
    values: tuple[Any, ...]
    lineages: list[str]

    def of(self, task: str) -> dict[str, Any]:
        return next(facts for name, facts in self.facts.items() if name.startswith(task))

    def lineage(self, learner: str) -> str:
        return next(name for name in self.lineages if name.startswith(learner))


BEFORE = 6  # steps of the app as it was
EVENTS = 10  # a step


def parcels_step(run: LocalRun, number: int) -> str:
    start = NOW + number * STEP
    ids = [f"{number}.{i}" for i in range(EVENTS)]
    couriers = ["ann", "bob"] * (EVENTS // 2)
    fields = {f.name for f in run.app.topic("handovers").events.fields}
    asked: dict[str, list[Any]] = {"parcel": ids, "courier": couriers, "city": ["Lyon"] * EVENTS}
    asked |= {name: [1.0] * EVENTS for name in ("weight_kg", "kg") if name in fields}
    taken = [
        {"parcel": i, "at": start, "courier": c, "city": "Lyon"} for i, c in zip(ids, couriers)
    ]
    handed = Sent((start + 1, {**t, "weight_kg": None}) for t in taken)
    come = Sent(
        (start + 2, {**t, "at": start + 2, "minutes_late": 20.0 * (t["courier"] == "bob")})
        for t in taken
    )
    answer = run.step(start, start + STEP, asked, {"handovers": handed, "deliveries": come})
    assert answer is not None
    return str(answer.parameters["rung"])


def go_on(folder: Path, text: str, first: int, steps: int) -> Went:
    """Start as `freshet run` does, with all that it checks, and go on for some steps."""
    (folder / "app.py").write_text(text)
    app = load(folder / "app.py")
    given = Settings(run_dir=folder, log=str(folder / "log"))
    run_record.check(app.name, given)
    run_record.write(app.name, str(folder / "app.py"), given)
    log = SqliteLog(given.log)
    try:
        told = preflight.check(app, log, given)
    finally:
        log.close()
    store = MemoryStore()
    with LocalRun(app, folder, store) as run:
        rungs = [parcels_step(run, number) for number in range(first, first + steps)]
        (counting,) = [view.name for view in app.views if "n_10m" in view.features]
        names = [f"{counting}:n_10m", "punctuality:late_10m"]
        return Went(
            rungs,
            {task.name: task.facts() for operator in run.operators for task in operator.tasks()},
            told,
            tuple(of_bob(run, store, name, NOW + (first + steps) * STEP) for name in names),
            [m.lineage(learner) for m in app.models for learner in m.learners],
        )


def of_bob(run: LocalRun, store: MemoryStore, feature: str, as_of_ms: int) -> Any:
    """A feature of his row, in Lyon where the key has a city."""
    view = next(v for v in run.app.views if v.name == feature.partition(":")[0])
    bob = {"courier": ["bob"], "city": ["Lyon"]}
    entities = {key: bob[key] for key in view.keys}
    asked = read_request(json.dumps({"features": [feature], "entities": entities}).encode())
    return feature_reader(run.app).answer(asked, store, as_of_ms).results[-1].values[0]


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of the app that `freshet init` writes, and its text."""
    folder = tmp_path_factory.mktemp("parcels")
    init(folder / "app", Console(quiet=True))
    text = (folder / "app" / "app.py").read_text()
    run = folder / "run"
    run.mkdir()
    assert go_on(run, text, 0, BEFORE).rungs[-1] == "champion"
    return run, text


def edited(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


MODEL_RENAMED = ('    "late",\n    on', '    "late2",\n    on')
WEIGHT = '{"name": "weight_kg", "type": ["null", "double"]}],'
EXPRESS = '{"name": "weight_kg", "type": ["null", "double"]}, {"name": "express", "type": ["null", "boolean"], "default": None}],'
WITHOUT_DEFAULT = f'{WEIGHT[:-2]}, {{"name": "kg", "type": "double"}}], "schema_id": 3,'
CITIES = (
    (
        "# A model:",
        'cities = fr.View("cities", deliveries, key="city", features={"n": fr.count(over="1h")})\n# A model:',
    ),
    ("views=[load, punctuality]", "views=[load, punctuality, cities]"),
)
READS_CITIES = (
    "*(load[f] for f in load.features),",
    '*(load[f] for f in load.features), cities["n"],',
)
RETURNS = 'returns = fr.Topic("returns", {"type": "record", "name": "r", "schema_id": 7, "fields": PARCEL}, "parcel", "at")\n'
Change = tuple[tuple[str, str], ...]

GOES_ON: dict[str, Change] = {
    "nothing": (),
    "a comment, layout": (("# Views:", "# All the views:"), ("views=[load,", "views=[  # of all\n  load,")),
    "bounds of freshness": (('snapshot_every="5s"', 'model_slo="90s", feature_slo="9s", snapshot_every="5s"'),),
    "the order of views": (("views=[load, punctuality]", "views=[punctuality, load]"),),
    "the order of features of a view": (
        ('        "late_10m": fr.mean("minutes_late", over="10m"),\n', ""),
        ('fr.decayed_mean("minutes_late", "30m"),\n', 'fr.decayed_mean("minutes_late", "30m"), "late_10m": fr.mean("minutes_late", over="600s"),\n'),
        ("*(punctuality[f] for f in punctuality.features)", 'punctuality["late_10m"], punctuality["late_ewm"]'),
    ),
    "an owner": (('key="courier", features={"n_10m"', 'key="courier", owner="ann", features={"n_10m"'),),
    "a field with a schema id of its own": ((WEIGHT, EXPRESS + ' "schema_id": 3,'),),
    "a topic": (("app = fr.App(", RETURNS + "app = fr.App("), ("[handovers, deliveries]", "[handovers, deliveries, returns]")),
    "a view": CITIES,
    "fallback": (("fr.constant(0.3)", "fr.constant(0.4)"),),
    "release": (("min_examples=100", "min_examples=50"),),
    "a slice": (('slices=["city"]', 'slices=["city", "courier"]'),),
    "label_wait": (('label_wait="1h"', 'label_wait="2h"'),),
    "a learner removed": (("fr.Baseline(), ", ""),),
}  # fmt: skip


@pytest.fixture
def copy(parcels: tuple[Path, str], tmp_path: Path) -> Path:
    return shutil.copytree(parcels[0], tmp_path / "copy")


ALL = EVENTS * (BEFORE + 2)
NEW = EVENTS * 2


@pytest.mark.parametrize("what", GOES_ON)
def test_a_change_goes_on(what: str, parcels: tuple[Path, str], copy: Path) -> None:
    went = go_on(copy, edited(parcels[1], *GOES_ON[what]), BEFORE, 2)
    assert went.rungs == ["champion"] * 2
    assert went.of("view:load")["events"] == ALL
    assert went.of("join:late")["labelled"] == ALL
    assert went.of("train:late.hashed_logistic")["learned"] == ALL
    assert went.values == (ALL / 2, 20.0)
    is_about_something = what in ("a topic", "a view", "a learner removed")
    assert len(went.told) == is_about_something


@pytest.mark.parametrize(
    "change", [("rate=0.1", "rate=0.05"), ('slices=["city"]', 'slices=["city"], batch=32')]
)
def test_another_learner_learns_all_that_the_log_has(
    change: tuple[str, str], parcels: tuple[Path, str], copy: Path
) -> None:
    """Until it can answer, the old champion does."""
    went = go_on(copy, edited(parcels[1], change), BEFORE, 2)
    assert went.of("train:late.hashed_logistic")["learned"] == ALL
    assert went.rungs == ["champion"] * 2
    before = app_of(parcels[1], copy).models[0]
    assert went.lineage("hashed_logistic") not in map(before.lineage, before.learners)
    assert any("learns all examples that the log still has" in told for told in went.told)


def app_of(text: str, folder: Path) -> fr.App:
    (folder / "other.py").write_text(text)
    return load(folder / "other.py")


@dataclass(frozen=True)
class Anew:
    """What a change of declarations leads to: how many events each view has had in the end, and
    intake of deliveries; `values` are of bob, `load` over ten minutes and the mean of `late_10m`."""

    change: Change
    load: int = ALL
    punctuality: int = ALL
    deliveries: int = ALL
    learned: int = NEW
    values: tuple[float | None, ...] = (ALL / 2, 20.0)
    told: tuple[str, ...] = ()


BUILT = (
    "its rows are built of all that the log of {} holds, with its archive, and answer once that is "
    "done"
)
TAKEN_IN = "all that its log holds is taken in, from the first event on"
FILTER = ('"nobody"}', '"nobody", "odd": pl.col("minutes_late") > 500}')
WINDOW = ('fr.count(over="10m")', 'fr.count(over="20m")')
MODELS_BEGIN_ANEW = {
    "a view's window": Anew((WINDOW,), told=(BUILT.format("handovers"),)),
    "a feature added to a view": Anew(
        (('fr.count(over="10m")}', 'fr.count(over="10m"), "kg": fr.mean("weight_kg", over="10m")}'),),
        told=(BUILT.format("handovers"), "feature kg is added: mean(weight_kg over 10m)"),
    ),
    "a view's key": Anew(
        (('"load", handovers, key="courier"', '"load", handovers, key=("courier", "city")'),),
        told=(BUILT.format("handovers"), "key was courier, is courier, city"),
    ),
    "a view added to the model": Anew((*CITIES, READS_CITIES), told=(BUILT.format("deliveries"), "view cities is added")),
    "a filter added": Anew((FILTER,), told=(TAKEN_IN, BUILT.format("deliveries"))),
    "a filter's expression": Anew(
        (('pl.col("courier") == "nobody"', 'pl.col("minutes_late") < 1.0'),),
        punctuality=ALL // 2, learned=NEW // 2, told=(TAKEN_IN, BUILT.format("deliveries")),
    ),
    "an impute removed": Anew(
        (('    impute={"weight_kg": fr.impute.constant(1.0)},\n', ""),),
        told=(TAKEN_IN, BUILT.format("handovers"), "impute weight_kg is gone"),
    ),
    "the value of a constant impute": Anew(
        (("constant(1.0)", "constant(2.0)"),),
        told=(TAKEN_IN, BUILT.format("handovers"), "impute weight_kg was constant 1.0, is constant 2.0"),
    ),
    "domain": Anew((('"Porto"]', '"Porto", "Rome"]'),), told=(TAKEN_IN, BUILT.format("handovers"))),
    "range": Anew((("[-600, 6000]", "[-600, 9000]"),), told=("range -600 to 6000, is number, range -600 to 9000",)),
    "dedup": Anew((('    event_time="at",\n    drop', '    event_time="at",\n    dedup="2h",\n    drop'),), told=("dedup was 1h, is 2h",)),
    "max_age": Anew((('fr.count(over="10m")}', 'fr.count(over="10m")}, max_age="1h"'),), told=("view load is another",)),
    "the label": Anew((('("minutes_late") > 10)', '("minutes_late") > 15)'),), told=('> 10], is [(col("minutes_late")) > 15]',)),
}  # fmt: skip


@pytest.mark.parametrize("what", MODELS_BEGIN_ANEW)
def test_a_change_begins_anew_beside_what_there_was(
    what: str, parcels: tuple[Path, str], copy: Path
) -> None:
    """No lineage learns two questions, no row has two meanings, and what has not changed goes
    on."""
    expected = MODELS_BEGIN_ANEW[what]
    went = go_on(copy, edited(parcels[1], *expected.change), BEFORE, 2)
    assert went.of("view:load")["events"] == expected.load
    assert went.of("view:punctuality")["events"] == expected.punctuality
    assert sum(went.of("intake:deliveries")["fates"].values()) == expected.deliveries
    assert went.values == expected.values
    assert all(any(part in told for told in went.told) for part in expected.told), went.told
    text = edited(parcels[1], *expected.change)
    if app_of(text, copy).models[0].digest == app_of(parcels[1], copy).models[0].digest:
        # What was asked stays, and new lineages learn all of it.
        assert went.of("join:late")["asked"] == ALL
        assert went.of("train:late.hashed_logistic")["learned"] == ALL
        assert "lineage late.hashed_logistic is declared otherwise" in went.told[-1]
        return
    assert went.of("join:late")["asked"] == NEW
    assert went.of("train:late.hashed_logistic")["learned"] == expected.learned
    assert went.rungs[0] != "champion"
    assert "model late is declared otherwise" in went.told[-1]
    assert all(lineage in went.told[-1] for lineage in went.lineages)


def test_what_was_changed_and_put_back_goes_on(parcels: tuple[Path, str], copy: Path) -> None:
    """A view has not seen what was taken in meanwhile, and says so; its model goes on."""
    go_on(copy, edited(parcels[1], WINDOW), BEFORE, 2)
    went = go_on(copy, parcels[1], BEFORE + 2, 2)
    assert "its rows go on, without the events that were taken in meanwhile" in went.told[0]
    assert went.of("view:load")["events"] == ALL
    assert went.of("view:punctuality")["events"] == ALL + NEW
    assert went.values == (ALL / 2, 20.0)
    # What was asked meanwhile, too.
    assert went.of("train:late.hashed_logistic")["learned"] == ALL + NEW
    assert went.rungs[-1] == "champion"


def test_a_topic_that_was_changed_and_put_back_misses_nothing(
    parcels: tuple[Path, str], copy: Path
) -> None:
    go_on(copy, edited(parcels[1], FILTER), BEFORE, 2)
    went = go_on(copy, parcels[1], BEFORE + 2, 2)
    assert "it is taken in from where it was left" in went.told[0]
    assert "its rows go on;" in went.told[1]
    assert went.of("view:punctuality")["events"] == ALL + NEW
    assert sum(went.of("intake:deliveries")["fates"].values()) == ALL + NEW


def test_a_view_that_is_added_has_the_past(parcels: tuple[Path, str], copy: Path) -> None:
    went = go_on(copy, edited(parcels[1], *CITIES), BEFORE, 2)
    assert went.of("view:cities")["events"] == ALL
    assert went.rungs == ["champion"] * 2
    assert went.told == [f"view cities is new: {BUILT.format('deliveries')}."]


def test_a_view_of_another_name_has_the_past(parcels: tuple[Path, str], copy: Path) -> None:
    renamed = ('fr.View("load"', 'fr.View("burden"')
    went = go_on(copy, edited(parcels[1], renamed), BEFORE, 2)
    assert went.of("view:burden")["events"] == ALL
    assert went.of("view:punctuality")["events"] == ALL
    assert went.told[0] == f"view burden is new: {BUILT.format('handovers')}."
    assert went.told[-1] == "view load is gone: what it has kept is left as it is."


def test_a_model_of_another_name_begins_anew(parcels: tuple[Path, str], copy: Path) -> None:
    went = go_on(copy, edited(parcels[1], *CITIES, READS_CITIES, MODEL_RENAMED), BEFORE, 2)
    assert went.rungs[0] == "heuristic"
    assert went.of("train:late2.hashed_logistic")["learned"] == NEW


REFUSED: dict[str, Change] = {
    "a field under the same schema id": ((WEIGHT, EXPRESS),),
    "a field without a default": ((WEIGHT, WITHOUT_DEFAULT),),
    "partitions": (('    event_id="parcel",\n    event_time="at",\n    impute', '    event_id="parcel",\n    partitions=2,\n    event_time="at",\n    impute'),),
    "the app's name": (('fr.App("parcels"', 'fr.App("parcels2"'),),
    "a learner without a definition": (
        ("import freshet as fr\n", "import freshet as fr\nclass Mine(fr.Baseline):\n    def __repr__(self): return object.__repr__(self)\n"),
        ("fr.Baseline()", "Mine()"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_change_is_refused_with_the_text_of_the_page(
    what: str, parcels: tuple[Path, str], copy: Path
) -> None:
    with pytest.raises(FreshetError) as error:
        go_on(copy, edited(parcels[1], *REFUSED[what]), BEFORE, 1)
    told = str(error.value)
    quoted = [
        q for q in howto.text("changes").split("`") if len(q) > 40 and any(c.isspace() for c in q)
    ]
    assert any(all(part.strip() in told for part in q.split("…")) for q in quoted), told
    went = go_on(copy, parcels[1], BEFORE, 2)
    assert (went.told, went.of("view:load")["events"]) == ([], ALL), "nothing had changed"


def test_the_sentences_of_the_page_are_those_that_are_told(
    parcels: tuple[Path, str], copy: Path
) -> None:
    told = go_on(copy, edited(parcels[1], WINDOW), BEFORE, 1).told
    for sentence in told:
        assert re.sub(r"-[0-9a-f]{8}", "-DIGEST", sentence) in howto.text("changes")


# ------------------------------------------------------------ a learner of one's own
@pytest.fixture
def own(tmp_path: Path) -> Iterator[ModuleType]:
    """The page's learner, in the catalog for as long as a test runs."""
    howto.write("learners", tmp_path)
    with howto.imported(tmp_path, "own") as module:
        yield module
        del PREDICTORS[module.KIND]


@pytest.fixture
def case(own: ModuleType) -> Case:
    return Case(own.PlainLogistic(), within=0.0)


class TestPlainLogistic(LearnerBattery):
    pass


def test_the_page_s_own_test_runs_the_battery(own: ModuleType, tmp_path: Path) -> None:
    with howto.imported(tmp_path, "test_own") as tested:
        assert issubclass(tested.TestPlainLogistic, LearnerBattery)


def test_a_learner_of_one_s_own_is_served(
    own: ModuleType, parcels: tuple[Path, str], tmp_path: Path
) -> None:
    text = edited(
        parcels[1],
        ("import freshet as fr\n", "import freshet as fr\nfrom own import PlainLogistic\n"),
    )
    text = edited(
        text,
        ("learners=[fr.Baseline(), fr.HashedLogistic(rate=0.1)]", "learners=[PlainLogistic()]"),
    )
    run = tmp_path / "run"
    run.mkdir()
    went = go_on(run, text, 0, 4)
    assert went.rungs[-1] == "champion"
    assert went.of("train:late.plain_logistic")["learned"] == 4 * EVENTS


# ------------------------------------------------------------ JSON by a JSON Schema
def test_a_topic_by_a_json_schema_takes_what_is_valid_and_no_keyword_that_is_refused(
    tmp_path: Path,
) -> None:
    howto.write("json-schema", tmp_path)
    (schema,) = howto.blocks("json-schema", "json")
    (tmp_path / "order.schema.json").write_text(schema)
    (topic,) = load(tmp_path / "app.py").topics
    order = {
        "order-id": "6fa459ea-ee8a-3ca4-894e-db77e160355e",
        "placed_at": "2024-05-01T06:00:00Z",
    }
    reader = EventReader(topic, {})
    sound = {**order, "channel": "web", "price": 2.5}
    assert reader.read(json.dumps(sound).encode(), NOW)["order_id"] == order["order-id"]
    with pytest.raises(Misfit) as misfit:
        reader.read(json.dumps({**sound, "price": -1}).encode(), NOW)
    assert REASONS[misfit.value.reason] == "out_of_range"
    with_pattern = schema.replace('"string", "null"]', '"string", "null"], "pattern": "^V"')
    (tmp_path / "order.schema.json").write_text(with_pattern)
    with pytest.raises(FreshetError) as error:
        load(tmp_path / "app.py")
    assert f"error: {error.value}" in howto.text("json-schema")


# ------------------------------------------------------------ reading the past
def test_the_past_is_read_as_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy_day(tmp_path / ".freshet" / "run", hours=8) as (_, run):
        join = next(
            t.facts() for o in run.operators for t in o.tasks() if t.name.startswith("join")
        )
    monkeypatch.chdir(tmp_path)
    howto.write("examples", tmp_path)
    with howto.imported(tmp_path, "notebook") as page:
        fates = dict(page.fates.iter_rows())
        assert sum(fates.values()) == join["asked"]
        assert fates["labelled"] == join["labelled"]
        assert page.by_rung["len"].sum() == page.labelled.height
        shown = {"feature.shop", "feature.hour", "feature.price", "feature.shops.n"}
        assert shown <= set(page.features.columns)
        assert page.target.is_in([0.0, 1.0]).all()
        assert page.open_then.height > 3
        assert page.answers.height == join["asked"] + join["repeated_questions"]
        assert page.lost["len"].sum() == 2 * 7, "of each bad payment one, in hours 0 and 4"
        assert page.taken["event_at"].dtype == pl.Datetime("ms", "UTC")
        page.run.close()


# ------------------------------------------------------------ old data
@pytest.fixture
def old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    howto.write("old-data", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_old_data_is_learned_in_its_own_time(
    old_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with howto.imported(old_data, "replay") as replay:
        replay.main(days=20)
        assert "champion" in capsys.readouterr().out
        orders, _ = replay.mail_order(1)
    app = load("app.py")
    with LocalRun(app, Path(".freshet/run"), MemoryStore()) as run:
        asked = orders.head(2).with_columns(
            id=pl.Series(["now.0", "now.1"]), town=pl.Series(["Ghent", "Namur"])
        )
        answer = run.step(NOW, NOW + STEP, asked.with_columns(at=NOW).to_dict(as_series=False), {})
        learned = [
            t.facts()["learned"]
            for o in run.operators
            for t in o.tasks()
            if t.name.startswith("train")
        ]
    assert answer is not None
    assert answer.parameters["rung"] == "champion"
    assert answer.probabilities[0] > answer.probabilities[1]
    assert min(learned) > 500


def test_old_data_that_is_sent_live_is_not_learned_from(old_data: Path) -> None:
    then = 820_454_400_000
    told = {"id": "1", "town": "Ghent", "price": 1.0}
    with LocalRun(load("app.py"), old_data / "run", MemoryStore(), snapshot_every="1s") as run:
        events = {
            "orders": Sent([(NOW + 1, {**told, "at": then})]),
            "payments": Sent(
                [(NOW + 1, {"id": "1", "town": "Ghent", "at": then + DAY, "days_late": 2.0})]
            ),
        }
        run.step(NOW, NOW + STEP, {**{k: [v] for k, v in told.items()}, "at": [then]}, events)
        run.step(NOW + STEP, NOW + 2 * STEP, {}, {})
        facts = {t.name: t.facts() for o in run.operators for t in o.tasks()}
        model = run.app.model("late")
        found = frame_of(model, blocks_of(run.log, run.app.examples_log_of(model)))
    assert facts["intake:orders:0"]["fates"]["applied"] == 1
    assert facts["join:late:0"]["labelled"] == 1
    # From 50 of them on, promise and alert say so.
    assert facts["join:late:0"]["labels"]["since_used"]["saw_future"] == 1
    assert found.filter(fate="labelled")["saw_future"].all()
    trained = [f for name, f in facts.items() if name.startswith("train")]
    assert all(f["learned"] == 0 and f["snapshots"] > 0 for f in trained)


def test_one_event_of_today_makes_all_older_ones_late(old_data: Path) -> None:
    then = 820_454_400_000
    with LocalRun(load("app.py"), old_data / "run", MemoryStore()) as run:
        events = [
            (NOW, {"id": str(i), "town": "Ghent", "price": 1.0, "at": at})
            for i, at in enumerate((then, NOW, then))
        ]
        run.step(NOW, NOW + STEP, {}, {"orders": Sent(events)})
        facts = next(
            t.facts() for o in run.operators for t in o.tasks() if t.name == "intake:orders:0"
        )
    assert {k: n for k, n in facts["fates"].items() if n} == {"applied": 2, "dropped:late": 1}


# ------------------------------------------------------------ a producer of one's own
@pytest.mark.parametrize("before", [b"", b" ", b"\r\n", b"\xef\xbb\xbf"])
def test_white_space_and_a_byte_order_mark_before_json_are_passed_over(
    before: bytes, old_data: Path
) -> None:
    event = json.dumps({"id": "1", "town": "Ghent", "price": 1.0, "at": NOW, "more": 1}).encode()

    class Raw(Sent):
        def runs(self) -> list[tuple[int, list[bytes]]]:
            return [(NOW, [before + event])]

    with LocalRun(load("app.py"), old_data / "run", MemoryStore()) as run:
        run.step(NOW, NOW + STEP, {}, {"orders": Raw([(0, {})])})
        facts = next(
            t.facts() for o in run.operators for t in o.tasks() if t.name == "intake:orders:0"
        )
    assert facts["fates"]["applied"] == 1
