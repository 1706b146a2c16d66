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
from freshet.figures import DASH, count, duration, moment
from freshet.terminal import marked

AT = "%a %-d %b %Y %H:%M:%S"
GOOD = Text("✔", "green")
BAD = Text("✖", "red")
MOST_CLASSES = 5  # whose probabilities are told


def show_explanation(explained: Explanation, console: Console) -> None:
    console.print(
        marked("[bold]{}[/]  asked of model {}", explained.id, explained.model), highlight=False
    )
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(explained):
        facts.add_row(name, marked("{}", text))
    console.print(facts)
    brought = {one.name: one.value for one in explained.request if one.kind != "on demand"}
    computed = {one.name: one.value for one in explained.request if one.kind == "on demand"}
    if brought:
        console.print(marked("\n[bold]from the request[/]"), highlight=False)
        _pairs(brought, console)
    if computed:
        console.print(marked("\n[bold]computed on demand[/]"), highlight=False)
        _pairs(computed, console)
    for view in explained.views:
        _view(view, explained.answer.asked_ms, console)


def _facts(explained: Explanation) -> Iterable[tuple[str, str | Text]]:
    answer = explained.answer
    asked = moment(answer.asked_ms, AT)
    yield (
        "answer",
        marked("[bold]{}[/] by {}, as of {} UTC", said(answer), _rung(answer), asked),
    )
    yield (
        "",
        f"scorer {answer.instance}, its prediction {count(answer.sequence)} "
        f"(outcomes log, offset {answer.offset})",
    )
    if answer.missing:
        yield "missing", f"{', '.join(answer.missing)}: the model falls back meanwhile"
    yield from _titled("asked again", [_repeat(repeat) for repeat in explained.repeats])
    if explained.also_in:
        yield "asked also", f"of model {', '.join(explained.also_in)}: name one with --model"
    yield from _snapshot(explained.snapshot, answer)
    yield from _outcome(explained.outcome)
    if explained.value_age_ms is not None:
        yield "oldest row", f"{duration(explained.value_age_ms)} old when it was read"


def _titled(title: str, texts: Iterable[str | Text]) -> Iterable[tuple[str, str | Text]]:
    """Lines of which the first bears the title."""
    for text in texts:
        yield title, text
        title = ""


def _rung(answer: Answer) -> str:
    told = {
        "champion": "the champion",
        "last_good": "the last good snapshot",
        "heuristic": "a declared heuristic",
    }
    return told.get(answer.rung, "the declared constant")


def said(answer: Answer) -> str:
    """An answer: of classes their probabilities, the likeliest first."""
    found = answer.probability
    if not isinstance(found, list):
        return f"{found:.4f}"
    likeliest = sorted(zip(found, answer.classes), key=lambda each: -each[0])
    told = [f"{name} {p:.4f}" for p, name in likeliest[:MOST_CLASSES]]
    others = len(likeliest) - len(told)
    if others:
        told.append(f"{others} more")
    return ", ".join(told)


def _repeat(answer: Answer) -> Text:
    asked = f"{moment(answer.asked_ms, AT)}: {said(answer)}"
    why = "does not count"
    if answer.counted:
        why = "a question of its own: the first was forgotten"
    elif not answer.same_request:
        why = "in conflict: its request said something else"
    return marked(
        "as of {} by {}, scorer {}, {} [dim]({})[/]",
        asked,
        _rung(answer),
        answer.instance,
        count(answer.sequence),
        why,
    )


