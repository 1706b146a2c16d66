"""`freshet schema`: propose a schema for a sample, and compare a sample with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from freshet.cli.option_groups import SampleTopic, grouped
from freshet.schemas.errors import DefinitionError

ANOMALIES = 2  # status where a sample and its schema disagree
FAILED = 1
schema = typer.Typer(
    help="Schemas from samples: Parquet, CSV, JSON lines, or a topic's newest records.",
    no_args_is_help=True,
)
Rows = Annotated[int, typer.Option(min=1, help="how many rows of files are looked at")]
MOST_ROWS = 100_000


@schema.command("infer")
@grouped
def infer(
    sample: Annotated[
        str, typer.Argument(help="a file, or several of one format, such as 'old/*.csv'")
    ] = "",
    *,
    topic: SampleTopic,
    name: Annotated[str, typer.Option(help="name of the record (default: by the sample's)")] = "",
    rows: Rows = MOST_ROWS,
    out: Annotated[
        Path | None, typer.Option(help="a new file for the schema (default: standard output)")
    ] = None,
) -> None:
    """Propose a schema for a sample: on standard output, and on standard error how it came to
    it."""
    from freshet.samples.places import Place, infer

    place = Place(sample, topic.topic, topic.last, topic.log, topic.run_dir)
    infer(place, name, rows, out)


@schema.command("check")
@grouped
def check(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="[APP TOPIC] [SAMPLE]",
            help="an app's file, a topic of it, and files of its events",
        ),
    ] = [],  # noqa: B006
    *,
    against: Annotated[
        Path | None,
        typer.Option("--schema", help="a schema's file, in place of an app and its topic"),
    ] = None,
    topic: SampleTopic,
    rows: Rows = MOST_ROWS,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="write the schema's next version to its file")
    ] = False,
) -> None:
    """Compare a sample with a schema: what intake would set aside or pass over, each with the
    field as it would have to be. Its status is 2 where there is something to tell."""
    from freshet.anomalies.command import Against, check
    from freshet.samples.places import Place

    files = sample_files(given, against, bool(topic.topic))
    if against is not None:
        beside = Against.file(against)
    else:
        beside = Against.app(given[0], given[1])
    place = Place(files, topic.topic, topic.last, topic.log, topic.run_dir)
    if not check(place, beside, rows, json, apply):
        raise typer.Exit(ANOMALIES)


def sample_files(given: list[str], against: Path | None, is_topic: bool) -> str:
    """The sample's files: what follows the app and its topic, where these are given."""
    before = 2
    if against is not None:
        before = 0
    if len(given) != before + (not is_topic):
        raise DefinitionError(
            f"schema check {' '.join(given)}",
            "does not name one schema and one sample",
            "Write freshet schema check app.py TOPIC SAMPLE, or --schema FILE SAMPLE; in place of "
            "SAMPLE --topic LOG takes the newest records of a topic's log.",
        )
    return "".join(given[before:])


def register(cli: typer.Typer) -> None:
    cli.add_typer(schema, name="schema")
