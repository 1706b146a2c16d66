"""What is wrong, from what an app says about itself: a table of pure policies, from a `Status` to
`Alert`s.

Nothing is kept between calls. Counts since the run's start say little about now, so policies read
those of late from `Recent`, which `alert_window` computes. Every alert says why (with figures),
what it means and what to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from freshet.schemas.durations import HOUR_MS
from freshet.serving.alerts.bounds import AlertBounds, Missed, Recent
from freshet.serving.status.promises import span
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

Policy = Callable[[Status, Recent, AlertBounds], Iterator[Alert]]


def alerts(
    status: Status, recent: Recent | None = None, bounds: AlertBounds | None = None
) -> list[Alert]:
    """Everything that is wrong now, red before amber, in the order of `POLICIES`."""
    recent, bounds = recent or Recent(), bounds or AlertBounds()
    found = [alert for policy in POLICIES for alert in policy(status, recent, bounds)]
    return sorted(found, key=lambda a: a.light != "red")


def role_down(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A role is not heard of, or keeps failing. While the log is away nobody is heard of, and
    nobody is called lost."""
    deaf = any(o.component in ("log", "disk") for o in status.outages)
    for r in status.roles:
        restarts = recent.restarts.get((r.role, r.instance), 0)
        lost = r.state == "lost" and not deaf
        failing_now = r.state == "restarting"
        if not lost and not failing_now and restarts <= bounds.restarts:
            continue
        heard = (
            f", last heard of {span(status.at_ms - r.seen_ms)} ago"
            if lost and r.seen_ms is not None
            else ""
        )
        failing = (
            f"started again {restarts} times within {span(bounds.restarts_ms)}" if restarts else ""
        )
        why = f"it ended by: {r.last_exit}" if r.last_exit else ""
        process = f"process {r.pid or 'unknown'} is lost{heard}" if lost else ""
        yield Alert(
            policy="role_down",
            subject=r.instance or r.role,
            light="red" if lost or failing_now else "amber",
            reason="; ".join(filter(None, (process, failing, why))) or "it ends again and again",
            meaning=f"Without it {WITHOUT.get(r.role, 'a part of the app stands still')}; it resumes where it left off.",
            next_step=f"If it ended, `freshet run`, or whatever started it, starts it again, and {_log_of(r)} says why; if "
            f"it hangs, end process {r.pid or 'unknown'}. By hand: `{_by_hand(r)}`.",
        )


