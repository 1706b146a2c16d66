"""Frames of a run's past hold what was served, bit for bit, and what was known then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from freshet.app import App, load
from freshet.cli.main import cli
from freshet.datasets.recorded_run import RecordedRun, open_run
from freshet.roles import plans
from freshet.runs import record as run_record
from freshet.schemas.errors import FreshetError, RequestError
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.settings import changed
from freshet.settings import Settings
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import task_of
from freshet.streams.archive.task import ArchiveTask, Rhythm, Start
from freshet.streams.log.contract import WHOLE, Log
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore, vectors_of
from tests.freshet.toy_day import HOUR, app_file, toy_day

Facts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], Facts]:
    """The folder of a toy day, its vectors as they were served, and what its tasks counted."""
    folder = tmp_path_factory.mktemp("recorded")
    with toy_day(folder) as (app, local):
        served = vectors_of(local, app.models[0])
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
    return folder, served, facts


@pytest.fixture
def run(day: tuple[Path, dict[str, bytes], Facts]) -> Iterator[RecordedRun]:
    with open_run(day[0]) as found:
        yield found


def as_logged(run: RecordedRun, frame: pl.DataFrame) -> dict[str, bytes]:
    """As `vectors_of` has them, made of a frame's columns."""
    vectors = run.app.models[0].vectors
    hashes = [Texts.of(frame[f"feature.{name}"].to_list()).hashes() for name in vectors.categories]
    numbers = [frame[f"feature.{name}"].fill_null(np.nan).to_numpy() for name in vectors.numbers]
    rows = zip(np.stack(hashes, 1), np.stack(numbers, 1), frame["probability"].to_numpy())
    made = [c.tobytes() + n.astype(np.float32).tobytes() + p.tobytes() for c, n, p in rows]
    return dict(zip(frame["id"].to_list(), made))


def test_every_row_is_the_vector_that_was_logged(
    run: RecordedRun, day: tuple[Path, dict[str, bytes], Facts]
) -> None:
    found = run.examples("unpaid")
    assert as_logged(run, found) == day[1]
    assert len(day[1]) > 40
    assert set(found["vector"]) == {"served"}


def test_frames_say_when_answers_were_known_and_in_what_order(run: RecordedRun) -> None:
    frame = run.examples()
    answered_rows = frame.filter(pl.col("answer").is_not_null()).sort("answer")
    assert (frame["answer"].is_not_null() == frame["label"].is_not_null()).all()
    assert answered_rows["known_at"].is_sorted()
    assert (answered_rows["known_at"] >= answered_rows["labelled_at"]).all()


def test_questions_have_the_fates_that_the_join_counted(
    run: RecordedRun, day: tuple[Path, dict[str, bytes], Facts]
) -> None:
    found = run.examples()
    joined = day[2]["join:unpaid:0"]
    counts = dict(found["fate"].value_counts().iter_rows())
    assert counts["labelled"] == joined["labelled"]
    assert counts["corrected"] == joined["corrected"] > 0
    assert counts["expired"] + counts["corrected"] == joined["expired"]
    assert sum(counts.values()) == joined["asked"]
    answered = found["fate"].is_in(["labelled", "corrected"])
    assert (found["label"].is_not_null() == answered).all()
    assert found.filter(answered)["label"].is_in([0.0, 1.0]).all()
    delays = (found["labelled_at"] - found["asked_at"]).drop_nulls()
    assert (delays > pl.Series([0], dtype=pl.Duration("ms"))[0]).all()
    corrected = found.filter(fate="corrected")
    assert (corrected["expired_at"] - corrected["asked_at"]).unique().to_list() == [
        datetime.fromtimestamp(6 * 3_600, UTC) - datetime.fromtimestamp(0, UTC)
    ]


def test_a_span_holds_its_first_moment_and_not_its_last(run: RecordedRun) -> None:
    hours = [
        run.examples(since=f"1970-01-01T{h:02}", until=f"1970-01-01T{h + 1:02}") for h in (3, 4)
    ]
    assert [part["id"].to_list() for part in hours] == [
        ["2.north", "2.south", "2.west"],
        ["3.north", "3.south", "3.west"],
    ]
    zoned = datetime.fromisoformat("1970-01-01T05:00+01:00")
    assert run.examples(since=zoned).equals(run.examples(since="1970-01-01T04:00"))
    assert run.examples(until="1970-01-01").is_empty()


def test_answers_are_there_also_where_they_were_asked_for_again(run: RecordedRun) -> None:
    found = run.predictions()
    assert found.filter(id="5.north").height == 2
    first = found.unique("id", keep="first", maintain_order=True)
    assert as_logged(run, first) == as_logged(run, run.examples())
    assert found["sequence"].to_list() == list(range(len(found)))


