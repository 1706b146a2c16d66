"""`freshet statistics TOPIC`: what the values of a topic are like, beside those that they are
compared with; `freshet statistics --model MODEL`: its skew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freshet.cli.option_groups import ValuesAsked, grouped
from freshet.cli.run import DEFAULT, RunDir

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.serving.status.status import DriftFigures
    from freshet.serving.values.report import FieldReport, Report
    from freshet.serving.values.skew_report import SkewReport

MOST_SOURCES = 10
MOST_TOP = 3
DISTANCE = "“distance” is that of Jensen–Shannon, 0 (alike) to 1 (nothing in common),"
# Of ids, times and the like nothing else is kept.
ONLY_COUNTED = "only counted"


@grouped
def statistics(
    topic: Annotated[str, typer.Argument(help="a topic of the app")] = "",
    *,
    asked: ValuesAsked,
    model: Annotated[
        str, typer.Option(help="in its place: what a model is asked on, beside what it learned")
    ] = "",
    run_dir: RunDir = DEFAULT,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What the values of a topic are like, and how far from what they are compared with: by default
    of the newest day."""
    from freshet.runs.page_client import PageClient

    if bool(topic) == bool(model):
        raise typer.BadParameter("Name a topic, or a model by --model.")
    given = {"field": asked.field, "from": asked.since, "to": asked.until}
    query = {name: text for name, text in given.items() if text}
    # An empty text is a source, too.
    if asked.source is not None:
        query["source"] = asked.source
    if model and query:
        raise typer.BadParameter(f"--model has no --{next(iter(query))}.")
    with PageClient(run_dir) as page:
        if model:
            _tell(page.skew(model), show_skew, json)
        else:
            _tell(page.statistics(topic, query), show_report, json)


def _tell(found: Any, show: Callable[[Any, Console], None], as_json: bool) -> None:
    import msgspec

    from freshet.schemas.shown_text import printable_json
    from freshet.terminal import say, terminal

    if as_json:
        say(printable_json(msgspec.json.format(msgspec.json.encode(found)).decode()))
    else:
        show(found, terminal())


def show_skew(found: SkewReport, console: Console) -> None:
    """Features, the farthest first; and those that were beyond a bound."""
    from freshet.figures import DASH, count
    from freshet.tables.run_status import table
    from freshet.terminal import marked

    console.print(marked("[bold]{}[/]  asked on, beside learned from", found.model))
    if not found.features:
        console.print("Not a hundred vectors of each are known yet.")
        return
    rows = [
        [
            each.feature,
            f"{each.jensen_shannon:.2f}",
            DASH if each.bound is None else f"{each.bound:.2f}",
            f"{each.psi:.2f}",
            f"{each.largest:.2f}",
            count(each.asked),
            count(each.learned),
        ]
        for each in sorted(found.features, key=lambda each: -each.jensen_shannon)
    ]
    names = ("feature", "distance", "bound", "PSI", "L∞", "asked", "learned")
    console.print(table(*names, rows=rows))
    for each in found.skewed:
        line = marked("{}  [yellow]{}[/]: {}", _moment(each), each.field, _how_far(each))
        console.print(line, soft_wrap=True)
    console.print(f"{DISTANCE} from what was learned from.")
    missing = max((each.weeks_missing or 0 for each in found.features), default=0)
    if missing:
        console.print(f"Skew is watched once {missing} more weeks are known.")
    else:
        console.print("Skew is watched: what is beyond its bound raises an alert.")


def _moment(drift: DriftFigures) -> str:
    from freshet.figures import moment

    return moment(drift.hour_ms)


def show_report(found: Report, console: Console) -> None:
    """As tables: fields; the bins of a single one; and which hours were unlike others."""
    from freshet.figures import count, moment
    from freshet.tables.run_status import table
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
    figures = ("missing", "mean", "sd", "min", "median", "max", "distance")
    names = ("field", "events", *figures, "values")
    console.print(table(*names, rows=[_row(each) for each in found.fields], text="values"))
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
    console.print(f"{DISTANCE} from {found.reference}.")
    console.print(_learning(found))


def _how_far(drift: DriftFigures) -> str:
    from freshet.serving.status.measures import said

    if drift.measure == "unseen":
        return f"{drift.distance:.0%} of values unseen, bound {min(1.0, drift.bound):.0%}"
    return said(drift)


def _learning(found: Report) -> str:
    if found.weeks_missing is None:
        return f"Drift is not watched yet: nothing is known of {found.reference}."
    if found.weeks_missing:
        return f"Drift is watched once {found.weeks_missing} more weeks are known."
    return "Drift is watched: what is beyond its bound raises an alert."


def _row(each: FieldReport) -> list[str]:
    from freshet.figures import DASH, count

    missing = f"{each.missing / each.events:.1%}" if each.events else DASH
    distance = DASH
    if each.compared is not None:
        distance = f"{each.compared.jensen_shannon:.2f}"
    numbers = (each.mean, each.deviation, each.min, each.quantiles.get("0.5"), each.max)
    figures = [DASH if number is None else f"{number:.4g}" for number in numbers]
    return [each.name, count(each.events), missing, *figures, distance, _values(each)]


def _values(each: FieldReport) -> str:
    """How many there are, and the most frequent texts."""
    if each.kind == "presence" and each.present:
        return ONLY_COUNTED
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
