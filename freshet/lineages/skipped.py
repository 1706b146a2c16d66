"""What conditions of a model skipped, to be learned later."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from freshet.declared.lineages import declared
from freshet.learners.model import Model
from freshet.lineages.hold import numbered_anew
from freshet.lineages.rewind import Return, Wanted, outlined
from freshet.lineages.seen import skips_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.models.conditions import BY_CONDITION
from freshet.schemas.models.spans import Span


def learned_later_by_conditions(run: OpenedRun, model: Model, by: str) -> list[Return]:
    """For each declared lineage that conditions of the model held, one that goes on from before the
    newest of these spans, and those that it overlaps, and learns them. Raises `RequestError` where
    there is no such span, or one kept nothing of then."""
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
        last = held_last(by_condition)
        wanted = Wanted(
            last.start,
            True,
            by,
            f"skipped: {last.why}",
            last.until or 0,
        )
        found.append(outlined(run, lineage, wanted))
    if not found:
        raise RequestError(
            f"model {model.name}",
            "has skipped nothing by its conditions, and nobody holds it",
            "See freshet models for what was skipped.",
        )
    return numbered_anew(run, model, found)


def held_last(spans: Sequence[Span]) -> Span:
    """The newest of these spans, of which there is one at least, together with those that it
    overlaps: a source that is silent has features go missing, and that is one hold by two
    conditions. Its reason is that of the first."""
    newest_first = sorted(
        spans,
        key=lambda span: span.start,
        reverse=True,
    )
    found = newest_first[0]
    for span in newest_first[1:]:
        # Of what ended before, others have come to be learned meanwhile.
        if span.until is not None and span.until < found.start:
            continue
        ends = (found.until, span.until)
        until = None if None in ends else max(end for end in ends if end is not None)
        found = replace(span, until=until)
    return found
