"""Writes `docs/api/`: a page for each part of the public interface, from signatures and docstrings.

griffe parses both from the source, so nothing is imported: what needs torch or Faust is described
where neither is installed. `make docs` writes the pages; `test_api_reference.py` holds them to the
code.

    python -m tests.api_reference [FOLDER]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "api"
WIDTH = 88  # of a signature in one line

# Of each page the title and what is on it, in order. `Topic` is a name that freshet exports, and
# `Topic/FieldRef` one that stands in the same module; `impute/*` is a module and all that is in it.
PAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "apps": ("Apps and agents", ("App", "faust_app")),
    "topics": ("Topics", ("Topic", "Freshness", "Statistics", "time", "category")),
    "impute": ("Missing values", ("impute/*",)),
    "derive": (
        "Derived fields",
        ("hour", "minute_of_day", "weekday", "day", "month", "bucket", "haversine"),
    ),
    "views": (
        "Views and their features",
        (
            *("View", "count", "sum", "mean", "min", "max", "variance", "deviation"),
            *("rate", "ratio", "distinct", "quantile", "most_frequent", "of"),
            *("last", "first", "decayed_mean", "decayed_sum", "decayed_count", "age", "time_since"),
            "last_distinct",
        ),
    ),
    "models": (
        "Models, their labels and fallbacks",
        (
            "Model",
            "Label",
            "Binary",
            "Classes",
            "Regression",
            "on_demand",
            "heuristic",
            "constant",
            "HoldWhen",
            "ReleaseConfig",
        ),
    ),
    "learners": ("Learners", ("Baseline", "HashedLogistic", "HashedLinear", "River", "TorchCtr")),
    "values": (
        "What declarations are made of",
        (
            *("Topic/FieldRef", "time/EventTime", "View/FeatureRef"),
            *("hour/TimePart", "bucket/Bucket", "haversine/Distance"),
            *("on_demand/OnDemand", "heuristic/Heuristic", "constant/Constant"),
            *("count/Window", "ratio/Ratio", "last/Last", "first/First"),
            *("decayed_mean/DecayedMean", "decayed_sum/DecayedTotal"),
            *("age/Age", "time_since/TimeSince"),
            *("distinct/Distinct", "quantile/Quantile", "most_frequent/MostFrequent"),
            "last_distinct/LastDistinct",
        ),
    ),
    "past": ("The past of a run", ("open_run", "open_run/RecordedRun")),
    "testing": ("Tests of an app", ("testing/*",)),
    "errors": ("Errors", ("FreshetError/*",)),
}
INDEX = """# The interface of freshet

{head}

```python
import freshet as fr
```

Generated from the docstrings by `make docs`. Examples are run by the tests.
"""


@dataclass(frozen=True)
class Entry:
    """A thing on a page: its name as users write it (without `fr.`), and what griffe knows of
    it."""

    name: str
    thing: Any

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring, in one line."""
        return " ".join(_text(self.thing).split("\n\n", 1)[0].split())

    @property
    def anchor(self) -> str:
        """Where its heading is, as repository hosts make it of the heading's text."""
        return re.sub(r"[^\w -]", "", self.name.lower()).replace(" ", "-")

    @property
    def members(self) -> list[Entry]:
        """Public methods and properties of a class, in the order of the source."""
        if not self.thing.is_class:
            return []
        own = [
            m for m in self.thing.members.values() if not m.name.startswith("_") and not m.is_alias
        ]
        told = [m for m in own if m.is_function or "property" in m.labels]
        return [Entry(f"{self.name}.{m.name}", m) for m in sorted(told, key=lambda m: m.lineno)]


@cache
def package() -> Any:
    """freshet as griffe reads it, with the modules that its names come from."""
    loader = griffe.GriffeLoader(
        search_paths=[ROOT], docstring_parser="google", allow_inspection=False
    )
    loaded = loader.load("freshet")
    for module in (loaded, loaded.members["testing"]):
        for member in (module.members[name] for name in module.exports):
            if member.is_alias and not member.target_path.startswith("freshet."):
                loader.load(member.target_path.split(".", 1)[0])
    loader.resolve_aliases(implicit=True, external=False)
    return loaded


def entries(page: str) -> list[Entry]:
    """What is on a page, in order."""
    _, names = PAGES[page]
    return [entry for name in names for entry in _found(name)]


def _found(name: str) -> Iterator[Entry]:
    first, _, other = name.partition("/")
    thing = _thing(package().members[first])
    if not other:
        yield Entry(first, thing)
    elif other == "*":
        yield from _module(first, thing)
    else:
        yield Entry(other, _thing(thing.module.members[other]))


def _module(name: str, thing: Any) -> Iterator[Entry]:
    """A module's own text, and all that it offers: its `__all__`, or what is public and made in
    it."""
    module = thing if thing.is_module else thing.module
    prefix = f"{name}." if thing.is_module else ""
    yield Entry(name if thing.is_module else "", module)
    if module.exports:
        public = [module.members[n] for n in module.exports]
    else:
        public = [
            m for m in module.members.values() if not m.name.startswith("_") and not m.is_alias
        ]
    for member in public:
        target = _thing(member)
        if target.is_class or target.is_function:
            yield Entry(prefix + member.name, target)


