"""What lies in a run's archive, as any tool finds it, is what the run had: its fates, its columns,
and all that a replay needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from freshet.app import App
from freshet.audit import kept
from freshet.audit.ledger import judged
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.wire import blocks
from freshet.streams.archive import layout
from freshet.testing import LocalRun, vectors_of
from tests.freshet.archived_day import ArchivedTopic, ByPartition, archived
from tests.freshet.toy_day import HOUR, HOURS, asked_in, toy_day

DOC = Path(__file__).parents[3] / "docs" / "archive.md"
# Intake tells at a tick of its own what became of the last records.
ENDS = HOURS + 2


class Day(NamedTuple):
    """A day that was archived; `changed` has a topic that is declared otherwise, which went on in
    the same folder."""

    app: App
    changed: App
    url: str
    local: LocalRun
    store: MemoryStore


def without_south(app: App) -> App:
    """The same, whose payments of one shop are dropped."""
    payments = app.topic("payments")
    fewer = replace(payments, drop={"south": pl.col("shop") == "south"})
    (view,) = app.views
    (model,) = app.models
    view = replace(view, topic=fewer)
    refs = {f"shops.{name}": view[name] for name in view.features}
    features = [refs.get(str(getattr(ref, "name", "")), ref) for ref in model.features]
    label = replace(model.label, topic=fewer)
    model = replace(model, label=label, features=features)
    topics = [fewer if topic.name == "payments" else topic for topic in app.topics]
    return replace(app, topics=topics, views=[view], models=[model])


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("archived")
    url = str(folder / "archive")
    checkpoints_url = str(folder / "checkpoints")
    store = MemoryStore()
    with toy_day(folder, store=store) as (app, local):
        local.step(ENDS * HOUR, (ENDS + 1) * HOUR, {}, {})
        for operator in local.operators:
            operator.checkpoint()
        archived(app, local.log, url, checkpoints_url)
        changed = without_south(app)
        with LocalRun(changed, folder, MemoryStore(), "2h") as later:
            later.step((ENDS + 1) * HOUR, (ENDS + 2) * HOUR, {}, {})
            later.step((ENDS + 2) * HOUR, (ENDS + 3) * HOUR, {}, {})
            archived(changed, later.log, url, checkpoints_url, "archive.changed")
        yield Day(app, changed, url, local, store)


def told_fates(day: Day, app: App, name: str) -> dict[tuple[int, int], str]:
    """By offset and place in the record, as the files say: runs of whole records."""
    log = app.fates_log_of(app.topic(name))
    files = f"{day.url}/app={app.name}/kind=fates/name={log}/**/*.parquet"
    runs = pl.read_parquet(files).filter(pl.col("row.fate").is_not_null()).sort("offset")
    found = {}
    for row in runs.iter_rows(named=True):
        # Of toy records each is one event.
        offsets = range(row["row._offset"], row["row.last_offset"] + 1)
        assert len(offsets) == row["row.events"]
        found |= {(offset, 0): row["row.fate"] for offset in offsets}
    return found


@pytest.mark.parametrize("name", ["payments", "orders"])
@pytest.mark.parametrize("is_changed", [False, True])
def test_fates_in_the_files_of_each_definition_are_those_that_the_auditor_finds(
    day: Day, name: str, is_changed: bool
) -> None:
    app = day.changed if is_changed else day.app
    records = kept.records(day.local.log, app.log_of(name), 0)
    expected = {
        (one.offset, one.place): one.fate for one in judged(app.topic(name), records, earlier={})
    }
    found = told_fates(day, app, name)
    assert found == expected
    fates = set(found.values())
    if name == "payments":
        assert {"applied", "deduplicated", "dead:undecodable", "dead:out_of_range"} <= fates
        assert ("dropped:south" in fates) == is_changed


def documented(text: str, begins: str) -> dict[str, str]:
    """The columns of the table that follows these words, and their types."""
    _, _, after = text.partition(begins)
    table = after.split("\n\n")[1]
    found = {}
    for line in table.splitlines()[2:]:
        names, types, _ = (cell.strip() for cell in line.strip("|").split("|", 2))
        columns = re.findall(r"`([^`]+)`", names)
        kinds = [kind.strip() for kind in re.sub(r"\(.*?\)", "", types).split(",")]
        # One type for all, or one for each.
        kinds = kinds if len(kinds) == len(columns) else kinds[:1] * len(columns)
        found |= dict(zip(columns, kinds))
    return found


def of_kind(day: Day, kind: str) -> list[Path]:
    return sorted(Path(day.url, f"app={day.app.name}", f"kind={kind}").rglob("*.parquet"))


def types_of(file: Path) -> dict[str, str]:
    short = {"timestamp[ms, tz=UTC]": "timestamp"}
    schema = pq.read_schema(file)
    return {field.name: short.get(str(field.type), str(field.type)) for field in schema}


def test_what_lies_on_disk_is_what_the_page_of_the_layout_says(day: Day) -> None:
    text = DOC.read_text()
    table = text.partition("| `kind` |")[2].splitlines()[0]
    kinds = set(re.findall(r"`([a-z]+)`", table))
    on_disk = {path.name.removeprefix("kind=") for path in Path(day.url).glob("app=*/kind=*")}
    assert kinds == on_disk
    for file in Path(day.url).rglob("*"):
        # Every path says what it is of, and nothing else lies there.
        if file.is_file():
            found = layout.named(str(file))
            rows = pq.read_table(file)
            assert layout.digest_of(file.read_bytes()) == found.digest
            assert layout.day_at(rows["time"][0].value) == found.day
            assert found.first <= rows["offset"][0].as_py()
            assert rows["offset"][-1].as_py() == found.after - 1

    of_topics = documented(text, "Of a topic:")
    (first, *_) = of_kind(day, "source")
    own = types_of(first)
    events = [name for name in own if name.startswith("event.")]
    assert events
    plain = {name: kind for name, kind in of_topics.items() if name != "event.…"}
    kind_of = {name: kind for name, kind in own.items() if name not in events}
    # A struct's own names for its parts are told in words.
    assert kind_of.pop("headers").startswith("list<")
    assert plain.pop("headers").startswith("list of")
    assert kind_of == plain

    of_blocks = documented(text, "Of the app's own logs a row is a row of a record")
    of_fates = documented(text, "A row is a run of neighbours")
    for kind in kinds - {"source", "control"}:
        for file in of_kind(day, kind):
            own = types_of(file)
            assert own.pop("offset") == "int64"
            assert own.pop("time") == "timestamp"
            head = {name: type_ for name, type_ in own.items() if not name.startswith("row.")}
            assert head == {name: t for name, t in of_blocks.items() if name != "row.…"}
            rows = {name: t for name, t in own.items() if name.startswith("row.")}
            if kind == "fates":
                assert rows == {n: t for n, t in of_fates.items() if n != "block.partition"}
    last_three = ("schema_id", "reason", "event.…")
    (control, *_) = of_kind(day, "control")
    assert types_of(control).keys() == of_topics.keys() - set(last_three)


def test_a_replay_from_the_archive_alone_is_bit_equal_to_the_live_run(
    day: Day, tmp_path: Path
) -> None:
    topics = {topic.name: ArchivedTopic(day.url, day.app, topic) for topic in day.app.topics}
    store = MemoryStore()
    with LocalRun(day.app, tmp_path, store, "2h") as again:
        for hour in range(HOURS):
            start = (hour + 1) * HOUR
            span = (start, start + HOUR)
            told: Mapping[str, ByPartition] = {
                name: topic.events(*span) for name, topic in topics.items()
            }
            # Each order was asked about, as it was published.
            orders = topics["orders"].columns(*span)
            asked: dict[str, list[Any]] = {
                name: orders[name].to_list() for name in ("order_id", "shop", "hour", "price")
            }
            asked["at"] = [(each + 1) * HOUR for each in asked["hour"]]
            assert asked == asked_in(hour)
            again.step(start, start + HOUR, asked, told)
        again.step(ENDS * HOUR, (ENDS + 1) * HOUR, {}, {})
        (model,) = day.app.models
        assert vectors_of(again, model) == vectors_of(day.local, model)
        for log in (day.app.examples_log_of(model), *map(day.app.clean_log_of, day.app.views)):
            assert repr(rows_of(again, log)) == repr(rows_of(day.local, log))  # of NaN, too
        # Rows, weights, ledgers, whatever is pending: all that any operator goes on from.
        assert state_of(again) == state_of(day.local)
    assert store.rows == day.store.rows


def state_of(local: LocalRun) -> dict[str, dict[str, bytes]]:
    found = {
        task.name: {name: np.asarray(a).tobytes() for name, a in task.dump(True).items()}
        for operator in local.operators
        for task in operator.tasks()
    }
    for name, state in found.items():
        if name.startswith("join:"):
            # By the names of scorers, each of which is one of its own.
            del state["cursors"]
    return found


def rows_of(local: LocalRun, log: str) -> list[dict[str, Any]]:
    """In order: where blocks end is nobody's promise."""
    decoded = [blocks.decode(one.value).rows for one in kept.records(local.log, log, 0)]
    return [row for rows in decoded if rows is not None for row in rows.to_pylist()]
