"""The apps of `docs/howto/two-streams.md` on the data that they are for, as the page says: made
files of by their own script, then replayed by `freshet replay`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests import howto
from tests.datasets import electricity, police_stops

__all__ = ["electricity", "police_stops"]
ROOT = Path(__file__).parent.parent.parent
SECONDS = 400.0
MOST_LINES = 60


def ran(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def replayed(folder: Path, *command: str) -> dict[str, Any]:
    ran(folder, "-m", "freshet", "replay", *command)
    report: dict[str, Any] = json.loads((folder / "replay-report.json").read_text())
    assert report["ledger_agrees"]
    return report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    howto.write("two-streams", tmp_path)
    return tmp_path


def test_each_is_an_app_of_less_than_sixty_lines() -> None:
    files = howto.files("two-streams")
    assert list(files) == ["electricity.py", "stops.py"]
    assert all(len(body.splitlines()) < MOST_LINES for body in files.values())


def test_electricity_by_its_half_hours(folder: Path, electricity: Path) -> None:
    shutil.copy(electricity, folder / "elec.csv")
    ran(folder, "electricity.py")
    assert pl.read_parquet(folder / "quotes.parquet").height == 45_312
    data = ["electricity.py", "quotes.parquet", "closings.parquet"]
    days = 8
    until = ["--until", f"1996-05-{7 + days:02d}", "--step", "30m"]
    report = replayed(folder, *data, *until)
    assert report["topics"]["quotes"]["applied"] == 48 * days
    assert report["topics"]["closings"]["applied"] == 48 * days
    up = report["models"]["up"]
    assert up["asked"] == up["labelled"] == 48 * days
    # Half-hours are as their neighbours are, which is what its views say.
    learned = next(one for name, one in up["lineages"].items() if name.startswith("hashed"))
    assert learned["prequential"]["log_loss"] < learned["prior"]["log_loss"]


def test_stops_by_their_own_ids_and_times(folder: Path, police_stops: Path) -> None:
    shutil.copy(police_stops, folder / "MplsStops.pkl.compress")
    ran(folder, "stops.py")
    rows = pl.read_parquet(folder / "stops.parquet")
    until = "2017-01-06"
    replayed_rows = rows.filter(pl.col("date") < until)
    report = replayed(folder, "stops.py", "stops.parquet", "--until", until, "--step", "3h")
    stops = report["topics"]["stops"]
    assert (stops["applied"], stops["dead"]) == (replayed_rows.height, {})
    said = replayed_rows["personSearch"].drop_nulls().len()
    assert report["models"]["searched"]["asked"] == replayed_rows.height
    assert report["models"]["searched"]["labelled"] == said
