"""An explanation agrees with what was published, what was served and what was learned, and reading
it changes nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from freshet.app import load
from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.audit.ledger import read_event
from freshet.cli.main import cli
from freshet.dead_letters.letters import kinds, newest
from freshet.explain import row_events
from freshet.explain.explain import explain
from freshet.explain.explanation import Explanation, ViewRead
from freshet.explain.text import show_explanation
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.runs import record as run_record
from freshet.runs.opened import OpenedRun, opened
from freshet.schemas.errors import ComponentError, FreshetError, RequestError, StoreError
from freshet.schemas.models import manifest as manifests
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import CORRECTED, LABELLED
from freshet.serving.scoring.contract import Question
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.testing import LocalRun
from tests.freshet.toy_day import (
    HOUR,
    HOURS,
    MINUTE,
    SHOPS,
    Event,
    app_file,
    asked_in,
    payments_of,
    toy_day,
)

TILE = 10 * MINUTE
KEYED_ASIDE = """
import polars as pl
import freshet as fr
from tests.toy_app import ORDERS, PAYMENTS

held = fr.Freshness(snapshot_every="1h", label_wait="6h")
orders = fr.Topic("orders", ORDERS, "order_id", "at", freshness=held)
payments = fr.Topic("payments", PAYMENTS, "order_id", "at", freshness=held, partitions=3)
shops = fr.View("shops", payments, key="shop", tile="10m", features={{"n": fr.count(over="1h"), "last": fr.last("late")}})
model = fr.Model(
    "unpaid", on=orders, id="order_id", label=fr.Label(payments, "order_id", pl.col("late") > 10),
    features=[orders["price"], shops["n"], shops["last"]], learners=[fr.Baseline()], fallback=[fr.constant(0.3)],
)
app = fr.App({name!r}, topics=[orders, payments], views=[shops], models=[model])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explained")
    with toy_day(made):
        pass
    return made


@pytest.fixture
def run(folder: Path) -> Iterator[OpenedRun]:
    with opened(folder) as found:
        yield found


