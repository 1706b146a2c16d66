"""Groups of options: what a command line says arrives as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from freshet.cli.option_groups import grouped


@dataclass(frozen=True)
class Pace:
    step: Annotated[str, typer.Option(help="time per step")] = "15m"
    days: int = 59


def test_each_field_of_a_group_is_an_option_and_the_command_is_given_the_group() -> None:
    seen: list[tuple[str, Pace, bool]] = []
    cli = typer.Typer()

    @cli.command()
    @grouped
    def replay(app: str, *, pace: Pace, keep: bool = False) -> None:
        """Replays."""
        seen.append((app, pace, keep))

    runner = CliRunner()
    assert runner.invoke(cli, ["a.py"]).exit_code == 0
    assert runner.invoke(cli, ["a.py", "--step", "1h", "--days", "3", "--keep"]).exit_code == 0
    assert runner.invoke(cli, ["a.py", "--pace", "1"]).exit_code == 2
    assert seen == [("a.py", Pace(), False), ("a.py", Pace("1h", 3), True)]