def outage(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A log or a store does not answer."""
    for o in status.outages:
        yield Alert(
            policy="outage",
            subject=o.resource,
            light="amber",
            reason=f"{o.component} is {o.word} for {span(status.at_ms - o.since_ms)}{_by(o)}: {o.cause}",
            meaning=_sentence(o.meanwhile),
            next_step=_sentence(o.next_step),
            since_ms=o.since_ms,
        )


def feature_lag(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A view's rows are older than promised."""
    for v in status.views:
        if light := _late(v.lag_ms, v.slo_ms, bounds):
            yield Alert(
                policy="feature_lag",
                subject=v.name,
                light=light,
                reason=_behind(v.lag_ms, v.slo_ms, v.behind),
                meaning=f"Features of {v.name} do not reflect the newest events of {v.topic or 'its topic'} yet.",
                next_step=f"{_why(v.behind, 'logs/intake.jsonl and logs/view.jsonl')}; if it is "
                "merely busy, start one more where the topic has several partitions (on Kafka: "
                "`freshet run APP.py --role view --member 2`) or promise less "
                f"(`freshet topics set {v.topic or 'TOPIC'} feature_slo=…`).",
            )


def model_lag(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The snapshot that answers has missed examples for longer than promised."""
    for m in status.models:
        if light := _late(m.lag_ms, m.slo_ms, bounds):
            yield Alert(
                policy="model_lag",
                subject=m.name,
                light=light,
                reason=_behind(m.lag_ms, m.slo_ms, m.behind),
                meaning=f"Answers of {m.name} do not reflect the newest outcomes yet.",
                next_step=f"{_why(m.behind, 'logs/train.*.jsonl')}; `freshet models` whether snapshots are cut, refused or "
                "not yet served. To cut more often: `freshet topics set TOPIC snapshot_every=…`, of the topic of its labels.",
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
        for s in topic.sources:
            missed = recent.missed.get((topic.name, s.name), Missed(0.0))
            needed = min(
                max(bounds.silent_missed, 2 * missed.usually), _EXCUSED * bounds.silent_missed
            )
            silent_ms = _silence(s, now, bounds)
            if silent_ms is None or missed.events < needed:
                continue
            yield Alert(
                policy="source_silent",
                subject=f"{topic.name}/{s.name}",
                light="amber",
                reason=f"no event for {span(silent_ms)}, usually one every {span(_interval(s))}; the other sources go on, "
                f"and some {missed.events:.0f} of its own are missing",
                meaning=f"Features of {s.name} stand still, and models see it as it was then.",
                next_step=f"Ask whoever produces {s.name} into {topic.name}; `freshet dlq list` shows whether its records "
                "come but cannot be read.",
            )


def topic_silent(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """No source of a topic says anything any more, for longer than a night. Topics without a source
    are not watched."""
    now = status.clock.app_ms
    for topic in status.topics:
        newest = max((s.newest_ms for s in topic.sources if s.newest_ms is not None), default=None)
        if (
            now is None
            or newest is None
            or sum(s.events for s in topic.sources) < bounds.silent_events
        ):
            continue
        interval = _topic_interval(topic)
        if now - newest > max(bounds.topic_silent_ms, bounds.silent_intervals * interval):
            yield Alert(
                policy="topic_silent",
                subject=topic.name,
                light="amber",
                reason=f"no event of any of its sources for {span(now - newest)}, usually one every {span(interval)}",
                meaning=f"Nothing that rests on {topic.name} learns anything new, and its features age.",
                next_step=f"See whether its producers run, and whether they write where this app reads {topic.name}; "
                "`freshet topics` shows how many records arrived.",
            )


def dead_letters(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Too many of a topic's newest records cannot be used."""
    for name, records in recent.records.items():
        reasons = {r: n for r, n in recent.dead.get(name, {}).items() if n > 0}
        dead = sum(reasons.values())
        if records < bounds.dead_records or dead <= bounds.dead_share * records:
            continue
        most = max(reasons, key=lambda r: reasons[r])
        yield Alert(
            policy="dead_letters",
            subject=name,
            light="red" if dead > bounds.red_dead_share * records else "amber",
            reason=f"{dead:,} of the newest {records:,} records are dead letters ({dead / records:.1%}, "
            f"{bounds.dead_share:.0%} is the bound), most of them {most!r} ({reasons[most]:,})",
            meaning=f"These records of {name} reach neither features nor labels; they are kept, each with its reason.",
            next_step="`freshet dlq list` counts them by reason, `freshet dlq show` prints them with their origin; "
            "mend the producer, or the topic's schema if it is too narrow.",
        )


def snapshots_refused(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """A lineage's newest judged snapshot was refused."""
    for m in status.models:
        for x in m.lineages:
            if x.newest_refused is not None and (
                x.newest_approved is None or x.newest_refused > x.newest_approved
            ):
                yield Alert(
                    policy="snapshots_refused",
                    subject=f"{m.name}/{x.name}",
                    light="amber",
                    reason=f"snapshot {x.newest_refused} was refused: {x.refused or 'no reason was given'} ({_approved(x)})",
                    meaning="What it learned since is not served; "
                    + (
                        "answers come from its last approved snapshot, which ages."
                        if m.served is not None and m.served.lineage == x.name
                        else "another lineage answers, so clients notice nothing yet."
                    ),
                    next_step=f"`freshet models` lists its snapshots, logs/release.jsonl has every reason; if its figures "
                    f"look wrong too, see logs/train.{m.name}.{x.name}.jsonl.",
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
            reason=f"{m.conflicts.questions:,} questions came under ids that were asked before with other fields, "
            f"{m.conflicts.example!r} the newest of these ids",
            meaning=f"Nobody can tell which of them an outcome belongs to: {m.name} learns nothing from these ids.",
            next_step="`freshet explain ID` shows who was answered what and when. Let each id be asked by one client, with "
            "the same fields when it tries again; where strangers can ask, put something before the scorer that knows its clients.",
        )


def calibration(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Answers are, on the whole, far from what happens: the mean prediction of the newest labelled
    ones over the share of them that came true. At single probabilities they may be off all the
    same, or just there."""
    (low, high), (lowest, highest) = bounds.calibration, bounds.red_calibration
    for m in status.models:
        found = m.rolling.calibration
        if found is None or m.rolling.n < bounds.labelled or low <= found <= high:
            continue
        much = f"{found:.2f} times" if found > 1 else f"only {found:.2f} of"
        yield Alert(
            policy="calibration",
            subject=m.name,
            light="amber" if lowest <= found <= highest else "red",
            reason=f"calibration is {found:.2f} over the newest {m.rolling.n:,} labelled answers, {low:g} to {high:g} is "
            "allowed",
            meaning=f"Answers of {m.name} expect, on the whole, {much} what happens: thresholds on them are off, "
            "their order may still be right.",
            next_step="The status page shows at which probabilities and in which slices answers are off, `freshet models` "
            "whether another lineage is better; a source gone silent would be among the alerts; learning more often: "
            "`freshet topics set TOPIC snapshot_every=…`, of the topic of its labels.",
        )


def switch_off(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """Somebody turned a switch off: meant, and easily forgotten."""
    for s in status.switches:
        if not s.on:
            yield Alert(
                policy="switch_off",
                subject=s.name,
                light="amber",
                reason=f"turned off by {s.by or 'somebody'} {span(status.at_ms - s.at_ms)} ago",
                meaning=OFF.get(s.name, "A part of the app stands still on purpose."),
                next_step=f"When the reason is gone: `freshet switch {s.name} on`.",
                since_ms=s.at_ms,
            )


def clock_jumped(status: Status, recent: Recent, bounds: AlertBounds) -> Iterator[Alert]:
    """The clock of a machine was set. Time goes on, faster or slower, until it agrees again."""
    for r in status.roles:
        if not r.clock_off_ms:
            continue
        ahead = r.clock_off_ms > 0
        yield Alert(
            policy="clock_jumped",
            subject=r.instance or r.role,
            light="amber",
            reason=f"its machine's clock is {span(abs(r.clock_off_ms))} {'ahead of' if ahead else 'behind'} the app's",
            meaning="The app's time is made up for, at most 60 times as fast, so questions expire early."
            if ahead
            else "The app's time goes half as fast until the clock has caught up.",
            next_step=f"If the clock is right now, wait, or end the role: started again (`{_by_hand(r)}`) it takes the clock "
            "as it is then. If it is wrong, set it right.",
        )


POLICIES: tuple[Policy, ...] = (
    role_down,
    outage,
    feature_lag,
    model_lag,
    source_silent,
    topic_silent,
    dead_letters,
    snapshots_refused,
    questions_in_conflict,
    calibration,
    clock_jumped,
    switch_off,
)
WITHOUT = {
    "intake": "no new event is taken in, and features and labels stand still",
    "view": "features stand still, and age",
    "join": "no example is made, and models learn nothing new",
    "train": "one lineage learns nothing new",
    "release": "no snapshot is released, and the one that answers ages",
    "serve": "requests fail, unless another scorer runs",
    "control": "status and alerts stand still; what is answered and learned does not change",
}
OFF = {
    "learn": "Models learn nothing new, and what answers ages.",
    "release": "New snapshots are cut, but none is served.",
    "answer": "Models are not asked: the declared fallback answers, and without one requests are refused.",
}
_EXCUSED = 6.0


def _late(lag_ms: int | None, slo_ms: int | None, bounds: AlertBounds) -> Light | None:
    if lag_ms is None or slo_ms is None or lag_ms <= slo_ms:
        return None
    return "amber" if lag_ms <= bounds.red_lag * slo_ms else "red"


def _behind(lag_ms: int | None, slo_ms: int | None, role: str) -> str:
    waits = f": it waits for role {role}" if role else ""
    return f"{span(lag_ms or 0)} behind, {span(slo_ms or 0)} is promised{waits}"


def _why(role: str, logs: str) -> str:
    """Where to look; `logs` are those of the roles that it might be."""
    return f"`freshet status` shows whether its process is there, {f'logs/{role}.jsonl' if role else logs} what it does"


def _silence(s: SourceFigures, now: int | None, bounds: AlertBounds) -> int | None:
    """How long a source has said nothing, if that is longer than its rate explains."""
    if now is None or s.newest_ms is None or not s.rate_per_hour or s.events < bounds.silent_events:
        return None
    silent_ms = now - s.newest_ms
    return (
        silent_ms
        if silent_ms > max(bounds.silent_intervals * _interval(s), bounds.silent_ms)
        else None
    )


def _interval(s: SourceFigures) -> float:
    return HOUR_MS / s.rate_per_hour if s.rate_per_hour else 0.0


def _topic_interval(topic: TopicFigures) -> float:
    rate = sum(s.rate_per_hour or 0.0 for s in topic.sources)
    return HOUR_MS / rate if rate else 0.0


def _approved(x: LineageFigures) -> str:
    return (
        "none is approved yet"
        if x.newest_approved is None
        else f"{x.newest_approved} is the newest approved one"
    )


def _lasting(r: RoleFigures) -> str:
    """Its name over all its starts, such as `view.2`; of several processes of one name, each bears
    its start after it."""
    return (r.instance or r.role).split("/")[0]


def _log_of(r: RoleFigures) -> str:
    return f"logs/{_lasting(r)}.jsonl of the run's folder"


def _by_hand(r: RoleFigures) -> str:
    """The command that starts it: a trainer is named by model and lineage, and what follows a
    role's name is its member."""
    parts = _lasting(r).split(".")
    own = 3 if r.role == "train" else 1
    command = f"freshet run APP.py --role {'.'.join(parts[:own])}"
    if len(parts) > own:
        command += f" --member {'.'.join(parts[own:])}"
    return command


def _by(o: OutageFigures) -> str:
    return f" (say {', '.join(o.roles)})" if o.roles else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")
