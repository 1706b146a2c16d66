"""Goes back with a lineage: another one goes on from what it was at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.learners.started import Start, Started
from freshet.lineages.asked import read
from freshet.lineages.start import begin, name_of, numbered
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.models.spans import Span
from freshet.schemas.wire.facts import one_line
from freshet.streams.clock import WallClock
from freshet.streams.ladder import Rung
from freshet.streams.objects import opened, put, read_whole
from freshet.streams.operators.checkpoints import LADDER, Checkpoints


class Return(NamedTuple):
    """Where a lineage goes on from: the state of its parent, which lies at `place`, as of
    `clock_ms`; what comes after `to_ms` it skips until `until_ms` (None: nothing)."""

    model: Model
    start: Start
    name: str
    place: str
    clock_ms: int
    to_ms: int
    until_ms: int | None


class Wanted(NamedTuple):
    """To go back to a moment, and to `relearn` what came after it, or to skip that; by whom and
    why. What is held until `held_until_ms` is learned, too."""

    to_ms: int
    relearn: bool
    by: str
    why: str = ""
    held_until_ms: int = 0


def outlined(run: OpenedRun, lineage: str, wanted: Wanted) -> Return:
    """What going back to a moment would mean, before anything is started.

    Raises:
        RequestError: there is no such lineage, it kept nothing of then, or the moment is ahead.
        LogError: the log cannot be read.
    """
    model, spec = _found(run, lineage)
    to_ms = wanted.to_ms
    by = one_line(wanted.by)
    task = f"train:{model.name}.{lineage}:0"
    identity = run.log.bounds(run.app.examples_log_of(model)).identity
    url = run.settings.checkpoints_url
    rungs = list(_states(url, task, identity))
    # Earlier ones alone: between two ticks it may have learned of what came after the moment.
    before = [rung for rung, _, _ in rungs if rung.at_ms < to_ms]
    if not before:
        raise _nothing_of_then(lineage, [rung for rung, _, _ in rungs])
    newest = max(before)
    place, offset = next((place, at) for rung, place, at in rungs if rung == newest)
    finished = max(read(run, model).finished, wanted.held_until_ms)
    if to_ms > finished:
        raise RequestError(
            "--to",
            f"is after all that lineage {lineage} can have learned",
            "Name a moment of its past.",
        )
    skips: tuple[Span, ...] = ()
    if not wanted.relearn:
        skips = (Span(to_ms, finished, by, "rewound"),)
    own = spec.start if isinstance(spec, Started) else None
    start = Start(
        own.learner if own is not None else spec.name,
        own.of if own is not None else lineage,
        0,
        lineage,
        by,
        WallClock().now_ms(),
        one_line(wanted.why),
        skips=skips,
        offset=offset,
        resumes=True,
        cuts_from=finished,
    )
    if own is not None:
        # What its parent leaves out, it leaves out.
        start = replace(
            start,
            since=own.since,
            where=own.where,
            ids=own.ids,
            skips=(*own.skips, *skips),
        )
    (start,) = numbered(url, model, [start])
    until_ms = None if wanted.relearn else finished
    return Return(
        model,
        start,
        name_of(model, start),
        place,
        newest.at_ms,
        to_ms,
        until_ms,
    )


def go_back(run: OpenedRun, back: Return) -> str:
    """Start it; its name. Raises as `freshet.lineages.start.begin` does."""

    def put_state(start: Start) -> None:
        # Before anybody knows of it: it goes on from this as from a checkpoint of its own.
        fs, root = opened(run.settings.checkpoints_url)
        folder = f"{root.rstrip('/')}/train/{back.model.name}.{back.name}/0"
        fs.makedirs(folder, exist_ok=True)
        stem = back.place.rsplit("/", 1)[1].split(".", 1)[0]
        put(fs, f"{folder}/{stem}.base", memoryview(read_whole(fs, back.place)))

    (name,) = begin(run, back.model, [back.start], put_state)
    return name


def _found(run: OpenedRun, lineage: str) -> tuple[Model, LearnerSpec]:
    known = []
    for model in run.app.models:
        for spec in model.learners:
            if model.lineage(spec) == lineage:
                return model, spec
            known.append(model.lineage(spec))
    raise RequestError(
        f"lineage {lineage!r}",
        f"is none of app {run.app.name}",
        f"Its own are {', '.join(known)}.",
    )


def _states(url: str, task: str, identity: str) -> Iterator[tuple[Rung, str, int]]:
    """All whole states that are there of a lineage, each with its place and next offset."""
    checkpoints = Checkpoints(url, task, identity)
    _, root = opened(url)
    folder = f"{root.rstrip('/')}/{task.replace(':', '/')}"
    for rung in checkpoints.rungs():
        yield rung, f"{folder}/{LADDER}/{rung.name}", _offset_of(rung.name)
    for rung in checkpoints.bases():
        yield rung, f"{folder}/{rung.name}", _offset_of(rung.name)


def _offset_of(name: str) -> int:
    return int(name.rsplit("-", 1)[1].split(".", 1)[0])


def _nothing_of_then(lineage: str, rungs: list[Rung]) -> RequestError:
    if not rungs:
        return RequestError(
            f"lineage {lineage}",
            "has no checkpoint that one could go back to",
            "Learn once more from the start: freshet retrain.",
        )
    oldest = datetime.fromtimestamp(min(rungs).at_ms / 1_000, UTC).isoformat(" ", "minutes")
    return RequestError(
        f"lineage {lineage}",
        f"has kept no checkpoint of then; its oldest is of {oldest}",
        "Name a later moment, or learn once more from the start: freshet retrain.",
    )
