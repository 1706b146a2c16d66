"""An explanation for the terminal: the answer and what came of it first, then every feature with what it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from freshet.explain.explanation import Answer, Explanation, OutcomeFacts, SnapshotFacts, SourceEvent, ViewRead, Window
from freshet.figures import DASH, count, duration, fixed, moment

AT = "%a %-d %b %Y %H:%M:%S"
GOOD, BAD = "[green]✔[/]", "[red]✖[/]"


def show_explanation(e: Explanation, console: Console) -> None:
    console.print(f"[bold]{escape(e.id)}[/]  asked of model {e.model}", highlight=False)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(e):
        facts.add_row(name, text)
    console.print(facts)
    if e.request:
        console.print("\n[bold]from the request[/]", highlight=False)
        _pairs({r.name: r.value for r in e.request}, console)
    for v in e.views:
        _view(v, e.answer.asked_ms, console)


def _facts(e: Explanation) -> Iterable[tuple[str, str]]:
    a = e.answer
    yield "answer", f"[bold]{a.probability:.4f}[/] by {_rung(a)}, as of {moment(a.asked_ms, AT)} UTC"
    yield "", f"scorer {a.instance}, its prediction {count(a.sequence)} (outcomes log, offset {a.offset})"
    for i, repeat in enumerate(e.repeats):
        yield "asked again" if i == 0 else "", _repeat(repeat)
    if e.also_in:
        yield "asked also", f"of model {', '.join(e.also_in)}: name one with --model"
    yield from _snapshot(e.snapshot, a)
    yield from _outcome(e.outcome)
    if e.value_age_ms is not None:
        yield "oldest row", f"{duration(e.value_age_ms)} old when it was read"


def _rung(a: Answer) -> str:
    told = {"champion": "the champion", "last_good": "the last good snapshot", "heuristic": "a declared heuristic"}
    return told.get(a.rung, "the declared constant")


def _repeat(a: Answer) -> str:
    text = (
        f"as of {moment(a.asked_ms, AT)}: {a.probability:.4f} by {_rung(a)}, scorer {a.instance}, {count(a.sequence)}"
    )
    return text + (
        " [dim](a question of its own: the first was forgotten)[/]" if a.counted else " [dim](does not count)[/]"
    )


def _snapshot(s: SnapshotFacts | None, a: Answer) -> Iterable[tuple[str, str]]:
    if s is None:
        yield "snapshot", "none: no model answered"
        return
    lag = "" if a.model_lag_ms is None else f"; model lag {duration(a.model_lag_ms)} when asked"
    yield "snapshot", f"[bold]{s.lineage}[/] number {s.number}"
    yield "", f"cut at {moment(s.cut_ms, AT)} after {count(s.examples)} examples{lag}"
    if not s.kept:
        yield "", "[dim]its files are not kept any more, so neither are digest and signatures[/]"
        return
    if s.digest is not None:
        yield "sha256", s.digest
    named = {"trainer": "provenance, by the trainer", "qualifier": "approval, by the qualifier"}
    signed = [
        f"{GOOD if x == 'holds' else BAD} {named[who]}{'' if x == 'holds' else f': {x}'}"
        for who, x in s.signatures.items()
    ]
    yield "", "  ".join(signed)


def _outcome(o: OutcomeFacts) -> Iterable[tuple[str, str]]:
    due = moment(o.due_ms, AT)
    label = f"label [bold]{fixed(o.label, 0)}[/], by an event of {moment(o.label_ms, AT)}"
    yield (
        "outcome",
        {
            "unjoined": "the join has not come to it yet",
            "pending": f"none yet; without a label it expires at {due}",
            "labelled": label,
            "expired": f"[yellow]expired[/] at {due} without a label",
            "corrected": f"{label}; [yellow]corrected[/]: it had expired at {due}",
        }[o.state],
    )
    for event in o.labels:
        what = (
            ""
            if event.used
            else f": {'a missing value' if event.value is None else f'label {event.value:.0f}'}, not used"
        )
        yield "", f"{event.topic} partition {event.partition} offset {event.offset}{what}"
    if o.saw_future:
        yield "learned", "[yellow]by nobody: the label's event is not later than the question[/]"
    for i, x in enumerate(o.learned):
        reflected = (
            "no snapshot reflects it yet"
            if x.snapshot is None
            else f"first in snapshot {x.snapshot}, cut at {moment(x.cut_ms, AT)}"
        )
        yield "learned" if i == 0 else "", f"{x.lineage}: {reflected}"


def _view(v: ViewRead, as_of_ms: int, console: Console) -> None:
    key = "" if v.key is None else f" [bold cyan]{escape(v.key)}[/]"
    console.print(f"\n[bold]view {v.view}[/]  by {', '.join(v.keyed_by)}{key}", highlight=False)
    _pairs(v.values, console)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if v.version is not None:
        place = "" if v.partition is None else f"partition {v.partition} "
        age = "" if v.age_ms is None else f", {_age(v.age_ms)}"
        facts.add_row(
            "  row", f"version {v.version[0]}/{v.version[1]}{age}  [dim]({v.clean_log} {place}offset/index)[/]"
        )
    if v.newest is not None:
        n = v.newest
        facts.add_row("  newest", f"{n.topic} partition {n.partition} offset {n.offset}, {_times(n)}")
        facts.add_row("", _event(n))
    if v.note:
        facts.add_row("  note", f"[yellow]{v.note}[/]")
    console.print(facts)
    if v.window is not None:
        _window(v.window, as_of_ms, console)


def _times(n: SourceEvent) -> str:
    appended = "" if n.append_ms is None else f", appended {moment(n.append_ms, AT)}"
    return f"event of {moment(n.event_ms, AT)}{appended}"


def _event(n: SourceEvent) -> str:
    """Its fields as published; what the view read otherwise is told beside it."""
    if n.fields is None:
        return f"[dim]its record cannot be read any more; the view read[/] {_fields(n.read)}"
    told = []
    for name, x in n.fields.items():
        imputed = f" [yellow](imputed: {_value(n.read[name])})[/]" if x is None and n.read.get(name) is not None else ""
        told.append(f"[dim]{name}=[/]{_value(x)}{imputed}")
    return "  ".join(told)


def _fields(read: Mapping[str, Any]) -> str:
    return "  ".join(f"[dim]{k}=[/]{_value(x)}" for k, x in read.items())


def _window(w: Window, as_of_ms: int, console: Console) -> None:
    since = moment(w.since_ms, AT)
    console.print(
        f"  [dim]{count(len(w.events))} event{'' if len(w.events) == 1 else 's'} since {since}: {w.why}[/]",
        highlight=False,
    )
    names = list(dict.fromkeys(k for e in w.events for k in e.read))
    several = len({e.partition for e in w.events}) > 1
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    for title in [*(["partition"] if several else []), "offset", "event time", "before", *names]:
        table.add_column(title, justify="right", no_wrap=True)
    for e in w.events:
        before = (
            duration(as_of_ms - e.event_ms) if e.event_ms <= as_of_ms else f"[yellow]{_age(as_of_ms - e.event_ms)}[/]"
        )
        own = [str(e.offset), moment(e.event_ms, AT), before, *(_value(e.read.get(k)) for k in names)]
        table.add_row(*([str(e.partition)] if several else []), *own)
    if w.events:
        console.print(table)
    if w.agrees is not None:
        differ = f"{BAD} recomputed from them, windows and ages differ: did the request bring values of its own?"
        good = f"{GOOD} [dim]recomputed from them, windows and ages are those that were served[/]"
        console.print(f"  {good if w.agrees else differ}", highlight=False)


def _age(ms: int) -> str:
    return f"{duration(ms)} old" if ms >= 0 else f"{duration(-ms)} after the question"


def _pairs(values: Mapping[str, Any], console: Console) -> None:
    cells = [f"  [dim]{name}=[/]{_value(x)}" for name, x in values.items()]
    console.print(Columns(cells, padding=(0, 2), equal=True))


def _value(x: Any) -> str:
    """A float32 in the digits that it has; texts as they are."""
    if x is None:
        return f"[dim]{DASH}[/]"
    if isinstance(x, float):
        return f"{x:.6g}"
    return escape(str(x))
