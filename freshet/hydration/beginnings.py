"""Since when all is known of what a view folds, where its logs begin later than its windows reach
back; decided once, when the view is declared, and kept beside the checkpoints.

    {url}/beginnings/{view}.{digest}.json

A log may have let go of records before a view over it was declared. What the view counts over a
window that reaches back behind the first record there is would be too little, and looks like any
other value. So it is missing until the window has moved on.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from freshet.app import App
from freshet.declared.definitions import Definitions
from freshet.features.keeping import reach_ms
from freshet.features.views.view import View
from freshet.hydration.kept import put_first, read
from freshet.schemas.errors import LogError
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake.starts import decided
from freshet.streams.log.contract import Log
from freshet.streams.objects import opened

FOLDER = "beginnings"


class Beginning(msgspec.Struct, frozen=True):
    """Of a view of this `digest`: nothing is known that was appended to its topics before
    `begins_ms`."""

    view: str
    digest: str
    begins_ms: int


def decide(url: str, before: Definitions | None, app: App, log: Log, now_ms: int) -> None:
    """Write down since when all is known, of each view that was never declared before as it is now.
    Of an app that never ran nothing is missing that it ever had.

    Raises:
        LogError: a log cannot be read.
    """
    if before is None:
        return
    for view in app.views:
        if before.knew(f"view {view.name}", view.facts):
            continue
        begins_ms = begin_of(url, app, view, log, now_ms)
        if begins_ms is not None:
            _keep(url, Beginning(view.name, view.digest, begins_ms))


def begin_of(url: str, app: App, view: View, log: Log, now_ms: int) -> int | None:
    """When the first record was appended that can be read of all topics of a view; None where they
    begin where the app began to read them."""
    found = [_begin(url, topic, app.log_of(topic.name), log, now_ms) for topic in view.topics]
    # Of several topics the one that begins last.
    return max((begin for begin in found if begin is not None), default=None)


def _begin(url: str, topic: Topic, source: str, log: Log, now_ms: int) -> int | None:
    try:
        bounds = log.bounds(source)
    except LogError:
        return None  # it is not there yet
    starts = decided(url, topic, source, bounds.identity)
    first_wanted = {} if starts is None else starts.offsets
    lacking = {
        partition: span
        for partition, span in bounds.spans.items()
        if span[0] > first_wanted.get(partition, 0)
    }
    if not lacking:
        return None
    begins = [_appended_ms(log, source, partition, *span) for partition, span in lacking.items()]
    # A partition of no records may get one at any moment.
    return max(now_ms if begin is None else begin for begin in begins)


def _appended_ms(log: Log, source: str, partition: int, first: int, end: int) -> int | None:
    """When the first record from `first` on was appended; None where there is none up to `end`."""
    with contextlib.closing(log.reader([source], None)) as reader:
        reader.seek(source, partition, first)
        at = first
        while at < end:
            for batch in reader.poll(1, 1.0):
                if batch.partition == partition and len(batch):
                    return int(batch.times[0])
            # Nothing is assigned before the first poll.
            at = reader.position(source, partition)
    return None


def incomplete(url: str, app: App) -> dict[str, int]:
    """Until when (ms) values of features are missing, by `view.feature`, since their windows reach
    back behind what is known.

    Raises:
        CheckpointError: a file is not what was written.
    """
    found: dict[str, int] = {}
    for view in app.views:
        begins_ms = _read(url, view)
        if begins_ms is not None:
            found |= until(view, begins_ms)
    return found


def until(view: View, begins_ms: int) -> dict[str, int]:
    """The same of one view, of whose topics all is known since `begins_ms`."""
    reaches = {name: reach_ms(feature) for name, feature in view.features.items()}
    return {f"{view.name}.{name}": begins_ms + reach for name, reach in reaches.items() if reach}


def _keep(url: str, made: Beginning) -> None:
    fs, path = _file(url, made.view, made.digest)
    put_first(fs, path, made)


def _read(url: str, view: View) -> int | None:
    fs, path = _file(url, view.name, view.digest)
    known = read(fs, path, Beginning)
    if known is None:
        return None
    return known.begins_ms


def _file(url: str, view: str, digest: str) -> tuple[Any, str]:
    fs, root = opened(url)
    return fs, f"{root.rstrip('/')}/{FOLDER}/{view}.{digest}.json"
