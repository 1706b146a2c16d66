"""`freshet check`: what an app would run, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from freshet.app import App
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.roles import plans
from freshet.roles.names import role_names
from freshet.roles.preflight import hold_slos
from freshet.runs.definitions import Definitions, changes
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.events.field import INTEGERS
from freshet.schemas.topics.impute import Impute
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.serving.scoring.fallback import Constant, Heuristic

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
    hold_slos(app, plans.declared(app))
    console.print(f"app {app.name}", highlight=False)
    for t in app.topics:
        _section(console, f"topic {t.name}", [*_topic(t), *_without_effect(app, t)])
    for v in app.views:
        _section(console, f"view {v.name}", _view(v))
    for m in app.models:
        _section(console, f"model {m.name}", _model(app, m))
    _section(console, "processes", [(name, _does(name)) for name in role_names(app)])
    _section(console, "logs", [(name, _partitions(n)) for name, n in plans.topics(app).items()])
    if before is not None and before.app == app.name:
        _changes(console, changes(before, app))
    console.print("\nok")


def _changes(console: Console, sentences: Sequence[str]) -> None:
    console.print("\nsince it ran last", highlight=False)
    for sentence in sentences or ["everything goes on as it is declared"]:
        console.print(f"  {sentence}", highlight=False, markup=False, soft_wrap=True)


def _topic(t: Topic) -> Iterable[tuple[str, str]]:
    yield (
        "events",
        f"{len(t.events.fields)} fields, id {t.event_id}, time {t.event_time}, {_partitions(t.partitions)}",
    )
    if t.source is not None:
        yield "source", t.source
    for name, expression in t.drop.items():
        yield f"drop {name}", _expression(expression)
    if t.impute:
        yield "impute", ", ".join(f"{name} {_impute(how)}" for name, how in t.impute.items())
    yield "dedup", t.dedup
    yield (
        "freshness",
        ", ".join(f"{f.name} {getattr(t.freshness, f.name)}" for f in fields(Freshness)),
    )
    yield from _about(t)


def _without_effect(app: App, t: Topic) -> Iterable[tuple[str, str]]:
    """Settings that were declared, and that nothing in this app reads."""
    idle: dict[str, str] = {}
    has_views = any(v.topic.name == t.name for v in app.views)
    has_labels = any(m.label.topic.name == t.name for m in app.models)
    if not has_views:
        idle |= dict.fromkeys(OF_VIEWS, "no view is over it")
    if not has_labels:
        idle |= dict.fromkeys(OF_LABELS, "no model's labels come from it")
    if not has_views and not has_labels:
        idle["on_violation"] = "no view is over it, and no model's labels come from it"
    for name, why in idle.items():
        if getattr(t.freshness, name) != getattr(Freshness(), name):
            yield "note", f"{name} has no effect: {why}"


def _impute(how: Impute) -> str:
    value = f" {how.value!r}" if how.kind == "constant" else ""
    return f"{how.kind}{value}{f' by {how.by}' if how.by else ''}"


def _view(v: View) -> Iterable[tuple[str, str]]:
    yield (
        "rows",
        f"by {'|'.join(v.keys)} over {v.topic.name}, {v.plan.width} bytes each, tile {text_of(v.tile_ms)}",
    )
    for name, aggregate in v.features.items():
        yield f"  {name}", str(aggregate)
    yield "max age", text_of(milliseconds(v.max_age)) if v.max_age else "no bound"
    yield from _about(v)


def _model(app: App, m: Model) -> Iterable[tuple[str, str]]:
    wait = m.label.topic.freshness.label_wait
    yield "asked", f"with fields of {m.on.name}; id {m.id}"
    yield (
        "label",
        f"{_expression(m.label.value)} of {m.label.topic.name}, by {m.label.id}, within {wait}; late ones: {m.label.late}",
    )
    yield "categories", ", ".join(m.vectors.categories) or "none"
    yield "numbers", ", ".join(n for n in m.vectors.numbers if "." not in n) or "none"
    yield from _rounded(m)
    for v in app.views_of(m):
        read = ", ".join(
            f.feature for f in m.features if isinstance(f, FeatureRef) and f.view == v.name
        )
        yield "", f"{v.name}, by {'|'.join(v.keys)}: {read}"
    yield "lineages", ", ".join(m.lineage(x) for x in m.learners)
    if m.slices:
        yield "slices", ", ".join(m.slices)
    rungs = ["champion", "last good", *(_rung(x) for x in m.fallback)]
    yield (
        "answered by",
        " → ".join(rungs)
        + ("" if m.fallback else " (before the first snapshot: nobody, status 503)"),
    )
    yield from _about(m)


def _rounded(m: Model) -> Iterable[tuple[str, str]]:
    """What float32 does to whole numbers that a model reads as numbers."""
    whole = [n for n in m.vectors.numbers if "." not in n and m.on.events[n].type in INTEGERS]
    if whole:
        rule = f"exact up to {EXACT:,}, beyond rounded; fr.category(…) keeps all digits"
        yield "", f"{', '.join(whole)} as float32: {rule}"


def _rung(rung: Heuristic | Constant) -> str:
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
    "view": "clean logs to rows of the store",
    "join": "predictions with their labels, to examples",
    "train": "examples to snapshots",
    "release": "judges snapshots, and decides which is served",
    "serve": "answers with predictions and features, takes pushes",
    "control": "status page",
}


def _does(role: str) -> str:
    return _ROLES[role.split(".", 1)[0]]


def _partitions(n: int) -> str:
    return f"{n} partition{'' if n == 1 else 's'}"


def _section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {name}", text)
    console.print(f"\n{title}", highlight=False)
    console.print(table, highlight=False, markup=False)
