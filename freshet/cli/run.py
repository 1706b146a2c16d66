"""Commands on a run that goes on: its status, topics and their settings, models, switches."""

from __future__ import annotations

from typing import Annotated

import typer

from freshet.cli.option_groups import Doing, TakenOut, grouped
from freshet.terminal import marked, terminal

RunDir = Annotated[
    str,
    typer.Option("--run-dir", envvar="FRESHET_RUN_DIR", help="folder of the run, or its URL"),
]
ModelName = Annotated[str, typer.Argument(help="a model of the app")]
Lineage = Annotated[str, typer.Argument(help="one of its lineages, as freshet models names it")]
Number = Annotated[int, typer.Argument(min=0, max=2**31 - 1, help="the snapshot's number")]
DEFAULT = ".freshet/run"
topics = typer.Typer(
    help="Topics with their settings and lags; `set` changes settings live.",
    invoke_without_command=True,
)

models = typer.Typer(
    help="Lineages with their quality and snapshots; `rewind` goes back with one.",
    invoke_without_command=True,
)


def status(run_dir: RunDir = DEFAULT) -> None:
    """Promises, outages, alerts, roles, lags, and what each model serves."""
    # Here and in every command: what only it needs is imported when it is called, so that `--help`
    # takes no second.
    from freshet.runs.page_client import PageClient
    from freshet.tables.run_status import show_status

    with PageClient(run_dir) as page:
        show_status(page.status(), terminal())


@topics.callback()
def list_topics(context: typer.Context, run_dir: RunDir = DEFAULT) -> None:
    """Topics with their settings and lags."""
    if context.invoked_subcommand is None:
        from freshet.runs.page_client import PageClient
        from freshet.tables.run_status import show_topics

        with PageClient(run_dir) as page:
            show_topics(page.status(), terminal())


@topics.command("set")
def set_topic(
    topic: Annotated[str, typer.Argument(help="a topic of the app")],
    settings: Annotated[list[str], typer.Argument(help="KEY=VALUE, such as snapshot_every=2h")],
    run_dir: RunDir = DEFAULT,
) -> None:
    """Change settings of a topic, live in every role that is connected, within a second or at the
    end of its step, and kept over restarts."""
    from freshet.runs.page_client import PageClient
    from freshet.schemas.topics.settings import parsed

    changes = dict(parsed(setting) for setting in settings)
    with PageClient(run_dir) as page:
        # An unknown topic is refused by the page, which names those that there are.
        before = next((shown.settings for shown in page.status().topics if shown.name == topic), {})
        now = page.set_topic(topic, changes)
    for key in changes:
        terminal().print(f"{topic}: {key} is {now[key]} (was {before.get(key, '?')})")


@topics.command("exclude")
@grouped
def exclude(
    topic: Annotated[str | None, typer.Argument(help="a topic of the app")] = None,
    *,
    events: TakenOut,
    why: Annotated[str, typer.Option("--why", help="a reason, kept with what is taken out")],
    doing: Doing,
    run_dir: RunDir = DEFAULT,
) -> None:
    """Take events out of all views that folded them: these are built of the topic's past once more,
    without them, and answer from one moment on. Says what that means, unless --apply is given."""
    from freshet.exclusions.command import Asked, take_out

    asked = Asked(topic, events, why, doing.revert, doing.apply, doing.as_json)
    status = take_out(run_dir, asked, terminal())
    if status:
        raise typer.Exit(status)


@topics.command("exclusions")
def exclusions(run_dir: RunDir = DEFAULT) -> None:
    """What was taken out of views: by whom, when and why, and whether it holds."""
    from freshet.exclusions.doing import every
    from freshet.exclusions.text import show_exclusions
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        show_exclusions(every(run), terminal())


@models.callback()
def list_models(context: typer.Context, run_dir: RunDir = DEFAULT) -> None:
    """Lineages with prequential quality by slice, snapshots, what is served and since when."""
    if context.invoked_subcommand is not None:
        return
    from freshet.runs.page_client import PageClient
    from freshet.tables.run_status import show_models

    with PageClient(run_dir) as page:
        show_models(page.status(), terminal())


@models.command("rewind")
def rewind(
    lineage: Lineage,
    to: Annotated[str, typer.Option("--to", help="the moment, such as 2013-02-08T12:00 (UTC)")],
    relearn: Annotated[
        bool, typer.Option("--relearn", help="learn what came after it once more")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="a reason, kept with the lineage")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what it means, and start nothing")
    ] = False,
    run_dir: RunDir = DEFAULT,
) -> None:
    """Start a lineage from what this one was at a moment. What came after that it skips, unless
    --relearn; it competes with the others, and this one goes on."""
    from freshet.figures import moment
    from freshet.lineages.rewind import Wanted, go_back, outlined
    from freshet.past.moments import ms_of
    from freshet.runs.opened import opened
    from freshet.runs.page_client import user

    console = terminal()
    with opened(run_dir) as run:
        back = outlined(run, lineage, Wanted(ms_of("--to", to), relearn, user(), why))
        console.print(f"{back.name}, from {lineage} as of {moment(back.clock_ms)}")
        if back.until_ms is not None:
            console.print(f"skips {moment(back.to_ms)} to {moment(back.until_ms)}")
        if dry_run:
            console.print("nothing was started; without --dry-run it is")
            return
        go_back(run, back)
    console.print("started; freshet models shows how far it is")


