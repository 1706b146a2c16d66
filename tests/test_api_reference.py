"""The pages of `docs/api/` are what the code says, and leave out nothing that users may name."""

from __future__ import annotations

import builtins
import inspect
import re
from types import ModuleType

import griffe
import pytest

import freshet
from tests import api_reference
from tests.api_reference import FOLDER, PAGES, Entry, described, entries, parameters, sections

ENTRIES = [entry for page in PAGES for entry in entries(page)]
CALLED = [entry for entry in ENTRIES if not entry.thing.is_module]
EXPORTED = [entry for entry in CALLED if entry.name in freshet.__all__]
# They are refused until they do something, so the reference is silent about them.
UNSAID = {"subject", "segment_by"}
RAISES = griffe.DocstringSectionKind.raises


def name_of(entry: Entry) -> str:
    return entry.name


def test_the_pages_are_those_of_the_code() -> None:
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    made = api_reference.written()
    stale = sorted(name for name in {*there, *made} if there.get(name) != made.get(name))
    assert not stale, f"docs/api: {', '.join(stale)} differ from the docstrings; run `make docs`"


def test_every_exported_name_is_on_a_page() -> None:
    assert set(freshet.__all__) <= {entry.name for entry in ENTRIES}


def test_a_name_is_on_one_page_only() -> None:
    names = [entry.name for entry in CALLED]
    assert sorted(names) == sorted(set(names))


def test_the_headings_of_a_page_have_anchors_of_their_own() -> None:
    for page in PAGES:
        anchors = [e.anchor for entry in entries(page) for e in (entry, *entry.members)]
        assert sorted(anchors) == sorted(set(anchors)), page


def test_links_lead_to_headings() -> None:
    pages = api_reference.written()
    for page, anchor in re.findall(r"\]\((\w+\.md)#([^)]+)\)", pages["README.md"]):
        headings = re.findall(r"^#+ (.+)$", pages[page], re.MULTILINE)
        assert anchor in {Entry(heading, None).anchor for heading in headings}, f"{page}#{anchor}"


@pytest.mark.parametrize("entry", EXPORTED, ids=name_of)
def test_what_is_read_from_the_source_is_what_is_imported(entry: Entry) -> None:
    thing = getattr(freshet, entry.name)
    assert list(inspect.signature(thing).parameters) == [p.name for p in parameters(entry.thing)]


def test_all_of_an_exported_module_is_described() -> None:
    for name in freshet.__all__:
        module = getattr(freshet, name) if name not in {e.name for e in EXPORTED} else None
        if isinstance(module, ModuleType):
            own = [
                k
                for k, v in vars(module).items()
                if getattr(v, "__module__", "") == module.__name__
            ]
            public = {f"{name}.{k}" for k in own if not k.startswith("_")}
            assert public == {entry.name for entry in CALLED if entry.name.startswith(f"{name}.")}


@pytest.mark.parametrize("entry", CALLED, ids=name_of)
def test_every_parameter_is_described_in_order(entry: Entry) -> None:
    takes = [p.name for p in parameters(entry.thing) if p.name not in UNSAID]
    own = not entry.thing.is_class or "__init__" in entry.thing.members
    assert [p for p in described(entry.thing) if p not in UNSAID] == (takes if own else [])
    for member in entry.members:
        assert set(described(member.thing)) <= {p.name for p in parameters(member.thing)}, (
            member.name
        )


@pytest.mark.parametrize("entry", CALLED, ids=name_of)
def test_every_public_method_and_property_says_what_it_is(entry: Entry) -> None:
    assert entry.summary
    silent = [member.name for member in entry.members if not member.summary]
    assert not silent


@pytest.mark.parametrize("entry", EXPORTED, ids=name_of)
def test_what_is_exported_comes_with_an_example(entry: Entry) -> None:
    shown = [s for s in sections(entry.thing) if s.kind is griffe.DocstringSectionKind.examples]
    # needs Kafka: `tests/system/test_faust.py` runs such a one
    fenced = "```python" in entry.thing.docstring.value
    assert shown or (fenced and entry.name == "faust_app")


@pytest.mark.parametrize("entry", CALLED, ids=name_of)
def test_what_is_raised_is_an_error_that_exists(entry: Entry) -> None:
    known = {e.name for e in entries("errors")} | set(vars(builtins))
    for e in (entry, *entry.members):
        raised = [
            str(item.annotation) for s in sections(e.thing) if s.kind is RAISES for item in s.value
        ]
        assert set(raised) <= known, e.name
