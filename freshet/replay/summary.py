"""The honest end of a replay: what its report says, as tables."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from freshet.figures import DASH, count, duration, fixed, moment
from freshet.quality.columns import COLUMNS, NO_CHANGE, PRIOR, cells, kind_of
from freshet.quality.report_types import TaskReport
from freshet.replay.report_types import (
    ModelReport,
    QuantilesReport,
    ReplayReport,
    lost,
)

DATE = "%-d %b %Y"


def summary(report: ReplayReport, console: Console | None = None) -> None:
    """Print the report: fates and ledger, each model's quality, requests, lags, memory, the verdict
    last."""
    out = console or Console()
    since = moment(report["app_from_ms"], DATE)
    until = moment(report["app_to_ms"], DATE)
    out.print()
    out.print(
        Text.assemble(
            ("≈ freshet ", "bold cyan"), (report["app"], "bold"), f"  {since} to {until}, "
        ),
        end="",
    )
    out.print(
        f"{count(report['steps'])} steps in {duration(report['wall_seconds'] * 1000)}",
        highlight=False,
    )
    out.print(_fates(report))
    _reasons(report, out)
    for name, model in report["models"].items():
        _model(name, model, out)
    _requests(report, out)
    out.print(_lags(report))
    _memory(report, out)
    _verdict(report, out)


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(
        box=None,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        pad_edge=False,
    )
    name, *figures = columns
    table.add_column(name)  # in a narrow terminal names take a second line, figures stay whole
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table


def _fates(report: ReplayReport) -> Table:
    titles = ("topic", "records", "applied", "duplicates", "dropped", "dead", "ledger")
    table = _table("\nEvents by fate", titles)
    for name, t in report["topics"].items():
        ledger = Text("agrees", "green") if t["ledger_agrees"] else Text("DIFFERS", "bold red")
        if lost(t):
            ledger.append(f", {count(lost(t))} without a fate", "bold red")
        dropped = sum(t["dropped"].values())
        dead = sum(t["dead"].values())
        figures = (t["records"], t["applied"], t["deduplicated"], dropped, dead)
        table.add_row(name, *map(count, figures), ledger)
    return table


def _reasons(report: ReplayReport, out: Console) -> None:
    def total(kind: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for topic in report["topics"].values():
            for reason, n in (topic["dead"] if kind == "dead" else topic["dropped"]).items():
                found[reason] = found.get(reason, 0) + n
        return found

    for kind in ("dropped", "dead"):
        reasons = sorted(total(kind).items(), key=lambda item: -item[1])
        if reasons:
            told = ", ".join(f"{reason} {count(n)}" for reason, n in reasons)
            out.print(Text.assemble((f"{kind}: ", "dim"), told))
    empty = {name: t["empty"] for name, t in report["topics"].items() if t["empty"]}
    if empty:
        told = ", ".join(f"{name} {count(n)}" for name, n in empty.items())
        out.print(Text.assemble(("records without an event: ", "dim"), told))


def _model(name: str, m: ModelReport, out: Console) -> None:
    out.print(
        Text.assemble(
            "\n",
            ("Model ", "bold"),
            (name, "bold cyan"),
            f"  served at the end: {m['served_lineage'] or DASH}",
        )
    )
    out.print(
        f"{count(m['asked'])} asked, {count(m['examples'])} examples: "
        f"{count(m['labelled'])} labelled, {count(m['expired'])} expired, "
        f"{count(m['corrections'])} corrected",
        highlight=False,
    )
    out.print(
        f"{count(m['snapshots'])} snapshots: {count(m['approvals'])} approved, "
        f"{count(m['refusals'])} refused; {count(m['swaps'])} swaps",
        highlight=False,
    )
    kind = kind_of(m["served"])
    heads = [column.head for column in COLUMNS[kind]]
    table = _table("", ("quality", "labelled", *heads))
    served = f"served, after the first {count(m['after'])}" if m["after"] else "served"
    _quality(table, served, m["served"], "bold")
    if m["baseline"] is not None:
        _quality(table, f"baseline ({m['baseline_lineage']})", m["baseline"])
    if m["without_features"] is not None:
        _quality(table, "without stream features", m["without_features"])
    _quality(table, PRIOR[kind], m["prior"])
    _quality(table, NO_CHANGE, m["no_change"])
    for lineage, told in m["lineages"].items():
        _quality(table, f"lineage {lineage}, prequential", told["prequential"], "dim")
        # Said again only where they are of other labels than what was served.
        if told["prior"]["n"] != m["prior"]["n"]:
            _quality(table, "  prior on the same labels", told["prior"], "dim")
            _quality(table, "  no change on the same labels", told["no_change"], "dim")
    for field, values in m["slices"].items():
        for value, quality in values.items():
            _quality(table, f"slice {field}={value}", quality)
    out.print(table)
    learned = ", ".join(f"{name} {count(told['learned'])}" for name, told in m["lineages"].items())
    out.print(Text.assemble(("learned: ", "dim"), learned or DASH))
    reasons = ", ".join(f"{count(n)} {reason}" for reason, n in m["not_learned"].items())
    out.print(Text.assemble(("not learned: ", "dim"), reasons or "nothing is left"))


def _quality(table: Table, name: str, told: TaskReport, style: str = "") -> None:
    table.add_row(name, count(told["n"]), *cells(told), style=style)


def _requests(report: ReplayReport, out: Console) -> None:
    """On a line of its own: the table below is narrower, and would break it."""
    r = report["requests"]
    told = f"{count(r['attempts'])} attempts, {count(r['answered'])} answered"
    told += f", {count(r['failed'])} failed"
    told += f", {count(r['broken'])} broken off"
    if r["refused"]:
        told += f", {count(r['refused'])} put off"
    told += f"; {count(r['rows'])} predictions"
    out.print(Text.assemble("\n", ("Requests: ", "bold"), told))


def _lags(report: ReplayReport) -> Table:
    r = report["requests"]
    table = _table("", ("", "p50", "p99", "max"))

    def row(name: str, q: QuantilesReport, unit: str) -> None:
        values = (q["p50"], q["p99"], q["max"])
        # Latencies are told in ms, to be compared; lags reach from ms to days.
        table.add_row(name, *(f"{fixed(v, 1)} {unit}" if unit else duration(v) for v in values))

    row("request latency", r["latency_ms"], "ms")
    row("request latency near swaps", r["latency_near_swaps_ms"], "ms")
    for view, lag in report["views"].items():
        row(f"feature lag {view}", lag, "")
    for model, figures in report["models"].items():
        row(f"model lag {model}", figures["lag_ms"], "")
        row(f"label delay {model}", figures["label_delay_ms"], "")
    return table


def _memory(report: ReplayReport, out: Console) -> None:
    peaks = report["peak_memory_mb"]
    told = ", ".join(f"{role} {count(mb)}" for role, mb in peaks.items())
    out.print(
        Text.assemble(
            "\n",
            ("Peak memory, MB (shared: its share): ", "bold"),
            told,
            f"; together {count(sum(peaks.values()))}",
        )
    )
    restarted = ", ".join(f"{role} {n}×" for role, n in report["restarts"].items() if n)
    if restarted:
        out.print(Text.assemble(("Restarted: ", "bold yellow"), restarted))


def _verdict(report: ReplayReport, out: Console) -> None:
    if report["verdict"]:
        out.print(Text(f"\n✖ Failed (exit code {report['exit_code']})", "bold red"))
        for reason in report["verdict"]:
            out.print(Text(f"  {reason}", "red"))
    else:
        told = "no request failed"
        if report["requests"]["broken"]:
            told = "every request was answered in the end"
        out.print(Text(f"\n✔ Passed: every ledger agrees with its log, {told}", "bold green"))
