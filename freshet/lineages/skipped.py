"""What conditions of a model skipped, to be learned later."""

from __future__ import annotations

from freshet.declared.lineages import declared
from freshet.learners.model import Model
from freshet.lineages.hold import numbered_anew
from freshet.lineages.rewind import Return, Wanted, outlined
from freshet.lineages.seen import skips_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.models.conditions import BY_CONDITION


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
    return numbered_anew(run, model, found)
