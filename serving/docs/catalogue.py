"""The catalogue of an app: what its topics, views and models are, who owns them, and how fresh they
are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from freshet.features.aggregates import Age, Aggregate, DecayedMean, Last, Window
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.schemas.durations import text_of
from freshet.schemas.events.field import Field
from freshet.schemas.topics.topic import Topic


class FieldEntry(msgspec.Struct):
    """A field of a topic's events. `type` is Avro's; `unit` is the schema's attribute of that name,
    where it has one; `range` bounds numbers, `domain` lists the texts allowed."""

    name: str
    type: str
    required: bool
    unit: str | None
    description: str
    range: tuple[float, float] | None = None
    domain: tuple[str, ...] | None = None
    imputed: str | None = None


class TopicEntry(msgspec.Struct):
    """`log` is the topic's name in the log, `freshness` its settings as the app declares them."""

    name: str
    log: str
    owner: str
    description: str
    event_id: str
    event_time: str
    source: str | None
    partitions: int
    schema_id: int
    schema_version: int
    digest: str
    fields: list[FieldEntry]
    drop: list[str]
    freshness: dict[str, str]


class FeatureEntry(msgspec.Struct):
    """A feature of a view: `aggregation` of `field` (null: of the events themselves) over `window`
    or with `half_life`."""

    name: str
    dtype: str
    aggregation: str
    field: str | None
    window: str | None
    half_life: str | None
    unit: str | None


class ViewEntry(msgspec.Struct):
    """`keys` are the entity columns that a request sends; beyond `max_age` (null: no bound) values
    are not given."""

    name: str
    topic: str
    owner: str
    description: str
    keys: list[str]
    features: list[FeatureEntry]
    max_age: str | None
    tile: str
    digest: str
    feature_slo: str


class ModelInput(msgspec.Struct):
    """A feature of a model: a `category` or a `number` of the request, or one of a `view`, as
    `view:feature`."""

    name: str
    kind: str


class ModelEntry(msgspec.Struct):
    """Requests carry the fields of topic `on`; labels come from `label_topic`, at most `label_wait`
    later."""

    name: str
    owner: str
    description: str
    on: str
    id: str
    features: list[ModelInput]
    label_topic: str
    label_id: str
    label: str
    label_wait: str
    model_slo: str
    snapshot_every: str
    on_violation: str
    lineages: list[str]
    slices: list[str]
    digest: str


class Catalogue(msgspec.Struct):
    app: str
    topics: list[TopicEntry]
    views: list[ViewEntry]
    models: list[ModelEntry]


def catalogue(
    app: str, topics: Sequence[tuple[Topic, str]], views: Sequence[View], models: Sequence[Model]
) -> Catalogue:
    """The catalogue of an app's definitions; `topics` come with their logs' names."""
    return Catalogue(
        app,
        [_topic(t, log) for t, log in topics],
        [_view(v) for v in views],
        [_model(m) for m in models],
    )


def _topic(t: Topic, log: str) -> TopicEntry:
    return TopicEntry(
        name=t.name,
        log=log,
        owner=t.owner,
        description=t.description or t.events.description,
        event_id=t.event_id,
        event_time=t.event_time,
        source=t.source,
        partitions=t.partitions,
        schema_id=t.events.schema_id,
        schema_version=t.events.version,
        digest=t.events.digest,
        fields=[_field(t, f) for f in t.events.fields],
        drop=list(t.drop),
        freshness={name: getattr(t.freshness, name) for name in t.freshness.__slots__},
    )


def _field(t: Topic, f: Field) -> FieldEntry:
    how = t.impute.get(f.name)
    return FieldEntry(
        name=f.name,
        type=f.type,
        required=f.required or not f.nullable,
        unit=_unit(t, f.name),
        description=f.description,
        range=f.range,
        domain=f.domain or f.symbols or None,
        imputed=None if how is None else f"{how.kind} by {how.by}" if how.by else how.kind,
    )


def _unit(t: Topic, field: str) -> str | None:
    if field == t.event_time or t.events[field].logical == "timestamp-millis":
        return "ms since 1970"
    raw: dict[str, Any] = t.events.avro["fields"][t.events.position(field)]
    return raw.get("unit")


def _view(v: View) -> ViewEntry:
    return ViewEntry(
        name=v.name,
        topic=v.topic.name,
        owner=v.owner,
        description=v.description,
        keys=list(v.keys),
        features=[_feature(v, name, a) for name, a in v.features.items()],
        max_age=v.max_age,
        tile=text_of(v.tile_ms),
        digest=v.digest,
        feature_slo=v.topic.freshness.feature_slo,
    )


def _feature(v: View, name: str, a: Aggregate) -> FeatureEntry:
    field = getattr(a, "field", None)
    kind = (
        a.kind
        if isinstance(a, Window)
        else {Last: "last", DecayedMean: "decayed_mean", Age: "age"}[type(a)]
    )
    if isinstance(a, Age):
        unit: str | None = "s"
    elif kind == "count":
        unit = "events"
    else:
        unit = _unit(v.topic, field) if field else None
    over, half_life = getattr(a, "over", None), getattr(a, "half_life", None)
    return FeatureEntry(name, "double", kind, field, over, half_life, unit)


def _model(m: Model) -> ModelEntry:
    freshness = m.label.topic.freshness
    return ModelEntry(
        name=m.name,
        owner=m.owner,
        description=m.description,
        on=m.on.name,
        id=m.id,
        features=[_input(f) for f in m.features],
        label_topic=m.label.topic.name,
        label_id=m.label.id,
        label=str(m.label.value),
        label_wait=freshness.label_wait,
        model_slo=freshness.model_slo,
        snapshot_every=freshness.snapshot_every,
        on_violation=freshness.on_violation,
        lineages=[m.lineage(x) for x in m.learners],
        slices=list(m.slices),
        digest=m.vectors.digest,
    )


def _input(f: Any) -> ModelInput:
    if isinstance(f, FeatureRef):
        return ModelInput(f"{f.view}:{f.feature}", "view")
    return ModelInput(f.field, "category" if f.categorical else "number")
