"""What intake writes for the views and models of a version, as data: so that intake of another
version can fill their logs, too, without a line of their code in its process.

A route is names and row-wise expressions of Polars, which need no module of the app's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from freshet.schemas.errors import ComponentError
from freshet.schemas.events.field import NUMBERS
from freshet.schemas.events.masks import Masked
from freshet.schemas.models.tasks import task_of
from freshet.streams.intake.task import CleanRoute, IntakePlan
from freshet.streams.labels.routes import LabelRoute


class Clean(msgspec.Struct, frozen=True):
    """A `CleanRoute`; of what is masked: name, field and which condition."""

    to: str
    partitions: int
    keys: list[str]
    fields: list[str]
    conditions: list[bytes]
    masked: list[tuple[str, str | None, int]]


class Labels(msgspec.Struct, frozen=True):
    """A `LabelRoute`."""

    to: str
    partitions: int
    id: str
    value: bytes
    model: str = ""
    task: tuple[str, ...] = ()


class TopicRoutes(msgspec.Struct, frozen=True):
    """Of one topic as a version declares it: its digest, its fields with their types, its routes,
    and the record of Avro that producers write by (empty where a registry knows that)."""

    digest: str
    fields: dict[str, str]
    clean: list[Clean]
    labels: list[Labels]
    erases: bool = False
    record: str = ""


def of_plan(plan: IntakePlan) -> TopicRoutes:
    """The routes of a topic's intake."""
    topic = plan.topic
    return TopicRoutes(
        topic.digest,
        {known.name: known.type for known in topic.all_fields.fields},
        [_clean(route) for route in plan.clean],
        [_labels(route) for route in plan.labels],
        topic.tombstone == "delete",
        "" if topic.registry is not None else json.dumps(topic.declared.avro),
    )


def _clean(route: CleanRoute) -> Clean:
    return Clean(
        route.to,
        route.partitions,
        list(route.keys),
        list(route.fields),
        [condition.meta.serialize() for condition in route.conditions],
        [(masked.name, masked.field, masked.which) for masked in route.masked],
    )


def _labels(route: LabelRoute) -> Labels:
    return Labels(
        route.to,
        route.partitions,
        route.id,
        route.value.meta.serialize(),
        route.model,
        route.task.facts,
    )


def reads(routes: TopicRoutes) -> set[str]:
    """The fields that must be there to fill these routes."""
    found: set[str] = set()
    for clean in routes.clean:
        found |= {*clean.keys, *clean.fields}
        found |= {field for _, field, _ in clean.masked if field is not None}
        for condition in clean.conditions:
            found |= set(_expression(condition).meta.root_names())
    for labels in routes.labels:
        found |= {labels.id, *_expression(labels.value).meta.root_names()}
    return found


def lacking(routes: TopicRoutes, of: TopicRoutes) -> list[str]:
    """The fields that these routes read and that the topic, as another version declares it, has
    not, or has of another type."""
    return sorted(
        name
        for name in reads(routes)
        if _kind(of.fields.get(name)) != _kind(routes.fields.get(name))
    )


def _kind(type_: str | None) -> str | None:
    """Numbers are one kind: views and labels read wider ones as they read others."""
    return "number" if type_ in NUMBERS else type_


def with_guests(plan: IntakePlan, guests: Iterable[TopicRoutes]) -> IntakePlan:
    """Intake of a topic that also fills the logs of other versions, as far as they are of the topic
    as it is here, and are not its own anyway."""
    known = {route.to for route in plan.clean} | {route.to for route in plan.labels}
    clean = list(plan.clean)
    labels = list(plan.labels)
    for routes in guests:
        if routes.digest != plan.topic.digest:
            continue
        # Behind its own: what becomes of an event is told by those where both would refuse it.
        clean += [_as_clean(route) for route in routes.clean if route.to not in known]
        labels += [_as_labels(route) for route in routes.labels if route.to not in known]
        known |= {route.to for route in routes.clean} | {route.to for route in routes.labels}
    return replace(plan, clean=tuple(clean), labels=tuple(labels))


def _as_clean(route: Clean) -> CleanRoute:
    return CleanRoute(
        route.to,
        route.partitions,
        tuple(route.keys),
        tuple(route.fields),
        tuple(_expression(condition) for condition in route.conditions),
        tuple(Masked(*masked) for masked in route.masked),
    )


def _as_labels(route: Labels) -> LabelRoute:
    return LabelRoute(
        route.to,
        route.partitions,
        route.id,
        _expression(route.value),
        route.model,
        task_of(route.task),
    )


def _expression(text: bytes) -> pl.Expr:
    try:
        return pl.Expr.deserialize(text)
    except (PolarsError, ValueError) as error:
        raise ComponentError(
            "an expression of a kept version",
            f"cannot be read by this version of Polars: {error}",
            "Go on with the Polars that wrote it, or remove the folder versions of the run: then "
            "no version can be gone back to.",
        ) from error
