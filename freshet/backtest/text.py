"""A backtest for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from freshet.backtest.lines import CURVES, Compared, Line, value_of
from freshet.figures import DASH, count, moment
from freshet.learners.training.number_figures import NumberFigures
from freshet.quality.columns import cell, places_of
from freshet.quality.figures import TaskFigures
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.terminal import marked

# Figures by task, each with its head: first the one that the curve is drawn of.
HEADS = {
    BINARY: {
        "normalised_entropy": "normalised entropy",
        "log_loss": "log loss",
        "auc": "AUC",
        "accuracy": "accuracy",
    },
    CLASSES: {
        "normalised_entropy": "normalised entropy",
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
    },
    REGRESSION: {"rmse": "RMSE", "mae": "MAE", "bias": "bias"},
}
FRESHEST = "to the freshest"
PLACES = 4


def show_lines(found: Compared, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for head in ("lineage", "snapshot every"):
        table.add_column(head)
    heads = HEADS[found.task.kind]
    first, *others = heads.values()
    for head in (first, FRESHEST, *others):
        table.add_column(head, justify="right")
    for lineage in found.lineages:
        lines = found.of(lineage)
        for line in lines:
            value, *more = cells(line.figures, heads)
            table.add_row(
                marked("{}", lineage if line is lines[0] else ""),
                line.every,
                value,
                behind(line, lines[0], CURVES[found.task.kind]),
                *more,
            )
    for reference in found.references:
        value, *more = cells(reference.figures, heads)
        table.add_row(reference.name, "", value, "", *more)
    console.print(table)
    console.print(
        marked(
            "{} questions, asked from {} to {}, that every line could answer",
            count(found.questions),
            moment(found.first_ms),
            moment(found.last_ms),
        ),
        highlight=False,
    )


def cells(figures: TaskFigures, names: Iterable[str]) -> list[str]:
    places = PLACES
    if isinstance(figures, NumberFigures):
        places = places_of(figures.rmse)
    return [cell(value_of(figures, name), places) for name in names]


def behind(line: Line, freshest: Line, curve: str) -> str:
    """How much higher the curve's figure is than that of the shortest interval."""
    if line is freshest:
        return DASH
    of_freshest = value_of(freshest.figures, curve)
    # Of an error of 0 nothing is a share.
    if not of_freshest:
        return DASH
    share = value_of(line.figures, curve) / of_freshest - 1
    # NaN, the only value that differs from itself, is what means nothing.
    if share != share:
        return DASH
    return f"{100 * share:+.1f} %".replace("-", "−")


def as_json(found: Compared) -> dict[str, Any]:
    """Figures of each line; null is what means nothing. `weeks` are the first moment (ms) of each
    week, and the normalised entropy of its questions; of numbers their RMSE. What is not binary
    has `references`, too."""
    lines = []
    for line in found.lines:
        own = {"lineage": line.lineage, "snapshot_every": line.every, "weeks": line.weeks}
        lines.append({**own, **line.figures.as_json()})
    told: dict[str, Any] = {
        "questions": found.questions,
        "first_ms": found.first_ms,
        "last_ms": found.last_ms,
        "lines": lines,
    }
    if found.references:
        told["references"] = {one.name: one.figures.as_json() for one in found.references}
    return told
