"""The apps of `docs/howto/three-tasks.md`, as the page says: what was served, asked row by row, is
as good as River's own progressive validation says of the model, within 1 %."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from river import base, compose, datasets, evaluate, linear_model, metrics, optim, preprocessing

import freshet as fr
from tests import howto
from tests.datasets import electricity

__all__ = ["electricity"]
ROOT = Path(__file__).parent.parent.parent
SECONDS = 400.0
MOST_LINES = 60
WITHIN = 0.01
LOWEST = 1e-6
FURTHEST = 4.0  # deviations within which `fr.River` holds a number that it scales
ROWS = 400  # replayed row by row, some ten to thirty of them a second
Events = list[tuple[dict[str, Any], Any]]


class Run(NamedTuple):
    """What is left of a replay."""

    folder: Path
    report: dict[str, Any]
    examples: pl.DataFrame


class Rated(NamedTuple):
    """Losses over the same questions."""

    served: float
    river: float
    no_change: float


def ran(folder: Path, *command: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def replayed(folder: Path, app: str, data: str, *more: str) -> Run:
    """By the public replay, a step for each row: every question is answered by a snapshot that has
    learned all labels before it."""
    ran(folder, app)
    table = pl.read_parquet(folder / data)
    step = table["at"][1] - table["at"][0]
    until = table["at"][0] + ROWS * step
    ran(
        folder,
        *("-m", "freshet", "replay", app, data, "--run-dir", "run"),
        *("--step", f"{step.seconds // 60}m", "--until", until.isoformat(), *more),
    )
    report: dict[str, Any] = json.loads((folder / "replay-report.json").read_text())
    assert report["ledger_agrees"]
    assert not report["restarts"]["archive"]
    with fr.open_run(folder / "run") as run:
        examples = run.examples()
    assert examples.height == ROWS
    return Run(folder, report, examples.sort("asked_at"))


def rated(run: Run, answers: str, events: Events, model: base.Estimator, loss: Any) -> Rated:
    """Over the questions that a model answered: all but the first few, before any snapshot."""
    asked = run.examples.with_row_index()
    by_model = asked.filter(pl.col("rung") == "champion")
    places = by_model["index"].to_list()
    assert places[-1] == ROWS - 1
    assert len(places) >= ROWS - 3
    theirs = by_river(events[:ROWS], model)
    labels = [label for _, label in events]
    ours = by_model[answers].to_list()
    return Rated(
        served=mean(loss(answer, labels[at]) for at, answer in zip(places, ours)),
        river=mean(loss(theirs[at], labels[at]) for at in places),
        no_change=mean(no_change(labels[at - 1], labels[at]) for at in places),
    )


def by_river(events: Events, model: base.Estimator) -> list[Any]:
    metric: Any = metrics.MAE()
    if isinstance(events[0][1], bool):
        metric = metrics.LogLoss()
    elif isinstance(events[0][1], str):
        metric = metrics.CrossEntropy()
    steps = evaluate.iter_progressive_val_score(
        events, model, metric, step=1, yield_predictions=True
    )
    return [step["Prediction"] for step in steps]


def no_change(before: Any, label: Any) -> float:
    """Its error; of classes, where it has no probability, whether it is wrong."""
    if isinstance(label, str | bool):
        return float(before != label)
    return float(abs(before - label))


def mean(values: Iterator[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def scaled(model: base.Estimator) -> compose.Pipeline:
    """As `fr.River` scales what it gives a model."""
    within = compose.FuncTransformer(held)
    return preprocessing.StandardScaler() | within | model


def held(event: dict[str, float]) -> dict[str, float]:
    return {name: max(-FURTHEST, min(FURTHEST, value)) for name, value in event.items()}


def log_loss(shares: Any, label: Any, place: Callable[[Any, Any], float]) -> float:
    return -math.log(min(max(place(shares, label), LOWEST), 1 - LOWEST))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    howto.write("three-tasks", tmp_path)
    return tmp_path


def test_each_is_an_app_of_less_than_sixty_lines() -> None:
    files = howto.files("three-tasks")
    assert list(files) == ["elec.py", "segments.py", "chicks.py"]
    assert all(len(body.splitlines()) < MOST_LINES for body in files.values())


def test_electricity_is_answered_as_well_as_river_says(folder: Path, electricity: Path) -> None:
    shutil.copy(electricity, folder / "elec.csv")
    run = replayed(folder, "elec.py", "quotes.parquet")
    table = pl.read_csv(folder / "elec.csv", infer_schema_length=None)
    events: Events = [
        ({f"x{place}": value for place, value in enumerate(row[:-1])}, row[-1] == 1)
        for row in table.rows()
    ]
    model = scaled(linear_model.LogisticRegression(optim.AdaGrad(0.1)))

    def loss(answer: Any, label: bool) -> float:
        share = answer.get(True, 0.5) if isinstance(answer, dict) else answer
        return log_loss(share, label, lambda true, is_true: true if is_true else 1 - true)

    found = rated(run, "probability", events, model, loss)
    assert found.served == pytest.approx(found.river, rel=WITHIN)
    served = run.report["models"]["up"]["served"]
    assert served["log_loss"] == pytest.approx(found.served, rel=WITHIN)
    # Neighbours are alike: whoever says the last label again is right more often.
    plain = run.report["models"]["up"]["no_change"]["accuracy"]
    assert plain == pytest.approx(1 - found.no_change, abs=0.01)


def test_segments_are_answered_as_well_as_river_says(folder: Path) -> None:
    run = replayed(folder, "segments.py", "pieces.parquet")
    events: Events = list(datasets.ImageSegments())
    classes = sorted({label for _, label in events})
    model = scaled(linear_model.SoftmaxRegression(optim.AdaGrad(0.3)))

    def loss(answer: Any, label: str) -> float:
        shares = answer if isinstance(answer, dict) else dict(zip(classes, answer))
        return log_loss(shares, label, lambda named, own: named.get(own, 0.0))

    found = rated(run, "probabilities", events, model, loss)
    assert found.served == pytest.approx(found.river, rel=WITHIN)
    told = run.report["models"]["kind"]
    assert told["served"]["accuracy"] > 1.5 * (1 - found.no_change)
    assert told["served"]["log_loss"] < told["prior"]["log_loss"] / 2
    assert told["no_change"]["accuracy"] == pytest.approx(1 - found.no_change, abs=0.01)


def test_chicks_are_weighed_as_well_as_river_says(folder: Path) -> None:
    run = replayed(folder, "chicks.py", "weighings.parquet")
    events: Events = [
        ({"age": row["time"], f"chick={row['chick']}": 1.0, f"diet={row['diet']}": 1.0}, grams)
        for row, grams in datasets.ChickWeights()
    ]
    line = linear_model.LinearRegression(optim.AdaGrad(0.3))
    model = preprocessing.TargetStandardScaler(line)
    found = rated(run, "value", events, model, lambda answer, grams: abs(answer - grams))
    assert found.served == pytest.approx(found.river, rel=WITHIN)
    assert found.served < found.no_change
    told = run.report["models"]["weight"]
    # The first answers are the fallback's.
    assert told["served"]["mae"] == pytest.approx(found.served, rel=0.05)
    assert told["served"]["rmse"] < told["no_change"]["rmse"] < told["prior"]["rmse"]
    of_the_past(run)


def of_the_past(run: Run) -> None:
    """What other commands tell of it is in its unit, too."""
    # Not each minute: a replay's ticks are a millisecond before it.
    given = ["chicks.py", "--run-dir", "run", "--snapshot-every", "1ms,1h", "--json"]
    worth = json.loads(ran(run.folder, "-m", "freshet", "backtest", *given))
    fresh, stale = worth["lines"]
    # Those that snapshots of every hour could answer, too.
    first = pl.from_epoch(pl.lit(worth["first_ms"]), "ms")
    asked = run.examples.filter(pl.col("asked_at").dt.replace_time_zone(None) >= first)
    assert worth["questions"] == asked.height
    served = (asked["value"] - asked["label"]).abs().mean()
    assert fresh["mae"] == pytest.approx(served, rel=1e-6)
    assert fresh["rmse"] < stale["rmse"]
    assert worth["references"]["no change"]["n"] == worth["questions"] - 1
    same = json.loads(ran(run.folder, "-m", "freshet", "diff", "run", "run", "--json"))
    assert same["differences"] == []
