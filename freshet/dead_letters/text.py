"""Dead letters for the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from freshet.dead_letters.letters import Kind, Letter
from freshet.dead_letters.value import Readable, hex_dump, readable
from freshet.figures import count, moment
from freshet.runs.opened import OpenedRun
from freshet.schemas.events.schema import EventSchema
from freshet.terminal import marked

AT = "%-d %b %Y %H:%M:%S"
MINUTE = "%-d %b %Y %H:%M"


# What became of letters that were sent again, by topic and reason.
SentAgain = Mapping[tuple[str, str], Mapping[str, int]]


def show_kinds(
    found: Sequence[Kind],
    topic: str | None,
    reason: str | None,
    console: Console,
    again: SentAgain | None = None,
) -> None:
    if not found:
        console.print(f"no dead letters{_of(topic, reason)}")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    titles = ["topic", "reason, fields", "letters", "first", "last", "newest"]
    if again:
        titles.append("sent again")
    for title in titles:
        right = title in ("letters", "newest")
        whole = title in ("letters", "first", "last")
        justify: JustifyMethod = "left"
        if right:
            justify = "right"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=whole)
    for kind in found:
        first = moment(kind.first_ms, MINUTE)
        last = moment(kind.last_ms, MINUTE)
        origin = f"{kind.example.partition}/{kind.example.offset}"
        own = (again or {}).get((kind.topic, kind.reason), {})
        row: list[str | Text] = [marked("{}", kind.topic), _reason(kind), count(kind.n)]
        row += [first, last, origin]
        if again:
            row.append(", ".join(f"{count(letters)} {fate}" for fate, letters in own.items()))
        table.add_row(*row)
    console.print(table)
    newest = found[0]
    # Quoted: it is there to be copied into a shell, and topics are named by whoever writes the app.
    chosen = f"--topic {shlex.quote(newest.topic)} --reason {shlex.quote(newest.reason)}"
    example = f"freshet dlq show {chosen}"
    console.print(
        marked("\n[dim]newest is its partition/offset in the topic. To read them: {}[/]", example)
    )


def _reason(kind: Kind) -> Text:
    if not kind.fields:
        return marked("{}", kind.reason)
    fields = ", ".join(f"{name} {count(letters)}" for name, letters in kind.fields.items())
    # One field that all of them are about: its count would only repeat theirs.
    if list(kind.fields.values()) == [kind.n]:
        fields = ", ".join(kind.fields)
    return marked("{}\n[dim]  {}[/]", kind.reason, fields)


def show_letters(
    run: OpenedRun,
    found: Sequence[Letter],
    topic: str | None,
    reason: str | None,
    raw: bool,
    console: Console,
) -> None:
    if not found:
        console.print(f"no dead letters{_of(topic, reason)}")
    for i, letter in enumerate(found):
        if i:
            console.print()
        _letter(run, letter, raw, console)


def _of(topic: str | None, reason: str | None) -> str:
    text = ""
    if topic:
        text += f" of topic {topic}"
    if reason:
        text += f" with reason {reason}"
    return text


def _letter(run: OpenedRun, letter: Letter, raw: bool, console: Console) -> None:
    field = ""
    if letter.field:
        field = f" in {letter.field}"
    topic = next((topic for topic in run.app.topics if topic.name == letter.topic), None)
    element = ""
    if topic is not None and topic.explode is not None:
        element = f" element {letter.place}"
    at = letter.topic, letter.partition, letter.offset, element, letter.reason, field
    console.print(marked("[bold]{}[/] partition {} offset {}{}  [red]{}[/]{}", *at))
    when = f"buried {moment(letter.buried_ms, AT)}"
    if letter.append_ms is not None:
        when = f"appended {moment(letter.append_ms, AT)}"
    kept = ""
    if letter.size > len(letter.value):
        kept = f" ({count(len(letter.value))} kept)"
    console.print(f"  {when}, {count(letter.size)} bytes{kept}")
    if letter.again is not None:
        console.print(marked("  sent again: {}", letter.again))
    if letter.detail:
        console.print(marked("  [red]{}[/]", letter.detail))
    if raw:
        _lines(hex_dump(letter.value, most=None), console)
        return
    # A letter may be of one of the app's own logs, which has no schema and no earlier one.
    earlier: Mapping[int, EventSchema] = {}
    if topic is not None:
        earlier = run.earlier(topic)
    _show(readable(letter, topic, earlier), console)


def _show(found: Readable, console: Console) -> None:
    console.print(marked("  [dim]{}[/]", found.what), soft_wrap=True)
    if found.text:
        # Each line is indented: none looks like one of ours.
        for line in found.text.split("\n"):
            console.print(marked("  {}", line))
    for name, value in found.fields.items():
        _field(name, value, found, console)
    # What is wrong may be that it is not there.
    if found.marked is not None and found.marked not in found.fields:
        _field(found.marked, None, found, console)
    elif found.why and found.marked is None:
        console.print(marked("  [red]{}[/]", found.why))
    if found.rest:
        _lines(hex_dump(found.rest, found.rest_at), console)


def _field(name: str, given: object, found: Readable, console: Console) -> None:
    value = ""
    if name in found.fields:
        value = f"{json.dumps(given, ensure_ascii=False, default=str)} "
    if name == found.marked:
        line = marked("  [red]▶ {}[/] {} [red]{}[/]", name, value, found.why)
    else:
        line = marked("    {} {}", name, value)
    console.print(line, soft_wrap=True)


def _lines(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(marked("  {}", line), soft_wrap=True)
