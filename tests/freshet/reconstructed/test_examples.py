"""Examples of definitions that never ran are those that would have been served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from freshet.app import load
from freshet.cli.main import cli
from freshet.datasets.recorded_run import RecordedRun, open_run
from freshet.runs import record as run_record
from freshet.schemas.errors import RequestError
from freshet.settings import Settings
from freshet.testing import LocalRun, MemoryStore
from tests.freshet.datasets.test_recorded_run import Sent
from tests.freshet.toy_day import HOUR, HOURS, MINUTE, SHOPS, payments_of, toy_day

# Another app, whose topics are the run's: a view and a model that it has not, and another label.
ASIDE = """
import polars as pl
import freshet as fr
from tests.toy_app import ORDERS, PAYMENTS, topics
orders, payments = topics()
last_half = fr.View(
    "last_half",
    payments,
    key="shop",
    tile="10m",
    features={
        "n": fr.count(over="30m"),
        "worst": fr.max("late", over="30m", where=pl.col("late") < 25),
        "decayed": fr.decayed_mean("late", half_life="1h"),
        "recent": fr.last("order_id"),
    },
)
model = fr.Model(
    "very_late",
    on=orders,
    id="order_id",
    label=fr.Label(payments, "order_id", pl.col("late") > 20),
    features=[orders["shop"], orders["at"], *(last_half[f] for f in last_half.features)],
    learners=[fr.Baseline()],
    fallback=[fr.constant(0.3)],
)
app = fr.App("aside", topics=[orders, payments], views=[last_half], models=[model])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reconstructed")
    with toy_day(made):
        pass
    return made


@pytest.fixture
def run(folder: Path) -> Iterator[RecordedRun]:
    with open_run(folder) as found:
        yield found


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    path = tmp_path / "aside.py"
    path.write_text(ASIDE)
    return path


def test_of_the_same_definition_every_value_is_the_one_that_was_served(
    run: RecordedRun, folder: Path
) -> None:
    served = run.examples().sort("asked_at", maintain_order=True)
    made = run.reconstructed(folder / "app.py", "unpaid")
    assert set(made["vector"]) == {"reconstructed"}
    assert made.drop("vector").equals(served.drop("vector"))
    assert made["feature.shops.late"].drop_nulls().len() > 20
    then = "1970-01-01T07:30"
    known = run.examples(as_of=then).sort("asked_at", maintain_order=True)
    assert (
        run.reconstructed(folder / "app.py", as_of=then).drop("vector").equals(known.drop("vector"))
    )


def test_features_that_never_ran_are_those_of_a_plain_loop(run: RecordedRun, aside: Path) -> None:
    made = run.reconstructed(aside, "very_late")
    assert made.height == run.examples().height
    for row in made.iter_rows(named=True):
        as_of = int(row["asked_at"].timestamp() * 1_000)
        assert {name: row[f"feature.last_half.{name}"] for name in ("n", "worst", "recent")} == (
            expected(row["feature.shop"], as_of)
        )
    # No question of the run was logged with its own time.
    assert made["feature.at"].null_count() == made.height
    assert (
        made.filter(pl.col("feature.last_half.n") > 0)["feature.last_half.decayed"].null_count()
        == 0
    )


def paid_before(shop: str, as_of: int) -> list[dict[str, Any]]:
    sent = [one for hour in range(HOURS) for one in payments_of(hour)]
    known = [event for at, event in sent if at < as_of and event["shop"] == shop]
    return list({event["order_id"]: event for event in known}.values())


def expected(shop: str, as_of: int) -> dict[str, Any]:
    """The features of the view, the slow and obvious way."""
    known = paid_before(shop, as_of)
    if not known:
        return {"n": None, "worst": None, "recent": None}
    since = (as_of // (10 * MINUTE) - 2) * 10 * MINUTE
    recent = [event for event in known if event["at"] >= since]
    lates = [e["late"] for e in recent if e["late"] is not None and e["late"] < 25]
    newest = max(known, key=lambda event: event["at"])
    return {
        "n": len(recent),
        "worst": max(lates, default=None),
        "recent": newest["order_id"],
    }


def test_another_label_is_found_anew(run: RecordedRun, aside: Path) -> None:
    made = run.reconstructed(aside)
    first: dict[str, tuple[int, float]] = {}
    for hour in range(HOURS):
        for appended, event in payments_of(hour):
            if event["late"] is not None:
                first.setdefault(event["order_id"], (appended, float(event["late"] > 20)))
    for row in made.iter_rows(named=True):
        asked = int(row["asked_at"].timestamp() * 1_000)
        appended, label = first.get(row["id"], (None, None))
        if appended is None:
            assert row["label"] is None
            assert row["fate"] in ("open", "expired")
        else:
            assert row["label"] == label
            assert row["fate"] == ("labelled" if appended < asked + 6 * HOUR else "corrected")
    assert {0.0, 1.0} <= set(made["label"])
    assert set(made["fate"]) == {"open", "expired", "labelled", "corrected"}


def test_where_nobody_asked_each_event_is_a_question(tmp_path: Path, aside: Path) -> None:
    """Of a run without models: also of what requests would say beside."""
    path = tmp_path / "app.py"
    path.write_text(ASIDE.replace("models=[model]", "models=[]").replace('"aside"', '"mute"'))
    app = load(path)
    run_record.write(app.name, str(path), Settings(run_dir=tmp_path))
    order = {"order_id": "a", "at": HOUR + 5, "shop": "south", "price": 1.0, "hour": 1}
    paid = {"order_id": "a", "shop": "south", "late": 22.0}
    sent = {
        "orders": Sent([(HOUR + 5, order), (HOUR + 60, {**order, "order_id": "b"})]),
        "payments": Sent([(HOUR + 9, {**paid, "at": HOUR + 9})]),
    }
    with LocalRun(app, tmp_path, MemoryStore()) as local:
        local.step(HOUR, 2 * HOUR, {}, sent)
    with open_run(tmp_path) as run:
        made = run.reconstructed(aside)
    assert made["id"].to_list() == ["a", "b"]
    assert made["fate"].to_list() == ["labelled", "open"]
    assert made["feature.last_half.n"].to_list() == [None, 1.0]
    assert made["feature.at"].to_list() == [float(HOUR + 5)] * 2


def test_the_command_takes_a_file_on_the_side(folder: Path, aside: Path, tmp_path: Path) -> None:
    out = tmp_path / "very_late.parquet"
    given = ["dataset", f"{aside}:very_late", "-o", str(out), "--run-dir", str(folder)]
    told = CliRunner().invoke(cli, given)
    assert told.exit_code == 0, told.output
    found = pl.read_parquet(out)
    assert set(found["feature.shop"]) <= {*SHOPS, "east"}
    assert "feature.last_half.n" in found.columns


def test_a_topic_that_the_run_has_not_is_named(run: RecordedRun, aside: Path) -> None:
    aside.write_text(aside.read_text().replace("orders, payments = topics()", OTHER_TOPICS))
    with pytest.raises(RequestError, match=r"bills.*none of the run's app toy"):
        run.reconstructed(aside)


OTHER_TOPICS = """
orders, _ = topics()
payments = fr.Topic("bills", PAYMENTS, "order_id", "at")
"""
