"""`freshet replay` as users run it: files of 1905 and of 1996 through all roles of an app, and a
report that a slow computation from the files agrees with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.freshet.replay.toy_data import (
    YEAR_1905,
    YEAR_1996,
    orders,
    payments,
    slow_references,
    write,
)

ROOT = Path(__file__).parent.parent.parent
APP = """
import freshet as fr
from tests.toy_app import toy_app
app = toy_app(learners=[fr.Baseline()])
"""
SECONDS = 540.0
ROWS = 60


def replay(folder: Path, *given: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "freshet", *given]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """Orders and payments of a day of 1905 and of one of 1996, one row of each without a shop, one
    label of nothing, and a line that is no event."""
    folder = tmp_path_factory.mktemp("old")
    given = []
    for year, start in (("1905", YEAR_1905), ("1996", YEAR_1996)):
        (folder / year).mkdir()
        of_year = write(folder / year, start, ROWS)
        if year == "1996":  # ids of their own, else they are duplicates
            continue
        given += of_year
    asked = [{**o, "order_id": "n" + o["order_id"]} for o in orders(YEAR_1996, ROWS)]
    bad = {**asked[-1], "order_id": "no shop", "shop": None}
    lines = [json.dumps(row) for row in (*asked, bad)]
    (folder / "new-orders.jsonl").write_text("\n".join(lines) + "\nno event\n")
    paid = [*payments(asked), {**payments(asked)[-1], "order_id": "nobody asked"}]
    (folder / "new-payments.jsonl").write_text("\n".join(map(json.dumps, paid)))
    given += [f"orders={folder}/new-o*.jsonl", f"payments={folder}/new-p*.jsonl"]
    done = replay(folder, "replay", "app.py", *given, "--step", "2h", "--snapshot-every", "6h")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, json.loads((folder / "replay-report.json").read_text())


def test_every_row_has_its_fate(replayed: tuple[Path, str, dict[str, Any]]) -> None:
    _, _, report = replayed
    of = report["topics"]
    assert of["orders"]["records"] == 2 * ROWS + 2
    assert of["orders"]["applied"] == 2 * ROWS
    assert of["orders"]["dead"] == {"missing_required": 1, "undecodable": 1}
    assert (of["payments"]["records"], of["payments"]["applied"]) == (2 * ROWS + 1, 2 * ROWS + 1)
    assert report["ledger_agrees"]


def test_it_is_judged_beside_what_a_slow_computation_says(
    replayed: tuple[Path, str, dict[str, Any]],
) -> None:
    _, told, report = replayed
    paid = payments(orders(YEAR_1905, ROWS)) + payments(orders(YEAR_1996, ROWS))
    prior_loss, no_change = slow_references(paid)
    model = report["models"]["unpaid"]
    assert model["asked"] == model["labelled"] == 2 * ROWS
    assert model["prior"]["log_loss"] == round(prior_loss, 5)
    assert model["no_change"]["accuracy"] == round(no_change, 5)
    (lineage,) = model["lineages"].values()
    assert lineage["learned"] == 2 * ROWS
    assert lineage["prior"]["log_loss"] == pytest.approx(prior_loss)
    assert model["swaps"] > 0
    assert model["not_learned"] == {"labels that belong to no question": 1}
    assert "no change (label before)" in told
    assert "1 labels that belong to no question" in told


def test_a_run_that_nobody_replays_into_is_refused(tmp_path: Path) -> None:
    done = replay(tmp_path, "run", "app.py", FRESHET_REPLAY="true")
    assert done.returncode == 2
    assert "clock stand still until a replay moves it" in done.stderr
    assert "Traceback" not in done.stderr
