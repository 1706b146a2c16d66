"""Which views are built from the past, decided once, and which of them are by now; beside the
checkpoints.

    {url}/hydrations/{view}.{digest}.json

A view that was declared after its topics had been taken in lacks the events of before: intake goes
on where it was, and gives the view those from then on. So before anything of the app runs as it is
declared now, this is written; from then on the view waits for its past, whoever is started again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from freshet.app import App
from freshet.declared.definitions import Definitions
from freshet.features.views.view import View
from freshet.hydration.kept import encoded, put_first, read
from freshet.streams.objects import names, opened, put
from freshet.streams.operators.checkpoints import kept_as, positions

FOLDER = "hydrations"
LEAST_RECORDS = 10_000  # fewer are read before a process has come up to its speed


class Hydration(msgspec.Struct, frozen=True):
    """Of a view of this `digest`: since when it is to be built (ms), and when all of it was; its
    state as of `version` counts then. It was read at so many `records_a_second`. Of a view that
    leaves out events `fates` are, by topic, what became of all that was read, as it was settled
    for the view."""

    view: str
    digest: str
    decided_ms: int
    finished_ms: int | None = None
    version: int = 0
    records: int = 0
    records_a_second: int = 0
    fates: dict[str, dict[str, int]] = {}


def decide(url: str, before: Definitions | None, app: App, now_ms: int) -> None:
    """Write down which views are to be built from the past: those that were never declared before
    as they are now, over a topic that was taken in as it is now."""
    if before is None:
        return
    for view in app.views:
        if before.knew(f"view {view.name}", view.facts):
            continue
        if any(before.knew(f"topic {topic.name}", topic.facts) for topic in view.topics):
            _add(url, Hydration(view.name, view.digest, now_ms))


def _add(url: str, made: Hydration) -> None:
    fs, path = _file(url, made.view, made.digest)
    put_first(fs, path, made)


def finish(url: str, done: Hydration) -> Hydration:
    """All of a view is there."""
    fs, path = _file(url, done.view, done.digest)
    put(fs, path, encoded(done), durable=True)
    return done


def rate(url: str) -> float | None:
    """Records a second of the view that was built last of those that were large enough to tell;
    None where none was."""
    fs, root = opened(url)
    folder = f"{root.rstrip('/')}/{FOLDER}"
    found = []
    for name in names(fs, folder):
        try:
            made = msgspec.json.decode(fs.cat_file(f"{folder}/{name}"), type=Hydration)
        except msgspec.DecodeError:  # its view's process says so
            continue
        if made.finished_ms is not None and made.records >= LEAST_RECORDS:
            found.append((made.finished_ms, float(made.records_a_second)))
    if not found:
        return None
    return max(found)[1]


def of(url: str, view: View) -> Hydration | None:
    """What was decided of a view as it is declared now; None where it has no past but its log.

    Raises:
        CheckpointError: the file is not what was written.
    """
    fs, path = _file(url, view.name, view.digest)
    return read(fs, path, Hydration)


def unfinished(url: str, app: App) -> list[View]:
    """The views that are still to be built."""
    found = []
    for view in app.views:
        known = of(url, view)
        if known is not None and known.finished_ms is None and not _has_rows(url, view):
            found.append(view)
    return found


def _has_rows(url: str, view: View) -> bool:
    """Whether the view goes on from rows of its own."""
    tasks = [kept_as(f"view:{view.name}:{p}", view.digest) for p in range(view.partitions)]
    return any(positions(url, task) for task in tasks)


def _file(url: str, view: str, digest: str) -> tuple[Any, str]:
    fs, root = opened(url)
    return fs, f"{root.rstrip('/')}/{FOLDER}/{view}.{digest}.json"
