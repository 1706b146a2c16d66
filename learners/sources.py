"""What a learner is: its declaration, and the text of the code that it consists of where that is
the app's own.

Seen are functions, classes and constants at the top of the app's modules that the learner's class
uses, directly or by one another, and what those modules put elsewhere (a predictor into the
catalog). Comments, docstrings and layout are no part of them. Not seen are libraries, freshet
itself, what is found by a name made at run time, and files that the code reads.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from freshet.learners.contract import LearnerSpec
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.digests import Facts, detailed

_INSTALLED = ("site-packages", "dist-packages")
_ADDRESS = " at 0x"  # in what Python prints of a thing that says nothing of itself
_WHOLE = ""  # stands for all of a module, where a name stands for one thing at its top


class _Place(NamedTuple):
    """Where code stands: a name at the top of a module."""

    module: str
    name: str


def definition_of(learner: LearnerSpec) -> Facts:
    """The facts of a learner.

    Raises:
        DefinitionError: it prints as where it lies in memory, which no other process can tell.
    """
    declared = repr(learner)
    if _ADDRESS in declared:
        raise DefinitionError(
            f"learner {learner.name}",
            f"prints as {declared}, which is another text in each process",
            "Make it a frozen dataclass whose fields are numbers and texts.",
        )
    return {"declared": declared, **_code_of(type(learner))}


# By the class itself: a later load may put another module under the same name.
@cache
def _code_of(kind: type) -> Facts:
    found: dict[_Place, str] = {}
    ahead = [_Place(kind.__module__, kind.__qualname__.partition(".")[0])]
    while ahead:
        place = ahead.pop()
        module = _module(place.module)
        if module is None or place in found:
            continue
        statements = module.statements(place.name)
        found[place] = "\n".join(map(ast.unparse, statements))
        ahead += module.registered
        if place.name in module.imported:  # it only passes on what another one has
            ahead.append(module.imported[place.name])
        ahead += [used for statement in statements for used in _used(statement, module)]
    told = {f"{module}.{name}".rstrip("."): text for (module, name), text in found.items() if text}
    return {f"code of {name}": detailed(name, text) for name, text in told.items()}


class _Module(NamedTuple):
    """The top of a module of the app's own: its statements by the name that they give something,
    and where the names come from that it imports. `registered` are those that put something
    elsewhere."""

    name: str
    tops: dict[str, list[ast.stmt]]
    imported: dict[str, _Place]
    registered: list[_Place]

    def statements(self, name: str) -> list[ast.stmt]:
        if name == _WHOLE:
            return [statement for top in self.tops.values() for statement in top]
        return self.tops.get(name, [])


def _module(name: str) -> _Module | None:
    """None where it is none of the app's own."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or not _is_own(name, Path(file)):
        return None
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):  # no text of Python's, such as a compiled module
        return None
    module = _Module(name, {}, {}, [])
    for number, statement in enumerate(tree.body):
        module.imported.update(_imports(statement, name))
        for given in _given(statement, number):
            module.tops.setdefault(given, []).append(_without_docstrings(statement))
            if not given.isidentifier():
                module.registered.append(_Place(name, given))
    return module


def _is_own(name: str, file: Path) -> bool:
    if name.partition(".")[0] == "freshet" or any(part in file.parts for part in _INSTALLED):
        return False
    return not file.is_relative_to(sysconfig.get_path("stdlib"))


def _given(statement: ast.stmt, number: int) -> list[str]:
    """The names that a statement at the top of a module gives something. One that puts something
    elsewhere, as `PREDICTORS[KIND] = …` does, has its number for a name."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        targets = [statement.target]
    if any(isinstance(target, ast.Subscript | ast.Attribute) for target in targets):
        return [f"statement {number}"]
    nodes = (node for target in targets for node in ast.walk(target))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def _without_docstrings(statement: ast.stmt) -> ast.stmt:
    for node in ast.walk(statement):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement


def _imports(node: ast.AST, within: str) -> Iterator[tuple[str, _Place]]:
    """What an import makes known, by the name that it has from then on."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if alias.asname:
                yield alias.asname, _Place(alias.name, _WHOLE)
            else:
                yield first, _Place(first, _WHOLE)
    if isinstance(node, ast.ImportFrom):
        module = _absolute(node, within)
        for alias in node.names:
            if alias.name == "*":
                others = _module(module)
                if others is not None:
                    yield from ((name, _Place(module, name)) for name in others.tops)
            else:
                yield alias.asname or alias.name, _inner(module, alias.name)


def _absolute(node: ast.ImportFrom, within: str) -> str:
    if not node.level:
        return node.module or ""
    package = getattr(sys.modules.get(within), "__package__", None) or ""
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # no package: such an import has failed before
        return ""


def _inner(module: str, name: str) -> _Place:
    """A name of a module may be a module itself."""
    if f"{module}.{name}" in sys.modules:
        return _Place(f"{module}.{name}", _WHOLE)
    return _Place(module, name)


def _used(node: ast.AST, module: _Module) -> Iterator[_Place]:
    """What of the app's own a piece of code may mean."""
    yield from (place for _, place in _imports(node, module.name))
    chain = _chain(node)
    if chain:
        yield from _meant(chain, module)
        return
    for child in ast.iter_child_nodes(node):
        yield from _used(child, module)


def _chain(node: ast.AST) -> list[str]:
    """`a.b.c` as its names; nothing for what is no such thing."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := _chain(node.value)):
        return [*before, node.attr]
    return []


def _meant(chain: list[str], module: _Module) -> Iterator[_Place]:
    first, *rest = chain
    if first in module.tops:
        yield _Place(module.name, first)
    place = module.imported.get(first)
    if place is None:
        return
    while place.name == _WHOLE and rest:
        place = _inner(place.module, rest.pop(0))
    yield place
