"""What an app declared when it ran last, kept beside its checkpoints; and, in sentences, what is
declared otherwise now, what begins anew for it, and what goes on.

{url}/definitions.json
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from freshet.app import App
from freshet.declared.about import about
from freshet.schemas.errors import ComponentError
from freshet.schemas.topics.digests import Facts, digest_of, shown
from freshet.streams.objects import opened, put

FILE = "definitions.json"
UPSTREAM = ("topic", "view", "model")
TOLD_FACTS = 3  # of a thing that has changed; the rest is counted
FACT_CHARACTERS = 60
STAYS = "is left as it is"


class Definitions(msgspec.Struct, frozen=True):
    """The facts of each thing as declared last; when those were declared last (ms) that are not
    any more, by thing and digest; and what was declared last `about` each thing beside its
    facts."""

    app: str
    facts: dict[str, dict[str, str]] = {}
    left: dict[str, int] = {}
    about: dict[str, dict[str, str]] = {}

    def now(self, app: App, now_ms: int) -> Definitions:
        """With what the app declares now."""
        facts = {thing: dict(found) for thing, found in app.facts.items()}
        left = {_key(thing, found): now_ms for thing, found in self.facts.items()} | self.left
        here = {_key(thing, found) for thing, found in facts.items()}
        return Definitions(
            app.name,
            facts,
            {key: at for key, at in left.items() if key not in here},
            {thing: dict(told) for thing, told in about(app).items()},
        )

    def knew(self, thing: str, facts: Facts) -> bool:
        """Whether a thing was declared with these facts, last or ever before."""
        return self.facts.get(thing) == facts or _key(thing, facts) in self.left


def of(app: App) -> Definitions:
    """What an app declares that has declared nothing else before."""
    return Definitions(app.name).now(app, 0)


def _key(thing: str, facts: Facts) -> str:
    return f"{thing} {digest_of(facts)}"


def read(url: str) -> Definitions | None:
    """None where nothing has run.

    Raises:
        ComponentError: what stands there is no such file.
    """
    fs, path = _file(url)
    try:
        return msgspec.json.decode(fs.cat_file(path), type=Definitions)
    # A file where its folder should be: whoever takes that says so.
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        raise ComponentError(
            f"file {path}",
            f"cannot be read: {error}",
            "Remove it: then nobody is told what has changed since the last start.",
        ) from error


def keep(url: str, before: Definitions | None, app: App, now_ms: int) -> None:
    """Keep what the app declares now, where it is not what was declared `before`."""
    now = (before or Definitions(app.name)).now(app, now_ms)
    if now == before:
        return
    fs, path = _file(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    put(
        fs,
        path,
        msgspec.json.format(msgspec.json.encode(now)),
        durable=True,
    )


def _file(url: str) -> tuple[Any, str]:
    fs, root = opened(url)
    return fs, f"{root.rstrip('/')}/{FILE}"


def changes(before: Definitions, app: App) -> list[str]:
    """A sentence for each thing that is declared otherwise than before, in the order of the way of
    the data."""
    compared = _Compared(before, app)
    told = [compared.sentence(thing) for thing in app.facts]
    gone = [_gone(thing) for thing in before.facts if thing not in app.facts]
    return [sentence for sentence in (*told, *gone) if sentence]


def _gone(thing: str) -> str:
    what = {
        "topic": "it is taken in no more, and its log",
        "view": "what it has kept",
        "model": "what it has kept",
        "lineage": "what it has learned",
    }[thing.partition(" ")[0]]
    return f"{thing} is gone: {what} {STAYS}."


@dataclass(frozen=True)
class _Compared:
    """What an app declares, beside what was declared before."""

    before: Definitions
    app: App

    def sentence(self, thing: str) -> str:
        """Empty where nothing is to be told."""
        was = self.before.facts.get(thing)
        facts = self.app.facts[thing]
        if was == facts:
            return ""
        kind, _, name = thing.partition(" ")
        if kind == "lineage" and self._is_other(f"model {name.partition('.')[0]}"):
            return ""  # the model's own sentence tells of all its lineages
        how = "is new"
        if was is not None:
            how = f"is declared otherwise ({self._difference(was, facts)})"
        since = self._left(thing)
        if since is not None:
            how = f"{how}, as it was once"
        if since is None:
            follows = self._begins(thing)
        else:
            follows = self._goes_on(thing, since)
        if was is not None:
            follows = f"{follows}; what it had last {STAYS}"
        return f"{thing} {how}: {follows}."

    def _is_other(self, thing: str) -> bool:
        return self.before.facts.get(thing) != self.app.facts[thing]

    def _left(self, thing: str) -> int | None:
        """When it was declared last as it is now (ms)."""
        return self.before.left.get(_key(thing, self.app.facts[thing]))

    def _begins(self, thing: str) -> str:
        kind, _, name = thing.partition(" ")
        if kind == "topic":
            return "all that its log holds is taken in, from the first event on"
        if kind == "view":
            topics = " and ".join(topic.name for topic in self.app.view(name).topics)
            return (
                f"its rows are built of all that the log of {topics} holds, with its archive, "
                "and answer once that is done"
            )
        if kind == "model":
            model = self.app.model(name)
            lineages = ", ".join(map(model.lineage, model.learners))
            return f"it learns from what is asked from now on, in new lineages ({lineages})"
        model_name, _, learner = name.partition(".")
        model = self.app.model(model_name)
        (spec,) = (spec for spec in model.learners if spec.name == learner)
        return (
            f"{model.lineage(spec)} learns all examples that the log still has, of columns that "
            "were not logged what can be known of the past, and then takes part"
        )

    def _goes_on(self, thing: str, since: int) -> str:
        kind, _, name = thing.partition(" ")
        if kind == "topic":
            return "it is taken in from where it was left"
        if kind == "view":
            topics = [topic.name for topic in self.app.view(name).topics]
            if all(self._misses_nothing(f"topic {topic}", since) for topic in topics):
                return "its rows go on"
            return "its rows go on, without the events that were taken in meanwhile"
        if kind == "model":
            return "its lineages go on from what they had learned"
        return "it goes on from what it had learned"

    def _misses_nothing(self, topic: str, since: int) -> bool:
        """Whether a view was there for as long as its topic was taken in like this."""
        left = self._left(topic)
        return self._is_other(topic) and left is not None and since >= left

    def _difference(self, was: Facts, now: Facts) -> str:
        told = list(differences(was, now))
        more = len(told) - TOLD_FACTS
        if more > 0:
            told = [*told[:TOLD_FACTS], f"{more} more"]
        return "; ".join(told)


def differences(was: Facts, now: Facts) -> Iterator[str]:
    """Each fact that is not as it was, in words."""
    for name in dict.fromkeys([*now, *was]):
        before = was.get(name)
        after = now.get(name)
        if before == after:
            continue
        if before is None and _is_digest(name):
            yield f"{name} is added"
        elif before is None:
            yield f"{name} is added: {shown(now[name])}"
        elif after is None:
            yield f"{name} is gone"
        elif _is_digest(name):
            yield f"{name} is another"
        else:
            was_part, is_part = _around(before, after)
            yield f"{name} was {was_part}, is {is_part}"


def _is_digest(name: str) -> bool:
    """Whether a fact's value says nothing to a person."""
    return name.partition(" ")[0] in (*UPSTREAM, "code")


def _around(before: str, after: str) -> tuple[str, str]:
    """Where two facts differ."""
    pair = (shown(before), shown(after))
    if pair[0] == pair[1]:  # only what is not shown differs
        return before, after
    differing = (i for i, (one, other) in enumerate(zip(*pair)) if one != other)
    same = next(differing, min(map(len, pair)))
    # From the word on in which they differ, where all of it would be too long.
    start = max(pair[0][:same].rfind(mark) for mark in " (,") + 1
    if max(map(len, pair)) <= FACT_CHARACTERS:
        start = 0
    first, second = (_cut(text, start) for text in pair)
    return first, second


def _cut(text: str, start: int) -> str:
    part = text[start : start + FACT_CHARACTERS]
    if start:
        part = f"…{part}"
    if start + FACT_CHARACTERS < len(text):
        part = f"{part}…"
    return part