@pytest.mark.parametrize("topic", ["orders", "payments"])
def test_events_have_the_fates_that_the_ledger_counted(
    topic: str, run: RecordedRun, day: tuple[Path, dict[str, bytes], Facts]
) -> None:
    found = run.events(topic).collect()
    counts = dict(found["fate"].value_counts().iter_rows())
    counted = day[2][f"intake:{topic}:0"]["fates"]
    assert counts == {fate: n for fate, n in counted.items() if n}
    assert found["offset"].to_list() == list(range(len(found)))
    assert found.filter(fate="applied")["event.order_id"].is_not_null().all()
    assert found.filter(fate="dead:undecodable")["event.order_id"].is_null().all()


def test_of_events_what_is_asked_for_is_read(run: RecordedRun) -> None:
    whole = run.events("payments")
    some = whole.filter(pl.col("fate") == "applied").select("event.late", "event_at").head(5)
    assert some.collect().equals(
        whole.collect().filter(fate="applied").select("event.late", "event_at").head(5)
    )
    assert whole.select(pl.len()).collect().item() == whole.collect().height
    assert whole.collect_schema() == whole.collect().schema


ALONE = """
import polars as pl
import freshet as fr
schema = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "price", "type": ["null", "double"]},
    ],
}
orders = fr.Topic(
    "orders",
    schema,
    event_id="id",
    event_time="at",
    impute={"price": fr.impute.constant(7.0)},
    drop={"old": pl.col("at") < 3_600_000},
)
app = fr.App("alone", topics=[orders])
"""


def test_events_are_as_they_came_and_not_as_they_were_imputed(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(ALONE)
    app = load(path)
    times = (HOUR, HOUR, 5, HOUR)
    sent = [(HOUR + i, {"id": f"{i % 3}", "at": at, "price": None}) for i, at in enumerate(times)]
    run_record.write(app.name, str(path), Settings(run_dir=tmp_path))
    with LocalRun(app, tmp_path, MemoryStore()) as local:
        local.step(HOUR, 2 * HOUR, {}, {"orders": Sent(sent)})
    with open_run(tmp_path) as run:
        frame = run.events("orders").collect()
    assert frame["event.price"].null_count() == len(sent)
    assert frame["fate"].to_list() == ["applied", "applied", "dropped:late", "deduplicated"]


class Sent(list[tuple[int, dict[str, Any]]]):
    """Events of a topic of one partition, each with the time of its record."""

    def split(self, partitions: int) -> list[Sent]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(at, [json.dumps(event).encode()]) for at, event in self]


HOURS = 3
ONE_HOUR = """
import freshet as fr
from dataclasses import replace
from tests.toy_app import toy_app
app = replace(
    toy_app(learners=[fr.Baseline()], freshness={{"label_wait": "1h"}}), name={name!r}
)
"""
PAID = st.tuples(
    st.integers(1 * HOUR, (HOURS + 1) * HOUR - 1),
    st.sampled_from("abcdefgh"),
    st.sampled_from([None, 1.0, 20.0]),
)
ASKED = st.tuples(st.integers(1, HOURS), st.sampled_from("abcdefgh"), st.sampled_from([1.0, 2.0]))
WORLD = st.tuples(st.lists(PAID, max_size=14), st.lists(ASKED, max_size=12))


def went(folder: Path, world: Any) -> None:
    """A run in which this was asked and paid."""
    paid, asked = world
    path = app_file(folder, ONE_HOUR)
    app = load(path)
    run_record.write(app.name, str(path), Settings(run_dir=folder))
    with LocalRun(app, folder, MemoryStore(), "1h") as local:
        for hour in range(1, HOURS + 1):
            start = hour * HOUR
            sent = [
                (at, {"order_id": order, "at": at, "shop": "s", "late": late})
                for at, order, late in sorted(paid, key=lambda one: one[0])
                if start <= at < start + HOUR
            ]
            own = [one for one in asked if one[0] == hour]
            queries: dict[str, list[Any]] = {}
            if own:
                queries = {
                    "order_id": [order for _, order, _ in own],
                    "shop": ["s" for _ in own],
                    "price": [price for _, _, price in own],
                }
            local.step(start, start + HOUR, queries, {"payments": Sent(sent)})
        local.step((HOURS + 1) * HOUR, (HOURS + 2) * HOUR, {}, {})


@given(WORLD, WORLD, st.integers(1 * HOUR, (HOURS + 1) * HOUR))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_appended_later_changes_no_row_of_what_was_known(
    world: Any, other: Any, as_of_ms: int
) -> None:
    """Up to a moment two runs are the same, and then one has another future."""
    paid = [one for one in world[0] if one[0] <= as_of_ms]
    asked = [one for one in world[1] if one[0] * HOUR <= as_of_ms]
    future = (
        [*paid, *(one for one in other[0] if one[0] > as_of_ms)],
        [*asked, *(one for one in other[1] if one[0] * HOUR > as_of_ms)],
    )
    as_of = datetime.fromtimestamp(as_of_ms / 1_000, UTC)
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        went(Path(one), world)
        went(Path(two), future)
        with open_run(one) as first, open_run(two) as second:
            known = first.examples(as_of=as_of)
            assert known.equals(second.examples(as_of=as_of))
            assert set(known["id"]) == {order for _, order, _ in asked}
            # Long after its end all is known.
            assert first.examples(as_of="1971-01-01").equals(first.examples())


