"""The promises to the operator: each a light and its reason with figures, from a status alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from freshet.schemas.durations import HOUR_MS, NEAR_MS, text_of
from freshet.serving.status.bounds import (
    DEAD_RECORDS,
    DEAD_SHARE,
    LATE_EVENTS,
    LATE_FOR_MS,
    LATE_SHARE,
    RED_DEAD_SHARE,
    RED_LATE_SHARE,
    RETENTION_SHARES,
    lag_light,
)
from freshet.serving.status.labels import unlearned
from freshet.serving.status.status import (
    ArchivedFigures,
    LateFigures,
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

_WORST_FIRST: tuple[Light, ...] = ("red", "amber", "green")
# What a model does while an input is missing, as it is declared.
DOES = {"go_on": "goes on", "hold": "learns nothing meanwhile", "fall_back": "falls back"}
_DOES = {"learn": "learning", "release": "releasing snapshots", "answer": "answering from models"}


def promises(status: Status) -> list[Promise]:
    """Every promise of the app; the `promises` of `status` itself are not read."""
    switches = {switch.name: switch for switch in status.switches}
    return [
        *features_fresh(status.views),
        *(model_fresh(model, status.roles, switches) for model in status.models),
        servers_answer(status.outages),
        no_failed_request(status.requests),
        roles_alive(status.roles, status.outages, status.at_ms),
        switched_on(status.switches),
        *snapshots_approved(status.models),
        *labels_learned(status.models, status.clock.app_ms),
        *inputs_there(status.models),
        events_readable(status.topics),
        events_in_time(status.topics, status.clock.app_ms),
        *archived_in_time(status.archive),
    ]


def features_fresh(views: Sequence[ViewFigures]) -> list[Promise]:
    """One for all views: the worst is named. None without views."""
    if not views:
        return []
    worst = min(views, key=_worst_first)
    state = lag_light(worst.lag_ms, worst.slo_ms)
    name = "features fresh"
    if worst.lag_ms is None:
        unknown = [view.name for view in views if view.lag_ms is None]
        return [
            Promise(name, state, f"not known yet: nothing has been heard of {_listed(unknown)}")
        ]
    late = sum(lag_light(view.lag_ms, view.slo_ms) != "green" for view in views)
    which = "view"
    if len(views) > 1:
        which = f"all {len(views)} in time, the slowest"
        if late:
            which = f"{late} of {len(views)} views late, worst"
    told = f"{which} {worst.name}: {_lag(worst)}"
    refusing = [view for view in views if view.refused]
    if not refusing:
        return [Promise(name, state, told)]
    # Of these keys nothing is known to requests, however fresh the others are.
    keys = sum(view.refused for view in refusing)
    first = refusing[0]
    why = f"the store refuses {keys} rows, of {first.name} {first.refusal}"
    return [Promise(name, min(state, "amber", key=_WORST_FIRST.index), f"{why}; {told}")]


def _worst_first(view: ViewFigures) -> tuple[int, float]:
    """By light; among equal ones by the share of its bound: views differ in what they promise."""
    light = lag_light(view.lag_ms, view.slo_ms)
    share = (view.lag_ms or 0) / (view.slo_ms or 1)
    return _WORST_FIRST.index(light), -share


def model_fresh(
    model: ModelFigures, roles: Sequence[RoleFigures], switches: dict[str, SwitchFigures]
) -> Promise:
    """Amber while somebody holds what makes it fresh, however far it lags."""
    name = f"model {model.name} fresh"
    if model.served is None:
        cut = f"{model.snapshots} snapshots cut, {model.approvals} approved, none served"
        return Promise(name, "amber", f"no snapshot answers yet, but the declared fallback: {cut}")
    held = _held(model.lineages, roles, switches)
    light = lag_light(model.lag_ms, model.slo_ms)
    if held:
        # Somebody meant it: red would call for whoever did.
        light = "amber"
    return Promise(name, light, "; ".join(filter(None, [held, _lag(model)])))


def _held(
    lineages: Sequence[LineageFigures],
    roles: Sequence[RoleFigures],
    switches: dict[str, SwitchFigures],
) -> str:
    # `answer` is not among them: it changes who answers, not how fresh the model is.
    off = [
        f"{_DOES[name]} is {_off(switches[name])}"
        for name in ("learn", "release")
        if name in switches and not switches[name].on
    ]
    if off:
        return f"held: {' and '.join(off)}"
    by_hand = [lineage.held for lineage in lineages if lineage.held is not None]
    if by_hand and len(by_hand) == len(lineages):
        first = by_hand[0]
        return f"held: learning, by {first.by} since {moment(first.start_ms)}: {first.why}"
    trainers = [lineage.name for lineage in lineages if lineage.state == "held"]
    # One that goes on keeps the model fresh: any lineage may be the one that is served next.
    if trainers and len(trainers) == len(lineages):
        return f"held: its trainers learn nothing ({_listed(trainers)})"
    if any(role.role == "release" and role.state == "held" for role in roles):
        return "held: release moves no alias"
    return ""


def servers_answer(outages: Sequence[OutageFigures]) -> Promise:
    """Red while a server is away."""
    if not outages:
        return Promise("servers answer", "green", "no role waits for a server")
    told = [
        f"{outage.component} {outage.resource} is {outage.word} since {moment(outage.since_ms)} "
        f"for {_listed(outage.roles)}"
        for outage in outages
    ]
    return Promise("servers answer", "red", "; ".join(told))


def no_failed_request(requests: RequestFigures) -> Promise:
    """What was refused on purpose, or by the client's own fault, breaks no promise, and is
    told."""
    light: Light = "green"
    if requests.failed:
        light = "red"
    reason = f"{requests.failed:,} of {requests.total:,} failed"
    if requests.refused:
        reason += f", {requests.refused:,} refused on purpose"
    if requests.in_error:
        reason += f", {requests.in_error:,} in error (4xx)"
    return Promise("no failed request", light, reason)


def roles_alive(
    roles: Sequence[RoleFigures], outages: Sequence[OutageFigures], at_ms: int
) -> Promise:
    """Nobody can be heard while the log is away: that is amber, as is what ended as it was told
    to."""
    light, reason = _roles(roles, outages, at_ms)
    return Promise("roles alive", light, reason)


def _roles(
    roles: Sequence[RoleFigures], outages: Sequence[OutageFigures], at_ms: int
) -> tuple[Light, str]:
    """What is worst comes first: one sentence has room for one of them."""
    if not roles:
        return "amber", "no role has been heard of yet"
    failing = [_failure(role) for role in roles if role.state == "restarting"]
    if failing:
        return "red", f"{len(failing)} of {len(roles)} failing: {_listed(failing)}"
    lost = [
        f"{role.shown_name} ({_silence(role, at_ms)})" for role in roles if role.state == "lost"
    ]
    if lost:
        counted = f"{len(lost)} of {len(roles)}"
        mute = [outage for outage in outages if outage.silences_roles]
        if mute:
            why = f"cannot be heard, the {mute[0].component} is {mute[0].word}"
            return "amber", f"{counted} {why}: {_listed(lost)}"
        return "red", f"{counted} not heard of: {_listed(lost)}"
    starting = [role.shown_name for role in roles if role.state == "starting"]
    if starting:
        return "amber", f"{len(starting)} of {len(roles)} still starting: {_listed(starting)}"
    stopped = [role.shown_name for role in roles if role.state == "stopped"]
    if stopped:
        return "amber", f"{len(stopped)} of {len(roles)} were stopped: {_listed(stopped)}"
    return "green", f"all {len(roles)} heard of in the last seconds"


def switched_on(switches: Sequence[SwitchFigures]) -> Promise:
    """Amber while a switch is off: somebody meant it, and may forget it."""
    off = [
        f"{_DOES.get(switch.name, switch.name)} is {_off(switch)}"
        for switch in switches
        if not switch.on
    ]
    name = "all switched on"
    if off:
        return Promise(name, "amber", "; ".join(off))
    return Promise(name, "green", "learning, releases and answers are on")


def snapshots_approved(models: Sequence[ModelFigures]) -> list[Promise]:
    """Amber while the newest judged snapshot of any lineage is a refused one. None without
    models."""
    if not models:
        return []
    stuck = [
        f"{model.name} {lineage.name} {lineage.refused}"
        for model in models
        for lineage in model.lineages
        if lineage.refused_last
    ]
    refused = sum(model.refusals for model in models)
    judged = sum(model.refusals + model.approvals for model in models)
    counts = f"{refused:,} of {judged:,} refused"
    if stuck:
        return [Promise("snapshots approved", "amber", f"{counts}, the newest of {_listed(stuck)}")]
    if refused:
        counts += ", every lineage has had one approved since"
    return [Promise("snapshots approved", "green", counts)]


def labels_learned(models: Sequence[ModelFigures], app_ms: int | None) -> list[Promise]:
    """Red while labels of a model come and none is learned from. None without models."""
    if not models:
        return []
    found = [(m, why) for m in models if (why := unlearned(m, app_ms)) is not None]
    name = "labels learned"
    if not found:
        came = sum(m.labels.came for m in models)
        used = sum(m.labels.used for m in models)
        return [Promise(name, "green", f"{used:,} of {came:,} labels are examples")]
    state = min((why.light for _, why in found), key=_WORST_FIRST.index)
    told = [f"the last {why.labels:,} of {m.name} came to nothing: {why.why}" for m, why in found]
    return [Promise(name, state, "; ".join(told))]


def inputs_there(models: Sequence[ModelFigures]) -> list[Promise]:
    """Amber while an input of a model is missing. None without models."""
    if not models:
        return []
    name = "inputs there"
    lacking = [(model, each) for model in models for each in model.missing]
    if not lacking:
        return [Promise(name, "green", "no model lacks a topic or a feature")]
    told = [
        f"{model.name} lacks {each.told} since {moment(each.since_ms)}" for model, each in lacking
    ]
    does = [f"{model.name} {DOES[model.missing_inputs]}" for model in models if model.missing]
    return [Promise(name, "amber", f"{_listed(told)}; {', '.join(does)}")]


def events_readable(topics: Sequence[TopicFigures]) -> Promise:
    """Judged by the topic with the largest share of dead letters, once it has some records."""
    name = "events readable"
    read = [topic for topic in topics if topic.records]
    # One that is judged is named before one that is not, whatever share the latter has.
    worst = max(read, key=lambda topic: (_is_judged(topic), _dead_share(topic)), default=None)
    if worst is None or not _dead_share(worst):
        records = sum(topic.records for topic in topics)
        return Promise(name, "green", f"none of {records:,} events in the dead letters")
    share = _dead_share(worst)
    why, count = max(worst.dead.items(), key=lambda of_reason: of_reason[1])
    text = (
        f"{share:.2%} of {worst.records:,} {worst.name} in the dead letters, "
        f"most for {why} ({count:,})"
    )
    light: Light = "green"
    if _is_judged(worst) and share > DEAD_SHARE:
        light = "amber"
    if _is_judged(worst) and share > RED_DEAD_SHARE:
        light = "red"
    return Promise(name, light, text)


def events_in_time(topics: Sequence[TopicFigures], app_ms: int | None) -> Promise:
    """Judged by the source with the largest share of late events among its newest; it is named."""
    name = "events in time"
    judged = [(topic, late) for topic in topics for late in recently_late(topic, app_ms)]
    if not judged:
        return Promise(name, "green", "no source sends events later than its topic allows")
    topic, worst = max(judged, key=lambda pair: pair[1].share)
    light: Light = "green"
    if worst.share > LATE_SHARE:
        light = "amber"
    if worst.share > RED_LATE_SHARE:
        light = "red"
    others = sum(late.share > LATE_SHARE for _, late in judged) - 1
    more = ""
    if others > 0:
        more = f"; so do {others} more"
    return Promise(name, light, f"{late_text(topic, worst)}{more}")


def archived_in_time(logs: Sequence[ArchivedFigures]) -> list[Promise]:
    """Red before a log deletes by itself what is not archived, and where it has. None without such
    a log."""
    short = [log for log in logs if log.retention_ms is not None]
    if not short:
        return []
    worst = max(short, key=lambda log: (log.lost, log.spent))
    name = "archived in time"
    kept = span(worst.retention_ms or 0)
    if worst.lost:
        text = f"{worst.log} deleted {worst.lost:,} offsets after {kept}, and they are not archived"
        return [Promise(name, "red", text)]
    warned, red = RETENTION_SHARES
    if worst.spent < warned:
        return [Promise(name, "green", f"{worst.log} deletes nothing that is not archived")]
    light: Light = "amber"
    if worst.spent >= red:
        light = "red"
    text = f"{worst.log} deletes after {kept}; for {worst.spent:.0%} of that something has waited"
    return [Promise(name, light, text)]


def recently_late(topic: TopicFigures, app_ms: int | None) -> list[LateFigures]:
    """The sources that are to be judged: of enough events, the newest late one not long ago."""
    enough = [late for late in topic.late_sources if late.judged >= LATE_EVENTS]
    if app_ms is None:
        return enough
    return [late for late in enough if app_ms - late.late_ms <= LATE_FOR_MS]


def late_text(topic: TopicFigures, late: LateFigures) -> str:
    """Who is late, how often, and behind what."""
    share = f"{late.share:.2%} of the newest {late.judged:,} {topic.name}"
    lateness = topic.settings.get("lateness", "the lateness")
    if late.source is None:
        told = f"{share} without a source come more than {lateness} after their time"
    else:
        told = f"{share} of source {late.source} come late, "
        told += f"more than {lateness} behind its own newest"
    if _is_a_thousandth(topic):
        told += (
            "; a thousand times as large they would be of now: is the unit of event_time too small?"
        )
    return told


def _is_a_thousandth(topic: TopicFigures) -> bool:
    """Whether even its newest event is of long ago, and would not be in a unit of a thousand times
    as long: seconds that are taken for milliseconds, say."""
    if topic.newest_event_ms is None or topic.newest_ms is None:
        return False
    return abs(1_000 * topic.newest_event_ms - topic.newest_ms) < NEAR_MS


def _is_judged(topic: TopicFigures) -> bool:
    return topic.records >= DEAD_RECORDS


def _dead_share(topic: TopicFigures) -> float:
    return sum(topic.dead.values()) / topic.records


def _lag(figures: ViewFigures | ModelFigures) -> str:
    if figures.lag_ms is None or figures.slo_ms is None:
        return "lag not known yet"
    return f"lag {span(figures.lag_ms)}, promised {span(figures.slo_ms)}"


def _off(switch: SwitchFigures) -> str:
    by = ""
    if switch.by:
        by = f" by {switch.by}"
    return f"switched off{by} since {moment(switch.at_ms)}"


def _failure(role: RoleFigures) -> str:
    why = ""
    if role.last_exit:
        why = f", the last time by: {role.last_exit}"
    return f"{role.shown_name} (started again {role.restarts} times{why})"


def _silence(role: RoleFigures, at_ms: int) -> str:
    if role.seen_ms is None:
        return "never"
    # Its clock may be ahead of that of who looks.
    return f"for {span(max(0, at_ms - role.seen_ms))}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    """A promise is one line of the page, however many it speaks of."""
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return ", ".join(shown)


def span(ms: float) -> str:
    """A duration as one would say it, rounded up: what is beyond a bound must not look like the
    bound.

    >>> span(5_400_001), span(61_200)
    ('1h31m', '1m2s')
    """
    size = 1
    if ms >= 1_000:
        size = 1_000
    if ms >= HOUR_MS:
        size = 60_000
    # Floor division of the negated value rounds up.
    return text_of(int(-(-max(ms, 0) // size)) * size)


def moment(ms: int) -> str:
    """A moment of the wall, in UTC.

    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))