@models.command("hold")
def hold_model(
    model: ModelName,
    why: Annotated[str, typer.Option("--why", help="a reason, kept with what is skipped")],
    run_dir: RunDir = DEFAULT,
) -> None:
    """Have a model learn nothing of what comes from now on; it answers as before. What is skipped
    is counted, and can be learned later."""
    from freshet.datasets.recorded_run import model_of
    from freshet.lineages.hold import hold
    from freshet.runs.opened import opened
    from freshet.runs.page_client import user

    with opened(run_dir) as run:
        hold(run, model_of(run.app, model), user(), why)
    terminal().print(f"model {model} skips what comes; freshet models shows how much")


@models.command("resume")
def resume_model(
    model: ModelName,
    learn_skipped: Annotated[
        bool,
        typer.Option("--learn-skipped", help="start lineages that learn what was skipped, too"),
    ] = False,
    why: Annotated[str, typer.Option("--why", help="a reason")] = "",
    run_dir: RunDir = DEFAULT,
) -> None:
    """Have a model learn again what comes from now on. One that a condition of its own held goes on
    by itself; with --learn-skipped what was skipped last by that is learned, too."""
    from freshet.datasets.recorded_run import model_of
    from freshet.lineages.hold import is_held, learned_later, resume
    from freshet.lineages.rewind import go_back
    from freshet.lineages.skipped import learned_later_by_conditions
    from freshet.runs.opened import opened
    from freshet.runs.page_client import user

    console = terminal()
    with opened(run_dir) as run:
        held = model_of(run.app, model)
        if learn_skipped and not is_held(run, held):
            returns = learned_later_by_conditions(run, held, user())
        else:
            skipped = resume(run, held, user(), why)
            console.print(f"model {model} learns what comes")
            returns = learned_later(run, held, skipped, user()) if learn_skipped else []
        for back in returns:
            name = go_back(run, back)
            console.print(f"{name} learns what was skipped")


def archive(run_dir: RunDir = DEFAULT) -> None:
    """What is archived of each log: how far, how much, and what waits for its file."""
    from freshet.runs.page_client import PageClient
    from freshet.tables.run_status import show_archive

    with PageClient(run_dir) as page:
        show_archive(page.status(), terminal())


def switch(
    name: Annotated[str | None, typer.Argument(help="learn, release or answer")] = None,
    to: Annotated[str | None, typer.Argument(help="on or off")] = None,
    run_dir: RunDir = DEFAULT,
) -> None:
    """Show the three switches, or turn one: stop learning, stop releases, stop answering from
    models. Needs no log and no store, and holds over restarts."""
    from freshet.figures import moment
    from freshet.runs import folder
    from freshet.runs import record as run_record
    from freshet.runs.page_client import user
    from freshet.schemas.errors import RequestError
    from freshet.streams.control import switches

    # Refused where no run is: the file of switches would be the first thing in a mistyped folder.
    here = folder.local(run_dir)
    record = run_record.read(here)
    if name is not None:
        if to not in ("on", "off"):
            told = "is to be turned nowhere"
            if to is not None:
                told = f"cannot be turned {to!r}"
            raise RequestError(f"switch {name}", told, f"Write freshet switch {name} on, or off.")
        # In the folder itself, not by the page: it works while everything else is away.
        switches.turn(here, name, to == "on", user())
    found = switches.read(here)
    for each in switches.NAMES:
        switch = getattr(found, each)
        told = ""
        # Nobody has turned it yet, where there is no name.
        if switch.by:
            told = f"  by {switch.by} at {moment(switch.at)}"
        state = marked("[yellow]off[/]")
        if switch.on:
            state = marked("on")
        terminal().print(marked("{} {}{}", f"{each:8}", state, told))
    if record.shared:
        # Whoever turns one must know whom it does not reach.
        terminal().print(
            f"of the roles on this machine ({here}); turn it on each that runs some",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def approve(model: ModelName, lineage: Lineage, number: Number, run_dir: RunDir = DEFAULT) -> None:
    """Let a snapshot be served that release holds back, or go back to an earlier one. Whatever else
    speaks against it stands."""
    _rule(model, lineage, number, True, run_dir)


def refuse(model: ModelName, lineage: Lineage, number: Number, run_dir: RunDir = DEFAULT) -> None:
    """Serve a snapshot no more: the one that was approved before it answers, until the next one is
    cut."""
    _rule(model, lineage, number, False, run_dir)


def _rule(model: str, lineage: str, number: int, approved: bool, run_dir: str) -> None:
    from freshet.runs.opened import opened
    from freshet.runs.page_client import user
    from freshet.runs.rulings import rule

    with opened(run_dir) as run:
        rule(run, model, lineage, number, approved, user())
    what = "refuse"
    if approved:
        what = "approve"
    terminal().print(
        f"asked release to {what} snapshot {number} of {model} {lineage}; "
        "freshet models shows what became of it",
        highlight=False,
        markup=False,
    )


def register(cli: typer.Typer) -> None:
    cli.add_typer(topics, name="topics")
    cli.add_typer(models, name="models")
    for command in (status, archive, approve, refuse, switch):
        cli.command()(command)