def _thing(member: Any) -> Any:
    return member.final_target if member.is_alias else member


def written() -> dict[str, str]:
    """The text of every page, by file name."""
    pages = {f"{page}.md": _page(page) for page in PAGES}
    return {"README.md": _index(), **pages}


def _index() -> str:
    parts = [INDEX.format(head=_text(package()).split("\n\n", 1)[0])]
    for page, (title, _) in PAGES.items():
        rows = [
            f"| [`{e.name}`]({page}.md#{e.anchor}) | {e.summary.replace('|', chr(92) + '|')} |"
            for e in entries(page)
            if not e.thing.is_module
        ]
        parts.append(
            "\n".join([f"## [{title}]({page}.md)\n", "| name | |", "|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _page(page: str) -> str:
    title, _ = PAGES[page]
    parts = [f"# {title}", "[All of the interface](README.md)"]
    for entry in entries(page):
        if entry.thing.is_module:
            parts += _shown(entry.thing)
            continue
        parts += [f"## {entry.name}", _signature(entry), *_shown(entry.thing)]
        for member in entry.members:
            parts += [f"### {member.name}", _signature(member), *_shown(member.thing)]
    return "\n\n".join(parts) + "\n"


def _signature(entry: Entry) -> str:
    thing = entry.thing
    if thing.is_attribute:
        code = f"{entry.name}: {thing.annotation}"
    elif thing.is_class and thing.bases and "__init__" not in thing.members:
        code = f"class {entry.name}({', '.join(map(str, thing.bases))})"
    else:
        code = _call(entry)
    return f"```python\n{code}\n```"


def _call(entry: Entry) -> str:
    """A call with every parameter, its type and default; one parameter a line where one line is too
    long."""
    shown: list[str] = []
    star = False
    for p in parameters(entry.thing):
        if p.kind is griffe.ParameterKind.keyword_only and not star:
            shown.append("*")
        star = star or p.kind in (
            griffe.ParameterKind.keyword_only,
            griffe.ParameterKind.var_positional,
        )
        shown.append(_parameter(entry.thing, p))
    result = (
        "" if entry.thing.is_class or entry.thing.returns is None else f" -> {entry.thing.returns}"
    )
    line = f"{entry.name}({', '.join(shown)}){result}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{entry.name}(", *(f"    {s}," for s in shown), f"){result}"])


def _parameter(thing: Any, p: Any) -> str:
    stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
    text = f"{stars.get(p.kind, '')}{p.name}" + (
        f": {p.annotation}" if p.annotation is not None else ""
    )
    if p.default is None or p.kind in stars:
        return text
    return f"{text} = {_default(thing, p.default)}"


def _default(thing: Any, default: Any) -> str:
    """A default as it is written, but a constant of the module as what it is."""
    constant = thing.module.members.get(str(default))
    value = (
        getattr(constant, "value", None) if constant is not None and not constant.is_alias else None
    )
    return str(default if value is None else value)


def parameters(thing: Any) -> list[Any]:
    """What a call takes."""
    if thing.is_attribute or thing.is_module:
        return []
    return [p for p in thing.parameters if p.name not in ("self", "cls")]


def described(thing: Any) -> list[str]:
    """The parameters that its docstring describes, in order."""
    found = [s for s in sections(thing) if s.kind is griffe.DocstringSectionKind.parameters]
    return [item.name.lstrip("*") for section in found for item in section.value]


def sections(thing: Any) -> list[Any]:
    """Its docstring as griffe parses it."""
    if thing.docstring is None:
        return []
    return thing.docstring.parse("google", returns_multiple_items=False, warnings=False)


def _text(thing: Any) -> str:
    return "" if thing.docstring is None else str(thing.docstring.value)


def _shown(thing: Any) -> Iterator[str]:
    """A docstring as Markdown."""
    for section in sections(thing):
        match section.kind:
            case griffe.DocstringSectionKind.text:
                yield section.value
            case griffe.DocstringSectionKind.examples:
                yield "**Examples**"
                for kind, text in section.value:
                    fenced = kind is griffe.DocstringSectionKind.examples
                    yield f"```python\n{text}\n```" if fenced else text
            case griffe.DocstringSectionKind.returns:
                yield "**Returns**"
                yield "\n\n".join(item.description for item in section.value)
            case griffe.DocstringSectionKind.raises:
                yield "**Raises**"
                yield _items((f"{item.annotation}", item.description) for item in section.value)
            case griffe.DocstringSectionKind.parameters | griffe.DocstringSectionKind.attributes:
                yield f"**{section.kind.value.title()}**"
                yield _items((item.name, item.description) for item in section.value)
            case _:
                raise ValueError(
                    f"{thing.path}: a section of kind {section.kind.value!r} is not rendered"
                )


def _items(items: Iterator[tuple[str, str]]) -> str:
    """A list; the lines of an item are joined."""
    return "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in items)


def write(folder: Path) -> None:
    """Write all pages into a folder, and remove what is no page from it."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = written()
    for stale in folder.glob("*.md"):
        if stale.name not in pages:
            stale.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
