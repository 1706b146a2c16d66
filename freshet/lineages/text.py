"""What starting lineages means, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from freshet.figures import count
from freshet.lineages.seen import Seen
from freshet.lineages.start import Outline
from freshet.terminal import marked


def show_outline(outline: Outline, console: Console) -> None:
    for name, start in zip(outline.names, outline.starts):
        console.print(
            f"{name} of {outline.model.name}, from {start.parent}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    left = outline.left_out
    console.print(
        f"left out: {count(left.asked)} questions, {count(left.labelled)} labels, "
        f"{count(left.expired)} expired; {count(outline.learned)} examples to learn",
        soft_wrap=True,
    )
    if not outline.seen:
        return
    console.print(seen_table(outline.seen, "who saw what is excepted"))


def seen_table(found: Iterable[Seen], who: str) -> Table:
    """Who saw, and how many; `who` is above their names."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("kind", who):
        table.add_column(title, overflow="fold")
    table.add_column("count", justify="right", no_wrap=True)
    for seen in found:
        table.add_row(
            marked("{}", seen.kind),
            marked("{}", seen.name),
            count(seen.count),
        )
    return table
