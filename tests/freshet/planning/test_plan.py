"""Plans: each kind of change, held against what was recorded when the app ran."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
import pytest

import freshet as fr
from freshet.declared.about import about
from freshet.declared.definitions import Definitions
from freshet.planning.changes import MEANINGS
from freshet.planning.history import History, OfLog
from freshet.planning.of_run import planned
from freshet.planning.plan import Plan, encoded, plan, refuse_moved
from freshet.planning.shown import lines
from freshet.schemas.errors import DefinitionError
from freshet.settings import settings
from freshet.streams.catalog import open_log
from freshet.streams.redrive.records import Again, blocks_of
from freshet.testing import LocalRun, MemoryStore
from tests.toy_app import toy_app

HOUR = 3_600_000
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "user", "type": "string"},
    {"name": "x", "type": ["null", "double"], "default": None},
    {"name": "note", "type": ["null", "string"], "default": None},
]


class Reading(NamedTuple):
    """A learner that reads features of the view of its own, in this order."""

    names: tuple[str, ...]
    name: str


def reading(*names: str, name: str = "baseline") -> Reading:
    return Reading(names, name)


class Declared(NamedTuple):
    """What an app declares, where changes differ."""

    fields: Sequence[Mapping[str, Any]] = tuple(FIELDS)
    drop: Mapping[str, Any] = {}
    impute: Any = 0.0
    derived: Any = pl.col("x") * 2
    features: Mapping[str, Any] = {"n": fr.count(over="1h"), "twice": fr.mean("twice", over="2h")}
    views: Sequence[str] = ("by_user",)
    label: Any = pl.col("x") > 0.5
    learners: Sequence[Any] = (fr.Baseline(),)
    reads: Sequence[str] = ("n",)
    topics: Sequence[str] = ("visits",)
    owner: str = ""

    def app(self) -> fr.App:
        topics = [
            fr.Topic(
                name,
                {"type": "record", "name": "visit", "fields": deepcopy(list(self.fields))},
                event_id="id",
                event_time="at",
                drop=self.drop,
                impute={"x": fr.impute.constant(self.impute)},
                derive={"twice": self.derived},
                owner=self.owner,
            )
            for name in self.topics
        ]
        views = [
            fr.View(name, topics[0], key="user", features=self.features) for name in self.views
        ]
        model = fr.Model(
            "m",
            on=topics[0],
            id="id",
            label=fr.Label(topics[0], id="id", value=self.label),
            features=[topics[0]["user"], *(views[0][name] for name in self.reads if views)],
            learners=[
                fr.Baseline(
                    name=learner.name,
                    features=[topics[0]["user"], *(views[0][name] for name in learner.names)],
                )
                if isinstance(learner, Reading)
                else learner
                for learner in self.learners
            ],
            fallback=[fr.constant(0.5)],
        )
        return fr.App("changing", topics=topics, views=views, models=[model])


WAS = Declared()
REQUIRED = [{**own, "required": True} if own["name"] == "note" else own for own in FIELDS]
ADDED = [*FIELDS, {"name": "more", "type": ["null", "double"], "default": None}]
BEGINS = "forward-only"
ALL_MADE = [
    ("view by_user", "indirectly affected", "breaking"),
    ("model m", "indirectly affected", BEGINS),
    ("lineage m.baseline", "indirectly affected", BEGINS),
]
OF_MODEL = [("model m", "changed", BEGINS), ("lineage m.baseline", "indirectly affected", BEGINS)]
# What it reads is another; what was asked is a fact, and stays.
OF_COLUMNS = ("lineage m.baseline", "indirectly affected", "breaking")
TOPIC = ("topic visits", "changed", "breaking")
KINDS: dict[str, tuple[Declared, list[tuple[str, str, str]]]] = {
    "view added": (
        WAS._replace(views=("by_user", "more")),
        [("view more", "added", "non-breaking")],
    ),
    "feature added": (
        WAS._replace(features={**WAS.features, "max": fr.max("x", over="1h")}),
        [("view by_user", "changed", "breaking")],
    ),
    "window changed": (
        WAS._replace(features={**WAS.features, "n": fr.count(over="2h")}),
        [("view by_user", "changed", "breaking"), OF_COLUMNS],
    ),
    "view removed": (
        WAS._replace(views=(), reads=()),
        [
            ("lineage m.baseline", "changed", "breaking"),
            ("view by_user", "removed", "destructive"),
        ],
    ),
    "filter changed": (WAS._replace(drop={"low": pl.col("x") < 0.1}), [TOPIC, *ALL_MADE]),
    "impute changed": (WAS._replace(impute=1.0), [TOPIC, *ALL_MADE]),
    "derived field changed": (
        WAS._replace(derived=pl.col("x") * 3),
        [TOPIC, *ALL_MADE],
    ),
    "schema field added": (
        WAS._replace(fields=tuple(ADDED)),
        [("topic visits", "changed", "non-breaking")],
    ),
    "schema field made required": (WAS._replace(fields=tuple(REQUIRED)), [TOPIC, *ALL_MADE]),
    "schema field removed": (
        WAS._replace(fields=tuple(FIELDS[:-1])),
        [("topic visits", "changed", "forward-only")],
    ),
    "label rule changed": (WAS._replace(label=pl.col("x") > 0.9), OF_MODEL),
    "model feature added": (
        WAS._replace(reads=("n", "twice")),
        [("lineage m.baseline", "changed", "breaking")],
    ),
    "model's features reordered": (
        WAS._replace(reads=("twice", "n"), learners=(reading("n"),)),
        [],
    ),
    "learner with a feature more added": (
        WAS._replace(learners=(fr.Baseline(), reading("n", "twice", name="more"))),
        [("lineage m.more", "added", "non-breaking")],
    ),
    "feature added for one learner alone": (
        WAS._replace(reads=("n", "twice"), learners=(reading("n"), fr.Baseline(name="more"))),
        [("lineage m.more", "added", "non-breaking")],
    ),
    "learner added": (
        WAS._replace(learners=(fr.Baseline(), fr.HashedLogistic(bits=10))),
        [("lineage m.hashed_logistic", "added", "non-breaking")],
    ),
    "learner's options changed": (
        WAS._replace(learners=(fr.Baseline(half_life=99.0),)),
        [("lineage m.baseline", "changed", "breaking")],
    ),
    "topic added": (
        WAS._replace(topics=("visits", "calls")),
        [("topic calls", "added", "non-breaking")],
    ),
    "owner changed": (WAS._replace(owner="ann"), [("topic visits", "changed", "metadata")]),
}


def recorded(app: fr.App) -> Definitions:
    """As a run keeps it, and reads it again."""
    kept = msgspec.json.encode(Definitions(app.name).now(app, 1))
    return msgspec.json.decode(kept, type=Definitions)


def made(was: Declared, now: Declared, found: History | None = None) -> Plan:
    return plan(now.app(), recorded(was.app()), settings(), found or History(0))


def told(found: Plan) -> list[tuple[str, str, str]]:
    return [(change.thing, change.how, change.kind) for change in found.changes]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_change_is_told_with_all_that_it_affects(kind: str) -> None:
    now, expected = KINDS[kind]
    found = made(WAS, now)
    assert told(found) == expected
    affected = {thing for thing, _, _ in expected}
    assert set(found.goes_on) == now.app().facts.keys() - affected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_changed_is_told_in_words_and_nothing_twice(kind: str) -> None:
    found = made(WAS, KINDS[kind][0])
    whose = ("changed", "indirectly affected")
    assert all(change.differences for change in found.changes if change.how in whose)
    text = "\n".join(lines(found))
    assert all(change.thing in text for change in found.changes)
    assert all(MEANINGS[change.kind] in text for change in found.changes)


def test_what_is_as_it_runs_is_no_change() -> None:
    found = made(WAS, WAS)
    assert found.changes == []
    assert list(lines(found)) == ["everything goes on as it is declared"]


def test_lineages_of_another_model_start_cold_and_another_learner_learns_what_there_is() -> None:
    now = KINDS["label rule changed"][0]
    lineage = now.app().models[0].lineage(fr.Baseline())
    assert [change.start_cold for change in made(WAS, now).changes] == [[lineage], []]
    now = KINDS["learner added"][0]
    model = now.app().models[0]
    log = now.app().examples_log_of(model)
    (change,) = made(WAS, now, History(9, {log: OfLog(7, 70, 3)}, rate=1.0)).changes
    assert change.learn_anew == [model.lineage(now.learners[1])]
    assert change.refill is not None
    assert (change.refill.records, change.refill.bytes, change.refill.from_ms) == (7, 70, 3)


def test_a_window_that_reaches_back_behind_the_log_says_from_when_on_it_is_complete() -> None:
    now = WAS._replace(views=("by_user", "more"))
    held = {"changing.visits": OfLog(120, 1_000, 3 * HOUR, was_longer=True)}
    (change,) = made(WAS, now, History(4 * HOUR, held, rate=2.0)).changes
    assert change.complete_from == {"twice": 5 * HOUR}, "n is of the last hour, which is there"
    assert change.refill is not None
    assert change.refill.minutes == 1.0
    text = "\n".join(lines(made(WAS, now, History(4 * HOUR, held, rate=2.0))))
    assert "twice is complete from Thu 1 Jan 1970 05:00 UTC on, null until then" in text
    assert "120 records, 0.0 MB, about 1.0 minutes" in text
    # A log that begins with its first record lacks none.
    held = {"changing.visits": OfLog(120, 1_000, 3 * HOUR)}
    (change,) = made(WAS, now, History(4 * HOUR, held, rate=2.0)).changes
    assert change.complete_from == {}


class Sent(list[dict[str, Any]]):
    def split(self, partitions: int) -> list[Sent]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(event["at"], [json.dumps(event).encode()]) for event in self]


def event(hour: int, number: int) -> dict[str, Any]:
    return {"id": f"{hour}-{number}", "at": hour * HOUR + number, "user": "ann", "x": 1.0}


def run(declared: Declared, folder: Path, hours: range) -> None:
    app = declared.app()
    with LocalRun(app, folder, MemoryStore(), snapshot_every="1d") as local:
        for hour in hours:
            sent = Sent(event(hour, number) for number in range(1, 31))
            local.step(hour * HOUR, (hour + 1) * HOUR, {}, {"visits": sent})


def test_a_plan_for_a_run_counts_what_its_log_holds(tmp_path: Path) -> None:
    run(WAS, tmp_path, range(1, 3))
    given = settings(run_dir=str(tmp_path), log=str(tmp_path / "log"))
    assert planned(WAS.app(), given).changes == []
    (change,) = planned(WAS._replace(views=("by_user", "more")).app(), given).changes
    refill = change.refill
    assert refill is not None
    assert (refill.records, refill.from_ms) == (60, HOUR + 1)
    sizes = [len(json.dumps(event(h, n)).encode()) for h in (1, 2) for n in range(1, 31)]
    assert refill.bytes == sum(sizes)
    letter = Again(0, 1, 0, HOUR, b"{}")
    values = blocks_of("visits", [letter])
    with closing(open_log(given.log_url)) as log, closing(log.writer()) as writer:
        writer.append("changing.redriven", 0, values, 3 * HOUR)
        writer.flush()
    (change,) = planned(WAS._replace(views=("by_user", "more")).app(), given).changes
    assert change.refill is not None
    assert (change.refill.records, change.refill.from_ms) == (61, HOUR + 1)
    assert change.refill.bytes == sum(sizes) + sum(map(len, values))


def test_records_of_letters_that_were_sent_again_are_read_for_a_view_from_the_past() -> None:
    held = {"changing.visits": OfLog(120, 1_000, 3 * HOUR), "changing.redriven": OfLog(5, 50, HOUR)}

    def refills(now: Declared) -> dict[str, int]:
        changes = made(WAS, now, History(4 * HOUR, held)).changes
        return {each.thing: each.refill.records for each in changes if each.refill is not None}

    assert refills(KINDS["view added"][0]) == {"view more": 125}
    # Its view's events come from intake, which takes the topic in anew.
    assert refills(KINDS["filter changed"][0]) == {"topic visits": 120, "view by_user": 120}


def test_a_saved_plan_is_refused_once_anything_that_it_rests_on_has_moved(tmp_path: Path) -> None:
    run(WAS, tmp_path, range(1, 3))
    now = WAS._replace(views=("by_user", "more"))
    given = settings(run_dir=str(tmp_path), log=str(tmp_path / "log"))
    file = tmp_path / "plan.json"
    file.write_bytes(encoded(planned(now.app(), given)))
    refuse_moved(file, planned(now.app(), given))
    others = {
        "the app is declared otherwise": planned(now._replace(owner="ann").app(), given),
        "settings are others": planned(
            now.app(), settings(run_dir=str(tmp_path), log=given.log, snapshot_every="2h")
        ),
        "a log begins elsewhere": plan(
            now.app(), recorded(WAS.app()), given, History(0, {"changing.visits": OfLog()})
        ),
    }
    for why, found in others.items():
        with pytest.raises(DefinitionError, match=why):
            refuse_moved(file, found)
    run(now, tmp_path, range(3, 4))
    with pytest.raises(DefinitionError, match="what runs is another"):
        refuse_moved(file, planned(now.app(), given))
    file.write_text("no plan")
    with pytest.raises(DefinitionError, match="cannot be read"):
        refuse_moved(file, planned(now.app(), given))


def test_what_is_told_about_a_thing_is_the_same_text_in_each_process(tmp_path: Path) -> None:
    """Else each start would write it anew, and no plan would hold."""
    app = toy_app()
    told = about(app)
    assert "0x" not in json.dumps(told)
    assert told == about(toy_app())
    assert told["model unpaid"]["fallback"].startswith('heuristic(when=[(col("shops.late"))')
