"""What benchmarks share: finding them, measuring ours and a baseline in turns, and the report.

The machine may be shared: each round measures both sides one after the other, and the best round of
each side counts.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

FOLDER = Path(__file__).parent
SIDES = ("ours", "baseline")
# Run only where they are named: they install other projects.
EXTRA = ("streams_peers",)


class Bar(TypedDict):
    """What a row is held to: the figure that is judged, in words what was asked, and whether it
    holds."""

    figure: float
    asked: str
    holds: bool


class Row(TypedDict):
    """One line of the report. `ratio` is above 1 where ours is better, whichever way `unit` counts;
    it and `baseline` are None where there is nothing to be beside."""

    name: str
    unit: str
    ours: float
    baseline: float | None
    ratio: float | None
    against: str
    bar: NotRequired[Bar]
    detail: NotRequired[dict[str, Any]]


def names() -> list[str]:
    """Every benchmark there is: the modules of this folder that define `run`."""
    return sorted(f.stem for f in FOLDER.glob("*.py") if "\ndef run(" in f.read_text())


def load(name: str) -> Any:
    return importlib.import_module(f"tests.bench.{name}")


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(
    ours: Callable[[], object], baseline: Callable[[], object], rounds: int = 5
) -> tuple[float, float]:
    """The least seconds of each side; one more round before, not counted, warms both up."""
    ours(), baseline()
    taken = [(seconds(ours), seconds(baseline)) for _ in range(rounds)]
    return min(a for a, _ in taken), min(b for _, b in taken)


def rates(
    name: str, unit: str, n: int, taken: tuple[float, float], against: str, **detail: Any
) -> Row:
    """A row of `n` things a second: more is better."""
    ours, baseline = n / taken[0], n / taken[1]
    return Row(
        name=name,
        unit=unit,
        ours=round(ours),
        baseline=round(baseline),
        ratio=round(ours / baseline, 2),
        against=against,
        detail=detail,
    )


def microseconds(name: str, n: int, taken: tuple[float, float], against: str, **detail: Any) -> Row:
    """A row of µs for each of `n` things: less is better."""
    ours, baseline = (1e6 * t / n for t in taken)
    return Row(
        name=name,
        unit="µs",
        ours=round(ours, 1),
        baseline=round(baseline, 1),
        ratio=round(baseline / ours, 2),
        against=against,
        detail=detail,
    )


def at_most(figure: float, limit: float, of: str) -> Bar:
    """
    >>> at_most(1.14, 1.2, "× the loop's")
    {'figure': 1.14, 'asked': "≤ 1.2 × the loop's", 'holds': True}
    """
    return Bar(figure=round(figure, 3), asked=f"≤ {limit:g} {of}", holds=figure <= limit)


def at_least(figure: float, limit: float, of: str) -> Bar:
    return Bar(figure=round(figure, 3), asked=f"≥ {limit:g} {of}", holds=figure >= limit)


def write(rows: Iterable[Row], path: Path) -> None:
    """The report; benchmarks that were not run this time keep the rows they had."""
    kept: dict[str, Any] = {}
    if path.exists():
        kept = {r["name"]: r for r in json.loads(path.read_text())["benchmarks"]}
    kept |= {r["name"]: r for r in rows}
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    report = {"machine": machine, "benchmarks": list(kept.values())}
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
