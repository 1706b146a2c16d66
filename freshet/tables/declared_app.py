"""`freshet check`: what an app would run, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from freshet.app import App
from freshet.declared.definitions import Definitions, changes
from freshet.features.keeping import FOR_EVER, MAX_AGES, endless, longest_ms
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.learners.rungs import Constant, Rung
from freshet.roles import plans
from freshet.roles.names import role_names
from freshet.roles.preflight import hold_slos
from freshet.schemas.durations import DAY_MS, milliseconds, text_of
from freshet.schemas.events.field import INTEGERS
from freshet.schemas.models.tasks import Classes, Task
from freshet.schemas.topics.derive import TimePart
from freshet.schemas.topics.digests import shown
from freshet.schemas.topics.impute import Impute
from freshet.schemas.topics.start import EARLIEST, LATEST
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.topics.topic_statistics import Statistics

if TYPE_CHECKING:
    import polars as pl

# Settings of a topic that only its views, and only models whose labels it brings, read.
OF_VIEWS = ("feature_slo", "feature_limit")
OF_LABELS = ("model_slo", "snapshot_every", "label_wait", "model_limit")

EXACT = 1 << 24  # up to which every whole number is a float32


def describe(app: App, console: Console, before: Definitions | None = None) -> None:
    """Print topics, views and models as declared, then the processes and logs that a run has; and
    what is declared otherwise than `before`, when it ran.

    Raises:
        DefinitionError: an SLO can never be held.
    """
    # First: what can never be held is no app that runs.
    hold_slos(app, plans.declared(app))
    console.print(f"app {app.name}", highlight=False)
    for topic in app.topics:
        _section(console, f"topic {topic.name}", [*_topic(topic), *_without_effect(app, topic)])
    for view in app.views:
        _section(console, f"view {view.name}", _view(view))
    for model in app.models:
        _section(console, f"model {model.name}", _model(app, model))
    _section(console, "processes", [(name, _does(name)) for name in role_names(app)])
    _section(console, "logs", [(name, _log(app, name, n)) for name, n in plans.topics(app).items()])
    # A folder in which another app ran says nothing of this one.
    if before is not None and before.app == app.name:
        _changes(console, changes(before, app))
    console.print("\nok")


def _changes(console: Console, sentences: Sequence[str]) -> None:
    console.print("\nsince it ran last", highlight=False)
    for sentence in sentences or ["everything goes on as it is declared"]:
        console.print(f"  {sentence}", highlight=False, markup=False, soft_wrap=True)


def _log(app: App, name: str, partitions: int) -> str:
    if any(topic.log == name for topic in app.topics):
        where = "".join(f" on {t.cluster}" for t in app.topics if t.log == name and t.cluster)
        return f"{_partitions(partitions)} at least, made by others{where}"
    return _partitions(partitions)


def _keep(topic: Topic) -> str:
    """For how long records stay in its log."""
    if topic.keep is None:
        return "for ever"
    if topic.log is not None:
        return "as its Kafka says: from a log of others nothing is deleted"
    return f"{topic.keep} in its log and those made of it; what is older, in the archive"


def _dedup(topic: Topic) -> str:
    """For how long repeats are known, and which are not."""
    if topic.event_id is None:
        return "none: every record is an event of its own"
    if topic.by_id:
        return f"{topic.dedup}, over all partitions: records are first brought together by their id"
    # Another's log may have more partitions than are declared.
    if topic.partitions == 1 and topic.log is None:
        return topic.dedup
    told = f"{topic.dedup}, within a partition: one that comes in two partitions counts twice"
    if topic.explode is not None:
        # Which is refused with `dedup_by`, and of an element's id nobody knows where it went.
        return told
    if topic.log is None:
        told += f", so send each {topic.event_id} to the same one (pushes and replays do)"
    return f'{told}; dedup_by="topic" finds it everywhere'


def _explode(topic: Topic) -> str:
    told = f"each element of {topic.explode} is an event"
    if topic.record_id != topic.event_id:
        return told
    return f"{told}, told apart by its place in it, too"


def _statistics(declared: Statistics | None) -> str:
    if declared is None:
        return "none are kept"
    told = f"beside {declared.reference_name}"
    bounds = [f"{field} {bound:g}" for field, bound in declared.bounds.items()]
    if bounds:
        told += f"; bounds {', '.join(bounds)}"
    return told


def _topic(topic: Topic) -> Iterable[tuple[str, str]]:
    named = "no id"
    if topic.event_id is not None:
        named = f"id {topic.event_id}"
    when = "time of its record"
    if topic.time is not None:
        when = f"time {topic.time}"
    count = f"{len(topic.events.fields)} fields"
    yield "events", ", ".join([count, named, when, _partitions(topic.partitions)])
    if topic.explode is not None:
        yield "explode", _explode(topic)
    for name, header in topic.headers.items():
        yield f"field {name}", f"from the header {header} of each record"
    if topic.tombstone == "delete":
        yield "tombstones", "each erases the row of its record's key, read as UTF-8 text"
    if topic.start != EARLIEST:
        yield "start", _start(topic)
    if topic.source is not None:
        yield "source", topic.source
    for name, expression in topic.drop.items():
        yield f"drop {name}", _expression(expression)
    if topic.impute:
        yield "impute", ", ".join(f"{name} {_impute(how)}" for name, how in topic.impute.items())
    for derivation in topic.derivations:
        told = f"{derivation.field.type}: {shown(derivation.fact)}"
        yield f"derive {derivation.field.name}", told
    if topic.statistics != Statistics():
        yield "statistics", _statistics(topic.statistics)
    if topic.registry is not None:
        yield "registry", f"subject {topic.registry}"
    yield "dedup", _dedup(topic)
    yield "keep", _keep(topic)
    yield (
        "freshness",
        ", ".join(
            f"{setting.name} {getattr(topic.freshness, setting.name)}"
            for setting in fields(Freshness)
        ),
    )
    yield from _beyond_lateness(topic)
    yield from _about(topic)


def _start(topic: Topic) -> str:
    """Where it is read from, of a partition that has never been read."""
    if topic.start == LATEST:
        return "latest: records that stand there when it first runs are not read"
    return f"{topic.start}: what was appended before is not read"


def _beyond_lateness(topic: Topic) -> Iterable[tuple[str, str]]:
    """A setting that undoes another one; where no source is told apart, no event is compared with
    another."""
    ahead = topic.freshness.ms("max_future")
    lateness = topic.freshness.ms("lateness")
    if topic.source is None or ahead <= lateness:
        return
    yield (
        "note",
        f"max_future {text_of(ahead)} is beyond lateness {text_of(lateness)}: one event from so "
        f"far ahead makes those of its {topic.source} late that come after it in time; leave "
        "max_future out, or raise lateness, unless this is meant",
    )


def _without_effect(app: App, topic: Topic) -> Iterable[tuple[str, str]]:
    """Settings that were declared, and that nothing in this app reads."""
    idle: dict[str, str] = {}
    has_views = any(view.is_over(topic.name) for view in app.views)
    has_labels = any(model.label.topic.name == topic.name for model in app.models)
    if not has_views:
        idle |= dict.fromkeys(OF_VIEWS, "no view is over it")
    if not has_labels:
        idle |= dict.fromkeys(OF_LABELS, "no model's labels come from it")
    if not has_views and not has_labels:
        idle["on_violation"] = "no view is over it, and no model's labels come from it"
    for name, why in idle.items():
        # What was left at its default nobody expects anything of.
        if getattr(topic.freshness, name) != getattr(Freshness(), name):
            yield "note", f"{name} has no effect: {why}"


def _impute(how: Impute) -> str:
    text = str(how.kind)
    if how.kind == "constant":
        text += f" {how.value!r}"
    if how.by:
        text += f" by {how.by}"
    return text


def _view(view: View) -> Iterable[tuple[str, str]]:
    yield (
        "rows",
        f"{_rows_of(view)} over {view.topic_names}, "
        f"{view.plan.bytes_of(1)} to {view.plan.most_bytes} bytes each, tiles: {view.tiles}",
    )
    for name, aggregate in view.features.items():
        yield f"  {name}", shown(str(aggregate))
    max_age = "no bound"
    if view.max_age:
        max_age = text_of(milliseconds(view.max_age))
    yield "max age", max_age
    yield from _kept(view)
    yield from _about(view)


def _rows_of(view: View) -> str:
    if not view.keys:
        return "one row"
    return f"by {'|'.join(view.keys)}"


def _kept(view: View) -> Iterable[tuple[str, str]]:
    """For how long its rows are kept; and what to do where that is for ever."""
    if view.plan.keep_ms != FOR_EVER:
        yield "kept", f"{text_of(view.plan.keep_ms)} after a key's newest event"
        return
    yield "kept", "for ever"
    held = ", ".join(endless(view.features))
    enough_ms = max(longest_ms(view.features), MAX_AGES * view.max_age_ms, 30 * DAY_MS)
    yield (
        "note",
        f"no key is ever forgotten, as {held} would be lost with it: where keys have no end, "
        f'memory and store grow without one; declare keep="{text_of(enough_ms)}", say',
    )


def _model(app: App, model: Model) -> Iterable[tuple[str, str]]:
    wait = model.label.topic.freshness.label_wait
    if model.task.facts:
        yield "predicts", _predicts(model.task)
    yield "asked", f"with fields of {model.on.name}; id {model.id}"
    yield (
        "label",
        f"{_expression(model.label.value)} of {model.label.topic.name}, by {model.label.id}, "
        f"within {wait}; late ones: {model.label.late}",
    )
    # Features of views are told with their view.
    of_views = {feature.name for feature in model.view_features}
    own = [name for name in model.vectors.categories if name not in of_views]
    categories = ", ".join(own)
    if not own:
        categories = "of views alone" if model.vectors.categories else "none"
    yield "categories", categories
    others = [name for name in model.vectors.numbers if name not in of_views]
    numbers = ", ".join(others)
    if not others:
        numbers = "of views alone" if model.vectors.numbers else "none"
    yield "numbers", numbers
    yield from _rounded(model, app.views_of(model))
    for view in app.views_of(model):
        read = ", ".join(
            feature.feature for feature in model.view_features if feature.view == view.name
        )
        yield "", f"{view.name}, {_rows_of(view)}: {read}"
    for made in model.computed:
        yield "", f"{made.field.name}, on demand: {shown(made.fact)}"
    yield "lineages", ", ".join(model.lineage(learner) for learner in model.learners)
    if model.slices:
        yield "slices", ", ".join(model.slices)
    rungs = ["champion", "last good", *(_rung(rung) for rung in model.fallback)]
    answered_by = " → ".join(rungs)
    if not model.fallback:
        answered_by += " (before the first snapshot: nobody, status 503)"
    yield "answered by", answered_by
    yield from _about(model)


def _rounded(model: Model, views: Iterable[View]) -> Iterable[tuple[str, str]]:
    """What float32 does to whole numbers that a model reads as numbers."""
    whole = [
        name
        for name in model.vectors.numbers
        if name in model.on.all_fields.positions
        and model.on.all_fields[name].type in INTEGERS
        # Parts of times are small.
        and not isinstance(model.on.derive.get(name), TimePart)
    ]
    rule = f"exact up to {EXACT:,}, beyond rounded"
    if whole:
        kept = f"{rule}; fr.category(…) keeps all digits"
        yield "", f"{', '.join(whole)} as float32: {kept}"
    by_view = {view.name: view.plan.whole_names for view in views}
    last = [
        feature.name
        for feature in model.read
        if isinstance(feature, FeatureRef)
        and not feature.is_text
        and feature.feature in by_view[feature.view]
    ]
    if last:
        kept = f"{rule}; consumers of features get all digits"
        yield "", f"{', '.join(last)} as float32: {kept}"


def _predicts(task: Task) -> str:
    if isinstance(task, Classes):
        return f"which of {task.width} classes: {', '.join(task.classes)}"
    return "a number"


def _rung(rung: Rung) -> str:
    if isinstance(rung, Constant):
        return f"constant {rung.p}"
    return f"heuristic {_expression(rung.when)} ({rung.p_true}, else {rung.p_false})"


def _expression(expression: pl.Expr) -> str:
    """As Polars prints it, but for the types of literals."""
    return re.sub(r"\(dyn \w+: ([^)]*)\)", r"\1", str(expression))


def _about(thing: Topic | View | Model) -> Iterable[tuple[str, str]]:
    if thing.owner:
        yield "owner", thing.owner
    if thing.description:
        yield "description", thing.description


_ROLES: Mapping[str, str] = {
    "intake": "topics to clean logs, labels and dead letters",
    "dedup": "records brought together by their ids, to clean logs, labels and dead letters",
    "view": "clean logs to rows of the store",
    "join": "predictions with their labels, to examples",
    "train": "examples to snapshots",
    "archive": "topics and the app's own logs to Parquet",
    "release": "judges snapshots, and decides which is served",
    "serve": "answers with predictions and features, takes pushes",
    "control": "status page",
}


def _does(role: str) -> str:
    return _ROLES[role.split(".", 1)[0]]


def _partitions(count: int) -> str:
    if count == 1:
        return "1 partition"
    return f"{count} partitions"


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {name}", text)
    console.print(f"\n{title}", highlight=False)
    console.print(table, highlight=False, markup=False)
