"""Who takes in what while two versions of an app are there, and whose logs are filled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.processes.versioned import described
from freshet.roles import plans
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.wire.blocks import FIELD, decode
from freshet.streams.intake.task import IntakeTask
from freshet.versions.carried import carried, carrying
from freshet.versions.owners import guests, owners, why_not_kept
from freshet.versions.record import Version
from freshet.versions.routes import with_guests
from tests.streams.toy_events import batch_of

FILE = Path(__file__)
LATE = {"name": "late", "type": ["null", "double"], "default": None}
TIP = {"name": "tip", "type": ["null", "double"], "default": None}


def app_of(*fields: dict[str, Any], reads: str = "late", **more: Any) -> fr.App:
    """A topic of these fields beside id and time, and a view that reads one."""
    ids = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
    schema = {"type": "record", "name": "paid", "schema_id": len(fields), "fields": [*ids, *fields]}
    topic = fr.Topic("paid", schema, "id", "at", **more)
    view = fr.View("sums", topic, key="id", features={"sum": fr.sum(reads, over="1h")})
    return fr.App("shop", topics=[topic], views=[view])


def version(number: int, app: fr.App) -> Version:
    import msgspec

    return msgspec.structs.replace(described(app, FILE), number=number)


OLD = version(1, app_of(LATE))


def test_what_both_declare_alike_is_taken_in_by_what_runs() -> None:
    found = owners(OLD, version(2, app_of(LATE, TIP)))
    assert (found.active, found.target) == ({"paid"}, set())


def test_a_topic_that_is_another_one_is_taken_in_by_each() -> None:
    other = version(2, app_of(LATE, drop={"small": pl.col("late") < 1}))
    found = owners(OLD, other)
    assert (found.active, found.target) == ({"paid"}, {"paid"})


def test_where_only_the_new_version_knows_a_field_it_takes_in_for_both() -> None:
    new = version(2, app_of(LATE, TIP, reads="tip"))
    found = owners(OLD, new)
    assert (found.active, found.target) == (set(), {"paid"})
    assert guests("paid", new, [OLD]) == [OLD.topics["paid"]]
    assert why_not_kept(new, OLD) == ""


def test_where_a_field_is_there_instead_of_another_one_the_new_version_reads_both() -> None:
    new = version(2, app_of(TIP, {"name": "x", "type": "int"}, reads="tip"))
    found = owners(OLD, new)
    assert (found.active, found.target) == (set(), {"paid"})
    assert guests("paid", new, [OLD]) == [OLD.topics["paid"]]


def test_a_number_that_is_wider_now_is_the_field_that_it_was() -> None:
    counted = {"name": "late", "type": ["null", "int"], "default": None}
    found = owners(version(1, app_of(counted)), version(2, app_of(LATE, TIP)))
    assert (found.active, found.target) == ({"paid"}, set())


def test_a_field_within_another_one_takes_two_steps() -> None:
    def within(name: str) -> fr.App:
        inner = {"type": "record", "name": "of", "fields": [{"name": name, "type": "double"}]}
        return app_of({"name": "more", "type": inner}, reads=f"more.{name}")

    with pytest.raises(DefinitionError, match="cannot have beside them what version 1 reads"):
        owners(version(1, within("late")), version(2, within("tip")))


def settled(app: fr.App, version_of: Version, fed: Version, *events: bytes) -> dict[str, list[Any]]:
    """The column that each clean log gets of these records, by its log."""
    plan = plans.intake_plan(app, app.topics[0], {1: app_of(LATE).topics[0].events})
    found = guests("paid", version_of, [fed])
    plan = carrying(
        with_guests(plan, found), [carried(each, version_of.topics["paid"]) for each in found]
    )
    out = IntakeTask(plan, 0).apply(batch_of(events, range(len(events)), [10] * len(events)))
    columns: dict[str, list[Any]] = {}
    for append in out.appends:
        rows = decode(append.values[0]).rows
        if append.topic in {route.to for route in plan.clean} and rows is not None:
            (name,) = (name for name in rows.schema.names if name.startswith(FIELD))
            columns.setdefault(name.removeprefix(FIELD), []).extend(rows.column(name).to_pylist())
    return columns


def test_records_are_read_by_the_schema_of_their_writer_for_both() -> None:
    new = app_of(TIP, {"name": "x", "type": ["null", "int"], "default": None}, reads="tip")
    of_before = EventWriter(app_of(LATE).topics[0].events)
    of_now = EventWriter(new.topics[0].events)
    records = (
        of_before.encode({"id": "a", "at": 1, "late": 3.0}),
        of_now.encode({"id": "b", "at": 2, "tip": 5.0, "x": 1}),
    )
    found = settled(new, version(2, new), OLD, *records)
    assert found == {"late": [3.0, None], "tip": [None, 5.0]}


def test_a_field_by_another_name_is_written_by_both_names_and_can_be_gone_back_to() -> None:
    delay = {"name": "delay", "aliases": ["late"], "type": ["null", "double"], "default": None}
    new = app_of(delay, {"name": "x", "type": ["null", "int"], "default": None}, reads="delay")
    of_before = EventWriter(app_of(LATE).topics[0].events)
    of_now = EventWriter(new.topics[0].events)
    records = (
        of_before.encode({"id": "a", "at": 1, "late": 3.0}),
        of_now.encode({"id": "b", "at": 2, "delay": 5.0, "x": 1}),
    )
    both = [3.0, 5.0]
    assert settled(new, version(2, new), OLD, *records) == {"late": both, "delay": both}
    assert why_not_kept(version(2, new), OLD) == ""


def test_what_reads_a_field_that_is_gone_cannot_be_gone_back_to() -> None:
    new = version(2, app_of(TIP, reads="tip"))
    assert why_not_kept(new, OLD) == "topic paid has no longer what it reads: late"


def test_logs_of_another_version_are_filled_as_that_would_fill_them() -> None:
    """Its routes are data, and come back as what they were."""
    new = app_of(LATE, TIP, reads="tip")
    fee = fr.View(
        "fees", new.topics[0], key="id",
        features={"n": fr.count(over="1h", where=(pl.col("tip") > 1) & (pl.col("late") < 2))},
    )  # fmt: skip
    new = replace(new, views=[*new.views, fee])
    own = plans.intake_plan(new, new.topics[0])
    fed = with_guests(own, guests("paid", version(2, new), [OLD]))
    old = app_of(LATE)
    assert fed.clean[:2] == own.clean, "its own come first"
    assert fed.clean[2:] == plans.intake_plan(old, old.topics[0]).clean
    round_trip = with_guests(replace(own, clean=()), [version(2, new).topics["paid"]])
    told = [(r.to, r.fields, r.masked, list(map(str, r.conditions))) for r in round_trip.clean]
    assert told == [(r.to, r.fields, r.masked, list(map(str, r.conditions))) for r in own.clean]


def test_its_own_logs_are_filled_once() -> None:
    app = app_of(LATE)
    plan = plans.intake_plan(app, app.topics[0])
    assert with_guests(plan, [OLD.topics["paid"]]) == plan


@pytest.mark.parametrize("tombstone", ["delete"])
def test_what_erases_by_a_key_keeps_that(tombstone: Any) -> None:
    ids = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}, LATE]
    schema = {"type": "record", "name": "paid", "schema_id": 1, "fields": ids}
    topic = fr.Topic("paid", schema, "id", "at", tombstone=tombstone)

    def by(key: str) -> Version:
        view = fr.View("sums", topic, key=key, features={"n": fr.count(over="1h")})
        return described(fr.App("shop", topics=[topic], views=[view]), FILE)

    found = owners(by("id"), by("id"))
    assert found.active == {"paid"}
