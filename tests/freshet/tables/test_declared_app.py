"""`freshet check` says what an app would run: nothing that is declared, runs or is written to is
left out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from rich.console import Console

import freshet as fr
from freshet.app import App, load
from freshet.demo.flights import APP
from freshet.roles import plans
from freshet.roles.names import role_names
from freshet.tables.declared_app import describe
from tests.toy_app import toy_app


def said(app: App, width: int = 110) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        describe(app, console)
    return captured.get()


def test_all_that_is_declared_and_all_that_runs_is_named() -> None:
    for app in (toy_app(), load(APP)):
        text = said(app)
        for name in (*role_names(app), *plans.topics(app)):
            assert f"\n  {name} " in text
        for v in app.views:
            assert f"\nview {v.name}\n" in text
            assert all(f"    {feature} " in text for feature in v.features)
        for m in app.models:
            assert all(m.lineage(x) in text for x in m.learners)
            assert m.label.topic.freshness.label_wait in text
        assert text.endswith("\nok\n")


def test_an_expression_is_shown_as_it_was_written_and_rungs_in_their_order() -> None:
    text = " ".join(said(toy_app()).split())
    assert '[(col("late")) > 10] of payments, by order_id, within 6h' in text
    assert (
        'champion → last good → heuristic [(col("shops.late")) > 20] (0.7, else 0.2) → constant 0.3'
        in text
    )


def test_what_no_model_and_no_fallback_means_is_told() -> None:
    assert "before the first snapshot: nobody, status 503" in " ".join(
        said(toy_app(fallback=[])).split()
    )


def test_for_how_long_rows_are_kept_is_told_and_what_keeps_them_for_ever() -> None:
    app = toy_app()
    shops = app.views[0]
    for features, more, expected in (
        ({"n": fr.count(over="10m")}, {}, "kept 10m after a key's newest event"),
        ({"n": fr.count(over="10m")}, {"keep": "7d"}, "kept 7d after a key's newest event"),
        ({"since": fr.age()}, {}, "kept for ever note no key is ever forgotten, as since would"),
        ({"since": fr.age()}, {}, 'declare keep="30d", say'),
    ):
        view = replace(shops, features=features, max_age=None, **more)
        text = said(replace(app, views=[view], models=[]), 400)
        assert expected in " ".join(text.split())


def test_a_narrow_terminal_cuts_no_name() -> None:
    app = load(APP)
    assert all(name in said(app, 80) for name in (*role_names(app), *plans.topics(app)))


def test_a_setting_that_nothing_reads_is_noted() -> None:
    idle = fr.Freshness(feature_slo="1s", snapshot_every="9s", lateness="3m", model_slo="60s")
    app = toy_app()
    spare = replace(app.topics[0], name="spare", freshness=idle)
    text = said(replace(app, topics=[*app.topics, spare]))
    section = text.split("\ntopic spare\n")[1].split("\n\n")[0]
    assert [" ".join(line.split()) for line in section.splitlines() if "no effect" in line] == [
        "note feature_slo has no effect: no view is over it",
        "note snapshot_every has no effect: no model's labels come from it",
    ]


def test_max_future_follows_lateness_and_a_longer_one_is_noted_where_sources_are_told_apart() -> (
    None
):
    app = toy_app()
    assert fr.Freshness(lateness="3m").ms("max_future") == 180_000
    assert fr.Freshness(lateness="3m", max_future="1m").ms("max_future") == 60_000
    note = "max_future 1d is beyond lateness 3m"
    for source, max_future, is_noted in (
        ("order_id", "1d", True),
        ("order_id", "0s", False),
        (None, "1d", False),
    ):
        freshness = fr.Freshness(lateness="3m", max_future=max_future)
        spare = replace(app.topics[0], name="spare", source=source, freshness=freshness)
        text = " ".join(said(replace(app, topics=[*app.topics, spare])).split())
        assert (note in text) == is_noted


def test_whole_numbers_that_a_model_rounds_are_named() -> None:
    app = toy_app()
    model = app.models[0]
    orders = model.on
    model = replace(model, slices=(), fallback=[fr.constant(0.5)], features=[orders["hour"]])
    whole = replace(model, features=[orders["hour"], orders["price"]])
    exact = replace(model, features=[fr.category(orders["hour"]), orders["price"]])
    note = "hour as float32: exact up to 16,777,216, beyond rounded"
    assert note in said(replace(app, models=[whole]))
    assert "float32" not in said(replace(app, models=[exact]))


def test_derived_fields_are_told_with_their_types() -> None:
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
    derive = {"hour": fr.hour("at", zone="Asia/Tokyo"), "half": pl.col("hour") / 2}
    schema = {"type": "record", "name": "seen", "fields": fields}
    topic = fr.Topic("seen", schema, "id", "at", derive=derive)
    label = fr.Label(topic, id="id", value=pl.col("half") > 3)
    model = fr.Model("m", topic, "id", label, [topic["hour"], topic["half"]], [fr.Baseline()])
    text = said(fr.App("app", topics=[topic], models=[model]))
    assert "long: hour of at (ms since 1970) by the clocks of Asia/Tokyo" in text
    assert 'double: [(col("hour")) / 2]' in text
    assert "numbers      hour, half" in text
    assert "float32" not in text


def test_last_whole_numbers_that_a_model_rounds_are_named() -> None:
    app = toy_app()
    model = app.models[0]
    features = {
        "hour": fr.last("hour"),
        "price": fr.last("price"),
        "most": fr.max("hour", over="1h"),
    }
    view = fr.View("lasts", model.on, key="order_id", features=features)
    read = [view["hour"], view["price"], view["most"]]
    model = replace(model, slices=(), fallback=[fr.constant(0.5)], features=read)
    note = (
        "lasts.hour as float32: exact up to 16,777,216, beyond rounded; consumers of features get"
    )
    assert note in " ".join(said(replace(app, views=[view], models=[model])).split())


def test_what_a_topic_of_others_is_read_by_is_named() -> None:
    schema = {
        "type": "record",
        "name": "visit",
        "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
    }
    visits = fr.Topic(
        "visits",
        schema,
        "id",
        "at",
        log="visits.v1",
        cluster="kafka://other:9092",
        start="2026-01-31",
        tombstone="delete",
        headers={"tenant": "x-tenant-id"},
    )
    text = said(App("shop", topics=[visits]), 200)
    for told in (
        "field tenant  from the header x-tenant-id of each record",
        "tombstones    each erases the row of its record's key, read as UTF-8 text",
        "start         2026-01-31T00:00:00+00:00: what was appended before is not read",
        "intake.visits   topics to clean logs, labels and dead letters",
    ):
        assert told in text
    assert re.search("visits.v1 +1 partition at least, made by others on kafka://other:9092", text)
    latest = said(App("shop", topics=[replace(visits, start="latest")]), 200)
    assert "latest: records that stand there when it first runs are not read" in latest


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, "1h"),
        (
            {"partitions": 2},
            "1h, within a partition: one that comes in two partitions counts twice, "
            "so send each id to the same one (pushes and replays do); "
            'dedup_by="topic" finds it everywhere',
        ),
        (
            {"log": "visits.v1"},
            "1h, within a partition: one that comes in two partitions counts "
            'twice; dedup_by="topic" finds it everywhere',
        ),
        (
            {"partitions": 2, "dedup_by": "topic"},
            "1h, over all partitions: records are first brought together by their id",
        ),
        (
            {"partitions": 2, "explode": "tags"},
            "1h, within a partition: one that comes in two partitions counts twice",
        ),
        ({"event_id": None}, "none: every record is an event of its own"),
    ],
)
def test_where_repeats_may_cross_partitions_is_told_with_the_next_step(
    declared: dict[str, Any], told: str
) -> None:
    schema = {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    }
    visits = fr.Topic(
        **{"name": "visits", "schema": schema, "event_id": "id", "event_time": "at", **declared}
    )
    app = App("shop", topics=[visits])
    text = said(app, 400)
    # A process may be called so, too: after the topic.
    line = next(line.strip() for line in text.splitlines() if line.strip().startswith("dedup  "))
    if visits.by_id:
        assert app.by_id_log_of(visits) in text
        assert "records brought together by their ids, to clean logs" in text
    assert line.removeprefix("dedup").strip() == told


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (None, "none are kept"),
        (
            fr.Statistics(bounds={"id": 0.5}, reference=("2026-01-05", "2026-02-02")),
            "beside 2026-01-05 to 2026-02-02 UTC; bounds id 0.5",
        ),
    ],
)
def test_statistics_that_are_declared_otherwise_are_told(declared: Any, told: str) -> None:
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
    schema = {"type": "record", "name": "visit", "fields": fields}
    visits = fr.Topic("visits", schema, "id", "at", statistics=declared)
    assert told in said(App("shop", topics=[visits]), 400)
