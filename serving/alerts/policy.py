"""What is wrong, from what an app says about itself: a table of pure policies, from a `Status` to
`Alert`s.

Nothing is kept between calls. Counts since the run's start say little about now, so policies read
those of late from `Recent`, which `alert_window` computes. Every alert says why (with figures),
what it means and what to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from freshet.schemas.durations import HOUR_MS
from freshet.serving.alerts.bounds import AlertBounds, Missed, Recent
from freshet.serving.alerts.drift_policy import drift, skew
from freshet.serving.alerts.quality_policy import calibration, confidence, worse_than_prior
from freshet.serving.status.bounds import lag_light
from freshet.serving.status.labels import unlearned
from freshet.serving.status.promises import DOES, late_text, moment, recently_late, span
from freshet.serving.status.status import (
    Alert,
    Light,
    LineageFigures,
    OutageFigures,
    RoleFigures,
    SourceFigures,
    Status,
    TopicFigures,
)

SOME = 5  # features that are named
Policy = Callable[[Status, Recent, AlertBounds], Iterator[Alert]]


def alerts(
    status: Status, recent: Recent | None = None, bounds: AlertBounds | None = None
) -> list[Alert]:
    """Everything that is wrong now, red before amber, in the order of `POLICIES`."""
    recent = recent or Recent()
    bounds = bounds or AlertBounds()
    found = [alert for policy in POLICIES for alert in policy(status, recent, bounds)]
    return sorted(found, key=lambda alert: alert.light != "red")


def role_down(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A role is not heard of, or keeps failing. While the log is away nobody is heard of, and
    nobody is called lost."""
    deaf = any(outage.silences_roles for outage in status.outages)
    for role in status.roles:
        restarts = recent.restarts.get((role.role, role.instance), 0)
        lost = role.state == "lost" and not deaf
        failing_now = role.state == "restarting"
        if not lost and not failing_now and restarts <= bounds.restarts:
            continue
        # Amber: it is there again, and was only started more often than it should be.
        light: Light = "amber"
        if lost or failing_now:
            light = "red"
        reasons = []
        if lost:
            reasons.append(_lost(role, status.at_ms))
        if restarts:
            reasons.append(f"started again {restarts} times within {span(bounds.restarts_ms)}")
        if role.last_exit:
            reasons.append(f"it ended by: {role.last_exit}")
        without = WITHOUT.get(role.role, "a part of the app stands still")
        yield Alert(
            policy="role_down",
            subject=role.shown_name,
            light=light,
            # A supervisor of this run may know that it fails before anybody has counted its starts.
            reason="; ".join(reasons) or "it ends again and again",
            meaning=f"Without it {without}; it resumes where it left off.",
            next_step="If it ended, `freshet run`, or whatever started it, starts it again, and "
            f"{_log_of(role)} says why; if it hangs, end process {role.pid or 'unknown'}. "
            f"By hand: `{_by_hand(role)}`.",
        )


def _lost(role: RoleFigures, now_ms: int) -> str:
    lost = f"process {role.pid or 'unknown'} is lost"
    if role.seen_ms is None:
        return lost
    return f"{lost}, last heard of {span(now_ms - role.seen_ms)} ago"


