"""An explanation for the terminal: the answer and what came of it first, then every feature with
what it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from freshet.explain.explanation import (
    Answer,
    Explanation,
    LabelEvent,
    OutcomeFacts,
    SnapshotFacts,
    SourceEvent,
    ViewRead,
    Window,
)
from freshet.figures import DASH, count, duration, fixed, moment
from freshet.terminal import marked

AT = "%a %-d %b %Y %H:%M:%S"
GOOD = Text("✔", "green")
BAD = Text("✖", "red")


def show_explanation(e: Explanation, console: Console) -> None:
    console.print(marked("[bold]{}[/]  asked of model {}", e.id, e.model), highlight=False)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(e):
        facts.add_row(name, marked("{}", text))
    console.print(facts)
    if e.request:
        console.print(marked("\n[bold]from the request[/]"), highlight=False)
        _pairs({r.name: r.value for r in e.request}, console)
    for v in e.views:
        _view(v, e.answer.asked_ms, console)


def _facts(e: Explanation) -> Iterable[tuple[str, str | Text]]:
    a = e.answer
    asked = moment(a.asked_ms, AT)
    yield (
        "answer",
        marked("[bold]{}[/] by {}, as of {} UTC", f"{a.probability:.4f}", _rung(a), asked),
    )
    yield (
        "",
        f"scorer {a.instance}, its prediction {count(a.sequence)} (outcomes log, offset {a.offset})",
    )
    for i, repeat in enumerate(e.repeats):
        yield "asked again" if i == 0 else "", _repeat(repeat)
    if e.also_in:
        yield "asked also", f"of model {', '.join(e.also_in)}: name one with --model"
    yield from _snapshot(e.snapshot, a)
    yield from _outcome(e.outcome)
    if e.value_age_ms is not None:
        yield "oldest row", f"{duration(e.value_age_ms)} old when it was read"


def _rung(a: Answer) -> str:
    told = {
        "champion": "the champion",
        "last_good": "the last good snapshot",
        "heuristic": "a declared heuristic",
    }
    return told.get(a.rung, "the declared constant")


def _repeat(a: Answer) -> Text:
    asked = f"{moment(a.asked_ms, AT)}: {a.probability:.4f}"
    why = "does not count"
    if a.counted:
        why = "a question of its own: the first was forgotten"
    elif not a.same_request:
        why = "in conflict: its request said something else"
    return marked(
        "as of {} by {}, scorer {}, {} [dim]({})[/]",
        asked,
        _rung(a),
        a.instance,
        count(a.sequence),
        why,
    )


def _snapshot(s: SnapshotFacts | None, a: Answer) -> Iterable[tuple[str, str | Text]]:
    if s is None:
        yield "snapshot", "none: no model answered"
        return
    lag = "" if a.model_lag_ms is None else f"; model lag {duration(a.model_lag_ms)} when asked"
    yield "snapshot", marked("[bold]{}[/] number {}", s.lineage, s.number)
    yield "", f"cut at {moment(s.cut_ms, AT)} after {count(s.examples)} examples{lag}"
    if not s.kept:
        yield (
            "",
            marked("[dim]its files are not kept any more, so neither are digest and signatures[/]"),
        )
        return
    if s.digest is not None:
        yield "sha256", s.digest
    yield "", Text("  ").join(_signature(who, state) for who, state in s.signatures.items())


def _signature(who: str, state: str) -> Text:
    named = {"trainer": "provenance, by the trainer", "qualifier": "approval, by the qualifier"}[
        who
    ]
    if state == "holds":
        return marked("{} {}", GOOD, named)
    return marked("{} {}: {}", BAD, named, state)


def _outcome(o: OutcomeFacts) -> Iterable[tuple[str, str | Text]]:
    yield "outcome", _state(o)
    if o.contested_ms is not None:
        asked = moment(o.contested_ms, AT)
        yield "contested", marked("[yellow]at {}: labels after that are not learned[/]", asked)
    for event in o.labels:
        yield "", f"{event.topic} partition {event.partition} offset {event.offset}{_use(event)}"
    if o.saw_future:
        yield (
            "learned",
            marked("[yellow]by nobody: the label's event is not later than the question[/]"),
        )
    for i, x in enumerate(o.learned):
        reflected = "no snapshot reflects it yet"
        if x.snapshot is not None:
            reflected = f"first in snapshot {x.snapshot}, cut at {moment(x.cut_ms, AT)}"
        yield "learned" if i == 0 else "", f"{x.lineage}: {reflected}"


def _state(o: OutcomeFacts) -> str | Text:
    due = moment(o.due_ms, AT)
    label = marked(
        "label [bold]{}[/], by an event of {}", fixed(o.label, 0), moment(o.label_ms, AT)
    )
    states: dict[str, str | Text] = {
        "unjoined": "the join has not come to it yet",
        "pending": f"none yet; without a label it expires at {due}",
        "labelled": label,
        "expired": marked("[yellow]expired[/] at {} without a label", due),
        "corrected": marked("{}; [yellow]corrected[/]: it had expired at {}", label, due),
        "conflicted": marked("[yellow]none: another request came under this id[/]"),
    }
    return states[o.state]


def _use(event: LabelEvent) -> str:
    if event.used:
        return ""
    if event.value is None:
        return ": a missing value, not used"
    return f": label {event.value:.0f}, not used"


def _view(v: ViewRead, as_of_ms: int, console: Console) -> None:
    key = Text() if v.key is None else marked(" [bold cyan]{}[/]", v.key)
    title = marked("\n[bold]view {}[/]  by {}{}", v.view, ", ".join(v.keyed_by), key)
    console.print(title, highlight=False)
    _pairs(v.values, console)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if v.version is not None:
        facts.add_row("  row", _version(v, v.version))
    if v.newest is not None:
        n = v.newest
        at = f"{n.topic} partition {n.partition} offset {n.offset}, {_times(n)}"
        facts.add_row("  newest", marked("{}", at))
        facts.add_row("", _event(n))
    if v.note:
        facts.add_row("  note", marked("[yellow]{}[/]", v.note))
    console.print(facts)
    if v.window is not None:
        _window(v.window, as_of_ms, console)


def _version(v: ViewRead, version: tuple[int, int]) -> Text:
    place = "" if v.partition is None else f"partition {v.partition} "
    age = "" if v.age_ms is None else f", {_age(v.age_ms)}"
    row = f"version {version[0]}/{version[1]}{age}"
    return marked("{}  [dim]({} {}offset/index)[/]", row, v.clean_log, place)


def _times(n: SourceEvent) -> str:
    appended = "" if n.append_ms is None else f", appended {moment(n.append_ms, AT)}"
    return f"event of {moment(n.event_ms, AT)}{appended}"


def _event(n: SourceEvent) -> Text:
    """Its fields as published; what the view read otherwise is told beside it."""
    if n.fields is None:
        return marked(
            "[dim]its record cannot be read any more; the view read[/] {}", _fields(n.read)
        )
    told = []
    for name, x in n.fields.items():
        imputed = Text()
        if x is None and n.read.get(name) is not None:
            imputed = marked(" [yellow](imputed: {})[/]", _value(n.read[name]))
        told.append(marked("[dim]{}=[/]{}{}", name, _value(x), imputed))
    return Text("  ").join(told)


def _fields(read: Mapping[str, Any]) -> Text:
    return Text("  ").join(marked("[dim]{}=[/]{}", name, _value(x)) for name, x in read.items())


def _window(w: Window, as_of_ms: int, console: Console) -> None:
    number = f"{count(len(w.events))} event{'' if len(w.events) == 1 else 's'}"
    console.print(
        marked("  [dim]{} since {}: {}[/]", number, moment(w.since_ms, AT), w.why), highlight=False
    )
    names = list(dict.fromkeys(k for e in w.events for k in e.read))
    several = len({e.partition for e in w.events}) > 1
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    for title in [*(["partition"] if several else []), "offset", "event time", "before", *names]:
        table.add_column(marked("{}", title), justify="right", no_wrap=True)
    for e in w.events:
        own = [str(e.offset), moment(e.event_ms, AT), _before(e.event_ms, as_of_ms)]
        own += [_value(e.read.get(k)) for k in names]
        table.add_row(*([str(e.partition)] if several else []), *own)
    if w.events:
        console.print(table)
    if w.agrees is not None:
        differ = "recomputed from them, windows and ages differ: did the request bring values of its own?"
        good = "recomputed from them, windows and ages are those that were served"
        line = marked("  {} [dim]{}[/]", GOOD, good) if w.agrees else marked("  {} {}", BAD, differ)
        console.print(line, highlight=False)


def _before(event_ms: int, as_of_ms: int) -> str | Text:
    if event_ms <= as_of_ms:
        return duration(as_of_ms - event_ms)
    return marked("[yellow]{}[/]", _age(as_of_ms - event_ms))


def _age(ms: int) -> str:
    return f"{duration(ms)} old" if ms >= 0 else f"{duration(-ms)} after the question"


def _pairs(values: Mapping[str, Any], console: Console) -> None:
    cells = [marked("  [dim]{}=[/]{}", name, _value(x)) for name, x in values.items()]
    console.print(Columns(cells, padding=(0, 2), equal=True))


def _value(x: Any) -> Text:
    """A float32 in the digits that it has; texts as they are."""
    if x is None:
        return marked("[dim]{}[/]", DASH)
    if isinstance(x, float):
        return marked("{}", f"{x:.6g}")
    return marked("{}", x)
