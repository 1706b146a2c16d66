"""The promises to the operator: each a light and its reason with figures, from a status alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from freshet.schemas.durations import HOUR_MS, text_of
from freshet.serving.status.labels import unlearned
from freshet.serving.status.status import (
    Light,
    LineageFigures,
    ModelFigures,
    OutageFigures,
    Promise,
    RequestFigures,
    RoleFigures,
    Status,
    SwitchFigures,
    TopicFigures,
    ViewFigures,
)

# shares, and the records from which on they are judged
DEAD_AMBER, DEAD_RED, DEAD_FROM = 0.02, 0.2, 200
NEAR = 1.2  # beyond its bound by less than this factor, a lag is amber
_WORST_FIRST: tuple[Light, ...] = ("red", "amber", "green")
_DOES = {"learn": "learning", "release": "releasing snapshots", "answer": "answering from models"}


def promises(status: Status) -> list[Promise]:
    """Every promise of the app; the `promises` of `status` itself are not read."""
    switches = {x.name: x for x in status.switches}
    return [
        *features_fresh(status.views),
        *(model_fresh(m, status.roles, switches) for m in status.models),
        servers_answer(status.outages),
        no_failed_request(status.requests),
        roles_alive(status.roles, status.outages, status.at_ms),
        switched_on(status.switches),
        *snapshots_approved(status.models),
        *labels_learned(status.models, status.clock.app_ms),
        events_readable(status.topics),
    ]


def features_fresh(views: Sequence[ViewFigures]) -> list[Promise]:
    """One for all views: the worst is named. None without views."""
    if not views:
        return []
    judged = [(_judged(v.lag_ms, v.slo_ms), (v.lag_ms or 0) / (v.slo_ms or 1), v) for v in views]
    state, _, worst = min(judged, key=lambda x: (_WORST_FIRST.index(x[0]), -x[1]))
    name = "features fresh"
    if worst.lag_ms is None:
        unknown = [v.name for _, _, v in judged if v.lag_ms is None]
        return [
            Promise(name, state, f"not known yet: nothing has been heard of {_listed(unknown)}")
        ]
    late = sum(x != "green" for x, _, _ in judged)
    count = (
        f"{late} of {len(views)} views late, worst"
        if late
        else f"all {len(views)} in time, the slowest"
    )
    return [
        Promise(name, state, f"{count if len(views) > 1 else 'view'} {worst.name}: {_lag(worst)}")
    ]


def model_fresh(
    m: ModelFigures, roles: Sequence[RoleFigures], switches: dict[str, SwitchFigures]
) -> Promise:
    """Amber while somebody holds what makes it fresh, however far it lags."""
    name = f"model {m.name} fresh"
    if m.served is None:
        cut = f"{m.snapshots} snapshots cut, {m.approvals} approved, none served"
        return Promise(name, "amber", f"no snapshot answers yet, but the declared fallback: {cut}")
    held = _held(m.lineages, roles, switches)
    return Promise(
        name,
        "amber" if held else _judged(m.lag_ms, m.slo_ms),
        "; ".join(filter(None, [held, _lag(m)])),
    )


def _held(
    lineages: Sequence[LineageFigures],
    roles: Sequence[RoleFigures],
    switches: dict[str, SwitchFigures],
) -> str:
    off = [
        f"{_DOES[n]} is {_off(switches[n])}"
        for n in ("learn", "release")
        if n in switches and not switches[n].on
    ]
    if off:
        return f"held: {' and '.join(off)}"
    trainers = [x.name for x in lineages if x.state == "held"]
    if trainers and len(trainers) == len(lineages):
        return f"held: its trainers learn nothing ({_listed(trainers)})"
    return (
        "held: release moves no alias"
        if any(r.role == "release" and r.state == "held" for r in roles)
        else ""
    )


def servers_answer(outages: Sequence[OutageFigures]) -> Promise:
    """Red while a server is away."""
    if not outages:
        return Promise("servers answer", "green", "no role waits for a server")
    told = [
        f"{o.component} {o.resource} is {o.word} since {moment(o.since_ms)} for {_listed(o.roles)}"
        for o in outages
    ]
    return Promise("servers answer", "red", "; ".join(told))


def no_failed_request(requests: RequestFigures) -> Promise:
    """What was refused on purpose breaks no promise, and is told."""
    failed = requests.failed
    reason = f"{failed:,} of {requests.total:,} failed"
    if requests.refused:
        reason += f", {requests.refused:,} refused on purpose"
    return Promise("no failed request", "red" if failed else "green", reason)


def roles_alive(
    roles: Sequence[RoleFigures], outages: Sequence[OutageFigures], at_ms: int
) -> Promise:
    """Nobody can be heard while the log is away: that is amber, as is what ended as it was told
    to."""
    failing = [_failure(r) for r in roles if r.state == "restarting"]
    lost = [f"{r.instance or r.role} ({_silence(r, at_ms)})" for r in roles if r.state == "lost"]
    starting = [r.instance or r.role for r in roles if r.state == "starting"]
    stopped = [r.instance or r.role for r in roles if r.state == "stopped"]
    if failing:
        return Promise(
            "roles alive", "red", f"{len(failing)} of {len(roles)} failing: {_listed(failing)}"
        )
    if lost:
        # Neither can a process that waits for room on the disk of the log.
        mute = [o for o in outages if o.component in ("log", "disk")]
        why = "not heard of"
        if mute:
            why = f"cannot be heard, the {mute[0].component} is {mute[0].word}"
        return Promise(
            "roles alive",
            "amber" if mute else "red",
            f"{len(lost)} of {len(roles)} {why}: {_listed(lost)}",
        )
    if starting:
        return Promise(
            "roles alive",
            "amber",
            f"{len(starting)} of {len(roles)} still starting: {_listed(starting)}",
        )
    if stopped:
        return Promise(
            "roles alive",
            "amber",
            f"{len(stopped)} of {len(roles)} were stopped: {_listed(stopped)}",
        )
    if not roles:
        return Promise("roles alive", "amber", "no role has been heard of yet")
    return Promise("roles alive", "green", f"all {len(roles)} heard of in the last seconds")


def switched_on(switches: Sequence[SwitchFigures]) -> Promise:
    """Amber while a switch is off: somebody meant it, and may forget it."""
    off = [f"{_DOES.get(x.name, x.name)} is {_off(x)}" for x in switches if not x.on]
    return Promise(
        "all switched on",
        "amber" if off else "green",
        "; ".join(off) or "learning, releases and answers are on",
    )


def snapshots_approved(models: Sequence[ModelFigures]) -> list[Promise]:
    """Amber while the newest judged snapshot of any lineage is a refused one. None without
    models."""
    if not models:
        return []
    stuck = [
        f"{m.name} {x.name} {x.refused}" for m in models for x in m.lineages if _refused_last(x)
    ]
    refused, judged = sum(m.refusals for m in models), sum(m.refusals + m.approvals for m in models)
    counts = f"{refused:,} of {judged:,} refused"
    if stuck:
        return [Promise("snapshots approved", "amber", f"{counts}, the newest of {_listed(stuck)}")]
    later = ", every lineage has had one approved since" if refused else ""
    return [Promise("snapshots approved", "green", counts + later)]


def _refused_last(x: LineageFigures) -> bool:
    return x.newest_refused is not None and (
        x.newest_approved is None or x.newest_refused > x.newest_approved
    )


def labels_learned(models: Sequence[ModelFigures], app_ms: int | None) -> list[Promise]:
    """Red while labels of a model come and none is learned from. None without models."""
    if not models:
        return []
    found = [(m, why) for m in models if (why := unlearned(m, app_ms)) is not None]
    name = "labels learned"
    if not found:
        came, used = sum(m.labels.came for m in models), sum(m.labels.used for m in models)
        return [Promise(name, "green", f"{used:,} of {came:,} labels are examples")]
    state = min((why.light for _, why in found), key=_WORST_FIRST.index)
    told = [f"the last {why.labels:,} of {m.name} came to nothing: {why.why}" for m, why in found]
    return [Promise(name, state, "; ".join(told))]


def events_readable(topics: Sequence[TopicFigures]) -> Promise:
    """Judged by the topic with the largest share of dead letters, once it has some records."""
    name = "events readable"
    shares = [(sum(t.dead.values()) / t.records, t) for t in topics if t.records]
    share, worst = max(shares, key=lambda x: (x[1].records >= DEAD_FROM, x[0]), default=(0.0, None))
    if worst is None or not share:
        return Promise(
            name, "green", f"none of {sum(t.records for t in topics):,} events in the dead letters"
        )
    why, n = max(worst.dead.items(), key=lambda x: x[1])
    text = (
        f"{share:.2%} of {worst.records:,} {worst.name} in the dead letters, most for {why} ({n:,})"
    )
    judged = share if worst.records >= DEAD_FROM else 0.0
    return Promise(
        name, "red" if judged > DEAD_RED else "amber" if judged > DEAD_AMBER else "green", text
    )


def _judged(lag_ms: int | None, slo_ms: int | None) -> Light:
    if lag_ms is None or slo_ms is None:
        return "amber"
    return "green" if lag_ms <= slo_ms else "amber" if lag_ms <= NEAR * slo_ms else "red"


def _lag(x: ViewFigures | ModelFigures) -> str:
    if x.lag_ms is None or x.slo_ms is None:
        return "lag not known yet"
    return f"lag {span(x.lag_ms)}, promised {span(x.slo_ms)}"


def _off(x: SwitchFigures) -> str:
    by = f" by {x.by}" if x.by else ""
    return f"switched off{by} since {moment(x.at_ms)}"


def _failure(r: RoleFigures) -> str:
    why = f", the last time by: {r.last_exit}" if r.last_exit else ""
    return f"{r.instance or r.role} (started again {r.restarts} times{why})"


def _silence(r: RoleFigures, at_ms: int) -> str:
    return "never" if r.seen_ms is None else f"for {span(max(0, at_ms - r.seen_ms))}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def span(ms: float) -> str:
    """A duration as one would say it, rounded up: what is beyond a bound must not look like the
    bound.

    >>> span(5_400_001), span(61_200)
    ('1h31m', '1m2s')
    """
    size = 60_000 if ms >= HOUR_MS else 1_000 if ms >= 1_000 else 1
    return text_of(int(-(-max(ms, 0) // size)) * size)


def moment(ms: int) -> str:
    """A moment of the wall, in UTC.

    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))
