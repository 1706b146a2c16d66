"""A run's status as tables for the terminal: topics, roles, models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from freshet.figures import DASH, count, duration, fixed, moment
from freshet.serving.status.status import ModelFigures, Quality, References, Status
from freshet.terminal import marked

Cell = str | Text

SIGNS = {
    "green": Text("✔", "green"),
    "amber": Text("▲", "yellow"),
    "red": Text("✖", "red"),
}
STATES = {"running": "green", "held": "yellow"}
WALL = "%-d %b %H:%M:%S"
QUALITY = ("AUC", "norm. entropy", "log loss", "accuracy", "calibration")
ROLES = ("role", "state", "pid", "restarts", "memory MB", "last exit")
LINEAGES = ("lineage", "alias", "snapshot", "refused", "examples", *QUALITY)


def show_status(status: Status, console: Console) -> None:
    """Promises, outages and alerts first; then what runs, how far everything is, and what is
    served."""

    def tell(template: str, *values: object) -> None:
        console.print(marked(template, *values), soft_wrap=True)

    clock = status.clock
    tell("[bold]{}[/]  {}, app clock {}", status.app, clock.state, moment(clock.app_ms))
    for p in status.promises:
        tell("{} {}: {}", SIGNS[p.state], p.name, p.reason)
    for o in status.outages:
        since = moment(o.since_ms, WALL)
        tell("\n[red]{} is {}[/] since {}: {}: {}", o.component, o.word, since, o.resource, o.cause)
        tell("  meanwhile: {} ({})\n  {}", o.meanwhile, ", ".join(o.roles), o.next_step)
    for a in status.alerts:
        if a.state == "firing":
            tell("\n{} [bold]{} {}[/]: {}", SIGNS[a.light], a.policy, a.subject, a.reason)
            tell("  {} {}", a.meaning, a.next_step)
    for s in status.switches:
        if not s.on:
            tell("[yellow]switch {} is off[/], by {} at {}", s.name, s.by, moment(s.at_ms, WALL))
    console.print(_table(*ROLES, rows=_roles(status)))
    console.print(_table("view", "of topic", "rows", "lag", "SLO", rows=_views(status)))
    console.print(
        _table("model", "served lineage", "snapshot", "since", "lag", "SLO", rows=_served(status))
    )


def show_topics(status: Status, console: Console) -> None:
    """Settings and lags of every topic; what was changed since it was declared is marked."""
    console.print(
        _table("topic", "records", "per s", "lag", "dropped", "dead", rows=_topics(status))
    )
    late = [
        [t.name, x.source or "(none)", count(x.judged), count(x.late), f"{x.share:.1%}"]
        for t in status.topics
        for x in t.late_sources
    ]
    if late:
        console.print(_table("topic", "late source", "newest", "late", "share", rows=late))
    keys = list(status.topics[0].settings) if status.topics else []
    rows: list[list[Cell]] = [
        [key, *(_setting(t.settings.get(key, ""), t.declared.get(key, "")) for t in status.topics)]
        for key in keys
    ]
    console.print(_table("setting", *(t.name for t in status.topics), rows=rows, left=True))
    for c in status.changes[-10:]:
        console.print(
            marked("{}  {} {}={}  by {}", moment(c.at_ms, WALL), c.topic, c.key, c.value, c.by)
        )


def show_models(status: Status, console: Console) -> None:
    """Lineages of every model with their prequential quality, also by slice, their snapshots, and
    what is served."""
    for m in status.models:
        served = m.served
        since = f", since {moment(served.since_ms)}" if served else ""
        text = (
            f"{served.lineage} snapshot {served.number}{since}"
            if served
            else "nothing yet: the fallback answers"
        )
        console.print(marked("[bold]model {}[/]  serves {}", m.name, text))
        console.print(_table(*LINEAGES, rows=[*_lineages(m), *_references(m)]))
        _show_decisions(m, console)
        for field in dict.fromkeys(x.field for line in m.lineages for x in line.slices):
            title = f"NE, calibration by {field}"
            console.print(_table(title, *(x.name for x in m.lineages), rows=_slices(m, field)))


def _show_decisions(m: ModelFigures, console: Console) -> None:
    """What release decided last, and why: which lineage is served, and what became of each one's
    newest snapshot."""
    if m.decision:
        console.print(f"release: {m.decision}", highlight=False, markup=False)
    for x in m.lineages:
        if x.verdict:
            console.print(f"  {x.name}: {x.verdict}", highlight=False, markup=False)


def _roles(status: Status) -> Iterable[list[Cell]]:
    for r in status.roles:
        yield [
            r.instance or r.role,
            Text(r.state, STATES.get(r.state, "red")),
            str(r.pid or DASH),
            str(r.restarts),
            fixed(r.memory_mb, 0),
            r.last_exit,
        ]


def _views(status: Status) -> Iterable[list[str]]:
    for v in status.views:
        yield [v.name, v.topic, count(v.rows), duration(v.lag_ms), duration(v.slo_ms)]


def _served(status: Status) -> Iterable[list[str]]:
    for m in status.models:
        s = m.served
        at = [s.lineage, str(s.number), moment(s.since_ms)] if s else ["(fallback)", DASH, DASH]
        yield [m.name, *at, duration(m.lag_ms), duration(m.slo_ms)]


def _topics(status: Status) -> Iterable[list[str]]:
    for t in status.topics:
        dropped, dead = sum(t.dropped.values()), sum(t.dead.values())
        yield [
            t.name,
            count(t.records),
            fixed(t.per_second, 1),
            duration(t.lag_ms),
            count(dropped),
            count(dead),
        ]


def _lineages(m: ModelFigures) -> Iterable[list[str]]:
    for x in m.lineages:
        refused = f"{x.refusals}" + (f" ({x.refused})" if x.refused else "")
        number = DASH if x.number is None else str(x.number)
        yield [x.name, x.alias, number, refused, count(x.examples), *_quality(x.overall)]


def _references(m: ModelFigures) -> Iterable[list[str]]:
    """What needs no features, on the labels of the lineage that has been judged by most."""
    most = max((x.references for x in m.lineages), key=lambda r: r.prior.n, default=References())
    for name, quality in (("(prior)", most.prior), ("(no change)", most.no_change)):
        if quality.n:
            yield [name, "", DASH, DASH, count(quality.n), *_quality(quality)]


def _slices(m: ModelFigures, field: str) -> Iterable[list[Cell]]:
    found = [{x.value: x.served for x in line.slices if x.field == field} for line in m.lineages]
    most = {v: q.n for table in found for v, q in table.items()}
    for value in sorted(most, key=lambda v: -most[v]):
        cells = [table.get(value, Quality()) for table in found]
        yield [value, *(_cell(quality) for quality in cells)]


def _cell(quality: Quality) -> Text:
    figures = fixed(quality.ne), fixed(quality.calibration, 2), count(quality.n)
    return marked("{} {} [dim]n {}[/]", *figures)


def _quality(q: Quality) -> list[str]:
    return [
        fixed(q.auc, 4),
        fixed(q.ne, 4),
        fixed(q.log_loss, 4),
        fixed(q.accuracy),
        fixed(q.calibration),
    ]


def _setting(value: str, declared: str) -> Text:
    if value == declared:
        return marked("{}", value)
    return marked("[bold]{}[/] [dim](declared {})[/]", value, declared)


def _table(*columns: str, rows: Iterable[Sequence[Cell]], left: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(
            marked("{}", name), justify="left" if left or i == 0 else "right", no_wrap=i == 0
        )
    for row in rows:
        # As `marked` takes data: an end of line in a value is no row of its own.
        table.add_row(*(marked("{}", cell) for cell in row))
    return table
