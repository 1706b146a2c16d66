"""`freshet init --from`: the app that it writes for a stranger's sample passes `freshet check`, and
`freshet replay` takes the sample through it, every row of it applied."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from freshet.app import load
from freshet.cli.main import cli
from freshet.scaffold import command
from freshet.schemas.errors import DefinitionError, FreshetError

ROOT = Path(__file__).parent.parent.parent.parent
ROWS = 300
START = datetime(2019, 3, 1, 6, 30)
SECONDS = 300.0


def csv_with_a_head_of_many_words(folder: Path) -> Path:
    """As a spreadsheet exports it: spaces and units in the head, leading zeros, NA, local time."""
    rng = random.Random(0)
    lines = ["Order No,Ordered at,Courier Name,Price (EUR),Paid late"]
    for i in range(ROWS):
        at = START + timedelta(minutes=10 * i)
        price = "NA" if i % 20 == 3 else f"{rng.uniform(1, 40):.2f}"
        late = rng.choice(["yes", "no", "no"])
        lines.append(f"{i:05d},{at:%Y-%m-%d %H:%M:%S},{rng.choice(['ann', 'bob'])},{price},{late}")
    (folder / "Orders 2019.csv").write_text("\n".join(lines))
    return folder / "Orders 2019.csv"


def json_lines_with_zones(folder: Path) -> Path:
    """As a service logs them: UUIDs, offsets, nested values, missing names."""
    rng = random.Random(1)
    rows: list[dict[str, Any]] = []
    for i in range(ROWS):
        at = (START + timedelta(minutes=10 * i)).replace(tzinfo=UTC)
        row = {
            "requestId": f"00000000-0000-4000-8000-{i:012x}",
            "createdAt": at.isoformat().replace("+00:00", "+02:00"),
            "user": {"id": i % 7},
            "userId": i % 7,
            "ms": rng.randint(1, 900),
            "clicked": rng.random() < 0.3,
        }
        if i % 9:
            row["ref"] = rng.choice(["web", "mail"])
        rows.append(row)
    (folder / "clicks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "clicks.jsonl"


def parquet_with_large_ids(folder: Path) -> Path:
    """As a warehouse exports it: 64-bit ids, naive timestamps of nanoseconds, a class of 0 and 1."""
    rng = random.Random(2)
    at = [START + timedelta(minutes=10 * i) for i in range(ROWS)]
    frame = pl.DataFrame(
        {
            "reading_id": [2**62 + i for i in range(ROWS)],
            "ts": pl.Series(at, dtype=pl.Datetime("ns")),
            "meter": pl.Series([i % 11 for i in range(ROWS)], dtype=pl.Int32),
            "kwh": pl.Series([rng.random() for _ in range(ROWS)], dtype=pl.Float32),
            "target": [rng.randint(0, 1) for _ in range(ROWS)],
        }
    )
    frame.write_parquet(folder / "readings.parquet")
    return folder / "readings.parquet"


MADE: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "csv": (
        csv_with_a_head_of_many_words,
        {"id": "Order_No", "time": "Ordered_at", "key": "Courier_Name", "model": "paid_late"},
    ),
    "json": (
        json_lines_with_zones,
        {"id": "requestId", "time": "createdAt", "key": "userId", "model": "clicked"},
    ),
    "parquet": (
        parquet_with_large_ids,
        {"id": "reading_id", "time": "ts", "key": "meter", "model": "target"},
    ),
}


@pytest.mark.parametrize("format_", MADE)
def test_the_app_of_a_sample_is_sound_and_its_replay_applies_every_row(
    format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = MADE[format_]
    sample = make(tmp_path)
    told = CliRunner().invoke(cli, ["init", "--from", str(sample), str(tmp_path / "app")])
    assert told.exit_code == 0, told.exception
    app = load(tmp_path / "app" / "app.py")
    (topic,), (view,), (model,) = app.topics, app.views, app.models
    assert (topic.event_id, topic.time_field) == (expected["id"], expected["time"])
    assert (view.keys, model.name) == ((expected["key"],), expected["model"])
    # Whom events are about may be new tomorrow.
    assert topic.events[expected["key"]].domain is None
    text = (tmp_path / "app" / "app.py").read_text()
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 60
    # As its README says.
    monkeypatch.chdir(tmp_path / "app")
    readme = (tmp_path / "app" / "README.md").read_text()
    checks = next(line for line in readme.splitlines() if line.startswith("freshet schema check"))
    assert CliRunner().invoke(cli, shlex.split(checks)[1:]).exit_code == 0
    # And as it was told: from the app's folder, the sample by its path from there.
    command = next(
        line.strip() for line in told.stdout.splitlines() if "freshet replay" in line
    ).split("  ")[0]
    done = subprocess.run(
        f"{sys.executable} -m {command} --step 4h",
        shell=True,
        cwd=tmp_path / "app",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "app" / "replay-report.json").read_text())
    assert report["topics"][topic.name]["applied"] == ROWS
    assert report["topics"][topic.name]["dead"] == {}
    found = report["models"][model.name]
    assert found["asked"] == found["labelled"] == ROWS
    assert found["swaps"] > 0


def test_what_somebody_names_overrules_what_was_proposed(tmp_path: Path) -> None:
    sample = parquet_with_large_ids(tmp_path)
    named = ["--label", "kwh", "--key", "target"]
    CliRunner().invoke(cli, ["init", "--from", str(sample), str(tmp_path / "a"), *named])
    app = load(tmp_path / "a" / "app.py")
    assert app.models[0].name == "kwh"
    assert app.views[0].keys == ("target",)
    text = (tmp_path / "a" / "app.py").read_text()
    assert "task=fr.Regression()" in text


def refused(*command: str) -> str:
    error = CliRunner().invoke(cli, ["init", *command]).exception
    assert isinstance(error, FreshetError)
    return str(error)


def test_without_a_time_there_is_no_app(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    told = refused("--from", str(tmp_path / "a.csv"), str(tmp_path / "app"))
    assert "has no field that is a time in every row" in told
    assert not (tmp_path / "app").exists()


def test_options_that_cannot_be_meant(tmp_path: Path) -> None:
    sample = str(parquet_with_large_ids(tmp_path))
    app = str(tmp_path / "app")
    assert "--key x: is no field of the sample" in refused("--from", sample, app, "--key", "x")
    assert "holds no times between 1990 and 2100" in refused(
        "--from", sample, app, "--event-time", "kwh"
    )
    assert "is told of fields, but of no sample" in refused(app, "--key", "x")
    assert "is to be written nowhere" in refused()
    assert isinstance(CliRunner().invoke(cli, ["init"]).exception, DefinitionError)


def nested(folder: Path) -> str:
    rows = [
        {
            "id": i,
            "at": 1_700_000_000_000 + i,
            "late": i % 2,
            "tags": ["a"],
            "geo": {"town": "ab"[i % 2]},
            "price": i / 3,
            "said": ("x" * 65, "y" * 65)[i % 2],
            "paid": ("yes", "n" * 65)[i % 2],
            "n": ("many", i % 3)[i > 0],
        }
        for i in range(40)
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "a.jsonl")


@pytest.mark.parametrize(
    ("option", "field", "why"),
    [
        ("--label", "tags", "holds values of type array, which a label cannot be of"),
        ("--label", "geo", "holds values of type record, which a label cannot be of"),
        ("--label", "at", "holds values of type timestamp-millis, which a label cannot be of"),
        ("--label", "said", "has texts of more than 64 characters"),
        ("--key", "tags", "holds values of type array, which a key cannot be of"),
        ("--key", "geo", "holds values of type record, which a key cannot be of"),
        ("--key", "price", "holds values of type double, which a key cannot be of"),
        ("--event-id", "geo", "holds values of type record, which an id cannot be of"),
        ("--event-time", "tags", "holds no times"),
    ],
)
def test_a_field_that_cannot_be_what_it_is_named_for_is_refused(
    option: str, field: str, why: str, tmp_path: Path
) -> None:
    told = refused("--from", nested(tmp_path), str(tmp_path / "app"), option, field)
    assert f"{option} {field}: {why}" in told
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("field", ["late", "price", "paid", "n", "geo.town"])
def test_every_other_field_makes_an_app(field: str, tmp_path: Path) -> None:
    app = tmp_path / "app"
    named = ["--from", nested(tmp_path), str(app), "--label", field]
    assert CliRunner().invoke(cli, ["init", *named]).exit_code == 0
    assert load(app / "app.py").models


def test_a_label_of_long_texts_that_nobody_named_is_told(tmp_path: Path) -> None:
    rows = [
        {"id": i, "at": 1_700_000_000_000 + i, "label": "xy"[i % 2] * 65, "price": i / 3}
        for i in range(40)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    app = tmp_path / "app"
    CliRunner().invoke(cli, ["init", "--from", str(tmp_path / "a.jsonl"), str(app)])
    assert not load(app / "app.py").models
    assert "no model: the value of its label (label)" in (app / "README.md").read_text()


def test_an_app_that_would_be_refused_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "app_text", lambda planned, rows: "import freshet as fr\n")
    told = refused("--from", nested(tmp_path), str(tmp_path / "app"))
    assert "would make an app that is refused: declares 0 apps" in told
    assert not (tmp_path / "app").exists()
