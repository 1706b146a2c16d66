"""What would become of dead letters that are sent again, or became of them, for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from freshet.figures import count
from freshet.redrive.redrive import Outcome
from freshet.terminal import marked


def show_outcome(outcome: Outcome, is_trial: bool, console: Console) -> None:
    if outcome.became:
        title = "would become" if is_trial else "became"
        table = Table(
            box=None,
            padding=(0, 2, 0, 0),
            header_style="dim",
        )
        for name in ("topic", "reason", title):
            table.add_column(name, overflow="fold")
        table.add_column("letters", justify="right", no_wrap=True)
        for (topic, reason), became in outcome.became.items():
            for what, letters in became.most_common():
                cells = [marked("{}", cell) for cell in (topic, reason, what)]
                table.add_row(*cells, count(letters))
        console.print(table)
    elif not outcome.sent_before:
        console.print("no such dead letters")
    if outcome.sent_before:
        console.print(f"{count(outcome.sent_before)} were sent or given up before, and stay so")
    if outcome.stopped:
        console.print(marked("[red]stopped:[/] {}", outcome.stopped))
    if is_trial and outcome.became:
        console.print(marked("[dim]Nothing was sent. To do it, add --apply.[/]"))
