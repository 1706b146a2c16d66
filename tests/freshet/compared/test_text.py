"""What differs between two runs reads as text where nobody styles it."""

from __future__ import annotations

import io

from rich.console import Console

from freshet.compared.difference import PARTS, Comparison
from freshet.compared.text import show_comparison


def shown(not_compared: list[str]) -> str:
    # As the command line's own: data is never read as markup.
    out = Console(file=io.StringIO(), width=100, markup=False)
    found = Comparison("one", "other", 0, 0, [], dict.fromkeys(PARTS, 3), not_compared)
    show_comparison(found, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_no_difference_is_told_without_markup() -> None:
    told = shown([])
    assert "✔ no difference" in told
    assert "[/]" not in told


def test_what_was_not_compared_stands_below_its_own_heading() -> None:
    told = shown(["rows: the store of one is gone"])
    assert "Not compared\nrows: the store of one is gone" in told
    assert "[/]" not in told
