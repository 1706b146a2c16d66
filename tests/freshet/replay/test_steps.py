"""Old data, from its files to what was learned of it, in one process: in steps of the data's own
time, in 1996 as in 1905."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.datafiles.files import DataError, data_files
from freshet.replay.replayer import Facts
from freshet.replay.report import Judged, ModelReport, model_report
from freshet.replay.sorting import SortedEvents
from freshet.replay.steps import (
    DataSteps,
    Gathered,
    Questions,
    Records,
    Span,
    Step,
    gather,
    usual_step_ms,
)
from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.schemas.events.decode import encode
from freshet.testing import LocalRun, MemoryStore, vectors_of
from tests.freshet.replay.toy_data import (
    MINUTE_MS,
    YEAR_1905,
    YEAR_1996,
    orders,
    payments,
    slow_references,
    write,
)
from tests.toy_app import toy_app

NOW = 1_795_890_000_000
ALL = Span(-(1 << 62), 1 << 62)
APP = toy_app()


@contextmanager
def steps_of(
    folder: Path, given: list[str], step_ms: int = HOUR_MS, span: Span = ALL
) -> Iterator[tuple[Gathered, list[Step]]]:
    with SortedEvents(folder / "sorted") as events:
        found = gather(APP, data_files(APP, given), span, NOW, events)
        assert found.first_ms is not None
        assert found.last_ms is not None
        ends = found.first_ms, found.last_ms
        yield found, list(DataSteps(APP, events, ends, step_ms, 7 * HOUR_MS))


def replayed(folder: Path, start: int) -> tuple[dict[str, bytes], ModelReport, list[Any]]:
    """Vectors as served, the report, and the swaps with their ticks since the start."""
    folder.mkdir()
    with (
        steps_of(folder, write(folder, start)) as (_, steps),
        LocalRun(APP, folder / "run", MemoryStore(), snapshot_every="3h") as run,
    ):
        for step in steps:
            run.step(step.start_ms, step.end_ms, step.asked.get("orders", {}), step.events)
        facts = Facts()
        for operator in run.operators:
            facts.of_tasks |= {task.name: task.facts() for task in operator.tasks()}
        model = APP.models[0]
        report = model_report(APP, run.log, model, Judged(facts, {}))
        swaps = [(s.tick - start, s.lineage, s.number) for s in run.swaps]
        return vectors_of(run, model), report, swaps


@pytest.fixture(scope="module")
def of_1996(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return replayed(tmp_path_factory.mktemp("replay") / "1996", YEAR_1996)


def test_1905_is_served_and_learned_bit_by_bit_as_1996_is(of_1996: Any, tmp_path: Path) -> None:
    assert (YEAR_1996 - YEAR_1905) % DAY_MS == 0
    vectors, report, swaps = replayed(tmp_path / "1905", YEAR_1905)
    assert (vectors, report, swaps) == of_1996
    assert len(swaps) > 5


def test_the_report_is_what_a_slow_computation_from_the_files_says(of_1996: Any) -> None:
    _, report, _ = of_1996
    asked = orders(YEAR_1996)
    prior_loss, no_change = slow_references(payments(asked))
    assert report["asked"] == report["labelled"] == 240
    assert report["prior"]["log_loss"] == round(prior_loss, 5)
    assert report["no_change"]["accuracy"] == round(no_change, 5)
    assert report["not_learned"] == {}
    for told in report["lineages"].values():
        assert told["learned"] == told["prequential"]["n"] == 240
        assert told["prior"]["log_loss"] == pytest.approx(prior_loss)
    best = min(told["prequential"]["log_loss"] for told in report["lineages"].values())
    assert best < report["prior"]["log_loss"]


def test_a_step_asks_before_anything_of_it_has_happened(tmp_path: Path) -> None:
    with steps_of(tmp_path, write(tmp_path, YEAR_1996)) as (_, steps):
        for step in steps:
            times = [t for records in step.events.values() for t, _ in records.runs()]
            assert all(step.start_ms < t <= step.end_ms for t in times)
            assert times == [] or times == sorted(times) or len(step.events) > 1
        assert [s.end_ms for s in steps[:-1]] == [s.start_ms for s in steps[1:]]
        assert sum(len(s.asked.get("orders", {}).get("order_id", [])) for s in steps) == 240
        published = sum(len(records) for s in steps for records in s.events.values())
        assert published == 480


def test_where_nothing_happens_one_step_leads_over_it(tmp_path: Path) -> None:
    old, new = (tmp_path / name for name in ("old", "new"))
    old.mkdir()
    new.mkdir()
    given = [*write(old, YEAR_1905, 6), *write(new, YEAR_1996, 6)]
    with steps_of(tmp_path, given) as (found, steps):
        assert found.rows == {"orders": 12, "payments": 12}
        assert len(steps) < 15
        assert (steps[0].start_ms, steps[-1].end_ms) == (
            YEAR_1905 - 1,
            (found.last_ms or 0) // HOUR_MS * HOUR_MS + 8 * HOUR_MS - 1,
        )


def test_rows_that_are_bad_are_published_where_they_stand_and_not_asked_about(
    tmp_path: Path,
) -> None:
    path = tmp_path / "orders.csv"
    lines = ["order_id,at,shop,price,hour", "a,1996-05-07,north,1,1", "b,never,north,1,1"]
    lines += ["c,1996-05-07T02:00,,1,1", "d,3000-01-01,north,1,1", "too,many,fields,in,this,line"]
    path.write_text("\n".join(lines) + "\n")
    with steps_of(tmp_path, [str(path)]) as (found, steps):
        assert found.rows["orders"] == 5
        published = [(s.end_ms + 1 - YEAR_1996, len(s.events["orders"])) for s in steps if s.events]
        assert published == [(HOUR_MS, 2), (3 * HOUR_MS, 3)]
        assert [s.asked["orders"].get("order_id", []) for s in steps if s.asked] == [["a"], []]


def test_each_event_of_a_record_is_asked_about() -> None:
    lines = {"type": "array", "items": {"type": "record", "name": "l", "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": "int", "range": [0, 9]},
    ]}}  # fmt: skip
    fields = [{"name": "at", "type": "long"}, {"name": "lines", "type": lines}]
    schema = {"type": "record", "name": "o", "fields": fields}
    topic = fr.Topic("orders", schema, event_id="lines.id", event_time="at", explode="lines")
    model = fr.Model(
        "m",
        on=topic,
        id="lines.id",
        label=fr.Label(topic, id="lines.id", value=pl.col("lines.n") > 3),
        features=[topic["lines.n"]],
        learners=[fr.Baseline()],
        fallback=[fr.constant(0.5)],
    )
    app = fr.App("toy", topics=[topic], views=[], models=[model])
    now = 1_700_000_000_000
    sent = [[("a", 1), ("b", 10)], [], [("c", 2), ("d", 3)]]
    values = encode(
        topic.records,
        [{"at": now, "lines": [{"id": name, "n": n} for name, n in each]} for each in sent],
    )
    asked = Questions(app, topic).of(Records([now] * 3, [0] * 3, values))
    assert asked == {"at": [now] * 3, "lines.id": ["a", "c", "d"], "lines.n": [1, 2, 3]}


def test_only_the_span_is_replayed(tmp_path: Path) -> None:
    given = write(tmp_path, YEAR_1996)
    span = Span(YEAR_1996 + HOUR_MS, YEAR_1996 + 2 * HOUR_MS)
    with steps_of(tmp_path, given, span=span) as (found, steps):
        asked = [i for s in steps if s.asked for i in s.asked["orders"]["order_id"]]
        assert asked == [f"o{i}" for i in range(6, 12)]
        assert found.outside == 480 - sum(found.rows.values())


def test_topics_without_files_need_no_times(tmp_path: Path) -> None:
    fields = [{"name": "text", "type": "string"}]
    notes = fr.Topic("notes", {"type": "record", "name": "note", "fields": fields}, None, None)
    app = replace(APP, topics=[*APP.topics, notes])
    with SortedEvents(tmp_path / "sorted") as events:
        found = gather(app, data_files(app, write(tmp_path, YEAR_1996)), ALL, NOW, events)
    assert found.rows["notes"] == 0 < found.rows["orders"]


def test_a_file_without_any_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text('{"order_id": "a", "at": "?"}\n' * 3)
    with (
        SortedEvents(tmp_path / "sorted") as events,
        pytest.raises(DataError, match=r"orders.jsonl: has no time .* in any of its first 3 rows"),
    ):
        gather(APP, data_files(APP, [str(path)]), ALL, NOW, events)


@pytest.mark.parametrize(
    ("days", "step"), [(0.01, 1_000), (1, MINUTE_MS), (31, 30 * MINUTE_MS), (40_000, 30 * DAY_MS)]
)
def test_a_step_that_nobody_chose_makes_some_thousands_of_them_at_most(
    days: float, step: int
) -> None:
    assert usual_step_ms(0, int(days * DAY_MS)) == step
