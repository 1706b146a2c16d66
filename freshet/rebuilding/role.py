"""The role that builds views from the past, and then columns of questions that were asked before
anybody read them, beside all that runs; it ends when all are built.

It is in nobody's way: it has what processor time others leave, and stands still while a view that
is served comes near what its lag may be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import structlog

from freshet.features.cold.memory import RowMemory
from freshet.features.stores.complete_store import reflected
from freshet.features.stores.contract import Store
from freshet.hydration import past_columns, record
from freshet.hydration.hydrator import Hydrator
from freshet.rebuilding.filler import Filler
from freshet.rebuilding.works import work_of
from freshet.roles import plans
from freshet.roles.context import Context
from freshet.roles.operators import planned
from freshet.roles.reporter import Reporter
from freshet.runs.opened import OpenedRun
from freshet.schemas.durations import text_of
from freshet.schemas.errors import LogError, StoreError
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import Follower
from freshet.streams.control.live_settings import LiveSettings

log = structlog.get_logger()
STEP_SECONDS = 0.2
TELL_SECONDS = 1.0
LOOK_SECONDS = 0.5  # between two looks at the lag of others
NICE = 19  # there is no less
SHARE_OF_SLO = 0.8


def run(ctx: Context) -> None:
    """Build all views that are to be built, one after the other, then columns, model by model."""
    os.nice(NICE)
    url = ctx.settings.checkpoints_url
    reporter = Reporter(ctx)
    lags = Lags(ctx, ctx.store())
    starts = plans.starts(ctx.app, ctx.log, url, WallClock().now_ms)
    memory = RowMemory(ctx.settings.rows_path, ctx.settings.rows_memory)
    told: dict[str, Any] = {}

    def tell(hydrator: Hydrator) -> None:
        told[f"hydrate:{hydrator.known.view}:0"] = hydrator.facts()
        reporter.tell(ctx.vitals.status(told))

    for view in record.unfinished(url, ctx.app):
        with planned(ctx, view.topics) as found:
            intakes = {plan.topic.name: plan for plan in found}
            place = (ctx.log, url, ctx.vitals.outages)
            known = record.of(url, view)
            assert known is not None
            hydrator = Hydrator(work_of(ctx.app, view, intakes, place, starts, memory), known)
            try:
                _build(ctx, hydrator, lags, tell)
            finally:
                hydrator.close()
        if ctx.stop.is_set():
            return
    for model, filling in past_columns.unfinished(url, ctx.app):
        # Views first: of their rows trainers need nothing, and scorers all.
        filler = Filler(OpenedRun(ctx.app, ctx.log, ctx.settings), model, filling)
        while not filler.done and not ctx.stop.is_set():
            is_late = bool(lags.late())
            if is_late or not filler.step(WallClock().now_ms()):
                ctx.stop.wait(STEP_SECONDS)
        log.info("columns from the past", model=model.name, questions=filler.questions)
        if ctx.stop.is_set():
            return


def _build(ctx: Context, hydrator: Hydrator, lags: Lags, tell: Callable[[Hydrator], None]) -> None:
    told_at = float("-inf")
    while not hydrator.done and not ctx.stop.is_set():
        late = lags.late()
        if late:
            hydrator.waits_for = late
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


class Lags:
    """How far the views are that are served, as the store says; asked now and then."""

    def __init__(self, ctx: Context, store: Store) -> None:
        self._ctx = ctx
        self._store = store
        self._clock = WallClock()
        self._follower = Follower(ctx.log, ctx.app.control_log)
        self._settings = LiveSettings(plans.declared(ctx.app))
        self._asked_at = float("-inf")  # never
        self._late = ""

    def late(self) -> str:
        """Whose lag is near what it may be, in a sentence; empty where none is. In a replay time
        waits for everybody."""
        if self._ctx.settings.replay or time.monotonic() - self._asked_at < LOOK_SECONDS:
            return self._late
        self._asked_at = time.monotonic()
        try:
            self._late = self._find()
        except (StoreError, LogError) as error:
            self._late = str(error)  # nobody is served meanwhile
        return self._late

    def _find(self) -> str:
        for message in self._follower.poll(0.0):
            self._settings.note(message)
        app = self._ctx.app
        ticks = reflected(self._store, plans.stored_partitions(app))
        now_ms = self._clock.now_ms()
        for view in app.views:
            tick = ticks[app.stored_as(view)]
            slo_ms = min(self._settings.of(topic.name).ms("feature_slo") for topic in view.topics)
            # One that has told nothing yet waits for its own past.
            if tick != NO_TICK and now_ms - tick > SHARE_OF_SLO * slo_ms:
                lag = text_of(now_ms - tick)
                return f"view {view.name}, whose lag is {lag} of {text_of(slo_ms)} that it may be"
        return ""
