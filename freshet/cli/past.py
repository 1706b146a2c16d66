"""`freshet dataset` and `freshet backtest`: what a run's past holds, and what a definition would
have been worth in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freshet.cli.option_groups import Judged, Questions, grouped
from freshet.cli.run import DEFAULT, RunDir
from freshet.terminal import terminal


def dataset(
    model: Annotated[
        str, typer.Argument(help="a model of the run, or FILE.py:MODEL of one that never ran")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="a file, such as late.parquet")],
    asked: Questions,
    as_of: Annotated[
        str, typer.Option("--as-of", help="as was known then: nothing appended later counts")
    ] = "",
    run_dir: RunDir = DEFAULT,
) -> None:
    """Examples with every feature as of each question, and what became of them, as Parquet."""
    from freshet.datasets.command import Wanted, write_dataset

    wanted = Wanted(model, asked.since, asked.until, as_of)
    write_dataset(run_dir, wanted, out, terminal())


def backtest(
    file: Annotated[str, typer.Argument(help="FILE.py that declares an app, which need not run")],
    asked: Questions,
    judged: Judged,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="a page with the plots, such as worth.html")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
    run_dir: RunDir = DEFAULT,
) -> None:
    """What freshness is worth: how good each learner's answers to the questions of a run would have
    been, by how often it cuts snapshots."""
    from freshet.backtest.command import Shown, Wanted, run_backtest

    wanted = Wanted(file, judged.model, asked.since, asked.until, judged.every)
    run_backtest(run_dir, wanted, Shown(terminal(), out, as_json))


def register(cli: typer.Typer) -> None:
    cli.command("dataset")(grouped(dataset))
    cli.command("backtest")(grouped(backtest))
