"""What users test their own apps with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.schemas.errors import DefinitionError, SchemaError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter
from freshet.streams.intake.fates import fates
from freshet.streams.registry import kept
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore

HOUR = 3_600_000
FIELDS = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
SCHEMA = {"type": "record", "name": "seen", "fields": FIELDS}


class Sent(list[int]):
    """Events at these times, in one partition."""

    def split(self, partitions: int) -> list[Sent]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(at, [json.dumps({"id": str(at), "at": at}).encode()]) for at in self]


def test_an_app_without_views_and_models_runs(tmp_path: Path) -> None:
    topic = fr.Topic("seen", SCHEMA, event_id="id", event_time="at")
    with LocalRun(fr.App("alone", topics=[topic]), tmp_path, MemoryStore()) as local:
        assert (
            local.step(HOUR, 2 * HOUR, {}, {"seen": Sent([HOUR + 1, HOUR + 2, HOUR + 2])}) is None
        )
    log = SqliteLog(str(tmp_path / "log"))
    _, ledger = kept_by_run.ledger(log, str(tmp_path / "checkpoints"), topic, "alone.seen", 0)
    counts = dict(zip(fates(topic), ledger[0].counts))
    assert {fate: n for fate, n in counts.items() if n} == {"applied": 2, "deduplicated": 1}


def test_a_model_of_another_name_goes_on_in_the_folder_of_an_earlier_run(tmp_path: Path) -> None:
    topic = fr.Topic("seen", SCHEMA, event_id="id", event_time="at")
    label = fr.Label(topic, id="id", value=pl.col("at") > 0)

    def app(model: str) -> fr.App:
        made = fr.Model(
            model, topic, "id", label, [topic["at"]], [fr.Baseline()], fallback=[fr.constant(0.2)]
        )
        return fr.App("renamed", topics=[topic], models=[made])

    def rungs(model: str, hours: range) -> list[object]:
        out = []
        with LocalRun(app(model), tmp_path, MemoryStore(), snapshot_every="1h") as local:
            for hour in hours:
                at = hour * HOUR + 1
                answer = local.step(
                    hour * HOUR,
                    (hour + 1) * HOUR,
                    {"id": [str(at)], "at": [at]},
                    {"seen": Sent([at])},
                )
                assert answer is not None
                out.append(answer.parameters["rung"])
        return out

    assert rungs("first", range(1, 5))[-1] == "champion"
    assert rungs("second", range(5, 6)) == ["constant"]


def test_a_topic_that_starts_at_its_end_is_read_from_the_first_step_on(tmp_path: Path) -> None:
    """Also where it was declared otherwise meanwhile: nothing of what was sent is passed over."""

    def applied(**more: Any) -> int:
        topic = fr.Topic("seen", SCHEMA, event_id="id", event_time="at", start="latest", **more)
        with LocalRun(fr.App("alone", topics=[topic]), tmp_path, MemoryStore()) as local:
            local.step(HOUR, 2 * HOUR, {}, {"seen": Sent([HOUR + len(more)])})
            task = next(t for t in local.operators[0].tasks() if t.name.startswith("intake"))
            fates = task.facts()["fates"]
            assert isinstance(fates, dict)
            return int(fates["applied"])

    assert applied() == 1
    assert applied(drop={"old": pl.col("at") < 0}) == 2


def test_records_of_an_earlier_schema_are_read_as_in_a_run(tmp_path: Path) -> None:
    """Also of a registry's, by what a run in the folder has kept."""
    written = EventWriter(EventSchema.parse({**SCHEMA, "schema_id": 5}, "seen"))
    place = {"name": "place", "type": ["null", "string"], "default": None}
    newer = {**SCHEMA, "schema_id": 6, "fields": [*FIELDS, place]}

    class Written(Sent):
        def runs(self) -> list[tuple[int, list[bytes]]]:
            return [(at, [written.encode({"id": str(at), "at": at})]) for at in self]

    def fates_of(schema: dict[str, Any], hour: int, **more: Any) -> dict[str, int]:
        topic = fr.Topic("seen", schema, event_id="id", event_time="at", **more)
        with LocalRun(fr.App("alone", topics=[topic]), folder, MemoryStore()) as local:
            at = hour * HOUR
            local.step(at, at + HOUR, {}, {"seen": Written([at + 1])})
            found = local.operators[0].tasks()[0].facts()["fates"]
            assert isinstance(found, dict)
            return {fate: n for fate, n in found.items() if n}

    folder = tmp_path / "declared"
    assert fates_of({**SCHEMA, "schema_id": 5}, 1) == {"applied": 1}
    assert fates_of(newer, 2) == {"applied": 2}
    other = {**SCHEMA, "schema_id": 7, "fields": [*FIELDS, {"name": "n", "type": "int"}]}
    with pytest.raises(SchemaError, match="cannot read what was written before"):
        fates_of(other, 3)
    folder = tmp_path / "registered"
    kept.keep(str(folder / "checkpoints"), "alone.seen", {5: {**SCHEMA, "schema_id": 5}}, ())
    assert fates_of(SCHEMA, 1, registry="seen-value") == {"applied": 1}


def test_a_registry_that_nobody_asks_is_refused(tmp_path: Path) -> None:
    class Shared(SqliteLog):
        is_shared = True

    topic = fr.Topic("seen", SCHEMA, event_id="id", event_time="at", registry="seen-value")
    log = Shared(str(tmp_path / "log"))
    with pytest.raises(DefinitionError, match="which a LocalRun asks nothing"):
        LocalRun(fr.App("alone", topics=[topic]), tmp_path, MemoryStore(), log=log)
    log.close()
