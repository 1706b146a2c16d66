"""Dead letters for the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from freshet.dead_letters.letters import Kind, Letter
from freshet.dead_letters.value import Readable, hex_dump, readable
from freshet.figures import count, moment
from freshet.runs.opened import OpenedRun
from freshet.terminal import marked

AT, MINUTE = "%-d %b %Y %H:%M:%S", "%-d %b %Y %H:%M"


def show_kinds(
    found: Sequence[Kind], topic: str | None, reason: str | None, console: Console
) -> None:
    if not found:
        console.print(f"no dead letters{_of(topic, reason)}")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("topic", "reason, fields", "letters", "first", "last", "newest"):
        right, whole = title in ("letters", "newest"), title in ("letters", "first", "last")
        table.add_column(
            title, justify="right" if right else "left", overflow="fold", no_wrap=whole
        )
    for k in found:
        first, last = moment(k.first_ms, MINUTE), moment(k.last_ms, MINUTE)
        origin = f"{k.example[1]}/{k.example[2]}"
        table.add_row(marked("{}", k.topic), _reason(k), count(k.n), first, last, origin)
    console.print(table)
    newest = found[0]
    example = f"freshet dlq show --topic {shlex.quote(newest.topic)} --reason {shlex.quote(newest.reason)}"
    console.print(
        marked("\n[dim]newest is its partition/offset in the topic. To read them: {}[/]", example)
    )


def _reason(kind: Kind) -> Text:
    alone = list(kind.fields.values()) == [kind.n]
    fields = ", ".join(name if alone else f"{name} {count(n)}" for name, n in kind.fields.items())
    if not fields:
        return marked("{}", kind.reason)
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
    return (f" of topic {topic}" if topic else "") + (f" with reason {reason}" if reason else "")


def _letter(run: OpenedRun, x: Letter, raw: bool, console: Console) -> None:
    field = f" in {x.field}" if x.field else ""
    at = x.topic, x.partition, x.offset, x.reason, field
    console.print(marked("[bold]{}[/] partition {} offset {}  [red]{}[/]{}", *at))
    when = (
        f"appended {moment(x.append_ms, AT)}"
        if x.append_ms is not None
        else f"buried {moment(x.buried_ms, AT)}"
    )
    kept = f" ({count(len(x.value))} kept)" if x.size > len(x.value) else ""
    console.print(f"  {when}, {count(x.size)} bytes{kept}")
    if x.detail:
        console.print(marked("  [red]{}[/]", x.detail))
    if raw:
        _lines(hex_dump(x.value, most=None), console)
        return
    topic = next((t for t in run.app.topics if t.name == x.topic), None)
    _readable(readable(x, topic, run.earlier(topic) if topic is not None else {}), console)


def _readable(r: Readable, console: Console) -> None:
    console.print(marked("  [dim]{}[/]", r.what), soft_wrap=True)
    if r.text:
        # Each line is indented: none looks like one of ours.
        for line in r.text.split("\n"):
            console.print(marked("  {}", line))
    for name, x in r.fields.items():
        _field(name, x, r, console)
    if r.marked is not None and r.marked not in r.fields:
        _field(r.marked, None, r, console)
    elif r.why and r.marked is None:
        console.print(marked("  [red]{}[/]", r.why))
    if r.rest:
        _lines(hex_dump(r.rest, r.rest_at), console)


def _field(name: str, x: Any, r: Readable, console: Console) -> None:
    value = f"{json.dumps(x, ensure_ascii=False, default=str)} " if name in r.fields else ""
    if name == r.marked:
        line = marked("  [red]▶ {}[/] {} [red]{}[/]", name, value, r.why)
    else:
        line = marked("    {} {}", name, value)
    console.print(line, soft_wrap=True)


def _lines(lines: Any, console: Console) -> None:
    for line in lines:
        console.print(marked("  {}", line), soft_wrap=True)
