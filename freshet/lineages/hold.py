"""Holds the learning of a model, and lets it go on: what comes meanwhile is skipped."""

from __future__ import annotations

from msgspec.structs import replace

from freshet.learners.model import Model
from freshet.lineages.rewind import Return, Wanted, outlined
from freshet.lineages.start import name_of, numbered
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
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


def learned_later(run: OpenedRun, model: Model, skipped: Span, by: str) -> list[Return]:
    """For each lineage of the model that is saved, one that goes on from before a span, and learns
    it. Raises `RequestError` where one kept nothing of then."""
    wanted = Wanted(skipped.start, True, by, f"skipped: {skipped.why}", skipped.until or 0)
    found = [
        outlined(run, model.lineage(spec), wanted)
        for spec in model.learners
        if getattr(spec, "servable", True)
    ]
    return numbered_anew(run, model, found)


def numbered_anew(run: OpenedRun, model: Model, found: list[Return]) -> list[Return]:
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
