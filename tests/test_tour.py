"""The tour is held to the tree: its files are there, its names are defined in them, and no wing is
forgotten."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.test_imports import MODULES, ROOMS, ROOT, name_of

TOUR = (ROOT / "docs" / "tour.md").read_text()
# `path`: `Name`, `Name.method`; at most in two lines of prose, or in a cell.
_PLACE = re.compile(r"`([\w/]+\.(?:py|toml))`(?::\s((?:`[\w.]+`(?:,\s)?)+))?")
PLACES = [(path, re.findall(r"`([\w.]+)`", names)) for path, names in _PLACE.findall(TOUR)]


@cache
def defined(path: str) -> frozenset[str]:
    """Functions and classes of a file, with their methods, and what it sets."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {
                node.name,
                *(f"{node.name}.{part.name}" for part in node.body if hasattr(part, "name")),
            }
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


@pytest.mark.parametrize(("path", "names"), PLACES, ids=lambda x: x if isinstance(x, str) else None)
def test_a_file_is_there_and_defines_what_is_named_with_it(path: str, names: list[str]) -> None:
    assert (ROOT / path).is_file()
    assert not names or set(names) <= defined(path)


def test_every_code_span_is_understood() -> None:
    """Else a name could be gone, and nobody would notice."""
    known = {name for _, names in PLACES for name in names} | {path for path, _ in PLACES}
    cells = [
        cell for row in TOUR.splitlines() if row.startswith("| ") for cell in row.split("|")[3:4]
    ]
    spans = {span for cell in cells for span in re.findall(r"`([^`]+)`", cell)}
    assert spans <= known


def test_each_walk_is_numbered_without_a_gap() -> None:
    for title in ("From an event to a value", "From examples to an answer, and back"):
        section = TOUR.split(f"\n## {title}\n")[1].split("\n## ")[0]
        numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 10


def test_every_wing_is_visited_or_said_to_be_beside_the_way() -> None:
    files = [name_of(f) for f in MODULES]
    wings = {
        "/".join(f.split("/")[:2]) for f in files if f.split("/")[0] in ROOMS and f.count("/") > 1
    }
    visited = {"/".join(path.split("/")[:2]) for path, _ in PLACES}
    beside = {
        span.rstrip("/")
        for span in re.findall(r"`([\w/]+/)`", TOUR.split("\n## Beside the way\n")[1])
    }
    assert beside <= wings, "what is gone is not beside the way"
    assert wings <= visited | beside
