"""The front door: everything that `freshet` offers is there, typed and documented."""

from __future__ import annotations

import ast
import inspect
from dataclasses import is_dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import freshet
from freshet.learners.catalog import LEARNERS
from freshet.public import HOMES

NEEDS = {"TorchCtr": "torch", "faust_app": "faust"}
NAMES = [n for n in freshet.__all__ if n not in NEEDS or find_spec(NEEDS[n])]


def test_the_list_is_sorted_and_holds_each_name_once() -> None:
    assert list(freshet.__all__) == sorted(set(freshet.__all__))


def test_what_is_public_is_in_the_list() -> None:
    public = {
        n
        for n, v in vars(freshet).items()
        if not n.startswith("_") and not isinstance(v, ModuleType)
    }
    its_own = {"annotations", "TYPE_CHECKING", "Any", "HOMES", "find"}
    assert public - its_own <= set(freshet.__all__)


def test_what_is_imported_late_is_what_type_checkers_see() -> None:
    """The table of homes, which runs, and the block of imports, which only type checkers read, say
    the same."""
    tree = ast.parse(Path(freshet.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == HOMES
    assert list(HOMES) == freshet.__all__


def test_every_learner_of_the_catalog_is_offered() -> None:
    assert set(LEARNERS) <= set(freshet.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        freshet.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_a_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    thing = getattr(freshet, name)
    text = inspect.getdoc(thing) or ""
    assert text, f"freshet.{name} has no docstring"
    assert not (is_dataclass(thing) and text.startswith(f"{name}(")), (
        f"freshet.{name} has only a generated docstring"
    )
    if isinstance(thing, ModuleType):
        silent = [f.__name__ for f in functions_of(thing) if not inspect.getdoc(f)]
        assert not silent, f"in freshet.{name}, {', '.join(silent)} have no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_typed(name: str) -> None:
    for f in functions_of(getattr(freshet, name)):
        signature = inspect.signature(f)
        bare = [
            p for p, v in signature.parameters.items() if v.annotation is v.empty and p != "self"
        ]
        assert not bare, f"freshet.{name}: {f.__name__} does not type {', '.join(bare)}"
        assert signature.return_annotation is not signature.empty, (
            f"freshet.{name}: {f.__name__} types no result"
        )


def functions_of(thing: object) -> list[Any]:
    """The function itself, or the public ones that a class or a module defines."""
    if inspect.isfunction(thing):
        return [thing]
    home = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
    found = [v for k, v in vars(thing).items() if inspect.isfunction(v) and not k.startswith("_")]
    return [f for f in found if f.__module__ == home]
