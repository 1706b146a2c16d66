"""What docstrings, comments and pages name is there, and what apps declare is read."""

from __future__ import annotations

import ast
import dataclasses
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from freshet import public
from freshet.learners.catalog import LEARNERS

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
PLACES = (*ROOMS, "tests", "docs", "compose", "locks", ".github")
_PATH = re.compile(rf"`((?:{'|'.join(map(re.escape, PLACES))})/[\w./*-]*)`")
_PLAIN = re.compile(rf"(?<![\w/.`])((?:{'|'.join(ROOMS)}|tests|docs)/[\w./-]+\.\w+)\b")
_FILE = re.compile(r"`([\w-]+\.(?:py|md|avsc|toml|yml|html|css|js|xml))`")
_DOTTED = re.compile(rf"`((?:freshet|tests|{'|'.join(ROOMS)})(?:\.\w+)+)(?:\(\))?`")
# Made by runs and by users, or of other projects; not in the tree.
ELSEWHERE = {
    "features.py",
    "random.py",
    "freshet.toml",
    "compose/jars",
    "docs/protocol/extension_binary_data.md",
}
# Pages whose reader writes files of his own.
WRITTEN_BY_READERS = "docs/howto/"
HISTORY = {"CHANGELOG.md"}
RESERVED = {"segment_by", "subject"}  # refused until they do something
COMPARED = {"definition"}  # by which two of River's models are equal


@cache
def tracked() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return tuple(ROOT / line for line in listed.splitlines() if not (ROOT / line).is_symlink())


@cache
def words() -> tuple[tuple[Path, str], ...]:
    """Each docstring, comment and page. Read once: there are a thousand files."""
    found: list[tuple[Path, str]] = []
    for file in tracked():
        if file.suffix == ".py":
            found += [(file, text) for text in said_in(file.read_text())]
        elif file.suffix == ".md" and file.name not in HISTORY and not superseded(file):
            found.append((file, file.read_text()))
    return tuple(found)


def superseded(file: Path) -> bool:
    return file.parent.name == "decisions" and "*Superseded" in file.read_text()


def said_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def named(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """What the words name, and where they do."""
    found = {
        (name, file.relative_to(ROOT).as_posix())
        for file, text in words()
        for name in pattern.findall(text)
        if name not in ELSEWHERE
    }
    return sorted(found)


def test_paths_that_are_named_are_there() -> None:
    found = [*named(_PATH), *named(_PLAIN)]
    missing = [(name, where) for name, where in found if not list(ROOT.glob(name.rstrip("/")))]
    assert not missing


def test_files_that_are_named_are_somewhere() -> None:
    names = {file.name for file in tracked()}
    ours = [
        (name, where) for name, where in named(_FILE) if not where.startswith(WRITTEN_BY_READERS)
    ]
    missing = [(name, where) for name, where in ours if name not in names]
    assert not missing


def test_modules_and_names_in_them_that_are_named_are_there() -> None:
    missing = [(name, where) for name, where in named(_DOTTED) if not resolves(name)]
    assert not missing


def resolves(dotted: str) -> bool:
    """Whether it is a module of ours, or a name in one; `freshet.<room>` is `<room>` by its
    link."""
    parts = dotted.split(".")
    if (ROOT / dotted.replace(".", "/")).with_suffix(".py").is_file() or list(ROOT.glob(dotted)):
        return True
    for n in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:n])
        module = next(
            (m for m in (place.with_suffix(".py"), place / "__init__.py") if m.is_file()), None
        )
        if module is not None:
            return (
                n == len(parts) or has(module, parts[n:]) or (n == 1 and parts[1] in public.HOMES)
            )
    return False


def has(module: Path, names: Sequence[str]) -> bool:
    """Whether a module has a top-level name, and a class among them the member that follows."""
    body: Sequence[ast.stmt] = ast.parse(module.read_text()).body
    for name in names:
        found = next((node for node in body if name in bound(node)), None)
        if found is None:
            return False
        body = getattr(found, "body", [])
    return True


def bound(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Assign():
            return {
                x.id for target in node.targets for x in ast.walk(target) if isinstance(x, ast.Name)
            }
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.ImportFrom() | ast.Import():
            return {alias.asname or alias.name for alias in node.names}
    return set()


@cache
def read_somewhere() -> frozenset[str]:
    """Attributes that product code reads, but in the checks of a declaration itself."""
    found: set[str] = set()
    for file in tracked():
        if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in ROOMS:
            nodes = list(ast.walk(ast.parse(file.read_text())))
            checks = [
                n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == "__post_init__"
            ]
            inside = {id(x) for check in checks for x in ast.walk(check)}
            found |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and id(n) not in inside}
            found |= {word for n in nodes if isinstance(n, ast.Call) for word in asked_by_name(n)}
            found |= {word for n in nodes if isinstance(n, ast.Tuple) for word in texts_in(n.elts)}
    return frozenset(found)


def asked_by_name(call: ast.Call) -> Iterator[str]:
    """The attribute that `getattr(x, "name")` or `freshness.ms("name")` reads."""
    asks = getattr(call.func, "id", "") == "getattr" or getattr(call.func, "attr", "") == "ms"
    if asks:
        yield from texts_in(call.args)


def texts_in(nodes: Sequence[ast.expr]) -> Iterator[str]:
    """Of a table such as `DEFINITION`, by which fields are read one after the other."""
    yield from (x.value for x in nodes if isinstance(x, ast.Constant) and isinstance(x.value, str))


DECLARED = [
    pytest.param(field.name, id=f"{name}.{field.name}")
    for name in public.HOMES
    # A learner is handed its declaration as a whole, and keeps a digest of all of it.
    if name not in LEARNERS
    and isinstance(found := public.find(name), type)
    and dataclasses.is_dataclass(found)
    for field in dataclasses.fields(found)
]


@pytest.mark.parametrize("name", DECLARED)
def test_what_an_app_declares_is_read_or_refused(name: str) -> None:
    assert name in read_somewhere() | RESERVED | COMPARED
