"""What a written app predicts follows from the values that its label has in the sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import freshet as fr
from freshet.app import load
from freshet.cli.main import cli
from freshet.learners.model import Model
from freshet.scaffold.outcome import MOST_CLASSES

ROWS = 120


def written(folder: Path, values: list[Any]) -> tuple[Model, str]:
    """The model of an app for a sample whose label has these values, one after another."""
    rows = [
        {
            "id": i,
            "at": 1_700_000_000_000 + 60_000 * i,
            "shop": "abc"[i % 3],
            "price": i / 3,
            "outcome": values[i % len(values)],
        }
        for i in range(ROWS)
    ]
    sample = folder / "sales.jsonl"
    sample.write_text("\n".join(map(json.dumps, rows)))
    command = ["init", "--from", str(sample), str(folder / "app"), "--label", "outcome"]
    made = CliRunner().invoke(cli, command)
    assert made.exit_code == 0, made.exception
    text = (folder / "app" / "app.py").read_text()
    (model,) = load(folder / "app" / "app.py").models
    return model, text


@pytest.mark.parametrize("values", [["late", "in time"], [0, 1], [True, False], [0.5, 2.5]])
def test_of_two_values_one_is_true(tmp_path: Path, values: list[Any]) -> None:
    model, text = written(tmp_path, values)
    assert model.task == fr.Binary()
    assert "task=" not in text


def test_a_few_texts_are_classes(tmp_path: Path) -> None:
    model, _ = written(tmp_path, ["red", "green", 'b"lue', "green"])
    assert model.task == fr.Classes(['b"lue', "green", "red"])
    assert model.learners[1].name == "hashed_logistic"


@pytest.mark.parametrize("values", [[3, 1, 2, 8], [0.5, 2.25, -1.75, 1e9], [-1, 0, 1]])
def test_more_numbers_are_numbers_and_their_middle_answers_first(
    tmp_path: Path, values: list[Any]
) -> None:
    model, text = written(tmp_path, values)
    assert model.task == fr.Regression()
    assert model.learners[1].name == "hashed_linear"
    middle = sorted(values)[(len(values) - 1) // 2]
    assert f"fr.constant({float(middle)!r})" in text


def test_of_many_texts_the_most_common_one_is_true_and_somebody_is_to_say_which(
    tmp_path: Path,
) -> None:
    names = [f"town {i}" for i in range(MOST_CLASSES + 1)]
    model, text = written(tmp_path, [*names, "town 3"])
    assert model.task == fr.Binary()
    assert 'pl.col("outcome") == "town 3"' in text
    assert "say which is meant" in text


def test_an_empty_text_is_no_class(tmp_path: Path) -> None:
    model, _ = written(tmp_path, ["", "a", "b"])
    assert model.task == fr.Binary()
