"""A backtest for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from freshet.backtest.lines import Compared, Line
from freshet.figures import DASH, count, fixed, moment
from freshet.terminal import marked


def show_lines(found: Compared, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for head in ("lineage", "snapshot every"):
        table.add_column(head)
    for head in ("normalised entropy", "to the freshest", "log loss", "AUC", "accuracy"):
        table.add_column(head, justify="right")
    for lineage in found.lineages:
        lines = found.of(lineage)
        for line in lines:
            figures = line.figures
            table.add_row(
                marked("{}", lineage if line is lines[0] else ""),
                line.every,
                number(figures.normalised_entropy),
                behind(line, lines[0]),
                number(figures.log_loss),
                number(figures.auc),
                number(figures.accuracy),
            )
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


def number(value: float) -> str:
    # NaN, the only value that differs from itself, is what means nothing.
    return fixed(None if value != value else value, 4)


def behind(line: Line, freshest: Line) -> str:
    """How much higher the normalised entropy is than that of the shortest interval."""
    if line is freshest:
        return DASH
    share = line.figures.normalised_entropy / freshest.figures.normalised_entropy - 1
    if share != share:
        return DASH
    return f"{100 * share:+.1f} %".replace("-", "−")


def as_json(found: Compared) -> dict[str, Any]:
    """Figures of each line; null is what means nothing. `weeks` are the first moment (ms) of each
    week, and the normalised entropy of its questions."""
    lines = []
    for line in found.lines:
        own = {"lineage": line.lineage, "snapshot_every": line.every, "weeks": line.weeks}
        lines.append({**own, **line.figures.as_json()})
    return {
        "questions": found.questions,
        "first_ms": found.first_ms,
        "last_ms": found.last_ms,
        "lines": lines,
    }
