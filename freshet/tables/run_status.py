"""A run's status as tables for the terminal: topics, roles, models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from freshet.figures import (
    DASH,
    count,
    duration,
    fixed,
    moment,
)
from freshet.serving.status.status import (
    ModelFigures,
    PastColumnsFigures,
    PastFigures,
    Quality,
    References,
    Status,
    TopicFigures,
)
from freshet.terminal import marked

Cell = str | Text

SIGNS = {
    "green": Text("✔", "green"),
    "amber": Text("▲", "yellow"),
    "red": Text("✖", "red"),
}
STATES = {"running": "green", "held": "yellow"}
WALL = "%-d %b %H:%M:%S"
# The figures of each task: their names here and in a status. MAE, RMSE and bias are in the label's
# unit.
QUALITY: dict[str, dict[str, str]] = {
    "binary": {
        "AUC": "auc",
        "norm. entropy": "ne",
        "log loss": "log_loss",
        "accuracy": "accuracy",
        "calibration": "calibration",
    },
    "classes": {
        "accuracy": "accuracy",
        "macro F1": "macro_f1",
        "norm. entropy": "ne",
        "log loss": "log_loss",
        "calibration": "calibration",
    },
    "regression": {"MAE": "mae", "RMSE": "rmse", "bias": "bias", "squared error": "squared_error"},
}
ROUNDED = ("accuracy", "calibration")  # to three places, all others to four
ROLES = ("role", "state", "pid", "restarts", "memory MB", "last exit")
PAST = ("view from the past", "state", "records", "left", "per s", "done in", "waits for")
PAST_COLUMNS = (
    "columns from the past",
    "state",
    "columns",
    "questions",
    "left",
    "per s",
    "records left",
    "done in",
    "waits for",
)
# What became of the events that could be labels, as intake names it.
LABEL_FATES = {"used": "used", "no value": "null", "bad": "bad", "no id": "without_id"}
LINEAGES = ("lineage", "alias", "snapshot", "refused", "examples")


def show_status(status: Status, console: Console) -> None:
    """Promises, outages and alerts first; then what runs, how far everything is, and what is
    served."""

    def tell(template: str, *values: object) -> None:
        console.print(marked(template, *values), soft_wrap=True)

    clock = status.clock
    tell("[bold]{}[/]  {}, app clock {}", status.app, clock.state, moment(clock.app_ms))
    if status.applying:
        tell("{}", status.applying)
    # What is wrong stands at the top, whatever follows fills the screen.
    for promise in status.promises:
        tell("{} {}: {}", SIGNS[promise.state], promise.name, promise.reason)
    for outage in status.outages:
        since = moment(outage.since_ms, WALL)
        tell(
            "\n[red]{} is {}[/] since {}: {}: {}",
            outage.component,
            outage.word,
            since,
            outage.resource,
            outage.cause,
        )
        tell(
            "  meanwhile: {} ({})\n  {}",
            outage.meanwhile,
            ", ".join(outage.roles),
            outage.next_step,
        )
    for alert in status.alerts:
        if alert.state == "firing":
            tell(
                "\n{} [bold]{} {}[/]: {}",
                SIGNS[alert.light],
                alert.policy,
                alert.subject,
                alert.reason,
            )
            tell("  {} {}", alert.meaning, alert.next_step)
    for switch in status.switches:
        if not switch.on:
            tell(
                "[yellow]switch {} is off[/], by {} at {}",
                switch.name,
                switch.by,
                moment(switch.at_ms, WALL),
            )
    console.print(table(*ROLES, rows=_roles(status)))
    console.print(table("view", "of topic", "rows", "lag", "SLO", rows=_views(status)))
    past = [_past(view.name, view.past) for view in status.views if view.past is not None]
    if past:
        console.print(table(*PAST, rows=past))
    columns = [_past_columns(m.name, m.past) for m in status.models if m.past is not None]
    if columns:
        console.print(table(*PAST_COLUMNS, rows=columns))
    refused = [
        [view.name, count(view.refused), view.refusal] for view in status.views if view.refused
    ]
    if refused:
        console.print(table("view", "refused rows", "one of them", rows=refused))
    console.print(
        table("model", "served lineage", "snapshot", "since", "lag", "SLO", rows=_served(status))
    )
    labels = [_label_fates(model) for model in status.models if model.labels.fates]
    if labels:
        console.print(table("labels of model", *LABEL_FATES, rows=labels))


def show_topics(status: Status, console: Console) -> None:
    """Settings and lags of every topic; what was changed since it was declared is marked."""
    console.print(
        table("topic", "records", "per s", "lag", "dropped", "dead", rows=_topics(status))
    )
    marked_gone = [
        [topic.name, count(topic.tombstones)] for topic in status.topics if topic.tombstones
    ]
    if marked_gone:
        console.print(table("topic", "tombstones", rows=marked_gone))
    empty = [[topic.name, count(topic.empty)] for topic in status.topics if topic.empty]
    if empty:
        console.print(table("topic", "records without an event", rows=empty))
    late = [
        [
            topic.name,
            source.source or "(none)",
            count(source.judged),
            count(source.late),
            f"{source.share:.1%}",
        ]
        for topic in status.topics
        for source in topic.late_sources
    ]
    if late:
        console.print(table("topic", "late source", "newest", "late", "share", rows=late))
    begun = [topic for topic in status.topics if topic.starts]
    if begun:
        starts = map(_start, begun)
        console.print(table("topic", "start", "first offsets", rows=starts, left=True))
    keys = []
    if status.topics:
        keys = list(status.topics[0].settings)  # every topic has them all
    rows: list[list[Cell]] = [
        [
            key,
            *(
                _setting(topic.settings.get(key, ""), topic.declared.get(key, ""))
                for topic in status.topics
            ),
        ]
        for key in keys
    ]
    console.print(table("setting", *(topic.name for topic in status.topics), rows=rows, left=True))
    # The newest last, next to the prompt.
    for change in status.changes[-10:]:
        console.print(
            marked(
                "{}  {} {}={}  by {}",
                moment(change.at_ms, WALL),
                change.topic,
                change.key,
                change.value,
                change.by,
            )
        )


def show_archive(status: Status, console: Console) -> None:
    """What is archived of each log, and how near those that delete by themselves are to deleting
    what is not."""
    rows = []
    for log in status.archive:
        kept = DASH
        if log.retention_ms is not None:
            kept = f"{duration(log.retention_ms)}, {log.spent:.0%} spent"
        newest = moment(log.newest_ms)
        waiting = f"{log.waiting_seconds:.0f} s"
        size = f"{log.bytes / 1e6:,.1f}"
        places = [log.kind, log.log, count(log.archived), newest, waiting]
        rows.append([*places, count(log.files), size, kept, count(log.lost)])
    heads = ("kind", "log", "archived up to", "newest", "waits", "files", "MB")
    console.print(table(*heads, "deleted after", "lost", rows=rows))


def show_models(status: Status, console: Console) -> None:
    """Lineages of every model with their prequential quality, also by slice, their snapshots, and
    what is served."""
    for model in status.models:
        served = model.served
        text = "nothing yet: the fallback answers"
        if served is not None:
            since = moment(served.since_ms)
            text = f"{served.lineage} snapshot {served.number}, since {since}"
        console.print(marked("[bold]model {}[/]  serves {}", model.name, text))
        console.print(
            table(*LINEAGES, *QUALITY[model.task], rows=[*_lineages(model), *_references(model)])
        )
        _show_decisions(model, console)
        if model.classes:
            console.print(table("class", "labels", "answered", "right", rows=_classes(model)))
        for field in dict.fromkeys(
            of_value.field for line in model.lineages for of_value in line.slices
        ):
            title = f"NE, calibration by {field}"
            if model.task == "regression":
                title = f"MAE, bias by {field}"
            console.print(
                table(
                    title, *(lineage.name for lineage in model.lineages), rows=_slices(model, field)
                )
            )


def _show_decisions(model: ModelFigures, console: Console) -> None:
    """What release decided last, and why: which lineage is served, what became of each one's
    newest snapshot, and why its newest refused one was."""
    for each in model.missing:
        console.print(
            f"lacks {each.told} since {moment(each.since_ms)}: {each.reason}",
            highlight=False,
            markup=False,
        )
    if model.decision:
        console.print(f"release: {model.decision}", highlight=False, markup=False)
    for lineage in model.lineages:
        for skip in lineage.skips:
            until = "now" if skip.until_ms is None else moment(skip.until_ms)
            console.print(
                f"  {lineage.name}: skipped {count(skip.examples)} examples, "
                f"{moment(skip.start_ms)} to {until}, by {skip.by}: {skip.why}",
                highlight=False,
                markup=False,
            )
        verdicts = [lineage.verdict]
        # Else the verdict is that of the refused one, and says why itself.
        if lineage.refused and not lineage.refused_last:
            verdicts.append(
                f"before it, snapshot {lineage.newest_refused} refused: {lineage.refused}"
            )
        for verdict in filter(None, verdicts):
            console.print(f"  {lineage.name}: {verdict}", highlight=False, markup=False)


def _roles(status: Status) -> Iterable[list[Cell]]:
    for role in status.roles:
        yield [
            role.shown_name,
            Text(role.state, STATES.get(role.state, "red")),
            str(role.pid or DASH),
            str(role.restarts),
            fixed(role.memory_mb, 0),
            role.last_exit,
        ]


def _views(status: Status) -> Iterable[list[str]]:
    for view in status.views:
        yield [
            view.name,
            ", ".join(view.topics),
            count(view.rows),
            duration(view.lag_ms),
            duration(view.slo_ms),
        ]


def _past_columns(model: str, past: PastColumnsFigures) -> list[Cell]:
    return [
        model,
        past.state,
        count(past.columns),
        count(past.questions),
        count(past.questions_left),
        count(past.questions_a_second),
        count(past.records_left),
        _done_in(past.seconds_left),
        past.waits_for,
    ]


def _done_in(seconds_left: int | None) -> str:
    if seconds_left is None:
        return DASH
    return duration(seconds_left * 1000)


def _past(view: str, past: PastFigures) -> list[Cell]:
    return [
        view,
        past.state,
        count(past.records),
        count(past.records_left),
        count(past.records_a_second),
        _done_in(past.seconds_left),
        past.waits_for,
    ]


def _served(status: Status) -> Iterable[list[str]]:
    for model in status.models:
        served = model.served
        at = ["(fallback)", DASH, DASH]
        if served is not None:
            at = [served.lineage, str(served.number), moment(served.since_ms)]
        yield [model.name, *at, duration(model.lag_ms), duration(model.slo_ms)]


def _label_fates(model: ModelFigures) -> list[str]:
    fates = model.labels.fates
    return [model.name, *(count(fates.get(fate, 0)) for fate in LABEL_FATES.values())]


def _start(topic: TopicFigures) -> list[str]:
    """Where it was decided to begin, by partition."""
    offsets = []
    for partition, offset in topic.starts.items():
        offsets.append(f"{partition}: {offset}")
    return [topic.name, topic.start, ", ".join(offsets)]


def _topics(status: Status) -> Iterable[list[str]]:
    for topic in status.topics:
        dropped = sum(topic.dropped.values())
        dead = sum(topic.dead.values())
        yield [
            topic.name,
            count(topic.records),
            fixed(topic.per_second, 1),
            duration(topic.lag_ms),
            count(dropped),
            count(dead),
        ]


def _lineages(model: ModelFigures) -> Iterable[list[str]]:
    for lineage in model.lineages:
        number = DASH
        if lineage.number is not None:
            number = str(lineage.number)
        yield [
            lineage.name,
            lineage.alias,
            number,
            str(lineage.refusals),
            count(lineage.examples),
            *_quality(lineage.overall, model.task),
        ]


def _references(model: ModelFigures) -> Iterable[list[str]]:
    """What needs no features, on the labels of the lineage that has been judged by most."""
    most = max(
        (lineage.references for lineage in model.lineages),
        key=lambda references: references.prior.n,
        default=References(),
    )
    for name, quality in (("(prior)", most.prior), ("(no change)", most.no_change)):
        if quality.n:
            yield [name, "", DASH, DASH, count(quality.n), *_quality(quality, model.task)]


def _classes(model: ModelFigures) -> Iterable[list[str]]:
    """Of the newest labelled answers, in the order declared."""
    for each in model.classes:
        yield [each.name, count(each.labelled), count(each.answered), count(each.right)]


def _slices(model: ModelFigures, field: str) -> Iterable[list[Cell]]:
    found = [
        {of_value.value: of_value.served for of_value in line.slices if of_value.field == field}
        for line in model.lineages
    ]
    most = {value: quality.n for slices in found for value, quality in slices.items()}
    # By the count of the last lineage that has the value: they differ by little.
    for value in sorted(most, key=lambda value: -most[value]):
        cells = [slices.get(value, Quality()) for slices in found]
        yield [value, *(_cell(quality, model.task) for quality in cells)]


def _cell(quality: Quality, task: str) -> Text:
    figures = fixed(quality.ne), fixed(quality.calibration, 2), count(quality.n)
    if task == "regression":
        figures = fixed(quality.mae), fixed(quality.bias, 2), count(quality.n)
    return marked("{} {} [dim]n {}[/]", *figures)


def _quality(quality: Quality, task: str) -> list[str]:
    return [
        fixed(getattr(quality, name), 3 if name in ROUNDED else 4)
        for name in QUALITY[task].values()
    ]


def _setting(value: str, declared: str) -> Text:
    if value == declared:
        return marked("{}", value)
    return marked("[bold]{}[/] [dim](declared {})[/]", value, declared)


def table(
    *columns: str, rows: Iterable[Sequence[Cell]], left: bool = False, text: str = ""
) -> Table:
    """Rows under the columns' names: figures to the right, all but the first of a row and the
    column called `text`; or all to the left."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        justify: JustifyMethod = "right"  # figures
        if left or i == 0 or name == text:
            justify = "left"
        # The name of a row is never broken: it is what one copies into the next command.
        shown.add_column(marked("{}", name), justify=justify, no_wrap=i == 0)
    for row in rows:
        # As `marked` takes data: an end of line in a value is no row of its own.
        shown.add_row(*(marked("{}", cell) for cell in row))
    return shown
