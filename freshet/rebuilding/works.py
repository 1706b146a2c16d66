"""What there is to build of an app's views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from freshet.app import App
from freshet.features.cold.memory import RowMemory
from freshet.features.views.view import View
from freshet.hydration.hydrator import Work
from freshet.hydration.past_redrive import PastRedrive
from freshet.hydration.sources import PastIntake, SourceLog
from freshet.roles import plans
from freshet.streams.intake.task import IntakePlan, IntakeTask
from freshet.streams.log.contract import Log
from freshet.streams.outages import Outages


def work_of(
    app: App,
    view: View,
    intakes: Mapping[str, IntakePlan],
    place: tuple[Log, str, Outages],
    starts: Callable[[str], Mapping[int, int]],
    memory: RowMemory,
) -> Work:
    """How a view is built, by what intake does with each of its topics (by name); `place` is the
    log, where checkpoints lie, and who is told of outages."""
    log, url, outages = place
    clean = app.clean_log_of(view)
    own = [_again(intakes[topic.name], view, clean) for topic in view.topics]
    sources = [_source(app, plan, starts) for plan in own]
    # Of no other topics: nobody would tell the view's own log the time of their letters.
    letters = _letters(app, [plans.redrive_plan(plan) for plan in own])
    return Work(
        view,
        clean,
        app.dead_log,
        [*sources, letters],
        plans.headers(app),
        log,
        url,
        memory,
        outages,
    )


def _again(plan: IntakePlan, view: View, clean: str) -> IntakePlan:
    """As the app's intake judges events, for one view alone, without those that are taken out of
    it."""
    return replace(
        plan,
        statistics=None,
        fates=None,
        written=frozenset([clean]),
        excluded=view.excluded.get(plan.topic.name),
    )


def _source(app: App, plan: IntakePlan, starts: Callable[[str], Mapping[int, int]]) -> SourceLog:
    topic = plan.topic

    def make(partition: int) -> PastIntake:
        if topic.by_id:
            return plans.moved_intake(plan, partition)
        return IntakeTask(plan, partition)

    def begins() -> Mapping[int, int]:
        # Where records were brought together they begin with the first of them.
        return {} if topic.by_id else starts(app.log_of(topic.name))

    def kept_as(partition: int) -> str:
        return plans.kept_as(app, f"intake:{topic.name}:{partition}")

    log = app.settled_log_of(topic)
    return SourceLog(log, app.origin_of(log), make, kept_as, begins)


def _letters(app: App, intakes: Sequence[IntakePlan]) -> SourceLog:
    """Dead letters of these topics that were sent again."""
    log = app.redriven_log
    return SourceLog(
        log,
        app.origin_of(log),
        lambda partition: PastRedrive(app.name, intakes),
        lambda partition: plans.kept_as(app, f"redrive:{app.name}:{partition}"),
        dict,
        is_of_people=True,
    )
