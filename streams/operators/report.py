"""What an operator says of itself: how far its tasks are when that changed, and now and then their
figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import Progress, Status
from freshet.streams.operators.task import Task
from freshet.streams.vitals.vitals import Vitals

log = structlog.get_logger()
STATUS_SECONDS = 1.0  # lag that is shown may be so old, and promises say two seconds


class Reporter:
    """Speaks for the process that `vitals` are of, every `seconds` by the clock `wall`
    (seconds)."""

    def __init__(
        self, vitals: Vitals, wall: Callable[[], float], seconds: float = STATUS_SECONDS
    ) -> None:
        self._vitals = vitals
        self._wall = wall
        self._seconds = seconds
        self._status_at = wall()
        self._finished: dict[str, int] = {}  # as it was said last, by task
        self._without_facts: set[str] = set()  # tasks whose figures failed, which was logged

    def progress(self, tasks: Sequence[Task]) -> list[Progress]:
        """Of tasks that are further than it was said, if there are any. To be asked only when all
        that they made of it is written: a replay, and lag, take it for safe.

        A task that was resumed is told of, too, before anything new came: whoever made its
        checkpoint may have ended before it could, and a replay waits for it.
        """
        ticks = {task.name: task.finished for task in tasks if task.finished != NO_TICK}
        news = {name: tick for name, tick in ticks.items() if self._finished.get(name) != tick}
        if not news:
            return []
        self._finished |= news
        return [Progress(self._vitals.role, self._vitals.instance, news)]

    def status(self, tasks: Sequence[Task], own: dict[str, Any]) -> list[Status]:
        """The figures of all tasks, and `own` ones, if they are due."""
        if self._wall() - self._status_at < self._seconds:
            return []
        self._status_at = self._wall()
        facts: dict[str, Any] = {task.name: self._facts(task) for task in tasks}
        return [self._vitals.status({**facts, **own})]

    def _facts(self, task: Task) -> dict[str, Any]:
        """Figures are for the eye: where they fail, the work goes on."""
        try:
            return task.facts()
        except Exception as error:
            if task.name not in self._without_facts:
                self._without_facts.add(task.name)
                log.error("a task has no figures", task=task.name, exc_info=error)
            return {}
