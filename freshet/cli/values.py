"""`freshet statistics TOPIC`: what the values of a topic are like, beside those that they are
compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.cli.option_groups import ValuesAsked, grouped
from freshet.cli.run import DEFAULT, RunDir

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.serving.status.status import DriftFigures
    from freshet.serving.values.report import FieldReport, Report

MOST_SOURCES = 10
MOST_TOP = 3


@grouped
def statistics(
    topic: Annotated[str, typer.Argument(help="a topic of the app")],
    *,
    asked: ValuesAsked,
    run_dir: RunDir = DEFAULT,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What the values of a topic are like, and how far from what they are compared with: by default
    of the newest day."""
    import msgspec

    from freshet.runs.page_client import PageClient
    from freshet.schemas.shown_text import printable_json
    from freshet.terminal import say, terminal

    given = {"field": asked.field, "from": asked.since, "to": asked.until}
    query = {name: text for name, text in given.items() if text}
    # An empty text is a source, too.
    if asked.source is not None:
        query["source"] = asked.source
    with PageClient(run_dir) as page:
        found = page.statistics(topic, query)
    if json:
        say(printable_json(msgspec.json.format(msgspec.json.encode(found)).decode()))
    else:
        show_report(found, terminal())


def show_report(found: Report, console: Console) -> None:
    """As tables: fields; the bins of a single one; and which hours were unlike others."""
    from freshet.cli.tables import table
    from freshet.figures import count, moment
    from freshet.terminal import marked

    whole = "all sources"
    of = whole if found.source is None else f"source {found.source}"
    said = marked(
        "[bold]{}[/]  {}, {} to {} UTC, event time",
        found.topic,
        of,
        moment(found.from_ms),
        moment(found.to_ms),
    )
    console.print(said, soft_wrap=True)
    if not found.fields:
        console.print("No event of this span is known yet.")
    names = ("field", "events", "missing", "mean", "sd", "min", "median", "max", "values", "moved")
    console.print(table(*names, rows=[_row(each) for each in found.fields]))
    if len(found.fields) == 1 and found.fields[0].compared is not None:
        console.print(table("values", "share", "reference", rows=_bins(found.fields[0])))
    brought = [
        [each.name or "(the rest)", count(each.events)] for each in found.sources[:MOST_SOURCES]
    ]
    if len(found.sources) > 1:
        console.print(table("source", "events", rows=brought))
    for drift in found.drifts:
        line = marked(
            "{}  [yellow]{}[/] of {}: {}; {} is {} in place of {}",
            moment(drift.hour_ms),
            drift.field,
            drift.source or whole,
            _how_far(drift),
            drift.moved,
            f"{drift.share:.0%}",
            f"{drift.usual_share:.0%}",
        )
        console.print(line, soft_wrap=True)
    console.print(_learning(found))


def _how_far(drift: DriftFigures) -> str:
    if drift.measure == "unseen":
        return f"{drift.distance:.0%} of values unseen, bound {min(1.0, drift.bound):.0%}"
    return f"{drift.distance:.2f} apart, bound {drift.bound:.2f}"


def _learning(found: Report) -> str:
    if found.weeks_missing is None:
        return f"Drift is not watched yet: nothing is known of {found.reference}."
    if found.weeks_missing:
        return f"Drift is watched once {found.weeks_missing} more weeks are known."
    return (
        f"Drift is watched: “moved” is the Jensen–Shannon distance, 0 to 1, from {found.reference}."
    )


def _row(each: FieldReport) -> list[str]:
    from freshet.figures import DASH, count

    missing = f"{each.missing / each.events:.1%}" if each.events else DASH
    moved = DASH
    if each.compared is not None:
        moved = f"{each.compared.jensen_shannon:.2f}"
    numbers = (each.mean, each.deviation, each.min, each.quantiles.get("0.5"), each.max)
    figures = [DASH if number is None else f"{number:.4g}" for number in numbers]
    return [each.name, count(each.events), missing, *figures, _values(each), moved]


def _values(each: FieldReport) -> str:
    """How many there are, and the most frequent texts."""
    told = ", ".join(f"{name} {events:,}" for name, events in each.top[:MOST_TOP])
    if each.distinct is None:
        return told
    several = f"{each.distinct:,.0f}"
    return f"{several}: {told}" if told else several


def _bins(each: FieldReport) -> Iterator[list[str]]:
    if each.compared is None:
        return
    for one in each.compared.bins:
        share = one.events / each.compared.events
        usual = one.reference_events / each.compared.reference_events
        yield [one.name, f"{share:.1%}", f"{usual:.1%}"]
