"""What a process of one version does while another version runs beside it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freshet.schemas.topics.topic import Topic
from freshet.streams.intake.task import IntakePlan
from freshet.versions.carried import carried, carrying
from freshet.versions.owners import guests
from freshet.versions.record import Version, Versions
from freshet.versions.routes import with_guests


@dataclass(frozen=True)
class Part:
    """`version` 0 is an app whose folder is not kept as one. Of topics and views those alone are a
    process's that are named (None: all). A `staged` process belongs to a version that is not active
    yet: it records nothing of what is declared, and nobody hears of it. The logs of `fed` versions
    are filled beside its own. A scorer listens on the supervisor's socket, the `listener`, so that
    two of them take from one queue."""

    version: int = 0
    topics: frozenset[str] | None = None
    views: frozenset[str] | None = None
    staged: bool = False
    fed: tuple[int, ...] = ()
    listener: socket.socket | None = None

    def takes(self, topic: Topic) -> bool:
        return self.topics is None or topic.name in self.topics

    def builds(self, view: str) -> bool:
        return self.views is None or view in self.views

    def feeding(self, run_dir: Path, plan: IntakePlan) -> IntakePlan:
        """What intake does with a topic, for the other versions, too."""
        if not self.fed:
            return plan
        versions = Versions(run_dir)
        own = versions.of(self.version)
        others = [versions.of(number) for number in self.fed]
        found = guests(plan.topic.name, own, others)
        here = own.topics[plan.topic.name]
        fed = with_guests(plan, found)
        return carrying(fed, [carried(routes, here) for routes in found])


WHOLE = Part()


def is_active(run_dir: Path, version: int) -> bool:
    """Whether scorers of this version answer; one of no version always does."""
    if not version:
        return True
    current = Versions(run_dir).current()
    return current is not None and current.version == version


def active_and_kept(versions: Versions) -> tuple[Version | None, Version | None]:
    """The version that runs, and the one that can be gone back to."""
    current = versions.current()
    if current is None:
        return None, None
    kept = None if current.kept is None else versions.of(current.kept)
    return versions.of(current.version), kept


def others_of(found: Sequence[Version | None], own: Version) -> tuple[int, ...]:
    """The numbers of the versions that are there, but for its own."""
    return tuple(
        sorted(each.number for each in found if each is not None and each.number != own.number)
    )
