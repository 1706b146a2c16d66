"""Outages as operators read them: several roles that miss one server are one outage."""

from __future__ import annotations

from collections.abc import Sequence

from freshet.serving.status.status import OutageFigures
from freshet.streams.outages import Outage


def outage_figures(told: Sequence[tuple[str, Outage]]) -> list[OutageFigures]:
    """One for each server, the longest first, from what roles (by name) said. It began when the
    first of them noticed, whose cause and next step are told; where roles do different things
    meanwhile, each is named."""
    servers: dict[tuple[str, str], list[tuple[str, Outage]]] = {}
    for role, outage in told:
        servers.setdefault((outage.component, outage.resource), []).append((role, outage))
    out = [_together(found) for found in servers.values()]
    return sorted(out, key=lambda o: (o.since_ms, o.component, o.resource))


def _together(found: list[tuple[str, Outage]]) -> OutageFigures:
    first = min((o for _, o in found), key=lambda o: (o.since, o.cause, o.next_step))
    return OutageFigures(
        component=first.component,
        resource=first.resource,
        cause=first.cause,
        meanwhile=_meanwhile(found),
        next_step=first.next_step,
        since_ms=first.since,
        roles=sorted({role for role, _ in found}),
    )


def _meanwhile(found: list[tuple[str, Outage]]) -> str:
    roles: dict[str, set[str]] = {}
    for role, outage in found:
        roles.setdefault(outage.meanwhile, set()).add(role)
    if len(roles) == 1:
        return next(iter(roles))
    return "; ".join(sorted(f"{', '.join(sorted(who))}: {what}" for what, who in roles.items()))
