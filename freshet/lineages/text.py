"""What starting lineages means, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from freshet.figures import count
from freshet.lineages.seen import SNAPSHOT, Seen
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
    for (kind, name, _), together in groupby(found, _row_of):
        group = list(together)
        if kind == SNAPSHOT:
            _add_snapshots(table, name, group)
            continue
        for seen in group:
            table.add_row(
                marked("{}", kind),
                marked("{}", name),
                count(seen.count),
            )
    return table


def _row_of(seen: Seen) -> tuple[str, str, bool]:
    """Snapshots that follow each other share a row, those that saw nothing one of their own."""
    return seen.kind, seen.name, seen.count > 0


def _add_snapshots(table: Table, lineage: str, group: Sequence[Seen]) -> None:
    """A lineage cuts one every few seconds: which first, which last, and how many there are."""
    numbers = [seen.number for seen in group]
    counts = [seen.count for seen in group]
    if len(group) == 1:
        table.add_row(
            "snapshot",
            marked("{}", f"{lineage} {numbers[0]}"),
            count(counts[0]),
        )
        return
    told = f"{lineage} {numbers[0]}–{numbers[-1]}, {count(len(group))} of them"
    least = count(min(counts))
    most = count(max(counts))
    table.add_row(
        "snapshots",
        marked("{}", told),
        least if least == most else f"{least}–{most}",
    )
