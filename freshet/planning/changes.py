"""What is declared otherwise than it runs, thing by thing: how, of which class, and what comes of
it. Nothing here is asked of a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from freshet.app import App
from freshet.declared.about import FIELD
from freshet.declared.definitions import UPSTREAM, Definitions, differences
from freshet.schemas.topics.digests import Facts

How = Literal["added", "changed", "removed", "indirectly affected"]
Class = Literal["metadata", "non-breaking", "breaking", "forward-only", "destructive"]
MEANINGS: Mapping[str, str] = {
    "metadata": "nothing is made anew",
    "non-breaking": "all that there is goes on",
    "breaking": "made anew, from the past",
    "forward-only": "begins anew, and what is past is not part of it",
    "destructive": "goes on no more; what it has is left as it is",
}


class Change(NamedTuple):
    """Of one thing, such as `view load`."""

    thing: str
    how: How
    kind: Class
    differences: tuple[str, ...]
    makes_anew: bool = False  # whether another thing begins beside what there is

    @property
    def name(self) -> str:
        return self.thing.partition(" ")[2]

    @property
    def is_of(self) -> str:
        """topic, view, model or lineage."""
        return self.thing.partition(" ")[0]


def changes(before: Definitions | None, app: App, about: Mapping[str, Facts]) -> list[Change]:
    """Of an app that was declared as `before` says when it ran last (None: it has not), in the
    order of the way of the data; what is as it was is none."""
    known = before or Definitions(app.name)
    found = [_of(thing, known, app, about.get(thing, {})) for thing in app.facts]
    gone = [
        Change(thing, "removed", "destructive", ())
        for thing in known.facts
        if thing not in app.facts
    ]
    return [change for change in (*found, *gone) if change is not None]


def _of(thing: str, known: Definitions, app: App, about_now: Facts) -> Change | None:
    was = known.facts.get(thing)
    now = app.facts[thing]
    if was is None:
        return Change(
            thing,
            "added",
            "non-breaking",
            (),
            makes_anew=True,
        )
    own = tuple(_told(was, now, upstream=False))
    if own:
        return Change(
            thing,
            "changed",
            _class_of(thing, known, app),
            own,
            makes_anew=True,
        )
    if was != now:
        whence = tuple(_told(was, now, upstream=True))
        kind = _class_of(thing, known, app)
        return Change(
            thing,
            "indirectly affected",
            kind,
            whence,
            makes_anew=True,
        )
    about_was = known.about.get(thing)
    # What an earlier version of freshet did not write down is not known to be other.
    if about_was is None or about_was == about_now:
        return None
    told = tuple(differences(about_was, about_now))
    return Change(
        thing,
        "changed",
        _class_about(about_was, about_now),
        told,
    )


def _told(was: Facts, now: Facts, upstream: bool) -> Iterator[str]:
    chosen = [_only(facts, upstream) for facts in (was, now)]
    yield from differences(*chosen)


def _only(facts: Facts, upstream: bool) -> Facts:
    return {
        name: value
        for name, value in facts.items()
        if (name.partition(" ")[0] in UPSTREAM) == upstream
    }


def _class_of(thing: str, known: Definitions, app: App) -> Class:
    """Of what is made anew. A model is of what was asked, and is not asked again; all else is a
    function of logs that are there. So is a lineage of a model that stays."""
    is_of, _, name = thing.partition(" ")
    if is_of == "lineage":
        thing = f"model {name.partition('.')[0]}"
        if known.facts.get(thing) == app.facts[thing]:
            return "breaking"
        return "forward-only"
    if is_of == "model":
        return "forward-only"
    return "breaking"


def _class_about(was: Facts, now: Facts) -> Class:
    """Of a change that no digest sees."""
    fields_was, fields_now = (
        {name: told for name, told in facts.items() if name.startswith(FIELD)}
        for facts in (was, now)
    )
    if fields_was == fields_now:
        return "metadata"
    if fields_was.items() <= fields_now.items():
        return "non-breaking"
    # Events that were read with the field are so no more; those that are stored are as they were.
    return "forward-only"
