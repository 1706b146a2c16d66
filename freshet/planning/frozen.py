"""Snapshots that answer until a person lets others: what they read must stay there."""

from __future__ import annotations

import msgspec

from freshet.app import App
from freshet.declared.definitions import Definitions
from freshet.schemas.errors import LogError
from freshet.schemas.wire.messages import Settled, Verdict
from freshet.settings import Settings
from freshet.streams.control import switches
from freshet.streams.control.channels import messages_of
from freshet.streams.log.contract import Log
from freshet.streams.log.spans import PartitionSpans

FOR_EVER_MS = 1 << 62  # no message is set aside for its time


class Frozen(msgspec.Struct, frozen=True):
    """A snapshot that is served of a lineage which reads a view, and `why` it stays."""

    model: str
    lineage: str
    number: int
    why: str


def frozen(
    app: App, before: Definitions | None, log: Log, given: Settings
) -> dict[str, list[Frozen]]:
    """By view, as it was declared before, the snapshots that read it and that nothing but a person
    replaces: releases are switched off, or a person has let them through."""
    if before is None:
        return {}
    settled: dict[str, Settled] = {}
    people: dict[tuple[str, str, int], str] = {}
    try:
        with PartitionSpans(log, app.control_log) as control:
            for batch in control.read(control.first, control.after):
                for message in messages_of(batch, FOR_EVER_MS):
                    if isinstance(message, Settled):
                        settled[message.model] = message
                    elif isinstance(message, Verdict) and message.by and message.approved:
                        place = (message.model, message.lineage, message.number)
                        people[place] = message.by
    except LogError:  # it is not there yet
        return {}
    release = switches.read(given.local_path).release
    found: dict[str, list[Frozen]] = {}
    for model, order in settled.items():
        if order.lineage is None or order.number is None:
            continue
        by = people.get((model, order.lineage, order.number))
        if release.on and by is None:
            continue
        why = f"let through by {by}" if release.on else f"releases are off, by {release.by}"
        served = Frozen(
            model,
            order.lineage,
            order.number,
            why,
        )
        for view in _views_of(before, model, order.lineage):
            found.setdefault(view, []).append(served)
    return found


def _views_of(before: Definitions, model: str, lineage: str) -> set[str]:
    """The views that a lineage reads, by what was recorded of it."""
    views = {thing.partition(" ")[2] for thing in before.facts if thing.startswith("view ")}
    found: set[str] = set()
    for thing, facts in before.facts.items():
        learner = thing.removeprefix(f"lineage {model}.")
        # A lineage is called by its learner, what started it, and a digest.
        if learner == thing or not lineage.startswith(f"{learner}-"):
            continue
        names = facts.get("features", "").split(
            ", ",
        )
        found |= {view for view in views if any(name.startswith(f"{view}.") for name in names)}
    return found
