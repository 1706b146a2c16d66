"""What a learner is: its declaration, and the text of the code that it consists of where that is
the app's own.

Seen are functions, classes and constants at the top of the app's modules that the learner's class
uses, directly or by one another, also where the top makes them under a condition, and what those
modules put elsewhere (a predictor into the catalog). Comments, docstrings and layout are no part of
them. Not seen are libraries, freshet itself, what is found by a name made at run time, and files
that the code reads.

What has no text that tells it from others is refused: a class that is made within a function, since
that may have put anything into it, and modules of the app's own that are no text of Python's.
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
from freshet.learners.started import Started
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.digests import Facts, detailed

_INSTALLED = ("site-packages", "dist-packages")
_ADDRESS = " at 0x"  # in what Python prints of a thing that says nothing of itself
LOCAL = "<locals>"  # in the qualified name of what a function made
_WHOLE = ""  # stands for all of a module, where a name stands for one thing at its top


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Place(NamedTuple):
    """Where code stands: a name at the top of a module."""

    module: str
    name: str


def definition_of(learner: LearnerSpec) -> Facts:
    """The facts of a learner.

    Raises:
        DefinitionError: it prints as where it lies in memory, which no other process can tell; or
            its code has no text.
    """
    if isinstance(learner, Started):
        return {**definition_of(learner.spec), **learner.start.facts}
    declared = repr(learner)
    if _ADDRESS in declared:
        raise DefinitionError(
            f"learner {learner.name}",
            f"prints as {declared}, which is another text in each process",
            "Make it a frozen dataclass whose fields are numbers and texts.",
        )
    kind = type(learner)
    _refuse_unwritten(kind)
    return {"declared": declared, **_code_of(kind)}


def _refuse_unwritten(kind: type) -> None:
    """Raises `DefinitionError` for a class of the app's own that the text of a module does not
    tell."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        raise _not_digestible(
            f"learner class {kind.__qualname__}",
            f"is of module {kind.__module__}, which was read from no file",
            "Write it into a module beside the app's file.",
        )
    if LOCAL in kind.__qualname__ and _is_own(kind.__module__, Path(file)):
        raise _not_digestible(
            f"learner class {kind.__qualname__}",
            "is made within a function, which may put anything into it",
            "Write it at the top of a module, and make fields of what differs.",
        )


def _not_digestible(what: str, cause: str, next_step: str) -> DefinitionError:
    return DefinitionError(what, f"cannot be digested: it {cause}", next_step)


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
    except (OSError, SyntaxError, ValueError) as error:  # a compiled module, say
        raise _not_digestible(
            f"module {name}",
            f"is of the app's own, and its file {Path(file).name} is no text of Python's",
            "Install it as a package, and give its learners another name with each version.",
        ) from error
    module = _Module(name, {}, {}, [])
    for number, statement in enumerate(tree.body):
        for node in _at_the_top(statement):
            module.imported.update(_imports(node, name))
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
    elsewhere, as `PREDICTORS[KIND] = …` and `PREDICTORS.update(…)` do, has its number for a
    name."""
    elsewhere = f"statement {number}"
    found: list[str] = []
    for node in _at_the_top(statement):
        if isinstance(node, _DEFINITIONS):
            found.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif (
            isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
        ) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return [elsewhere]
    return list(dict.fromkeys(found))


def _at_the_top(statement: ast.AST) -> Iterator[ast.AST]:
    """A statement at the top of a module, and what is in it, also under a condition; but for what
    is within functions and classes."""
    yield statement
    if isinstance(statement, _DEFINITIONS):
        return
    for child in ast.iter_child_nodes(statement):
        yield from _at_the_top(child)


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
