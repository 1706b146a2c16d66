"""`python -m tests.bench [name …]`: run benchmarks, print them and whether they hold their bars, and
write `bench-report.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import harness

REPORT = Path("bench-report.json")


def main(chosen: list[str]) -> int:
    """Run those that were named, or all but the extra ones. 2 for a name that is none, 1 if one failed."""
    known, out = harness.names(), Console(width=None if sys.stdout.isatty() else 150)
    if unknown := [n for n in chosen if n not in known]:
        out.print(f"no such benchmark: {', '.join(unknown)}. There are {', '.join(known)}.")
        return 2
    rows: list[harness.Row] = []
    failed = []
    usual = [name for name in known if name not in harness.EXTRA]
    for name in chosen or usual:
        module = harness.load(name)
        out.print(f"[bold]{name}[/]  {module.__doc__.splitlines()[0]}", highlight=False)
        try:
            rows += module.run()
        except Exception:  # the others still run, and the report says what there is
            out.print_exception(max_frames=6)
            failed.append(name)
    out.print(_table(rows))
    harness.write(rows, REPORT)
    if failed:
        out.print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _table(rows: list[harness.Row]) -> Table:
    heads = ("benchmark", "ours", "baseline", "ratio", "unit", "against", "bar")
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        figures = [_figure(row["ours"]), _figure(row["baseline"]), _figure(row["ratio"])]
        table.add_row(row["name"], *figures, row["unit"], row["against"], _judged(row.get("bar")))
    return table


def _judged(bar: harness.Bar | None) -> str:
    if bar is None:
        return ""
    verdict = "short"
    if bar["holds"]:
        verdict = "pass"
    return f"{verdict}: {_figure(bar['figure'])} ({bar['asked']})"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