def outage(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A log or a store does not answer."""
    for outage in status.outages:
        yield Alert(
            policy="outage",
            subject=outage.resource,
            # Whoever needs it waits, and nothing is lost by that: what gets late is red by itself.
            light="amber",
            reason=f"{outage.component} is {outage.word} for "
            f"{span(status.at_ms - outage.since_ms)}{_by(outage)}: {outage.cause}",
            meaning=_sentence(outage.meanwhile),
            next_step=_sentence(outage.next_step),
            since_ms=outage.since_ms,
        )


def feature_lag(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A view's rows are older than promised."""
    for view in status.views:
        if light := _late(view.lag_ms, view.slo_ms, bounds):
            yield Alert(
                policy="feature_lag",
                subject=view.name,
                light=light,
                reason=_behind(view.lag_ms, view.slo_ms, view.behind),
                meaning=f"Features of {view.name} do not reflect the newest events of "
                f"{view.topic or 'its topic'} yet.",
                next_step=f"{_why(view.behind, 'logs/intake.jsonl and logs/view.jsonl')}; if it is "
                "merely busy, start one more where the topic has several partitions (on Kafka: "
                "`freshet run APP.py --role view --member 2`) or promise less "
                f"(`freshet topics set {view.topic or 'TOPIC'} feature_slo=…`).",
            )


def model_lag(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The snapshot that answers has missed examples for longer than promised."""
    for model in status.models:
        if light := _late(model.lag_ms, model.slo_ms, bounds):
            yield Alert(
                policy="model_lag",
                subject=model.name,
                light=light,
                reason=_behind(model.lag_ms, model.slo_ms, model.behind),
                meaning=f"Answers of {model.name} do not reflect the newest outcomes yet.",
                next_step=f"{_why(model.behind, 'logs/train.*.jsonl')}; `freshet models` whether "
                "snapshots are cut, refused or not yet served. To cut more often: "
                "`freshet topics set TOPIC snapshot_every=…`, of the topic of its labels.",
            )


def source_silent(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A source is silent while the others of its topic go on.

    Time alone would cry every night that nothing flies. So both must hold: `app_ms - newest_ms` is
    beyond its usual intervals, and by what the others brought meanwhile it is missed. A source with
    hours of its own (an airport with a curfew) is missed every night: it must be missed twice as
    much as it usually was lately; but none is excused beyond `_EXCUSED` times the bound.
    """
    now = status.clock.app_ms
    for topic in status.topics:
        for source in topic.sources:
            missed = recent.missed.get((topic.name, source.name), Missed(0.0))
            needed = min(
                max(bounds.silent_missed, 2 * missed.usually), _EXCUSED * bounds.silent_missed
            )
            silent_ms = _silence(source, now, bounds)
            if silent_ms is None or missed.events < needed:
                continue
            yield Alert(
                policy="source_silent",
                subject=f"{topic.name}/{source.name}",
                light="amber",
                reason=f"no event for {span(silent_ms)}, usually one every "
                f"{span(_interval(source))}; the other sources go on, and some "
                f"{missed.events:.0f} of its own are missing",
                meaning=f"Features of {source.name} stand still, and models see it as it was then.",
                next_step=f"Ask whoever produces {source.name} into {topic.name}; "
                "`freshet dlq list` shows whether its records come but cannot be read.",
            )


def missing_input(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A topic of a model's views is silent, or a feature is suddenly missing."""
    for model in status.models:
        for each in model.missing:
            look = f"Ask whoever produces {each.topic}"
            if each.kind == "feature" and not each.view:
                look = f"Ask whoever asks {model.name}"
            yield Alert(
                policy="missing_input",
                subject=f"{model.name}/{each.name}",
                light="amber",
                reason=f"{each.told} is missing since {moment(each.since_ms)}: {each.reason}",
                meaning=f"Answers of {model.name} lack {_some(each.features)}; meanwhile it "
                f"{DOES.get(model.missing_inputs, model.missing_inputs)}.",
                next_step=f"{look}; `freshet topics` shows what comes, and of which fields how "
                "much is missing. What is done meanwhile is `missing_inputs` of the model.",
            )


def topic_silent(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """No source of a topic says anything any more, for longer than a night. Topics without a source
    are not watched."""
    now = status.clock.app_ms
    for topic in status.topics:
        newest = max(
            (source.newest_ms for source in topic.sources if source.newest_ms is not None),
            default=None,
        )
        if now is None or newest is None:
            continue
        if sum(source.events for source in topic.sources) < bounds.silent_events:
            continue
        interval = _topic_interval(topic)
        if now - newest > max(bounds.topic_silent_ms, bounds.silent_intervals * interval):
            yield Alert(
                policy="topic_silent",
                subject=topic.name,
                light="amber",
                reason=f"no event of any of its sources for {span(now - newest)}, "
                f"usually one every {span(interval)}",
                meaning=f"Nothing that rests on {topic.name} learns anything new, "
                "and its features age.",
                next_step="See whether its producers run, and whether they write where this app "
                f"reads {topic.name}; `freshet topics` shows how many records arrived.",
            )


def dead_letters(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Too many of a topic's newest records cannot be used."""
    for name, records in recent.records.items():
        reasons = {
            reason: count for reason, count in recent.dead.get(name, {}).items() if count > 0
        }
        dead = sum(reasons.values())
        if records < bounds.dead_records or dead <= bounds.dead_share * records:
            continue
        most = max(reasons, key=lambda reason: reasons[reason])
        light: Light = "amber"
        if dead > bounds.red_dead_share * records:
            light = "red"
        yield Alert(
            policy="dead_letters",
            subject=name,
            light=light,
            reason=f"{dead:,} of the newest {records:,} records are dead letters "
            f"({dead / records:.1%}, {bounds.dead_share:.0%} is the bound), "
            f"most of them {most!r} ({reasons[most]:,})",
            meaning=f"These records of {name} reach neither features nor labels; "
            "they are kept, each with its reason.",
            next_step="`freshet dlq list` counts them by reason, `freshet dlq show` prints them "
            "with their origin; mend the producer, or the topic's schema if it is too narrow.",
        )


def unreadable_schema(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Writers use a registered schema that the topic's own cannot read: whatever their share, they
    are lost to it until somebody mends that."""
    for topic in status.topics:
        dead = recent.dead.get(topic.name, {}).get("unreadable_schema", 0)
        if dead > 0 and topic.unreadable_schemas:
            yield Alert(
                policy="unreadable_schema",
                subject=topic.name,
                light="red",
                reason=f"{dead:,} of the newest records are dead letters, by "
                f"{'; '.join(topic.unreadable_schemas)}",
                meaning=f"Records of {topic.name} under it reach neither features nor labels; they "
                "are kept.",
                next_step="Mend the topic's schema file (an alias, a default), or have the writers "
                "go back. What is a dead letter stays one: then have its producer send those "
                "records anew (`freshet dlq show` prints them with their origin).",
            )


def late_events(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A source sends events that are dropped as late. Each is judged by its own clock, so it alone
    is at fault."""
    for topic in status.topics:
        for late in recently_late(topic, status.clock.app_ms):
            if late.share <= bounds.late_share:
                continue
            light: Light = "amber"
            if late.share > bounds.red_late_share:
                light = "red"
            yield Alert(
                policy="late_events",
                subject=f"{topic.name}/{late.source or '(no source)'}",
                light=light,
                reason=late_text(topic, late),
                meaning="They are in no feature and no label; events of other sources are not "
                "concerned.",
                next_step="Look at the clock and the delay of whoever sends them; if they are "
                f"meant to come so late: `freshet topics set {topic.name} lateness=…`.",
            )


def nothing_learned(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Labels come, and none of them is learned from."""
    for m in status.models:
        found = unlearned(m, status.clock.app_ms)
        if found is not None:
            yield Alert(
                policy="nothing_learned",
                subject=m.name,
                light=found.light,
                reason=f"the last {found.labels:,} labels came to nothing: {found.why}",
                meaning=f"Nothing new is learned by {m.name}, however many labels come.",
                next_step=found.next_step,
            )


def snapshots_refused(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A lineage's newest judged snapshot was refused."""
    for model in status.models:
        for lineage in model.lineages:
            if not lineage.refused_last:
                continue
            answers = "another lineage answers, so clients notice nothing yet."
            if model.served is not None and model.served.lineage == lineage.name:
                answers = "answers come from its last approved snapshot, which ages."
            refused = lineage.refused or "no reason was given"
            yield Alert(
                policy="snapshots_refused",
                subject=f"{model.name}/{lineage.name}",
                # What answers is as good as it was; once it is too old, `model_lag` is red.
                light="amber",
                reason=f"snapshot {lineage.newest_refused} was refused: {refused} "
                f"({_approved(lineage)})",
                meaning=f"What it learned since is not served; {answers}",
                next_step="`freshet models` lists its snapshots, logs/release.jsonl has every "
                "reason; if its figures look wrong too, see "
                f"logs/train.{model.name}.{lineage.name}.jsonl.",
            )


def questions_in_conflict(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Somebody asked under an id that was asked before, and said something else."""
    now = status.clock.app_ms
    for m in status.models:
        # By the newest: one alert stands for all of them, and ends once nobody does it any more.
        newest = m.conflicts.newest_ms
        if now is None or newest is None or now - newest > bounds.conflict_ms:
            continue
        yield Alert(
            policy="questions_in_conflict",
            subject=m.name,
            light="amber",
            reason=f"{m.conflicts.questions:,} questions came under ids that were asked before "
            f"with other fields, {m.conflicts.example!r} the newest of these ids",
            meaning=f"Nobody can tell which of them an outcome belongs to: "
            f"{m.name} learns nothing from these ids.",
            next_step="`freshet explain ID` shows who was answered what and when. "
            "Let each id be asked by one client, with the same fields when it tries again; "
            "where strangers can ask, "
            "put something before the scorer that knows its clients.",
        )


def switch_off(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Somebody turned a switch off: meant, and easily forgotten."""
    for switch in status.switches:
        if not switch.on:
            ago = span(status.at_ms - switch.at_ms)
            yield Alert(
                policy="switch_off",
                subject=switch.name,
                light="amber",
                reason=f"turned off by {switch.by or 'somebody'} {ago} ago",
                meaning=OFF.get(switch.name, "A part of the app stands still on purpose."),
                next_step=f"When the reason is gone: `freshet switch {switch.name} on`.",
                since_ms=switch.at_ms,
            )


def clock_jumped(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The clock of a machine was set. Time goes on, faster or slower, until it agrees again."""
    for role in status.roles:
        if not role.clock_off_ms:
            continue
        where = "behind"
        meaning = "The app's time goes half as fast until the clock has caught up."
        if role.clock_off_ms > 0:
            where = "ahead of"
            meaning = (
                "The app's time is made up for, at most 60 times as fast, "
                "so questions expire early."
            )
        yield Alert(
            policy="clock_jumped",
            subject=role.shown_name,
            light="amber",
            reason=f"its machine's clock is {span(abs(role.clock_off_ms))} {where} the app's",
            meaning=meaning,
            next_step="If the clock is right now, wait, or end the role: started again "
            f"(`{_by_hand(role)}`) it takes the clock as it is then. "
            "If it is wrong, set it right.",
        )


# In the order in which alerts of one light are shown: what makes others late comes before them.
POLICIES: tuple[Policy, ...] = (
    role_down,
    outage,
    feature_lag,
    model_lag,
    source_silent,
    topic_silent,
    missing_input,
    dead_letters,
    unreadable_schema,
    late_events,
    drift,
    skew,
    nothing_learned,
    snapshots_refused,
    questions_in_conflict,
    calibration,
    confidence,
    worse_than_prior,
    clock_jumped,
    switch_off,
)
WITHOUT = {
    "intake": "no new event is taken in, and features and labels stand still",
    "dedup": "no new event of a topic whose events are told apart over all partitions is taken in",
    "view": "features stand still, and age",
    "join": "no example is made, and models learn nothing new",
    "train": "one lineage learns nothing new",
    "archive": "nothing new is archived; what is answered and learned does not change",
    "hydrate": "views that were declared later wait for their past, and say that it is missing; "
    "lineages that read columns which were not logged wait likewise",
    "release": "no snapshot is released, and the one that answers ages",
    "serve": "requests fail, unless another scorer runs",
    "control": "status and alerts stand still; what is answered and learned does not change",
}
OFF = {
    "learn": "Models learn nothing new, and what answers ages.",
    "release": "New snapshots are cut, but none is served.",
    "answer": "Models are not asked: the declared fallback answers, and without one requests are "
    "refused.",
}
# What is usual does not grow without end: a source that was gone for a week once would be excused
# for any night from then on.
_EXCUSED = 6.0


def _late(lag_ms: int | None, slo_ms: int | None, bounds: AlertBounds) -> Light | None:
    """None also where nothing is known: that is a promise's amber, and calls nobody."""
    if lag_ms is None or slo_ms is None:
        return None
    light = lag_light(lag_ms, slo_ms, bounds.red_lag)
    if light == "green":
        return None
    return light


def _behind(lag_ms: int | None, slo_ms: int | None, role: str) -> str:
    behind = f"{span(lag_ms or 0)} behind, {span(slo_ms or 0)} is promised"
    if role:
        behind += f": it waits for role {role}"
    return behind


def _why(role: str, logs: str) -> str:
    """Where to look; `logs` are those of the roles that it might be."""
    if role:
        logs = f"logs/{role}.jsonl"
    return f"`freshet status` shows whether its process is there, {logs} what it does"


def _some(names: Sequence[str]) -> str:
    if len(names) <= SOME:
        return ", ".join(names)
    return f"{', '.join(names[:SOME])} and {len(names) - SOME} more"


def _silence(source: SourceFigures, now: int | None, bounds: AlertBounds) -> int | None:
    """How long a source has said nothing, if that is longer than its rate explains."""
    if (
        now is None
        or source.newest_ms is None
        or not source.rate_per_hour
        or source.events < bounds.silent_events
    ):
        return None
    silent_ms = now - source.newest_ms
    if silent_ms > max(bounds.silent_intervals * _interval(source), bounds.silent_ms):
        return silent_ms
    return None


def _interval(source: SourceFigures) -> float:
    return _between(source.rate_per_hour or 0.0)


def _topic_interval(topic: TopicFigures) -> float:
    return _between(sum(source.rate_per_hour or 0.0 for source in topic.sources))


def _between(rate_per_hour: float) -> float:
    """Milliseconds from one event to the next. Without a rate none is usual, and other bounds
    decide."""
    if not rate_per_hour:
        return 0.0
    return HOUR_MS / rate_per_hour


def _approved(lineage: LineageFigures) -> str:
    if lineage.newest_approved is None:
        return "none is approved yet"
    return f"{lineage.newest_approved} is the newest approved one"


def _log_of(role: RoleFigures) -> str:
    return f"logs/{role.lasting_name}.jsonl of the run's folder"


def _by_hand(role: RoleFigures) -> str:
    """The command that starts it: a trainer is named by model and lineage, and what follows a
    role's name is its member."""
    parts = role.lasting_name.split(".")
    own = 1
    if role.role == "train":
        own = 3  # train.MODEL.LINEAGE
    command = f"freshet run APP.py --role {'.'.join(parts[:own])}"
    if len(parts) > own:
        command += f" --member {'.'.join(parts[own:])}"
    return command


def _by(outage: OutageFigures) -> str:
    if not outage.roles:
        return ""
    return f" (say {', '.join(outage.roles)})"


def _sentence(text: str) -> str:
    text = text.strip()
    # Not `capitalize`: it would lower the names of servers and settings in it.
    text = text[:1].upper() + text[1:]
    if not text.endswith((".", "!", "?", "…")):
        text += "."
    return text
