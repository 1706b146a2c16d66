"""`freshet backtest` says what freshness was worth, or why that cannot be said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freshet.cli.main import cli
from tests.freshet.toy_day import app_file


def test_the_command_shows_each_lineage_by_each_interval_and_draws_a_page(
    folder: Path, tmp_path: Path
) -> None:
    page = tmp_path / "worth.html"
    given = ["backtest", str(folder / "app.py"), "--run-dir", str(folder)]
    shown = CliRunner().invoke(cli, [*given, "--snapshot-every", "6h,1h", "-o", str(page)])
    assert shown.exit_code == 0, shown.output
    assert "Vectors are those that were served." in shown.output
    for name in ("baseline", "hashed_logistic", "1h", "6h"):
        assert name in shown.output
    text = page.read_text()
    assert "<h2>The freshness curve</h2>" in text
    assert 'src="http' not in text, "it needs no network"
    told = CliRunner().invoke(cli, [*given, "--snapshot-every", "6h,1h", "--json"])
    found = json.loads(told.stdout)
    assert [line["snapshot_every"] for line in found["lines"]] == ["1h", "6h"] * 2
    assert {line["n"] for line in found["lines"]} == {found["questions"]}, "over the same questions"


def test_a_definition_that_never_ran_is_judged_by_vectors_that_are_reconstructed(
    folder: Path, tmp_path: Path
) -> None:
    text = (
        "from dataclasses import replace\nfrom tests.toy_app import toy_app\n"
        "found = toy_app().models[0]\n"
        "smaller = replace(\n    found, name='smaller', features=found.features[:3], "
        "fallback=found.fallback[1:]\n)\n"
        "app = replace(toy_app(), name={name!r}, models=[smaller])\n"
    )
    file = app_file(tmp_path, text)
    given = ["backtest", str(file), "--run-dir", str(folder), "--snapshot-every", "1h", "--json"]
    told = CliRunner().invoke(cli, given)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["questions"] > 10


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        (["--snapshot-every", "soon"], "soon"),
        (["--snapshot-every", ""], "names no interval"),
        (["--snapshot-every", "0s"], "is no time at all"),
        (["--from", "yesterday"], "is no moment"),
        (["--from", "2030-01-01"], "none between --from and --to"),
        (["--to", "1960-01-01"], "have no label"),
        (["--model", "paid"], "is none of app toy"),
        (["-o", "worth.pdf"], "does not end in .html"),
    ],
)
def test_what_cannot_be_done_is_refused_for_its_cause(
    folder: Path, more: list[str], cause: str
) -> None:
    given = ["backtest", str(folder / "app.py"), "--run-dir", str(folder), *more]
    refused = CliRunner().invoke(cli, given)
    assert refused.exit_code != 0
    assert cause in str(refused.exception)