def test_values_recomputed_from_the_events_listed_are_those_that_were_served(
    run: OpenedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that where the reading back ends matters
    monkeypatch.setattr(row_events, "CHUNK_RECORDS", 2)
    seen = 0
    for hour in range(2, HOURS):
        as_of = (hour + 1) * HOUR
        for shop in SHOPS:
            (view,) = explain(run, f"{hour}.{shop}", whole_window=True).views
            if view.version is None:
                continue
            assert view.window is not None
            listed = [(e.event_ms, e.read["late"]) for e in view.window.events]
            since = (as_of // TILE - 5) * TILE
            assert listed == [
                (e["at"], e["late"]) for e in published(shop, hour) if e["at"] >= since
            ]
            assert view.values == recomputed(listed, published(shop, hour), as_of)
            assert view.window.agrees
            seen += len(listed)
    assert seen > 50


def published(shop: str, before_hour: int) -> list[Event]:
    """A shop's payments before an hour began, in the order in which they were published, each
    once."""
    events = [e for h in range(before_hour) for _, e in payments_of(h) if e["shop"] == shop]
    return list({e["order_id"]: e for e in events}.values())


def recomputed(
    listed: list[tuple[int, Any]], all_: list[Event], as_of: int
) -> dict[str, float | None]:
    """The features of `shops`, the slow and obvious way."""
    age = as_of - max(e["at"] for e in all_)
    known = [late for _, late in listed if late is not None]
    mean = float(np.float32(sum(known) / len(known))) if known else None
    return {"n": float(len(listed)), "late": mean, "ago": float(np.float32(age / 1000))}


def test_the_newest_event_behind_a_row_is_the_one_published_last_with_its_place_in_its_topic(
    run: OpenedRun,
) -> None:
    for hour in range(2, HOURS):
        (view,) = explain(run, f"{hour}.south").views
        last = published("south", hour)[-1]
        assert view.key == "south"
        assert view.newest is not None
        assert view.newest.fields == last
        assert view.newest.read == {"late": last["late"]}
        at_its_place = next(
            r
            for r in kept_by_run.records(run.log, "toy.payments", 0)
            if r.offset == view.newest.offset
        )
        event, _ = audit.read_event(at_its_place.value, run.app.topic("payments").events)
        assert (event, at_its_place.time) == (last, view.newest.append_ms)
        assert view.age_ms == (hour + 1) * HOUR - max(e["at"] for e in published("south", hour))


def test_the_answer_and_its_snapshot_are_those_of_the_scorer_and_the_manifest(
    run: OpenedRun, folder: Path
) -> None:
    e = explain(run, "12.north")
    assert e.answer.asked_ms == 13 * HOUR
    assert e.answer.instance.startswith("local/")
    assert (e.answer.rung, e.model, e.repeats) == ("champion", "unpaid", [])
    assert e.snapshot is not None
    path = folder / "snapshots" / "unpaid" / e.snapshot.lineage / f"{e.snapshot.number:06}.json"
    m = manifests.parsed(path.read_bytes())
    assert (e.snapshot.cut_ms, e.snapshot.examples, e.snapshot.digest, e.snapshot.size) == (
        m.tick,
        m.examples,
        m.sha256,
        m.size,
    )
    assert e.snapshot.signatures == {"trainer": "holds", "qualifier": "holds"}
    assert [(r.name, r.value) for r in e.request] == [
        ("shop", "north"),
        ("hour", "12"),
        ("price", 14.0),
    ]


def test_a_snapshot_that_is_not_kept_is_told_by_what_its_trainer_said(
    run: OpenedRun, folder: Path, tmp_path: Path
) -> None:
    told = explain(run, "12.north").snapshot
    assert told is not None
    gone = replace(run, settings=run.settings.model_copy(update={"run_dir": str(tmp_path)}))
    assert explain(gone, "12.north").snapshot == replace(
        told, kept=False, digest=None, size=None, signatures={}
    )


def test_what_an_altered_manifest_says_is_not_believed(
    run: OpenedRun, folder: Path, tmp_path: Path
) -> None:
    for name in ("snapshots", "keys"):
        shutil.copytree(folder / name, tmp_path / name)
    altered = replace(run, settings=run.settings.model_copy(update={"run_dir": str(tmp_path)}))
    told = explain(run, "12.north").snapshot
    assert told is not None
    path = tmp_path / "snapshots" / "unpaid" / told.lineage / f"{told.number:06}.json"
    path.write_bytes(
        path.read_bytes().replace(told.digest.encode() if told.digest else b"", b"0" * 64)
    )
    found = explain(altered, "12.north").snapshot
    assert found is not None
    assert (found.digest, found.cut_ms) == (None, told.cut_ms)
    assert "does not hold" in found.signatures["trainer"]


def test_outcomes_are_labelled_corrected_expired_or_pending_as_payments_came(
    run: OpenedRun,
) -> None:
    paid = explain(run, "3.north").outcome
    first = next(e for _, e in payments_of(5) if e["order_id"] == "3.north")
    assert (paid.state, paid.label, paid.label_ms) == (
        "labelled",
        float(first["late"] > 10),
        first["at"],
    )
    assert [x.used for x in paid.labels] == [True]
    late = explain(run, "1.south").outcome
    assert (late.state, late.label, late.due_ms) == ("corrected", 1.0, 8 * HOUR)
    never = explain(run, "4.west").outcome
    assert (never.state, never.label, never.labels, never.learned) == ("expired", None, [], [])
    open_ = explain(run, f"{HOURS - 1}.north").outcome
    assert (open_.state, open_.due_ms, open_.learned) == ("pending", (HOURS + 6) * HOUR, [])


@pytest.mark.parametrize("prediction", ["2.north", "3.south", "1.west", "10.north"])
def test_the_first_snapshot_told_to_reflect_an_example_is_the_first_whose_manifest_has_its_place(
    run: OpenedRun, folder: Path, prediction: str
) -> None:
    model = run.app.model("unpaid")
    place = place_of(run, prediction)
    learned = {x.lineage: x.snapshot for x in explain(run, prediction).outcome.learned}
    assert set(learned) == {model.lineage(x) for x in model.learners}
    for lineage, number in learned.items():
        kept = [
            manifests.parsed(p.read_bytes())
            for p in (folder / "snapshots" / "unpaid" / lineage).glob("*.json")
        ]
        assert number == min(m.number for m in kept if m.position > place)


def place_of(run: OpenedRun, prediction: str) -> int:
    """The offset of the example that a prediction became, read row by row."""
    for record in kept_by_run.records(run.log, run.app.examples_log_of(run.app.model("unpaid")), 0):
        block = blocks.decode(record.value)
        for row in block.rows.to_pylist() if block.rows is not None else []:
            if row["id"] == prediction and row["kind"] in (LABELLED, CORRECTED):
                return record.offset
    raise AssertionError(prediction)


def test_of_an_id_that_was_asked_twice_the_first_answer_is_explained_and_the_other_mentioned(
    run: OpenedRun,
) -> None:
    e = explain(run, "5.north")
    assert (e.answer.asked_ms, e.answer.counted) == (6 * HOUR, True)
    assert [(r.asked_ms, r.counted) for r in e.repeats] == [(7 * HOUR, False)]
    assert [r.same_request for r in e.repeats] == [True]
    assert e.outcome.contested_ms is None


def test_a_question_in_conflict_is_told_with_what_it_means_for_the_first(tmp_path: Path) -> None:
    """In hour 3 a stranger asks for an order whose label is learned, and for one that waits."""
    asked_ms = 4 * HOUR

    def stranger(hour: int, local: LocalRun) -> None:
        if hour == 3:
            columns = {"order_id": ["0.north", "2.north"], "shop": ["south"] * 2, "hour": [9] * 2}
            local.scorer.infer(Question("unpaid", columns, 2, as_of_ms=asked_ms))

    with toy_day(tmp_path, before=stranger, hours=6):
        pass
    with opened(tmp_path) as run:
        learned, waiting = (explain(run, f"{hour}.north") for hour in (0, 2))
    assert (learned.outcome.state, waiting.outcome.state) == ("labelled", "conflicted")
    assert learned.outcome.learned
    assert waiting.outcome.learned == []
    assert [label.used for label in waiting.outcome.labels] == [False]
    for e in (learned, waiting):
        assert e.outcome.contested_ms == asked_ms
        assert [(r.counted, r.same_request) for r in e.repeats] == [(False, False)]
        assert "its request said something else" in shown(e, 140)
        assert "labels after that are not learned" in shown(e, 140)


def test_a_view_without_a_row_of_the_key_says_so(run: OpenedRun) -> None:
    (view,) = explain(run, "stranger").views
    assert (view.key, view.version, view.newest) == ("east", None, None)
    assert set(view.values.values()) == {None}
    assert "nothing was known of this key" in view.note


def test_every_text_names_the_facts_at_any_width(run: OpenedRun) -> None:
    for prediction in (
        "3.north",
        "1.south",
        "4.west",
        f"{HOURS - 1}.north",
        "5.north",
        "stranger",
        "0.north",
    ):
        e = explain(run, prediction, whole_window=True)
        for width in (60, 80, 140):
            text = shown(e, width)
            assert max(len(line.rstrip()) for line in text.splitlines()) <= width
            assert f"{e.answer.probability:.4f}" in text
            for view in e.views:
                assert (
                    all(str(x.offset) in text for x in view.window.events)
                    if view.window
                    else view.note
                )


def shown(e: Explanation, width: int) -> str:
    out = io.StringIO()
    show_explanation(e, Console(width=width, file=out))
    return out.getvalue()


def test_an_id_that_was_never_asked_is_told_where_it_was_looked_for(run: OpenedRun) -> None:
    n = sum(len(asked_in(h)["order_id"]) for h in range(HOURS))
    with pytest.raises(RequestError) as told:
        explain(run, "nobody")
    assert (
        f"{run.app.outcomes_log_of(run.app.models[0])}) holds {n} predictions, asked from Thu 1 Jan 1970 01:00 to Thu 1 Jan 1970 14:00"
        in str(told.value)
    )
    assert "orders.order_id" in told.value.next_step
    with pytest.raises(
        RequestError, match=r"model 'paid': is none of app toy\. Its models are unpaid"
    ):
        explain(run, "3.north", "paid")
    with pytest.raises(RequestError, match="is empty"):
        explain(run, "")


def test_a_part_of_an_id_is_no_id(run: OpenedRun) -> None:
    for part in ("3.nort", "north", "13.north"[1:4], "."):
        with pytest.raises(RequestError):
            explain(run, part)


def test_commands_tell_the_same_in_text_and_json(run: OpenedRun, folder: Path) -> None:
    expected = explain(run, "3.north", whole_window=True)
    told = CliRunner().invoke(
        cli, ["explain", "3.north", "--all", "--json", "--run-dir", str(folder)]
    )
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert found["answer"]["probability"] == expected.answer.probability
    assert len(found["views"][0]["window"]["events"]) == len(expected.views[0].window.events)  # type: ignore[union-attr]
    plain = CliRunner().invoke(cli, ["explain", "3.north", "--run-dir", str(folder)])
    assert plain.exit_code == 0
    assert f"{expected.answer.probability:.4f} by the champion" in plain.stdout


def test_a_folder_without_a_run_or_without_its_log_is_told(folder: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(cli, ["explain", "x", "--run-dir", str(tmp_path)])
    assert isinstance(told.exception, ComponentError)
    assert "there is none" in str(told.exception)
    record = json.loads((folder / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "log": str(tmp_path / "gone")}))
    with pytest.raises(FreshetError, match="its log is gone"), opened(tmp_path):
        pass
    assert not (tmp_path / "gone").exists()


def test_it_works_while_the_run_goes_on_and_appends_nothing(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=8) as (app, local):
        before = {t: local.log.bounds(t) for t in plans.topics(app)}
        with opened(tmp_path) as run:
            during = explain(run, "4.north", whole_window=True)
        assert {t: local.log.bounds(t) for t in plans.topics(app)} == before
    with opened(tmp_path) as run:
        assert explain(run, "4.north", whole_window=True) == during


def test_a_key_that_was_not_logged_is_found_by_the_row_whose_events_make_the_values(
    tmp_path: Path,
) -> None:
    with toy_day(tmp_path, KEYED_ASIDE, hours=6):
        pass
    told = 0
    with opened(tmp_path) as run:
        for hour in range(2, 6):
            for shop in SHOPS:
                (view,) = explain(run, f"{hour}.{shop}", whole_window=True).views
                assert view.version is not None
                if view.newest is None:
                    assert repr(shop) in view.note
                    continue
                told += 1
                assert view.key == shop
                assert view.newest.fields in published(shop, hour)
                assert view.window is not None
                assert view.values["n"] == len(view.window.events)
    assert told > 6


class _Away(MemoryStore):
    """A store that can be reached when it wants."""

    away = False

    def read(self, wanted: Any) -> Any:
        if self.away:
            raise StoreError("store", "is away", "Wait.")
        return super().read(wanted)


def test_values_that_the_request_brought_and_a_store_that_was_away_are_told_apart_from_rows(
    tmp_path: Path,
) -> None:
    store = _Away()

    def ask(hour: int, local: LocalRun) -> None:
        if hour == 4:
            columns = {
                "order_id": ["sent"],
                "hour": [4],
                "price": [1.0],
                "shops.n": np.array([3.0]),
            }
            local.scorer.infer(Question("unpaid", columns, 1, as_of_ms=hour * HOUR))
            store.away = True
            away = {"order_id": ["away"], "shop": ["north"], "hour": [4], "price": [1.0]}
            # one that says its time would wait for the store
            local.scorer.infer(Question("unpaid", away, 1))
            store.away = False

    with toy_day(tmp_path, store=store, before=ask, hours=6):
        pass
    with opened(tmp_path) as run:
        (sent,) = explain(run, "sent").views
        assert (sent.values["n"], sent.version) == (3.0, None)
        assert "the request brought" in sent.note
        e = explain(run, "away")
        assert e.answer.rung == "constant"
        assert e.snapshot is None
        assert "could not be reached" in e.views[0].note


def test_a_row_beyond_its_max_age_is_named_as_such(tmp_path: Path) -> None:
    text = """
from dataclasses import replace
from tests.toy_app import reading, toy_app

app = toy_app()
shops = replace(app.views[0], max_age="2h")
app = replace(app, name={name!r}, views=[shops], models=[reading(app.models[0], shops)])
"""
    with toy_day(tmp_path, text, hours=9):
        pass
    with opened(tmp_path) as run:
        (view,) = explain(run, "8.west").views
        assert view.age_ms is not None
        assert view.age_ms > 2 * HOUR
        assert set(view.values.values()) == {None}
        assert "older than max_age=2h" in view.note


def test_a_row_that_was_over_is_told_from_a_key_that_nobody_knew(tmp_path: Path) -> None:
    text = """
from dataclasses import replace
from tests.toy_app import reading, toy_app

app = toy_app()
shops = replace(app.views[0], max_age=None, keep="2h")
app = replace(app, name={name!r}, views=[shops], models=[reading(app.models[0], shops)])
"""
    store = MemoryStore()
    with toy_day(tmp_path, text, hours=9, store=store):
        pass
    # Its last event was three hours before: it is not kept anywhere.
    assert {key for _, key in store.rows} >= {b"north", b"south"}
    assert b"west" not in {key for _, key in store.rows}
    with opened(tmp_path) as run:
        (view,) = explain(run, "8.west").views
        assert (view.version, view.age_ms) == (None, None)
        assert set(view.values.values()) == {None}
        assert "the newest event of this key was 3h" in view.note
        assert "rows are kept for 2h" in view.note
        (view,) = explain(run, "stranger").views
        assert "nothing was known of this key" in view.note


def test_the_same_is_told_of_a_run_over_kafka(kafka: str, tmp_path: Path, run: OpenedRun) -> None:
    url, name = f"kafka://{kafka}", f"explained{tmp_path.stat().st_ino}"
    with toy_day(tmp_path, name=name, log=open_log(url), log_url=url, hours=8):
        pass
    with opened(tmp_path) as on_kafka:
        for prediction in ("4.north", "2.west"):
            found, expected = (explain(r, prediction, whole_window=True) for r in (on_kafka, run))
            assert [_of_log(v) for v in found.views] == [_of_log(v) for v in expected.views]
            assert found.answer.probability == expected.answer.probability
            assert found.outcome.label_ms == expected.outcome.label_ms
        assert {k.reason: k.n for k in kinds(on_kafka)} == {k.reason: k.n // 2 for k in kinds(run)}
        assert [x.append_ms for x in newest(on_kafka, limit=3)] == [5 * HOUR + HOUR - MINUTE] * 3
        with pytest.raises(RequestError, match="holds 26 predictions"):
            explain(on_kafka, "nobody")


def _of_log(view: ViewRead) -> ViewRead:
    """What does not depend on how records were batched."""
    return replace(view, clean_log="", version=None)


# -------------------------------------------------------- records of which each is several events
EXPLODED = """
import polars as pl
import freshet as fr
from tests.toy_app import ORDERS

PARTS = {{"type": "record", "name": "parts", "fields": [
    {{"name": "order_id", "type": "string"}}, {{"name": "at", "type": "long"}}, {{"name": "shop", "type": "string"}},
    {{"name": "paid", "type": {{"type": "array", "items": ["null", "double"]}}}}]}}
held = fr.Freshness(snapshot_every="1h", label_wait="6h")
orders = fr.Topic("orders", ORDERS, "order_id", "at", freshness=held)
parts = fr.Topic("parts", PARTS, "order_id", "at", freshness=held, explode="paid")
every = fr.View("every", parts, key=(), tile="10m", features={{"n": fr.count(over="2h"), "sum": fr.sum("paid", over="2h")}})
model = fr.Model(
    "unpaid", on=orders, id="order_id", label=fr.Label(parts, "order_id", pl.col("paid") > 10),
    features=[orders["price"], every["n"], every["sum"]], learners=[fr.Baseline()], fallback=[fr.constant(0.3)],
)
app = fr.App({name!r}, topics=[orders, parts], views=[every], models=[model])
"""


class _Sent(list[dict[str, Any]]):
    def split(self, partitions: int) -> list[Any]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(event["at"], [json.dumps(event).encode()]) for event in self]


def test_every_label_of_a_record_of_several_events_is_told_with_its_place(tmp_path: Path) -> None:
    path = app_file(tmp_path, EXPLODED, "exploded")
    app = load(path)
    run_record.write(app.name, str(path), Settings(run_dir=tmp_path))
    paid = [None, 20.0, 5.0]
    with LocalRun(app, tmp_path, MemoryStore(), "1h") as local:
        for hour in range(1, 4):
            asked = {"order_id": [str(hour)], "shop": ["north"], "price": [1.0], "at": [0]}
            part = {"order_id": str(hour - 1), "at": hour * HOUR + 1, "shop": "north", "paid": paid}
            local.step(hour * HOUR, (hour + 1) * HOUR, asked, {"parts": _Sent([part])})
    with opened(tmp_path) as run:
        found = explain(run, "2", whole_window=True)
    told = [(label.element, label.value, label.used) for label in found.outcome.labels]
    assert told == [(0, None, False), (1, 1.0, True), (2, 0.0, False)]
    assert "parts partition 0 offset 2 element 2: label 0, not used" in shown(found, 140)
    (view,) = found.views
    assert view.window is not None
    assert view.window.agrees
    assert [event.element for event in view.window.events] == [0, 1, 2]
    assert view.values == {"n": 3.0, "sum": 25.0}


# ------------------------------------------------------------ records that were moved by their ids
BY_ID = KEYED_ASIDE.replace("partitions=3", 'partitions=3, dedup_by="topic"').replace(
    'features=[orders["price"]', 'features=[orders["shop"], orders["price"]'
)


def test_of_records_that_were_moved_by_their_ids_the_places_in_their_own_topic_are_told(
    tmp_path: Path,
) -> None:
    with toy_day(tmp_path, BY_ID, "moved"):
        pass
    seen = set()
    labels = 0
    with opened(tmp_path) as run:
        source = run.app.log_of("payments")
        there = {
            (p, record.offset): record
            for p in range(3)
            for record in kept_by_run.records(run.log, source, p)
        }
        for hour in range(2, HOURS):
            found = explain(run, f"{hour}.north", whole_window=True)
            for label in found.outcome.labels:
                labels += 1
                assert f"{hour}.north".encode() in there[label.partition, label.offset].value
            (view,) = found.views
            if view.version is None:
                continue
            assert view.window is not None
            assert view.window.agrees
            assert view.newest is not None
            assert view.newest.fields is not None
            assert view.newest.fields["at"] == view.newest.event_ms
            newest_record = there[view.newest.partition, view.newest.offset]
            assert newest_record.time == view.newest.append_ms
            for event in view.window.events:
                payment = read_event(
                    there[event.partition, event.offset].value, run.app.topic("payments").events
                )[0]
                assert payment is not None
                assert (payment["at"], payment["late"]) == (event.event_ms, event.read["late"])
                seen.add((event.partition, event.offset))
    assert {partition for partition, _ in seen} == {0, 1, 2}
    assert labels > 5
