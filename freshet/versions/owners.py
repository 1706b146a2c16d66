"""Which version's intake takes in which topic, while two versions of an app run beside each other.

A topic that both declare alike is taken in once, by one of them, which fills the logs of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from freshet.schemas.errors import DefinitionError
from freshet.versions.carried import carried
from freshet.versions.record import Version
from freshet.versions.routes import TopicRoutes, lacking

STEPS = "Apply it in two steps: first what is added, and then what is taken away."


class Owners(NamedTuple):
    """The topics that intake of each version takes in."""

    active: frozenset[str]
    target: frozenset[str]


def owners(active: Version, target: Version, kept: Version | None = None) -> Owners:
    """While `target` is built beside the `active` version; what is `kept` is fed meanwhile, too.

    Raises:
        DefinitionError: neither version's intake can fill the logs of both.
    """
    of_active = set(active.topics)
    of_target = set()
    for name, wanted in target.topics.items():
        here = active.topics.get(name)
        if here is None or here.digest != wanted.digest:
            of_target.add(name)
            continue
        _refuse_other_keys(name, here, wanted)
        if not lacking(wanted, here):
            continue
        # It knows the fields that are new, and decides alike.
        of_active.discard(name)
        of_target.add(name)
        for other in (active, kept):
            _refuse_lacking(name, other, wanted, target)
    return Owners(frozenset(of_active), frozenset(of_target))


def _refuse_lacking(name: str, other: Version | None, of: TopicRoutes, target: Version) -> None:
    if other is None:
        return
    routes = other.topics.get(name)
    if routes is None or routes.digest != of.digest:
        return
    if carried(routes, of) is None:
        fields = lacking(routes, of)
        raise DefinitionError(
            f"topic {name}",
            f"has other fields in version {target.number}, of which that needs some, and cannot "
            f"have beside them what version {other.number} reads: {', '.join(fields)}",
            STEPS,
        )


def _refuse_other_keys(name: str, here: TopicRoutes, wanted: TopicRoutes) -> None:
    """A tombstone is the key of what it erases, in all views of its topic."""
    keys = {tuple(route.keys) for route in (*here.clean, *wanted.clean)}
    if here.erases and len(keys) > 1:
        raise DefinitionError(
            f"topic {name}",
            "erases by its key, and its views have another key in the new version",
            "Stop the run and start it with the changed file.",
        )


def why_not_kept(active: Version, kept: Version) -> str:
    """Why the version that was active before cannot be fed by intake of the one that is now; empty
    where it can."""
    for name, routes in kept.topics.items():
        here = active.topics.get(name)
        if here is None or here.digest != routes.digest:
            continue
        missing = carried(routes, here)
        fields = lacking(routes, here)
        # What has another name now is there as it was; what is gone is in no new record.
        if fields and (missing is None or missing.fields):
            return f"topic {name} has no longer what it reads: {', '.join(fields)}"
    return ""


def guests(topic: str, own: Version, others: Sequence[Version]) -> list[TopicRoutes]:
    """The routes of other versions that intake of this one fills beside its own."""
    here = own.topics[topic]
    found = []
    for other in others:
        routes = other.topics.get(topic)
        if routes is None or routes.digest != here.digest:
            continue
        if carried(routes, here) is not None:
            found.append(routes)
    return found
