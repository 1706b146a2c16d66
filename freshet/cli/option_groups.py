"""Options that belong together, as one value: what a command takes stays readable, however many
options it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

LogUrl = Annotated[
    str | None, typer.Option(help="kafka://host:port (default: SQLite in the run folder)")
]
StoreUrl = Annotated[
    str | None, typer.Option(help="redis://… or cassandra://… (default: an embedded Redis)")
]
RegistryUrl = Annotated[
    str | None, typer.Option(help="http(s)://host:port of a schema registry (default: none)")
]
ArchiveUrl = Annotated[
    str | None,
    typer.Option(help="folder or URL of the archive, or none (default: in the run folder)"),
]
ScorerPort = Annotated[int, typer.Option(min=0, max=65535, help="port of the scorer (0: any)")]
StatusPort = Annotated[int, typer.Option(min=0, max=65535, help="port of the status page (0: any)")]


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where an app runs: by what servers, in which folder, under which addresses."""

    log: LogUrl = None
    store: StoreUrl = None
    registry: RegistryUrl = None
    archive: ArchiveUrl = None
    run_dir: Annotated[
        str | None, typer.Option(help="folder of the run, or URL of what machines share of it")
    ] = None
    local_dir: Annotated[
        str | None, typer.Option(help="folder of this machine, where --run-dir is a URL")
    ] = None
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None
    port: Annotated[int | None, typer.Option(help="port of the scorer")] = None
    status_port: Annotated[int | None, typer.Option(help="port of the status page")] = None


@dataclass(frozen=True, slots=True)
class Letters:
    """Which dead letters."""

    topic: Annotated[str | None, typer.Option(help="only letters of this topic")] = None
    reason: Annotated[
        str | None, typer.Option(help="only letters of this reason, such as out_of_range")
    ] = None
    field: Annotated[str | None, typer.Option(help="only those with this field at fault")] = None
    source: Annotated[str | None, typer.Option(help="only those of events of this source")] = None
    since: Annotated[str, typer.Option("--from", help="only those buried from this moment on")] = ""
    until: Annotated[str, typer.Option("--to", help="only those buried before this moment")] = ""