def test_a_changed_label_wait_holds_as_of_then_from_where_it_was_changed(tmp_path: Path) -> None:
    """By the offset that the join recorded."""
    folder = tmp_path / "run"
    with toy_day(folder, hours=4) as (app, local):
        (join,) = [o for o in local.operators if o.role == "join"]
        (task,) = join.tasks()
        declared = {t.name: t.freshness for t in app.topics}
        longer = changed(declared["payments"], "label_wait", "9h")
        end = local.log.bounds(app.outcomes_log_of(app.models[0])).spans[0][1]
        assert task.configure({**declared, "payments": longer}, end)
        hour = 4
        start = (hour + 1) * HOUR
        queries = {"order_id": ["x"], "shop": ["north"], "price": [1.0]}
        local.step(start, start + HOUR, queries, {})
        local.step(start + HOUR, start + 8 * HOUR, {}, {})
    with open_run(folder) as run:
        assert run.examples(as_of="1971-01-01").equals(run.examples())
        assert run.examples().filter(id="x")["fate"].to_list() == ["open"]


def test_what_was_deleted_from_the_log_is_read_from_the_archive(
    day: tuple[Path, dict[str, bytes], Facts], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with toy_day(folder, hours=6):
        pass
    with open_run(folder) as run:
        app = run.app
        before = frames(run)
    live = SqliteLog(str(folder / "log"))
    archive_and_delete(app, live, folder)
    live.close()
    with open_run(folder) as run:
        after = frames(run)
    for one, other in zip(before, after):
        assert one.equals(other)
        assert one.height


def frames(run: RecordedRun) -> list[pl.DataFrame]:
    found = [run.events(topic.name).collect() for topic in run.app.topics]
    return [*found, run.examples(), run.examples(as_of="1970-01-01T04:30"), run.predictions()]


def archive_and_delete(app: App, live: Log, folder: Path) -> None:
    """All of its logs but that of messages, up to the last two records."""
    intake = [plans.intake_plan(app, topic) for topic in app.topics]
    url = str(folder / "archive")
    for log, plan in plans.archive_plans(app, intake, True).items():
        bounds = live.bounds(log)
        first, after = bounds.spans[0]
        if after - first < 3 or log == app.control_log:
            continue
        rhythm = Rhythm(age_seconds=0.0)
        task = ArchiveTask(plan, Start(0, first, bounds.identity), ArchiveFolder(url), rhythm)
        reader = live.reader([log], None, headers={log: [WHOLE]})
        at = first
        while at < after:
            for batch in reader.poll(1_000, 1.0):
                task.apply(batch)
                task.write()
                at = int(batch.offsets[-1]) + 1
        reader.close()
        saved = Checkpoints(
            str(folder / "checkpoints"), task_of(plan.kind, log, 0), bounds.identity
        )
        saved.save(after, task.dump(True), True)
        live.delete_before(log, {0: after - 2})


def test_the_command_writes_what_the_frame_holds(
    day: tuple[Path, dict[str, bytes], Facts], run: RecordedRun, tmp_path: Path
) -> None:
    out = tmp_path / "late.parquet"
    given = ["dataset", "unpaid", "--from", "1970-01-01T03", "--as-of", "1970-01-01T08:00"]
    told = CliRunner().invoke(cli, [*given, "-o", str(out), "--run-dir", str(day[0])])
    assert told.exit_code == 0, told.output
    wanted = run.examples(since="1970-01-01T03", as_of="1970-01-01T08")
    assert pl.read_parquet(out).equals(wanted)
    assert f"{wanted.height} questions" in told.output
    assert f"{(wanted['fate'] == 'open').sum()} open" in told.output


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (["nobody", "-o", "x.parquet"], "none of app toy"),
        (["unpaid", "-o", "x.csv"], "does not end in .parquet"),
        (["unpaid", "-o", "x.parquet", "--as-of", "yesterday"], "is no moment"),
        (["unpaid", "-o", "/nowhere/x.parquet"], "cannot be written"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    given: list[str], cause: str, day: tuple[Path, dict[str, bytes], Facts], tmp_path: Path
) -> None:
    told = CliRunner().invoke(cli, ["dataset", *given, "--run-dir", str(day[0])])
    assert isinstance(told.exception, FreshetError)
    assert cause in str(told.exception)


def test_an_unknown_topic_or_model_is_named_with_those_that_there_are(run: RecordedRun) -> None:
    with pytest.raises(RequestError, match="Its topics are orders, payments"):
        run.events("nobody")
    with pytest.raises(RequestError, match="Its models are unpaid"):
        run.predictions("nobody")
