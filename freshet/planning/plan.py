"""`freshet plan`: what a changed app's file means for a run, before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from freshet.app import App
from freshet.declared.about import about
from freshet.declared.definitions import Definitions
from freshet.features.keeping import reach_ms
from freshet.features.views.view import View
from freshet.planning.changes import Change, changes
from freshet.planning.compared import Compared
from freshet.planning.frozen import Frozen
from freshet.planning.history import History, OfLog
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.digests import Facts, hashed
from freshet.settings import Settings

MINUTE_MS = 60_000


class Refill(msgspec.Struct, frozen=True):
    """What is read of the past for a thing: records from `from_ms` to `to_ms` (by append time),
    in about so many minutes and bytes."""

    from_ms: int | None
    to_ms: int
    records: int
    minutes: float
    bytes: int


class Planned(msgspec.Struct, frozen=True):
    """What is declared otherwise of one thing (`view load`), and what comes of it: `how` it is
    (added, changed, removed, indirectly affected), of which `kind`; the `differences` in words;
    what is refilled, which lineages `start_cold` or `learn_anew` from the past, and from when on
    (ms) features are `complete_from` that reach back behind what there is. Of a view that is there
    no more `kept_by` are served snapshots that read it, and stay until a person lets others."""

    thing: str
    how: str
    kind: str
    differences: list[str] = []
    refill: Refill | None = None
    start_cold: list[str] = []
    learn_anew: list[str] = []
    complete_from: dict[str, int] = {}
    kept_by: list[Frozen] = []


class Fingerprint(msgspec.Struct, frozen=True):
    """What a plan holds for: the app as declared, what runs, where, and what its logs begin
    with."""

    app: str
    runs: str
    settings: str
    history: str


class Plan(msgspec.Struct, frozen=True):
    """`goes_on` are the things that go on as they are, lineages among them. `rate` is in records a
    second; `measured` says how it is known (empty: it is a guess). `compared` is how much of what
    was served of existing views comes out of the past as it was, by a sample."""

    app: str
    made_at_ms: int
    changes: list[Planned]
    goes_on: list[str]
    rate: float
    measured: str
    fingerprint: Fingerprint
    compared: list[Compared] = []


def plan(app: App, before: Definitions | None, given: Settings, found: History) -> Plan:
    """Compare an app with what was declared when it ran last (None: it never did), and say what it
    takes."""
    if before is not None and before.app != app.name:
        before = None
    declared = about(app)
    made = changes(before, app, declared)
    changed = {change.thing for change in made if change.makes_anew}
    planned = [_planned(change, app, changed, found) for change in made]
    told = {change.thing for change in made}
    return Plan(
        app.name,
        found.now_ms,
        planned,
        [thing for thing in app.facts if thing not in told],
        round(found.rate),
        found.measured,
        _fingerprint(app, declared, before, given, found),
        list(found.compared) if planned else [],
    )


def _planned(change: Change, app: App, changed: set[str], found: History) -> Planned:
    """`changed` are all things that are declared otherwise."""
    told = Planned(
        change.thing,
        change.how,
        change.kind,
        list(change.differences),
    )
    is_gone = change.how == "removed" or change.makes_anew
    if change.is_of == "view" and is_gone:
        told = replace(told, kept_by=list(found.frozen.get(change.name, ())))
    if change.how == "removed" or not change.makes_anew:
        return told
    if change.is_of == "topic":
        return replace(told, refill=_refill([app.log_of(change.name)], found))
    if change.is_of == "view":
        view = app.view(change.name)
        logs = [app.log_of(topic.name) for topic in view.topics]
        complete = _complete_from(view, [found.of(log) for log in logs], found.now_ms)
        # Built from the past, and not by intake of topics that are all taken in anew.
        if any(f"topic {topic.name}" not in changed for topic in view.topics):
            logs.append(app.redriven_log)
        return replace(
            told,
            refill=_refill(logs, found),
            complete_from=complete,
        )
    if change.is_of == "model":
        model = app.model(change.name)
        return replace(told, start_cold=[model.lineage(learner) for learner in model.learners])
    name, _, learner = change.name.partition(".")
    if f"model {name}" in changed:
        return told  # the model tells of all of its lineages
    model = app.model(name)
    (spec,) = (spec for spec in model.learners if spec.name == learner)
    refill = _refill([app.examples_log_of(model)], found)
    return replace(
        told,
        refill=refill,
        learn_anew=[model.lineage(spec)],
    )


def _refill(logs: list[str], found: History) -> Refill | None:
    """None where there is nothing yet."""
    held = [found.of(log) for log in logs]
    records = sum(log.records for log in held)
    if not records:
        return None
    begins = [log.first_ms for log in held if log.first_ms is not None]
    minutes = records / found.rate / 60
    size = sum(log.bytes for log in held)
    return Refill(
        min(begins, default=None),
        found.now_ms,
        records,
        round(minutes, 3),
        size,
    )


def _complete_from(view: View, held: list[OfLog], now_ms: int) -> dict[str, int]:
    """Of features whose windows reach back behind what the logs hold: when they do no more."""
    begins = [log.first_ms for log in held if log.was_longer and log.first_ms is not None]
    if not begins:
        return {}
    # Of several topics the one that begins last.
    begin = max(begins)
    ends = {name: begin + reach_ms(feature) for name, feature in view.features.items()}
    return {name: end for name, end in ends.items() if end > max(begin, now_ms)}


def _fingerprint(
    app: App,
    declared: Mapping[str, Facts],
    before: Definitions | None,
    given: Settings,
    found: History,
) -> Fingerprint:
    runs = {} if before is None else {**before.facts, "about": before.about}
    # Wherever it is called from.
    log = given.log_url
    if "://" not in log:
        log = str(Path(log).resolve())
    run_dir = str(given.local_path.resolve())
    places = (run_dir, log, given.store, given.archive, given.snapshot_every)
    return Fingerprint(
        hashed(repr((app.digest, _sorted(declared)))),
        hashed(repr(_sorted(runs))),
        hashed(repr(places)),
        found.digest,
    )


def _sorted(facts: Mapping[str, object]) -> list[object]:
    return [
        (name, _sorted(value) if isinstance(value, Mapping) else value)
        for name, value in sorted(facts.items())
    ]


def encoded(made: Plan) -> bytes:
    return msgspec.json.format(msgspec.json.encode(made))


def refuse_moved(file: Path, now: Plan) -> None:
    """See that a plan in a file still holds.

    Raises:
        DefinitionError: the file is no plan, or the app, what runs, the settings or the logs are
            not what they were when it was made.
    """
    try:
        saved = msgspec.json.decode(file.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise DefinitionError(
            f"plan {file}", f"cannot be read: {error}", "Make one with freshet plan --out."
        ) from error
    was = saved.fingerprint
    moved = [
        told
        for told, is_same in (
            ("the app is declared otherwise", was.app == now.fingerprint.app),
            ("what runs is another", was.runs == now.fingerprint.runs),
            ("settings are others", was.settings == now.fingerprint.settings),
            ("a log begins elsewhere", was.history == now.fingerprint.history),
        )
        if not is_same
    ]
    if moved:
        raise DefinitionError(
            f"plan {file}",
            f"holds no more: {', '.join(moved)} than when it was made",
            "Make another one, and read it.",
        )
