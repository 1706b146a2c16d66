"""What is taken out of views, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.table import Table

from freshet.declared.exclusions import Exclusion
from freshet.exclusions.outline import Outline
from freshet.figures import count, moment
from freshet.lineages.text import seen_table
from freshet.schemas.shown_text import printable_json
from freshet.terminal import marked


def show_outline(outline: Outline, console: Console) -> None:
    """Of each partition what would be taken out, then who saw it."""
    chosen = outline.chosen
    table = _table(
        "topic",
        "partition",
        "fate",
        of="events",
    )
    for (partition, fate), events in chosen.counts().items():
        table.add_row(
            marked("{}", chosen.topic.name),
            str(partition),
            fate,
            count(events),
        )
    console.print(table)
    if chosen.unsettled:
        console.print(
            f"{count(chosen.unsettled)} records are not settled yet, and none of them is chosen",
            soft_wrap=True,
        )
    console.print(seen_table(outline.seen, "who saw them"))
    if outline.correct:
        console.print("what was answered and learned stays as it was; to learn it without them:")
    for command in outline.correct:
        console.print(
            f"  {command}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def as_json(outline: Outline) -> str:
    """In one line, with each snapshot of its own."""
    chosen = outline.chosen
    events = [
        {"partition": partition, "fate": fate, "events": events}
        for (partition, fate), events in chosen.counts().items()
    ]
    told = {
        "topic": chosen.topic.name,
        "events": events,
        "unsettled": chosen.unsettled,
        "seen": outline.seen,
        "correct": outline.correct,
    }
    return printable_json(msgspec.json.encode(told).decode())


def show_exclusions(found: Iterable[tuple[Exclusion, bool]], console: Console) -> None:
    """Each with who, when and why."""
    table = _table(
        "number",
        "topic",
        "what",
        "by",
        "at",
        "why",
        "holds",
        of="events",
    )
    rows = list(found)
    for one, holds in rows:
        what = ", ".join(f"{name} {value}" for name, value in one.chosen.items())
        if one.back is not None:
            what = f"puts back what {one.back} took out"
        texts = (one.topic, what, one.by, moment(one.at), one.why)
        table.add_row(
            str(one.number),
            *(marked("{}", text) for text in texts),
            "yes" if holds else "no",
            count(one.events),
        )
    if rows:
        console.print(table)
    else:
        console.print("nothing was ever taken out of a view")


def _table(*names: str, of: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(
            name,
            overflow="fold",
        )
    table.add_column(
        of,
        justify="right",
        no_wrap=True,
    )
    return table
