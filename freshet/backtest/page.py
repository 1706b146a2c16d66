"""A backtest as a page that needs nothing else: the freshness curve, and quality week by week."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from freshet.backtest.lines import CURVES, Compared, value_of
from freshet.backtest.text import FRESHEST, HEADS, behind, cells
from freshet.figures import count, moment
from freshet.schemas.durations import milliseconds
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION

# Colours that are told apart in light, in dark, and by most who see few (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8a8a")
GREY = "#808080"
# Intervals at which the axis of the curve is labelled, as far as they are within it.
MARKS = ("1s", "10s", "1m", "5m", "15m", "1h", "6h", "1d", "7d", "30d")
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #12161c; --text: #e6edf3; --dim: #9aa4af; --line: #2d3640; }
}
body { margin: 0 auto; padding: 24px 16px 48px; max-width: 1080px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 32px 0 4px; }
p { margin: 0 0 12px; color: var(--dim); max-width: 72ch; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 560px; width: 100%; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; color: var(--dim); }
td { font-variant-numeric: tabular-nums; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
"""
CURVE = (
    "How much worse answers get as snapshots get older: the {figure} of all questions "
    "(lower is better; {scale}) by how often snapshots are "
    "cut. Where a line is flat, freshness buys nothing."
)
TICKS = {BINARY: ".3f", CLASSES: ".3f", REGRESSION: ".4~g"}
SCALES = {
    BINARY: "1 is what always saying the base rate scores",
    CLASSES: "1 is what always saying the shares of the classes scores",
    REGRESSION: "it is in the label's unit",
}
WEEKS = (
    "The same of the questions of each week (by its Monday): of each learner the shortest "
    "interval, and dotted the longest."
)


def page_of(found: Compared, model: str, made_of: str) -> str:
    """The whole page. `made_of` says what it was computed from, in a sentence."""
    told = (
        f"{count(found.questions)} questions, asked from {moment(found.first_ms)} to "
        f"{moment(found.last_ms)} (UTC). {made_of}"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(model)} · backtest</title><style>{STYLE}</style></head><body>",
            f"<h1>{html.escape(model)}: what freshness is worth</h1><p>{html.escape(told)}</p>",
            f"<h2>The freshness curve</h2><p>{_curve_text(found)}</p>",
            _drawn(_curve(found), with_script=True),
            f"<h2>Week by week</h2><p>{WEEKS}</p>",
            _drawn(_weeks(found), with_script=False),
            f'<h2>All figures</h2><div class="wide">{_table(found)}</div>',
            "</body></html>",
        ]
    )


def _head(found: Compared) -> str:
    """Of what the curve is drawn."""
    return HEADS[found.task.kind][CURVES[found.task.kind]]


def _curve_text(found: Compared) -> str:
    return CURVE.format(figure=_head(found), scale=SCALES[found.task.kind])


def _drawn(figure: Any, with_script: bool) -> str:
    drawn: str = figure.to_html(
        full_html=False,
        # Within the page itself, once: it is read where there is no network.
        include_plotlyjs=with_script,
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
        default_height="380px",
    )
    return drawn


def _figure(found: Compared, traces: list[Any], x: dict[str, Any]) -> Any:
    import plotly.graph_objects as go

    axis = {"gridcolor": "rgba(128,128,128,.25)", "zeroline": False, "automargin": True}
    return go.Figure(
        traces,
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": GREY, "size": 13},
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "legend": {"orientation": "h", "y": -0.2},
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": "#222", "font": {"color": "#fff"}},
            "xaxis": {**axis, **x},
            "yaxis": {**axis, "title": _head(found), "tickformat": TICKS[found.task.kind]},
        },
    )


def _curve(found: Compared) -> Any:
    import plotly.graph_objects as go

    traces = []
    for at, lineage in enumerate(found.lineages):
        lines = found.of(lineage)
        traces.append(
            go.Scatter(
                name=html.escape(lineage),
                x=[milliseconds(line.every) for line in lines],
                y=[value_of(line.figures, CURVES[found.task.kind]) for line in lines],
                customdata=[line.every for line in lines],
                hovertemplate="%{customdata}: %{y:.4f}",
                mode="lines+markers",
                line={"color": COLOURS[at % len(COLOURS)], "width": 2},
            )
        )
    every = [milliseconds(line.every) for line in found.lines]
    marks = [name for name in MARKS if min(every) <= milliseconds(name) <= max(every)]
    x = {
        "type": "log",
        "title": "snapshot every",
        "tickvals": [milliseconds(name) for name in marks],
        "ticktext": marks,
    }
    return _figure(found, traces, x)


def _weeks(found: Compared) -> Any:
    import plotly.graph_objects as go

    traces = []
    for at, lineage in enumerate(found.lineages):
        lines = found.of(lineage)
        # The ends alone: what lies between them is in the table.
        for line in (*lines[:1], *lines[1:][-1:]):
            traces.append(
                go.Scatter(
                    name=html.escape(f"{lineage}, {line.every}"),
                    x=[week for week, _ in line.weeks],
                    y=[told for _, told in line.weeks],
                    hovertemplate="%{y:.4f}",
                    mode="lines",
                    line={
                        "color": COLOURS[at % len(COLOURS)],
                        "width": 2,
                        "dash": "solid" if line is lines[0] else "dot",
                    },
                )
            )
    return _figure(found, traces, {"type": "date"})


def _table(found: Compared) -> str:
    figures = {**HEADS[found.task.kind]}
    if found.task.kind != REGRESSION:
        figures["calibration"] = "calibration"
    first, *others = figures.values()
    heads = ("lineage", "snapshot every", first, FRESHEST, *others)
    rows = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    curve = CURVES[found.task.kind]
    for line in found.lines:
        value, *more = cells(line.figures, figures)
        away = behind(line, found.of(line.lineage)[0], curve)
        rows.append(_row([line.lineage, line.every, value, away, *more]))
    for reference in found.references:
        value, *more = cells(reference.figures, figures)
        rows.append(_row([reference.name, "", value, "", *more]))
    return f"<table>{''.join(rows)}</table>"


def _row(cells_of_row: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in cells_of_row) + "</tr>"
