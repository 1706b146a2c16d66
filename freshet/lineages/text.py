"""What starting lineages means, for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from freshet.figures import count
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
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("kind", "who saw what is excepted"):
        table.add_column(title, overflow="fold")
    table.add_column("count", justify="right", no_wrap=True)
    for seen in outline.seen:
        table.add_row(
            marked("{}", seen.kind),
            marked("{}", seen.name),
            count(seen.count),
        )
    console.print(table)
