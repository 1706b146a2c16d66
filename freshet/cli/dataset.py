"""`freshet dataset`: what a model was asked, and what came of it, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freshet.cli.run import DEFAULT, RunDir
from freshet.terminal import terminal


def dataset(
    model: Annotated[
        str, typer.Argument(help="a model of the run, or FILE.py:MODEL of one that never ran")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="a file, such as late.parquet")],
    since: Annotated[
        str, typer.Option("--from", help="first moment of a question, such as 2013-02-08")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="the moment before which they are")] = "",
    as_of: Annotated[
        str, typer.Option("--as-of", help="as was known then: nothing appended later counts")
    ] = "",
    run_dir: RunDir = DEFAULT,
) -> None:
    """Examples with every feature as of each question, and what became of them, as Parquet."""
    from freshet.datasets.command import Wanted, write_dataset

    write_dataset(run_dir, Wanted(model, since, until, as_of), out, terminal())


def register(cli: typer.Typer) -> None:
    cli.command()(dataset)
