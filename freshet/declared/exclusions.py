"""Events that were taken out of the views that folded them, kept beside the checkpoints; and the
app whose views leave them out, as every role has it.

{url}/exclusions/{number:06}.json

What holds of them is said by the version that runs, so that a change is one file; of a run without
versions all do that were not taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import msgspec

from freshet.app import App
from freshet.declared import numbered
from freshet.features.views.excluding import leaving_out as of_view
from freshet.schemas.errors import RequestError
from freshet.streams.admission.excluded import Excluded, Run, places_of, together

FOLDER = "exclusions"
IF_BROKEN = "Restore it: views that leave out its events cannot be told without."


class Exclusion(msgspec.Struct, frozen=True):
    """Of a topic's events those that stand in `runs`, `events` of them, are taken out, by whom,
    when (ms) and why; `chosen` says by what they were found. Or, where `back` is a number, what
    that one took out is put back."""

    number: int
    topic: str
    by: str
    at: int
    why: str
    chosen: dict[str, str] = {}
    runs: list[Run] = []
    events: int = 0
    back: int | None = None

    @property
    def told(self) -> str:
        """Who and why, in one line."""
        return f"{self.number}, {self.by}: {self.why}"


def every(url: str) -> list[Exclusion]:
    """All that was ever asked for, in order.

    Raises:
        ComponentError: somebody has broken a record.
    """
    return numbered.every(url, FOLDER, Exclusion, IF_BROKEN)


def put(url: str, made: Exclusion) -> None:
    """Raises `RequestError` where another one of its number is there."""
    if not numbered.put(url, FOLDER, made):
        raise RequestError(
            f"topic {made.topic}",
            f"exclusion {made.number} was made by somebody else at the same time",
            "See freshet topics exclusions, and ask again if it is still wanted.",
        )


def in_force(found: Iterable[Exclusion], numbers: Collection[int] | None) -> list[Exclusion]:
    """Those of these `numbers` that hold (None: of all)."""
    chosen = [one for one in found if numbers is None or one.number in numbers]
    back = {one.back for one in chosen}
    return [one for one in chosen if one.number not in back]


def excluding(app: App, url: str, numbers: Collection[int] | None = None) -> App:
    """An app whose views leave out what was taken out of them."""
    held = in_force(every(url), numbers)
    topics: dict[str, list[Exclusion]] = {}
    for one in held:
        topics.setdefault(one.topic, []).append(one)
    return leaving_out(app, {topic: _together(own) for topic, own in topics.items()})


def _together(own: Iterable[Exclusion]) -> Excluded:
    """Also where all was put back: a view that was built without is another one than a view that
    was never asked to be, and has not its rows."""
    every_one = list(own)
    return together([one.number for one in every_one], [places_of(one.runs) for one in every_one])


def leaving_out(app: App, excluded: Mapping[str, Excluded]) -> App:
    """An app with views that leave out these events of topics."""
    if not any(view.is_over(name) for view in app.views for name in excluded):
        return app
    return replace(app, views=[of_view(view, excluded) for view in app.views])


def of_views(app: App) -> dict[str, Excluded]:
    """What the views of an app leave out, by topic."""
    found: dict[str, Excluded] = {}
    for view in app.views:
        found |= view.excluded
    return found


def numbers_of(app: App) -> list[int]:
    """Of the records by which its views leave out events."""
    return sorted({number for own in of_views(app).values() for number in own.numbers})
