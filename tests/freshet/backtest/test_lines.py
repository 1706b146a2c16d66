"""Lines, table, page and JSON of a backtest follow what is predicted."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from freshet.backtest.course import Course
from freshet.backtest.lines import Compared, compared
from freshet.backtest.page import page_of
from freshet.backtest.text import as_json, show_lines
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import F64, Vectors

DAY_MS = 86_400_000
EVERY = ["1h", "1d"]


def course(task: Task, label: F64) -> Course:
    count = len(label)
    vectors = Vectors(np.zeros((count, 0), np.uint64), np.zeros((count, 0), np.float32))
    return Course(np.arange(count) * DAY_MS, vectors, label, [], task)


def found(task: Task, label: F64, answers: F64) -> Compared:
    return compared(course(task, label), {"own": answers}, EVERY, 0, 1 << 62)


def table(lines: Compared) -> str:
    out = Console(file=io.StringIO(), width=120)
    show_lines(lines, out)
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def numbers() -> Compared:
    label = np.array([10.0, 12.0, np.nan, 20.0, 18.0])
    # The first question has no answer, the third no label: neither is compared.
    fresh = np.array([np.nan, 13.0, 1.0, 19.0, 19.0])
    return found(Regression(), label, np.stack([fresh, fresh + 1]))


def test_numbers_are_told_in_their_unit_beside_what_needs_no_features() -> None:
    lines = numbers()
    assert lines.questions == 3
    told = as_json(lines)
    json.dumps(told)
    first, second = told["lines"]
    assert first["rmse"] == pytest.approx(1.0)
    assert second["mae"] == pytest.approx((2 + 0 + 2) / 3)
    # In the order asked: the first of the three has nothing before it.
    assert told["references"]["no change"]["mae"] == pytest.approx((8 + 2) / 2)
    assert told["references"]["prior"]["mae"] == pytest.approx((8 + 2) / 2)
    shown = table(lines)
    for text in ("RMSE", "MAE", "bias", "+63.3 %", "prior", "no change", "5.8310"):
        assert text in shown, text
    assert "entropy" not in shown
    page = page_of(lines, "weight", "Of a test.")
    for text in ("the RMSE of all questions", "in the label's unit", "<td>no change</td>"):
        assert text in page, text
    assert "AUC" not in page


def test_classes_are_told_in_normalised_entropy() -> None:
    label = np.array([0.0, 1.0, 2.0, np.nan, 1.0])
    sure = np.full((5, 3), 0.1)
    sure[np.arange(5), np.nan_to_num(label).astype(int)] = 0.8
    lines = found(Classes(["a", "b", "c"]), label, np.stack([sure, np.full((5, 3), 1 / 3)]))
    assert lines.questions == 4
    fresh, stale = as_json(lines)["lines"]
    assert fresh["log_loss"] == pytest.approx(-np.log(0.8))
    assert stale["log_loss"] == pytest.approx(np.log(3))
    assert (fresh["accuracy"], fresh["counts"]) == (1.0, [1, 2, 1])
    shown = table(lines)
    for text in ("normalised entropy", "macro F1", "prior", "no change"):
        assert text in shown, text
    page = page_of(lines, "kind", "Of a test.")
    assert "1 is what always saying the shares of the classes scores" in page
    assert "macro F1" in page


def test_binary_ones_are_told_as_ever() -> None:
    label = np.array([0.0, 1.0, 1.0])
    answers = np.array([0.2, 0.7, 0.9])
    lines = found(Binary(), label, np.stack([answers, answers / 2]))
    assert lines.references == ()
    assert "references" not in as_json(lines)
    heads = table(lines).splitlines()[0].split("  ")
    assert [head.strip() for head in heads if head.strip()] == [
        "lineage",
        "snapshot every",
        "normalised entropy",
        "to the freshest",
        "log loss",
        "AUC",
        "accuracy",
    ]
    page = page_of(lines, "up", "Of a test.")
    assert "1 is what always saying the base rate scores" in page
    assert "<th>AUC</th><th>accuracy</th><th>calibration</th>" in page


def test_an_answer_without_an_error_has_none_to_be_compared_with() -> None:
    label = np.array([1.0, 2.0])
    lines = found(Regression(), label, np.stack([label, label + 1]))
    assert "%" not in table(lines)