@dataclass(frozen=True, slots=True)
class ReplayPlace:
    """Where old data is replayed."""

    log: LogUrl = None
    store: StoreUrl = None
    port: ScorerPort = 0
    status_port: StatusPort = 0
    run_dir: Annotated[
        str | None,
        typer.Option(
            help="a new folder for the run, to go on in (default: .freshet/replay, emptied)"
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class SampleTopic:
    """A topic whose newest records are a sample, and where its log is."""

    topic: Annotated[str, typer.Option(help="a topic's log, such as orders.v1, not files")] = ""
    last: Annotated[int, typer.Option(min=1, help="how many of its newest records")] = 10_000
    log: LogUrl = None
    run_dir: Annotated[str | None, typer.Option(help="folder of the run whose log it is")] = None


@dataclass(frozen=True, slots=True)
class SampleFields:
    """Fields of a sample that somebody named, for an app of it."""

    event_id: Annotated[
        str, typer.Option(help="with --from: the field that tells events apart")
    ] = ""
    event_time: Annotated[str, typer.Option(help="with --from: the field that says when")] = ""
    key: Annotated[str, typer.Option(help="with --from: the field that features are of")] = ""
    label: Annotated[str, typer.Option(help="with --from: the field that a model learns")] = ""


@dataclass(frozen=True, slots=True)
class DataTime:
    """Which of the data's time is replayed, and in what steps."""

    since: Annotated[
        str, typer.Option("--from", help="leave out what was before, such as 1996-05-07")
    ] = ""
    until: Annotated[str, typer.Option("--until", help="leave out what was then or later")] = ""
    step: Annotated[str, typer.Option(help="time of the data per step (default: by its span)")] = ""
    snapshot_every: Annotated[
        str | None, typer.Option(help="time of the data between snapshots, for all topics")
    ] = None


@dataclass(frozen=True, slots=True)
class Flights:
    """Which flights the demo replays, with which faults, and how often it cuts snapshots."""

    days: Annotated[int, typer.Option(min=1, max=365, help="days of 2013 to replay")] = 59
    step: Annotated[str, typer.Option(help="flight time per step")] = "15m"
    seed: Annotated[int, typer.Option(help="seed of the injected faults")] = 0
    snapshot_every: Annotated[
        str, typer.Option(help="flight time between snapshots (3h; 6h over the year)")
    ] = ""


@dataclass(frozen=True, slots=True)
class Questions:
    """Which questions of a run, by when they were asked."""

    since: Annotated[
        str, typer.Option("--from", help="first moment of a question, such as 2013-02-08")
    ] = ""
    until: Annotated[str, typer.Option("--to", help="the moment before which they are")] = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Which examples a lineage does not learn from."""

    since: Annotated[
        str, typer.Option("--from", help="learn from what was asked from this moment on")
    ] = ""
    where: Annotated[
        str,
        typer.Option(
            "--except", help="but not where this is true, such as \"source = 'EWR'\" (SQL)"
        ),
    ] = ""
    ids: Annotated[
        str, typer.Option("--except-ids", help="nor from questions of the ids in this file")
    ] = ""


@dataclass(frozen=True, slots=True)
class TakenOut:
    """Which events of a topic are taken out of its views."""

    since: Annotated[
        str, typer.Option("--from", help="appended from this moment on, such as 2013-02-08")
    ] = ""
    until: Annotated[str, typer.Option("--to", help="appended before this moment")] = ""
    where: Annotated[
        str,
        typer.Option(
            "--where", "--except", help='where this is true, such as "arr_delay > 900" (SQL)'
        ),
    ] = ""
    source: Annotated[str, typer.Option(help="of this source")] = ""
    partition: Annotated[int | None, typer.Option(min=0, help="of this partition")] = None
    offsets: Annotated[
        str, typer.Option(help="of records from one offset to another, such as 100-199")
    ] = ""
    ids: Annotated[str, typer.Option("--ids", help="of the ids in this file, one a line")] = ""


@dataclass(frozen=True, slots=True)
class Doing:
    """What is done with events of a topic, and how it is told."""

    revert: Annotated[
        int | None, typer.Option(help="put back what the exclusion of this number took out")
    ] = None
    apply: Annotated[bool, typer.Option("--apply", help="do it")] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="as lines of JSON, each snapshot of its own")
    ] = False


@dataclass(frozen=True, slots=True)
class Judged:
    """Which model is judged, by how often it cuts snapshots."""

    model: Annotated[str, typer.Option(help="one of its models, if there are several")] = ""
    every: Annotated[
        str, typer.Option("--snapshot-every", help="how often snapshots are cut: a line each")
    ] = "5m,1h,6h,1d,7d"


@dataclass(frozen=True, slots=True)
class ValuesAsked:
    """Which values of a topic are told of."""

    field: Annotated[str, typer.Option(help="one of its fields, with its bins")] = ""
    source: Annotated[str | None, typer.Option(help="of this source alone")] = None
    since: Annotated[
        str, typer.Option("--from", help="event time, ISO 8601, such as 2026-01-31T12:00")
    ] = ""
    until: Annotated[str, typer.Option("--to", help="event time before which it ends")] = ""


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer reads it: a parameter whose type is one of the groups above stands for the
    group's fields, each an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            flat += inspect.signature(groups[name], eval_str=True).parameters.values()
        else:
            flat.append(parameter.replace(annotation=hints[name]))

    def called(**given: Any) -> None:
        for name, kind in groups.items():
            own = {field.name: given.pop(field.name) for field in fields(kind)}
            given[name] = kind(**own)
        command(**given)

    # By keyword only: groups stand where they are declared, so options with defaults may come
    # before parameters without.
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in flat]
    called.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in flat}
    called.__name__ = command.__name__
    called.__doc__ = command.__doc__
    return called
