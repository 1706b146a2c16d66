"""How dense the product code is, measured; each measure may only fall (comments: rise) until it
reaches its goal.

What is measured, where it stands and where it should be is written in `style.toml`. One that is
better than its line there says so: lower the line, so that nobody falls back behind it.
"""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
FILES = sorted({f.resolve() for room in ROOMS for f in (ROOT / room).rglob("*.py")})
MEASURES = tomllib.loads((ROOT / "tests" / "style.toml").read_text())
# A measure may stand this far (a share of it) below its line before the line has to follow.
SLACK = 0.03
_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@cache
def trees() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((file, ast.parse(file.read_text())) for file in FILES)


def nodes() -> Iterator[ast.AST]:
    for _, tree in trees():
        yield from ast.walk(tree)


@cache
def lines() -> tuple[str, ...]:
    return tuple(line for file in FILES for line in file.read_text().splitlines())


@cache
def tokens() -> tuple[tokenize.TokenInfo, ...]:
    return tuple(t for file in FILES for t in tokenize_of(file))


def per_thousand_lines(count: int) -> float:
    return 1000 * count / len(lines())


def packed_assignments_percent() -> float:
    """`a, b = x, y`: two assignments on a line."""
    found = [node for node in nodes() if isinstance(node, ast.Assign)]
    packed = [
        n for n in found if isinstance(n.targets[0], ast.Tuple) and isinstance(n.value, ast.Tuple)
    ]
    return 100 * len(packed) / len(found)


def one_letter_names_percent() -> float:
    """Of all places where a name is bound: assignments, loops, parameters. `_` says that it is not
    used."""
    names = [n.id for n in nodes() if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    names += [n.arg for n in nodes() if isinstance(n, ast.arg)]
    short = [name for name in names if len(name) == 1 and name != "_"]
    return 100 * len(short) / len(names)


def long_lines_percent() -> float:
    """Of more than 100 characters."""
    return 100 * sum(len(line) > 100 for line in lines()) / len(lines())


def ternaries_per_thousand_lines() -> float:
    return per_thousand_lines(sum(isinstance(node, ast.IfExp) for node in nodes()))


def tokens_a_line() -> float:
    """Of lines that hold code."""
    code = [t for t in tokens() if t.type not in _NOT_CODE]
    held = sum(
        len({t.start[0] for t in tokenize_of(file) if t.type not in _NOT_CODE}) for file in FILES
    )
    return len(code) / held


@cache
def tokenize_of(file: Path) -> tuple[tokenize.TokenInfo, ...]:
    return tuple(tokenize.generate_tokens(io.StringIO(file.read_text()).readline))


def comments_per_thousand_lines() -> float:
    return per_thousand_lines(sum(t.type == tokenize.COMMENT for t in tokens()))


def functions_of_many_parameters() -> float:
    """More than 6, or than 10 of a kernel, beside `self`."""
    found = 0
    for file, tree in trees():
        most = 10 if "kernels" in file.name else 6
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                own = [a for a in named if a.arg not in ("self", "cls")]
                found += len(own) > most
    return float(found)


COUNTED = {
    count.__name__: count
    for count in (
        packed_assignments_percent,
        one_letter_names_percent,
        long_lines_percent,
        ternaries_per_thousand_lines,
        tokens_a_line,
        functions_of_many_parameters,
        comments_per_thousand_lines,
    )
}
RISING = {"comments_per_thousand_lines"}


def test_each_measure_has_its_line() -> None:
    assert list(MEASURES) == list(COUNTED)


@pytest.mark.parametrize("name", COUNTED)
def test_a_measure_is_no_worse_than_its_line(name: str) -> None:
    now = COUNTED[name]()
    line = MEASURES[name]["line"]
    worse = now < line if name in RISING else now > line
    assert not worse, (
        f"{name} was {line:g} and is {now:.2f}; its goal is {MEASURES[name]['goal']:g}"
    )


@pytest.mark.parametrize("name", COUNTED)
def test_a_line_follows_its_measure(name: str) -> None:
    """Until it is at its goal: beyond that, nobody has to count."""
    now = COUNTED[name]()
    line = MEASURES[name]["line"]
    goal = MEASURES[name]["goal"]
    if name in RISING:
        assert line >= min(goal, now * (1 - SLACK)), (
            f"write line = {now:.2f} for {name} in tests/style.toml"
        )
    else:
        assert line <= max(goal, now * (1 + SLACK)), (
            f"write line = {now:.2f} for {name} in tests/style.toml"
        )
