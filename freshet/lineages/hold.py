"""Holds the learning of a model, and lets it go on: what comes meanwhile is skipped."""

from __future__ import annotations

from msgspec.structs import replace

from freshet.declared.lineages import declared
from freshet.learners.model import Model
from freshet.lineages.rewind import Return, Wanted, outlined
from freshet.lineages.seen import skips_of
from freshet.lineages.start import name_of, numbered
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.models.conditions import BY_CONDITION
from freshet.schemas.models.spans import Span
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import Hold, Tick
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import Follower, send
from freshet.streams.control.holds import Holds


def hold(run: OpenedRun, model: Model, by: str, why: str) -> None:
    """Skip what comes from now on. Raises `RequestError` where it is held already."""
    held, now_ms = _heard(run, model)
    if held is not None:
        raise RequestError(
            f"model {model.name}",
            f"is held already, by {held.by}: {held.why}",
            f"Let it go on first: freshet models resume {model.name}.",
        )
    _say(run, Hold(model.name, True, now_ms, one_line(why), one_line(by), WallClock().now_ms()))


def resume(run: OpenedRun, model: Model, by: str, why: str) -> Span:
    """Learn what comes from now on; the span that was skipped. Raises `RequestError` where it is
    not held."""
    held, now_ms = _heard(run, model)
    if held is None:
        raise RequestError(
            f"model {model.name}",
            "is not held by anybody",
            "See freshet models: a condition of its own ends by itself, and --learn-skipped "
            "learns what it skipped.",
        )
    _say(run, Hold(model.name, False, now_ms, one_line(why), one_line(by), WallClock().now_ms()))
    return replace(held, until=max(now_ms, held.start))


def is_held(run: OpenedRun, model: Model) -> bool:
    """Whether somebody holds it now."""
    held, _ = _heard(run, model)
    return held is not None


def learned_later_by_conditions(run: OpenedRun, model: Model, by: str) -> list[Return]:
    """For each declared lineage that conditions of the model held, one that goes on from before the
    newest of these spans, and learns it. Raises `RequestError` where there is no such span, or one
    kept nothing of then."""
    url = run.settings.checkpoints_url
    identity = run.log.bounds(run.app.examples_log_of(model)).identity
    found = []
    for spec in declared(model):
        lineage = model.lineage(spec)
        task = f"train:{model.name}.{lineage}:0"
        spans = skips_of(url, task, identity, spec)
        by_condition = [span for span in spans if span.by.startswith(BY_CONDITION)]
        if not by_condition or not getattr(spec, "servable", True):
            continue
        newest = max(by_condition, key=lambda span: span.start)
        wanted = Wanted(newest.start, True, by, f"skipped: {newest.why}", newest.until or 0)
        found.append(outlined(run, lineage, wanted))
    if not found:
        raise RequestError(
            f"model {model.name}",
            "has skipped nothing by its conditions, and nobody holds it",
            "See freshet models for what was skipped.",
        )
    return _numbered(run, model, found)


def learned_later(run: OpenedRun, model: Model, skipped: Span, by: str) -> list[Return]:
    """For each lineage of the model that is saved, one that goes on from before a span, and learns
    it. Raises `RequestError` where one kept nothing of then."""
    wanted = Wanted(skipped.start, True, by, f"skipped: {skipped.why}", skipped.until or 0)
    found = [
        outlined(run, model.lineage(spec), wanted)
        for spec in model.learners
        if getattr(spec, "servable", True)
    ]
    return _numbered(run, model, found)


def _numbered(run: OpenedRun, model: Model, found: list[Return]) -> list[Return]:
    """Each was given the number that came next."""
    url = run.settings.checkpoints_url
    starts = numbered(url, model, [back.start for back in found])
    return [
        back._replace(start=start, name=name_of(model, start)) for back, start in zip(found, starts)
    ]


def _heard(run: OpenedRun, model: Model) -> tuple[Span | None, int]:
    """Whether it is held, and the app's clock: that of a replay, or the wall."""
    holds = Holds()
    now_ms = None
    follower = Follower(run.log, run.app.control_log)
    _, end = run.log.bounds(run.app.control_log).spans[0]
    try:
        while follower.position < end:
            for message in follower.poll(1.0):
                holds.note(message)
                if isinstance(message, Tick):
                    now_ms = message.now
    finally:
        follower.close()
    if now_ms is None:
        now_ms = WallClock().now_ms()
    return holds.by_people(model.name), now_ms


def _say(run: OpenedRun, message: Hold) -> None:
    writer = run.log.writer()
    try:
        send(writer, run.app.channels, [message], WallClock().now_ms())
    finally:
        writer.close()
