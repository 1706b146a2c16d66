"""`freshet dataset`, `freshet backtest` and `freshet retrain`: what a run's past holds, what a
definition would have been worth in it, and what is learned of it once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freshet.cli.option_groups import Judged, LeftOut, Questions, grouped
from freshet.cli.run import DEFAULT, ModelName, RunDir
from freshet.terminal import terminal

Why = Annotated[str, typer.Option("--why", help="a reason, kept with the lineage")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what it means, and start nothing")]


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


def retrain(
    model: ModelName,
    learner: Annotated[
        str, typer.Argument(help="one of its learners (default: each that can be served)")
    ] = "",
    *,
    left_out: LeftOut,
    why: Why = "",
    dry_run: DryRun = False,
    run_dir: RunDir = DEFAULT,
) -> None:
    """Learn once more from the examples of a run, but for some, beside the lineages that go on;
    what is learned competes with them. Also while the app runs, or has stopped: then it begins
    with the next run."""
    from freshet.lineages.start import Wanted, begin, ids_in, outlined
    from freshet.lineages.text import show_outline
    from freshet.past.moments import ms_of
    from freshet.runs.opened import opened
    from freshet.runs.page_client import user

    since = ms_of("--from", left_out.since) if left_out.since else None
    ids = ids_in(Path(left_out.ids)) if left_out.ids else ()
    wanted = Wanted(model, learner, since, left_out.where, ids, user(), why)
    console = terminal()
    with opened(run_dir) as run:
        outline = outlined(run, wanted)
        show_outline(outline, console)
        if dry_run:
            console.print("nothing was started; without --dry-run it is")
            return
        begin(run, outline.model, outline.starts)
    console.print("started; freshet models shows how far they are")


def register(cli: typer.Typer) -> None:
    cli.command("dataset")(grouped(dataset))
    cli.command("backtest")(grouped(backtest))
    cli.command("retrain")(grouped(retrain))
