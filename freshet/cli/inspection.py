"""Commands that read what runs have written, while they go on and after they have ended: explain a
prediction, dead letters, what differs between two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from freshet.cli.run import DEFAULT, RunDir
from freshet.schemas.shown_text import printable_json
from freshet.terminal import say, terminal

TopicName = Annotated[str | None, typer.Option("--topic", help="only letters of this topic")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="only letters of this reason, such as out_of_range")
]
DIFFER = 1  # as of diff(1)
dlq = typer.Typer(
    help="Dead letters: records that could not be taken, by reason, with their origin.",
    no_args_is_help=True,
)


def explain(
    prediction_id: Annotated[
        str, typer.Argument(help="the id that the request carried, or that its answer named")
    ],
    whole_window: Annotated[
        bool, typer.Option("--all", help="every event within each row's longest window")
    ] = False,
    model: Annotated[str | None, typer.Option("--model", help="only of this model")] = None,
    run_dir: RunDir = DEFAULT,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """A prediction: its answer and snapshot, what came of it, its features, and the newest event
    behind each."""
    import msgspec

    from freshet.explain.explain import explain
    from freshet.explain.text import show_explanation
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        found = explain(run, prediction_id, model, whole_window)
    # For programs: through no console, which would fold its lines at a width.
    if json:
        say(printable_json(msgspec.json.format(msgspec.json.encode(found)).decode()))
    else:
        show_explanation(found, terminal())


def diff(
    run_a: Annotated[str, typer.Argument(help="folder of a run, or its URL")],
    run_b: Annotated[str, typer.Argument(help="that of the one to compare it with")],
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What differs between two runs: definitions, settings, fates of events, rows, quality. Ends
    with 0 where nothing does, with 1 where something does."""
    import msgspec

    from freshet.compared.compare import compare
    from freshet.compared.side import side_of
    from freshet.compared.text import show_comparison
    from freshet.runs.opened import opened

    with opened(run_a) as first:
        a = side_of(first)
    with opened(run_b) as second:
        b = side_of(second)
    found = compare(a, b, (run_a, run_b))
    if json:
        say(printable_json(msgspec.json.format(msgspec.json.encode(found)).decode()))
    else:
        show_comparison(found, terminal())
    if found.differences:
        raise typer.Exit(DIFFER)


@dlq.command("list")
def list_letters(topic: TopicName = None, reason: Reason = None, run_dir: RunDir = DEFAULT) -> None:
    """How many there are, by topic and reason."""
    from freshet.dead_letters.letters import kinds
    from freshet.dead_letters.text import show_kinds
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        show_kinds(kinds(run, topic, reason), topic, reason, terminal())


@dlq.command("show")
def show(
    topic: TopicName = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="how many, newest first")] = 10,
    raw: Annotated[
        bool, typer.Option("--raw", help="all bytes that were kept, as they are")
    ] = False,
    run_dir: RunDir = DEFAULT,
) -> None:
    """The newest of them, as readable as they are."""
    from freshet.dead_letters.letters import newest
    from freshet.dead_letters.text import show_letters
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        show_letters(run, newest(run, topic, reason, limit), topic, reason, raw, terminal())


def register(cli: typer.Typer) -> None:
    cli.add_typer(dlq, name="dlq")
    cli.command()(explain)
    cli.command()(diff)
