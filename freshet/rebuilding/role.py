"""The role that builds views from the past, and then columns of questions that were asked before
anybody read them, beside all that runs; it ends when all are built.

It is in nobody's way: it has what processor time others leave, and stands still while a view that
is served comes near what its lag may be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import structlog

from freshet.features.cold.memory import RowMemory
from freshet.hydration import past_columns, record
from freshet.hydration.hydrator import Hydrator
from freshet.learners.model import Model
from freshet.rebuilding.filler import Filler
from freshet.rebuilding.works import work_of
from freshet.roles import plans
from freshet.roles.context import Context
from freshet.roles.operators import planned
from freshet.roles.reporter import Reporter
from freshet.runs.opened import OpenedRun
from freshet.streams.aside import NICE
from freshet.streams.clock import WallClock
from freshet.versions import progress

log = structlog.get_logger()
STEP_SECONDS = 0.2
TELL_SECONDS = 1.0


def run(ctx: Context) -> None:
    """Build all views that are to be built, one after the other, then columns, model by model."""
    if not ctx.part.staged:
        # One that is staged stands further aside already.
        os.nice(NICE)
    url = ctx.settings.checkpoints_url
    reporter = Reporter(ctx)
    late = ctx.late()
    starts = plans.starts(ctx.app, ctx.log, url, WallClock().now_ms)
    memory = RowMemory(ctx.settings.rows_path, ctx.settings.rows_memory)
    told: dict[str, Any] = {}
    views: dict[str, Any] = {}

    def tell(hydrator: Hydrator) -> None:
        told[f"hydrate:{hydrator.known.view}:0"] = hydrator.facts()
        reporter.tell(ctx.vitals.status(told))
        views[hydrator.known.view] = hydrator.facts()
        if ctx.part.staged:
            progress.say(ctx.settings.local_path, ctx.lasting, {"views": views})

    for view in record.unfinished(url, ctx.app):
        with planned(ctx, view.topics) as found:
            intakes = {plan.topic.name: plan for plan in found}
            place = (ctx.log, url, ctx.vitals.outages)
            known = record.of(url, view)
            assert known is not None
            hydrator = Hydrator(work_of(ctx.app, view, intakes, place, starts, memory), known)
            try:
                _build(ctx, hydrator, late, tell)
            finally:
                hydrator.close()
        if ctx.stop.is_set():
            return
    for model, filling in past_columns.unfinished(url, ctx.app):
        # Views first: of their rows trainers need nothing, and scorers all.
        filler = Filler(OpenedRun(ctx.app, ctx.log, ctx.settings), model, filling)

        def tell_columns(model: Model = model, filler: Filler = filler) -> None:
            told[f"columns:{model.name}:0"] = filler.facts()
            reporter.tell(ctx.vitals.status(told))

        with closing(filler):
            _fill(ctx, filler, late, tell_columns)
        log.info("columns from the past", model=model.name, **filler.facts())
        if ctx.stop.is_set():
            return


def _fill(ctx: Context, filler: Filler, late: Callable[[], str], tell: Callable[[], None]) -> None:
    told_at = float("-inf")
    while not filler.done and not ctx.stop.is_set():
        others_late = late()
        if others_late:
            filler.waits_for = others_late
        if others_late or not filler.step(WallClock().now_ms()):
            ctx.stop.wait(STEP_SECONDS)
        if time.monotonic() - told_at >= TELL_SECONDS:
            told_at = time.monotonic()
            tell()
    tell()


def _build(
    ctx: Context,
    hydrator: Hydrator,
    late: Callable[[], str],
    tell: Callable[[Hydrator], None],
) -> None:
    told_at = float("-inf")
    while not hydrator.done and not ctx.stop.is_set():
        others_late = late()
        if others_late:
            hydrator.waits_for = others_late
            ctx.stop.wait(STEP_SECONDS)
        elif not hydrator.step(STEP_SECONDS, WallClock().now_ms()):
            ctx.stop.wait(STEP_SECONDS)
        if time.monotonic() - told_at >= TELL_SECONDS:
            told_at = time.monotonic()
            tell(hydrator)
    if not hydrator.done:
        hydrator.save()
    tell(hydrator)
    log.info(
        "view from the past",
        view=hydrator.known.view,
        **hydrator.facts(),
    )
