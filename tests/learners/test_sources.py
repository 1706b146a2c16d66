"""A learner of the app's own is another one when its code is, and no other one by its layout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import freshet as fr
from freshet.app import load
from freshet.learners import sources
from freshet.learners.sources import definition_of
from freshet.schemas.errors import DefinitionError

APP = '''"""An app with a learner of its own."""

import polars as pl

import freshet as fr
from own import Plain

visits = fr.Topic(
    "visits",
    {"type": "record", "name": "visit", "fields": [
        {"name": "id", "type": "string"}, {"name": "at", "type": "long"}, {"name": "x", "type": "double"}]},
    event_id="id", event_time="at",
)
m = fr.Model("m", on=visits, id="id", label=fr.Label(visits, id="id", value=pl.col("x") > 0.5),
             features=[visits["x"]], learners=[Plain()], fallback=[fr.constant(0.5)])
app = fr.App("own", topics=[visits], models=[m])
'''
OWN = '''"""A learner."""

from dataclasses import dataclass

import numpy as np

import helpers
from helpers import squash as squashed
from freshet.learners.catalog import PREDICTORS

STEP = 0.5
UNUSED = 1


@dataclass(frozen=True)
class Plain:
    """What an app declares."""

    name: str = "plain"

    def make(self, schema):
        return Learner(schema)


class Learner:
    def __init__(self, schema):
        self.rate = STEP * helpers.scale(2.0)

    def predict(self, vectors):
        return squashed(np.zeros(3))


class Predictor:
    pass


def beside():
    return 1


PREDICTORS["plain_of_a_test"] = Predictor
PREDICTORS.update(other_of_a_test=Predictor)
'''
HELPERS = '''"""Helpers."""

import math
from deeper import half

try:
    from no_such_module_at_all import quick
except ImportError:
    def quick(x):
        return x + 1


def squash(x):  # into 0 to 1
    return half(x)


def scale(x):
    return math.sqrt(quick(x))


def other(x):
    return x
'''
DEEPER = "def half(x):\n    return x / 2\n"
FILES = {"app.py": APP, "own.py": OWN, "helpers.py": HELPERS, "deeper.py": DEEPER}


def lineage(folder: Path, file: str = "", old: str = "", new: str = "") -> str:
    folder.mkdir()
    for name, text in FILES.items():
        if name == file:
            assert old in text
            text = text.replace(old, new)
        (folder / name).write_text(text)
    model = load(folder / "app.py").models[0]
    return model.lineage(model.learners[0])


OTHER = {
    "a method": ("own.py", "np.zeros(3)", "np.ones(3)"),
    "a constant": ("own.py", "STEP = 0.5", "STEP = 0.25"),
    "its predictor, which it puts into the catalog": ("own.py", "    pass", "    x = 1"),
    "what it puts into the catalog by a call": ("own.py", "other_of_a_test", "third_of_a_test"),
    "a function of a helper module": ("helpers.py", "return half(x)", "return half(x) + 0"),
    "a function that is called by its module": ("helpers.py", "sqrt", "cbrt"),
    "a function that a helper uses": ("deeper.py", "x / 2", "x / 4"),
    "a function that is made where a module is missing": ("helpers.py", "x + 1", "x + 2"),
    "an argument": ("app.py", "Plain()", 'Plain(name="plain2")'),
}
SAME = {
    "nothing": ("own.py", "", ""),
    "a comment": ("helpers.py", "# into 0 to 1", "# between 0 and 1"),
    "layout": ("helpers.py", "    return half(x)", "    return half(\n        x\n    )"),
    "a docstring": ("own.py", "What an app declares.", "Declared by an app."),
    "a constant that nothing uses": ("own.py", "UNUSED = 1", "UNUSED = 2"),
    "a function that nothing uses": ("helpers.py", "return x\n", "return -x\n"),
    "freshness": ("app.py", 'event_time="at",', 'event_time="at", freshness=fr.Freshness(model_slo="90s"),'),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
def test_other_code_is_another_lineage(what: str, tmp_path: Path) -> None:
    assert lineage(tmp_path / "a") != lineage(tmp_path / "b", *OTHER[what])


@pytest.mark.parametrize("what", SAME)
def test_code_that_does_the_same_is_the_same_lineage(what: str, tmp_path: Path) -> None:
    assert lineage(tmp_path / "a") == lineage(tmp_path / "b", *SAME[what])


def test_the_code_of_freshet_is_no_part_of_a_learner() -> None:
    assert list(definition_of(fr.HashedLogistic())) == ["declared"]


class Nameless:
    name = "nameless"

    def make(self, schema: object) -> object:
        raise NotImplementedError


def test_a_learner_that_cannot_be_told_from_others_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"learner nameless: prints as .* in each process"):
        definition_of(Nameless())  # type: ignore[arg-type]


def test_a_learner_that_a_function_made_is_refused() -> None:
    def made(rate: float) -> type:
        @dataclass(frozen=True)
        class Own:
            name: str = "own"
            step: float = rate

        return Own

    with pytest.raises(DefinitionError, match="cannot be digested: it is made within a function"):
        definition_of(made(0.1)())


def test_a_learner_of_no_file_is_refused() -> None:
    kind = type("Own", (), {"name": "own", "__repr__": lambda self: "Own()"})
    kind.__module__ = "of_no_file"
    with pytest.raises(DefinitionError, match="which was read from no file"):
        definition_of(kind())


def test_a_module_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert lineage(tmp_path / "a")
    (tmp_path / "a" / "deeper.py").write_bytes(b"\x7fELF")
    # The very modules that were loaded, of whose text there is none any more.
    spec = sys.modules["own"].Plain()
    sources._code_of.cache_clear()
    with pytest.raises(DefinitionError, match="module deeper: cannot be digested"):
        definition_of(spec)
