"""What tasks told, wherever they run: the newest facts of each, and the tick up to which it has
finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from freshet.schemas.wire.facts import task_parts
from freshet.schemas.wire.messages import Progress, Status

NOBODY = "kept"  # as a role and an instance: nobody asks whose facts were


@dataclass(frozen=True, slots=True)
class Told:
    """Facts of one task, told by a process (`instance`) at `at` (wall, ms)."""

    at: int
    instance: str
    facts: Mapping[str, Any]


class TaskFacts:
    """Fed with `Status` and `Progress`. Tasks are called `kind:name:partition`; what moved to
    another process, or whose process died, stays known."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], dict[int, Told]] = {}
        self._ticks: dict[tuple[str, str], dict[int, int]] = {}

    def note(self, m: Status | Progress) -> None:
        if isinstance(m, Progress):
            for task, tick in m.ticks.items():
                if (place := task_parts(task)) is not None:
                    self._ticks.setdefault(place[:2], {})[place[2]] = tick
            return
        for task, facts in m.facts.items():
            if (place := task_parts(task)) is not None and isinstance(facts, Mapping):
                partitions = self._told.setdefault(place[:2], {})
                before = partitions.get(place[2])
                # By time, since a partition may have moved; by name where the times are equal, so
                # that everybody keeps the same.
                if before is None or (before.at, before.instance) <= (m.at, m.instance):
                    partitions[place[2]] = Told(m.at, m.instance, facts)

    def kept(self) -> tuple[list[Status], dict[str, int]]:
        """What is known, as statuses and ticks that tell just that."""
        of_process: dict[tuple[int, str], dict[str, Any]] = {}
        for (kind, name), partitions in self._told.items():
            for partition, told in partitions.items():
                facts = of_process.setdefault((told.at, told.instance), {})
                facts[_task(kind, name, partition)] = told.facts
        ticks = {
            _task(kind, name, partition): tick
            for (kind, name), partitions in self._ticks.items()
            for partition, tick in partitions.items()
        }
        statuses = [
            Status(
                role=NOBODY,
                instance=instance,
                pid=0,
                at=at,
                facts=facts,
            )
            for (at, instance), facts in of_process.items()
        ]
        return statuses, ticks

    def restore(self, statuses: Iterable[Status], ticks: Mapping[str, int]) -> None:
        """Know what another one `kept`."""
        for status in statuses:
            self.note(status)
        self.note(
            Progress(
                role=NOBODY,
                instance=NOBODY,
                ticks=dict(ticks),
            )
        )

    def of(self, kind: str, name: str) -> list[Told]:
        """Of each partition that has told anything, by partition."""
        return [told for _, told in sorted(self._told.get((kind, name), {}).items())]

    def names(self, kind: str) -> list[str]:
        """Of tasks of a kind, without their partitions."""
        return sorted(name for of, name in self._told if of == kind)

    def finished(self, kind: str, name: str, partitions: int = 1) -> int | None:
        """The tick (app clock, ms) that all its partitions have finished, those that were added
        since, too; None while one of the first `partitions` is not known."""
        ticks = self._ticks.get((kind, name), {})
        if not ticks.keys() >= set(range(partitions)):
            return None
        return min(ticks.values())


def _task(kind: str, name: str, partition: int) -> str:
    """As `task_parts` takes it apart."""
    return f"{kind}:{name}:{partition}"
