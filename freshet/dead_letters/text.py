"""Dead letters for the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from freshet.dead_letters.letters import Kind, Letter
from freshet.dead_letters.value import Readable, hex_dump, readable
from freshet.figures import count, moment
from freshet.runs.opened import OpenedRun

AT, MINUTE = "%-d %b %Y %H:%M:%S", "%-d %b %Y %H:%M"


def show_kinds(found: Sequence[Kind], topic: str | None, reason: str | None, console: Console) -> None:
    if not found:
        console.print(f"no dead letters{_of(topic, reason)}", highlight=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("topic", "reason, fields", "letters", "first", "last", "newest"):
        right, whole = title in ("letters", "newest"), title in ("letters", "first", "last")
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for k in found:
        alone = list(k.fields.values()) == [k.n]
        fields = ", ".join(name if alone else f"{name} {count(n)}" for name, n in k.fields.items())
        reason = f"{k.reason}\n[dim]  {fields}[/]" if fields else k.reason
        origin = f"{k.example[1]}/{k.example[2]}"
        table.add_row(k.topic, reason, count(k.n), moment(k.first_ms, MINUTE), moment(k.last_ms, MINUTE), origin)
    console.print(table)
    first = found[0]
    example = f"freshet dlq show --topic {first.topic} --reason {first.reason}"
    console.print(f"\n[dim]newest is its partition/offset in the topic. To read them: {example}[/]", highlight=False)


def show_letters(
    run: OpenedRun, found: Sequence[Letter], topic: str | None, reason: str | None, raw: bool, console: Console
) -> None:
    if not found:
        console.print(f"no dead letters{_of(topic, reason)}", highlight=False)
    for i, letter in enumerate(found):
        if i:
            console.print()
        _letter(run, letter, raw, console)


def _of(topic: str | None, reason: str | None) -> str:
    return (f" of topic {topic}" if topic else "") + (f" with reason {reason}" if reason else "")


def _letter(run: OpenedRun, x: Letter, raw: bool, console: Console) -> None:
    def print_(text: str) -> None:
        console.print(text, highlight=False)

    field = f" in {x.field}" if x.field else ""
    print_(f"[bold]{x.topic}[/] partition {x.partition} offset {x.offset}  [red]{x.reason}[/]{field}")
    when = f"appended {moment(x.append_ms, AT)}" if x.append_ms is not None else f"buried {moment(x.buried_ms, AT)}"
    kept = f" ({count(len(x.value))} kept)" if x.size > len(x.value) else ""
    print_(f"  {when}, {count(x.size)} bytes{kept}")
    if x.detail:
        print_(f"  [red]{escape(x.detail)}[/]")
    if raw:
        _lines(hex_dump(x.value, most=None), console)
        return
    topic = next((t for t in run.app.topics if t.name == x.topic), None)
    _readable(readable(x, topic, run.earlier(topic) if topic is not None else {}), console)


def _readable(r: Readable, console: Console) -> None:
    console.print(f"  [dim]{escape(r.what)}[/]", highlight=False, soft_wrap=True)
    if r.text:
        console.print(f"  {r.text}", highlight=False, markup=False)
    for name, x in r.fields.items():
        _field(name, x, r, console)
    if r.marked is not None and r.marked not in r.fields:
        _field(r.marked, None, r, console)
    elif r.why and r.marked is None:
        console.print(f"  [red]{escape(r.why)}[/]", highlight=False)
    if r.rest:
        _lines(hex_dump(r.rest, r.rest_at), console)


def _field(name: str, x: Any, r: Readable, console: Console) -> None:
    value = f"{escape(json.dumps(x, ensure_ascii=False, default=str))} " if name in r.fields else ""
    if name == r.marked:
        console.print(f"  [red]▶ {name}[/] {value} [red]{escape(r.why)}[/]", highlight=False, soft_wrap=True)
    else:
        console.print(f"    {escape(name)} {value}", highlight=False, soft_wrap=True)


def _lines(lines: Any, console: Console) -> None:
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
