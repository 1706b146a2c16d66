"""The command line. Every command prints what it did, or one error that names the thing, the cause
and the next step."""

from __future__ import annotations

import errno
import gc
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from freshet.cli import inspection as inspect_cli
from freshet.cli import past as past_cli
from freshet.cli import schema as schema_cli
from freshet.cli.keys import keys
from freshet.cli.option_groups import (
    DataTime,
    Flights,
    ReplayPlace,
    RunPlace,
    SampleFields,
    ScorerPort,
    StatusPort,
    grouped,
)
from freshet.cli.plan import (
    agreed,
    change_what_runs,
    first_what_ran,
    refuse_out_of_reach,
)
from freshet.cli.plan import apply as apply_command
from freshet.cli.plan import plan as plan_command
from freshet.cli.registry import registry
from freshet.cli.run import register
from freshet.cli.servers import servers
from freshet.cli.values import statistics
from freshet.runs import logs
from freshet.runs.lock import is_held
from freshet.schemas.errors import ComponentError, DefinitionError, FreshetError
from freshet.schemas.shown_text import shown
from freshet.terminal import complain, end_without_reader, say, terminal, use_standard_streams

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # theirs show the values of variables, secrets among them
    help="Models that never stop learning.",
)
RUN_WIDTH = 110  # columns of a run's own lines where there is no terminal
OBJECTS_BETWEEN_LOOKS = 50_000  # that garbage collection waits for
USAGE = 2  # status of a command that was written wrongly, or refused
App = Annotated[str, typer.Argument(help="the Python file that declares the app")]
Keep = Annotated[bool, typer.Option("--keep", help="keep serving afterwards")]


@cli.command()
@grouped
def init(
    directory: Annotated[Path | None, typer.Argument(help="a new or empty directory")] = None,
    *,
    sample: Annotated[
        str, typer.Option("--from", help="events to make the app for: Parquet, CSV or JSON lines")
    ] = "",
    fields: SampleFields,
) -> None:
    """Write a small app that runs: declarations, a producer, a question. With --from: an app for
    events of your own."""
    from freshet.cli.init import init, init_from
    from freshet.scaffold.plan import Chosen

    if sample:
        init_from(sample, directory, Chosen(**asdict(fields)), terminal(None))
    elif directory is None:
        raise DefinitionError(
            "init", "is to be written nowhere", "Name a directory: freshet init parcels."
        )
    elif any(asdict(fields).values()):
        raise DefinitionError(
            "init", "is told of fields, but of no sample", "Name the sample with --from."
        )
    else:
        init(directory, terminal(None))


@cli.command()
def check(
    app: App,
    run_dir: Annotated[
        str | None, typer.Option(help="folder of a run that it may go on in, or its URL")
    ] = None,
) -> None:
    """Validate an app's file and say what it would run; and, where it has run, what it would begin
    anew."""
    from freshet.app import load
    from freshet.declared import definitions
    from freshet.settings import settings
    from freshet.streams.object_probe import probe
    from freshet.tables.declared_app import describe
    from freshet.versions.excluded import as_run

    given = settings(run_dir=run_dir)
    if given.is_shared:
        probe(given.shared_url)
    loaded = as_run(load(app), given)
    before = definitions.read(given.checkpoints_url)
    describe(loaded, terminal(None), before)


@cli.command()
@grouped
def run(
    app: App,
    *,
    role: Annotated[
        str | None, typer.Option(help="run one role in this process instead of all")
    ] = None,
    member: Annotated[
        str, typer.Option(help="tells several processes of one role apart, such as 2")
    ] = "",
    plan: Annotated[
        Path | None, typer.Option(help="file of freshet plan --out; refused where it holds no more")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask where something is declared otherwise")
    ] = False,
    place: RunPlace,
) -> None:
    """Run an app: all roles on this machine, or one of them."""
    # Before anything large is imported, all of which stays: each look for what might be let go of
    # would look at all that came so far. An eighth of a start.
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    from freshet.settings import settings

    given = settings(**asdict(place))
    # One role loads the app itself, in its own process, as children of a whole run do.
    if role is not None:
        from freshet.processes.spared import spare

        spare()
        from freshet.processes.one import run_one

        run_one(app, role, given, member)
    else:
        if not given.is_shared and is_held(given.local_path):
            # Before anything is forked: this process starts no role.
            change_what_runs(app, given, plan, yes)
        _fork_early(app)
        from freshet.app import load
        from freshet.processes.live import run_all
        from freshet.processes.versioned import chosen
        from freshet.versions.excluded import as_run

        declared = load(app)
        refuse_out_of_reach(given)
        loaded = as_run(declared, given)
        running = chosen(loaded, app, given)
        build = None
        if running != app:
            app = running
            loaded = as_run(load(app), given)
        elif not agreed(loaded, given, plan, yes):
            raise SystemExit(1)
        else:
            app, loaded, build = first_what_ran(app, loaded, given, yes or plan is not None)
        raise SystemExit(run_all(loaded, app, given, terminal(RUN_WIDTH), build))