def _snapshot(snapshot: SnapshotFacts | None, answer: Answer) -> Iterable[tuple[str, str | Text]]:
    if snapshot is None:
        yield "snapshot", "none: no model answered"
        return
    lag = ""
    if answer.model_lag_ms is not None:
        lag = f"; model lag {duration(answer.model_lag_ms)} when asked"
    yield "snapshot", marked("[bold]{}[/] number {}", snapshot.lineage, snapshot.number)
    yield "", f"cut at {moment(snapshot.cut_ms, AT)} after {count(snapshot.examples)} examples{lag}"
    # Old ones are pruned; what was said when it was cut is still in the control log.
    if not snapshot.kept:
        yield (
            "",
            marked("[dim]its files are not kept any more, so neither are digest and signatures[/]"),
        )
        return
    if snapshot.digest is not None:
        yield "sha256", snapshot.digest
    yield "", Text("  ").join(_signature(who, state) for who, state in snapshot.signatures.items())


def _signature(who: str, state: str) -> Text:
    named = {"trainer": "provenance, by the trainer", "qualifier": "approval, by the qualifier"}[
        who
    ]
    if state == "holds":
        return marked("{} {}", GOOD, named)
    return marked("{} {}: {}", BAD, named, state)


def _outcome(outcome: OutcomeFacts) -> Iterable[tuple[str, str | Text]]:
    yield "outcome", _state(outcome)
    if outcome.contested_ms is not None:
        asked = moment(outcome.contested_ms, AT)
        yield "contested", marked("[yellow]at {}: labels after that are not learned[/]", asked)
    for event in outcome.labels:
        yield "", f"{_place(event)}{_use(event)}"
    if outcome.saw_future:
        yield (
            "learned",
            marked("[yellow]by nobody: the label's event is not later than the question[/]"),
        )
    learned = []
    for example in outcome.learned:
        reflected = "no snapshot reflects it yet"
        if example.snapshot is not None:
            reflected = f"first in snapshot {example.snapshot}, cut at {moment(example.cut_ms, AT)}"
        learned.append(f"{example.lineage}: {reflected}")
    yield from _titled("learned", learned)


def _label(label: float | str | None) -> str:
    """Without digits that say nothing: 1, 12.5, a class."""
    if label is None:
        return "–"
    if isinstance(label, str):
        return label
    return f"{label:g}"


def _state(outcome: OutcomeFacts) -> str | Text:
    due = moment(outcome.due_ms, AT)
    label = marked(
        "label [bold]{}[/], by an event of {}",
        _label(outcome.label),
        moment(outcome.label_ms, AT),
    )
    states: dict[str, str | Text] = {
        "unjoined": "the join has not come to it yet",
        "pending": f"none yet; without a label it expires at {due}",
        "labelled": label,
        "expired": marked("[yellow]expired[/] at {} without a label", due),
        "corrected": marked("{}; [yellow]corrected[/]: it had expired at {}", label, due),
        "conflicted": marked("[yellow]none: another request came under this id[/]"),
    }
    return states[outcome.state]


def _place(event: LabelEvent | SourceEvent) -> str:
    place = f"{event.topic} partition {event.partition} offset {event.offset}"
    if event.element is not None:
        place += f" element {event.element}"
    return place


def _use(event: LabelEvent) -> str:
    if event.used:
        return ""
    if event.value is None:
        return ": a missing value, not used"
    return f": label {_label(event.value)}, not used"


def _view(view: ViewRead, as_of_ms: int, console: Console) -> None:
    key = Text()
    if view.key is not None and view.keyed_by:
        key = marked(" [bold cyan]{}[/]", view.key)
    by = "one row for all events"
    if view.keyed_by:
        by = f"by {', '.join(view.keyed_by)}"
    title = marked("\n[bold]view {}[/]  {}{}", view.view, by, key)
    console.print(title, highlight=False)
    _pairs(view.values, console)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if view.version is not None:
        facts.add_row("  row", _version(view, view.version))
    if view.newest is not None:
        event = view.newest
        at = f"{_place(event)}, {_times(event)}"
        facts.add_row("  newest", marked("{}", at))
        facts.add_row("", _event(event))
    if view.note:
        facts.add_row("  note", marked("[yellow]{}[/]", view.note))
    console.print(facts)
    if view.window is not None:
        _window(view.window, as_of_ms, console)


