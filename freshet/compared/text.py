"""What differs between two runs, for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from freshet.compared.difference import (
    DEFINITIONS,
    FATES,
    PARTS,
    QUALITY,
    ROWS,
    SETTINGS,
    Comparison,
    Difference,
    Value,
)
from freshet.figures import DASH, moment
from freshet.terminal import marked

HEADS = {
    DEFINITIONS: "Definitions",
    SETTINGS: "Settings",
    FATES: "Events by fate",
    ROWS: "Rows",
    QUALITY: "Quality of what was served",
}
COUNTED = {
    DEFINITIONS: "things declared",
    SETTINGS: "settings",
    FATES: "fates",
    ROWS: "values of rows",
    QUALITY: "figures",
}


def show_comparison(found: Comparison, console: Console) -> None:
    for name, folder, until in (("a", found.a, found.until_a_ms), ("b", found.b, found.until_b_ms)):
        console.print(
            marked("[bold]{}[/]  {}, rows as of {}", name, folder, moment(until)), highlight=False
        )
    for part in PARTS:
        of_part = [one for one in found.differences if one.part == part]
        if of_part:
            console.print()
            console.print(_table(HEADS[part], of_part))
    if found.not_compared:
        console.print(marked("\n[bold]Not compared[/]"))
        for why in found.not_compared:
            console.print(marked("{}", why), highlight=False)
    console.print()
    equal = [
        f"{found.compared[part]:,} {COUNTED[part]}"
        for part in PARTS
        if found.compared[part] and not any(one.part == part for one in found.differences)
    ]
    if equal:
        console.print(marked("equal: {}", ", ".join(equal)), highlight=False)
    count = len(found.differences)
    if count:
        console.print(marked("[yellow]{} differences[/]", count), highlight=False)
    else:
        console.print(marked("[green]✔[/] no difference"), highlight=False)


def _table(head: str, differences: list[Difference]) -> Table:
    table = Table(
        title=head,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("")
    table.add_column("", overflow="fold")
    table.add_column("a", justify="right", overflow="fold")
    table.add_column("b", justify="right", overflow="fold")
    for one in differences:
        cells = (one.thing, one.what, _figure(one.a), _figure(one.b))
        table.add_row(*(marked("{}", cell) for cell in cells))
    return table


def _figure(value: Value) -> str:
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    return value