def _fork_early(app: str = "") -> None:
    """Of a command that will start roles. A file that is not there is told of at once, without what
    they import."""
    if app and not Path(app).exists():
        return
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    from freshet.processes.fork_server import fork_early

    fork_early()


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"freshet {version('freshet')}")
        raise typer.Exit


@cli.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and end")
    ] = False,
) -> None:
    """Models that never stop learning."""


@cli.command()
@grouped
def demo(
    *,
    flights: Flights,
    keep: Keep = False,
    port: ScorerPort = 0,
    status_port: StatusPort = 0,
    run_dir: Annotated[
        str, typer.Option(help="folder of the run; emptied first")
    ] = ".freshet/demo",
    report: Annotated[Path, typer.Option(help="where the report goes")] = Path("demo-report.json"),
) -> None:
    """Replay the flights of 2013 through intake, views, trainers and a live scorer."""
    _fork_early()
    from freshet.app import load
    from freshet.demo import demo as demo_module
    from freshet.demo.flights import APP
    from freshet.settings import settings

    app = load(APP)
    given = settings(run_dir=run_dir, port=port, status_port=status_port)
    options = demo_module.DemoOptions(**asdict(flights), keep=keep, report=report)
    raise SystemExit(demo_module.run(app, str(APP), given, options, terminal(RUN_WIDTH)))


@cli.command()
@grouped
def replay(
    app: App,
    data: Annotated[
        list[str],
        typer.Argument(
            help="files of events: Parquet, CSV or JSON lines; arrivals=old/*.parquet says for "
            "which topic"
        ),
    ],
    *,
    time: DataTime,
    keep: Keep = False,
    place: ReplayPlace,
    report: Annotated[Path, typer.Option(help="where the report goes")] = Path(
        "replay-report.json"
    ),
) -> None:
    """Replay old data through an app in the data's own time, and say what was learned."""
    _fork_early(app)
    from freshet.app import load
    from freshet.replay import command
    from freshet.settings import settings

    given = settings(
        log=place.log or "",
        store=place.store or "",
        run_dir=place.run_dir or command.DEFAULT_DIR,
        port=place.port,
        status_port=place.status_port,
        snapshot_every=time.snapshot_every,
    )
    options = command.ReplayOptions(time.since, time.until, time.step, keep, report)
    raise SystemExit(command.run(load(app), str(app), data, given, options, terminal(RUN_WIDTH)))


register(cli)
inspect_cli.register(cli)
past_cli.register(cli)
schema_cli.register(cli)
cli.command()(statistics)
cli.command("plan")(plan_command)
cli.command("apply")(apply_command)
cli.add_typer(servers, name="servers")
cli.add_typer(registry, name="registry")
cli.add_typer(keys, name="keys")


def main() -> None:
    """The entry point: errors of ours become one line on stderr and status 2."""
    use_standard_streams()
    logs.use_stderr()  # stdout is for what was asked
    try:
        status = cli(standalone_mode=False)
    except FreshetError as error:
        complain(f"error: {str(error).removeprefix('request ')}")
        raise SystemExit(USAGE) from error
    except OSError as error:
        complain(f"error: {_unforeseen(error)}")
        raise SystemExit(USAGE) from error
    except typer.Abort as abort:
        raise SystemExit(1) from abort
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise SystemExit(_miswritten(error)) from error
    raise SystemExit(status or 0)  # a command that only prints returns None


def _miswritten(error: Any) -> int:
    """Tell what is wrong with a command line, which may quote an address; the status to end
    with."""
    from typer.rich_utils import rich_format_error

    # typer quotes what was written, and it is the first that prints it.
    error.message = shown(error.message)
    rich_format_error(error)
    return int(error.exit_code)


def _unforeseen(error: OSError) -> ComponentError:
    """Of a file that nobody thought of: what the system says of it, which is the true cause."""
    # Whoever read the output went away, as `head` does: that is no error to be told.
    if error.errno == errno.EPIPE:
        end_without_reader()
    what = "this machine"
    if error.filename:
        what = f"file {error.filename}"
    return ComponentError(
        what, error.strerror or str(error), "Mend that, and run the command again."
    )


if __name__ == "__main__":
    main()