def _version(view: ViewRead, version: tuple[int, int]) -> Text:
    place = ""
    if view.partition is not None:
        place = f"partition {view.partition} "
    row = f"version {version[0]}/{version[1]}"
    if view.age_ms is not None:
        row += f", {_age(view.age_ms)}"
    return marked(
        "{}  [dim]({} {}offset/index)[/]",
        row,
        view.clean_log,
        place,
    )


def _times(event: SourceEvent) -> str:
    times = f"event of {moment(event.event_ms, AT)}"
    if event.append_ms is not None:
        times += f", appended {moment(event.append_ms, AT)}"
    return times


def _event(event: SourceEvent) -> Text:
    """Its fields as published; what the view read otherwise is told beside it."""
    if event.fields is None:
        return marked(
            "[dim]its record cannot be read any more; the view read[/] {}", _fields(event.read)
        )
    told = []
    for name, value in event.fields.items():
        imputed = Text()
        if value is None and event.read.get(name) is not None:
            imputed = marked(" [yellow](imputed: {})[/]", _value(event.read[name]))
        told.append(marked("[dim]{}=[/]{}{}", name, _value(value), imputed))
    return Text("  ").join(told)


def _fields(read: Mapping[str, Any]) -> Text:
    return Text("  ").join(
        marked("[dim]{}=[/]{}", name, _value(given)) for name, given in read.items()
    )


def _window(window: Window, as_of_ms: int, console: Console) -> None:
    number = f"{count(len(window.events))} events"
    if len(window.events) == 1:
        number = "1 event"
    console.print(
        marked("  [dim]{} since {}: {}[/]", number, moment(window.since_ms, AT), window.why),
        highlight=False,
    )
    # Events of several topics have different fields; each gets a column once.
    names = list(dict.fromkeys(name for event in window.events for name in event.read))
    # An offset alone says nothing where there are several partitions.
    several = len({event.partition for event in window.events}) > 1
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    titles = ["offset", "event time", "before", *names]
    exploded = any(event.element is not None for event in window.events)
    if exploded:
        titles.insert(1, "element")
    if several:
        titles.insert(0, "partition")
    for title in titles:
        table.add_column(
            marked("{}", title),
            justify="right",
            no_wrap=True,
        )
    for event in window.events:
        own = [str(event.offset), moment(event.event_ms, AT), _before(event.event_ms, as_of_ms)]
        own += [_value(event.read.get(name)) for name in names]
        if exploded:
            own.insert(1, str(event.element))
        if several:
            own.insert(0, str(event.partition))
        table.add_row(*own)
    if window.events:
        console.print(table)
    # None: there was nothing to compare.
    if window.agrees is not None:
        same = "recomputed from them, windows and ages are those that were served"
        line = marked("  {} [dim]{}[/]", GOOD, same)
        if not window.agrees:
            why = "did the request bring values of its own?"
            line = marked(
                "  {} recomputed from them, windows and ages differ: {}",
                BAD,
                why,
            )
        console.print(line, highlight=False)


def _before(event_ms: int, as_of_ms: int) -> str | Text:
    if event_ms <= as_of_ms:
        return duration(as_of_ms - event_ms)
    return marked("[yellow]{}[/]", _age(as_of_ms - event_ms))


def _age(ms: int) -> str:
    if ms < 0:
        return f"{duration(-ms)} after the question"
    return f"{duration(ms)} old"


def _pairs(values: Mapping[str, Any], console: Console) -> None:
    cells = [marked("  [dim]{}=[/]{}", name, _value(value)) for name, value in values.items()]
    console.print(Columns(cells, padding=(0, 2), equal=True))


def _value(value: object) -> Text:
    """A float32 in the digits that it has; texts as they are."""
    if value is None:
        return marked("[dim]{}[/]", DASH)
    if isinstance(value, float):
        return marked("{}", f"{value:.6g}")
    return marked("{}", value)
