"""Commands on what runs have written, while they go on and after they have ended: explain a
prediction; read dead letters, send them again, give them up; what differs between two runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.cli.option_groups import Letters, grouped
from freshet.cli.run import DEFAULT, RunDir
from freshet.schemas.shown_text import printable_json
from freshet.terminal import say, terminal

if TYPE_CHECKING:
    from freshet.redrive.chosen import Wanted

TopicName = Annotated[str | None, typer.Option("--topic", help="only letters of this topic")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="only letters of this reason, such as out_of_range")
]
DIFFER = 1  # as of diff(1)
Apply = Annotated[bool, typer.Option("--apply", help="do it, and not only say what would happen")]
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
    from freshet.redrive.state import by_kind
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        show_kinds(kinds(run, topic, reason), topic, reason, terminal(), by_kind(run))


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
    from freshet.redrive.state import by_origin
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        again = by_origin(run)
        found = [
            replace(letter, again=again.get(letter.origin))
            for letter in newest(run, topic, reason, limit)
        ]
        show_letters(run, found, topic, reason, raw, terminal())


@dlq.command("replay")
@grouped
def replay(
    *,
    letters: Letters,
    patch: Annotated[
        list[str] | None,
        typer.Option("--patch", help='FIELD=EXPRESSION over the record, such as "late=late/60"'),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="letters a second (default: 5 % of the live rate)"),
    ] = None,
    apply: Apply = False,
    run_dir: RunDir = DEFAULT,
) -> None:
    """Send them again, mended or after a change of the schema; says what would happen, unless
    --apply is given."""
    from freshet.redrive.patching import parsed
    from freshet.redrive.redrive import Redrive
    from freshet.redrive.text import show_outcome
    from freshet.runs.opened import opened

    patches = parsed(patch or [])
    with opened(run_dir) as run:
        redrive = Redrive(run, _wanted(letters), patches)
        outcome = redrive.send(rate=rate) if apply else redrive.trial()
    show_outcome(outcome, not apply, terminal())
    if outcome.stopped:
        raise typer.Exit(1)


@dlq.command("drop")
@grouped
def drop(*, letters: Letters, apply: Apply = False, run_dir: RunDir = DEFAULT) -> None:
    """Give them up, so that they are never sent again; says which, unless --apply is given."""
    from freshet.redrive.redrive import Redrive
    from freshet.redrive.text import show_outcome
    from freshet.runs.opened import opened

    with opened(run_dir) as run:
        redrive = Redrive(run, _wanted(letters), {})
        outcome = redrive.send(gives_up=True) if apply else redrive.trial(gives_up=True)
    show_outcome(outcome, not apply, terminal())


def _wanted(letters: Letters) -> Wanted:
    from freshet.past.moments import ms_of
    from freshet.redrive.chosen import Wanted

    since = ms_of("--from", letters.since) if letters.since else None
    until = ms_of("--to", letters.until) if letters.until else None
    return Wanted(letters.topic, letters.reason, letters.field, letters.source, since, until)


def register(cli: typer.Typer) -> None:
    cli.add_typer(dlq, name="dlq")
    cli.command()(explain)
    cli.command()(diff)
