"""The catalogue of an app: what its topics, views and models are, who owns them, and how fresh they
are kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from freshet.features.aggregates import (
    Age,
    Aggregate,
    DecayedMean,
    DecayedTotal,
    First,
    Last,
    Ratio,
    TimeSince,
    Window,
    inputs_of,
)
from freshet.features.keeping import FOR_EVER
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.learners.on_demand import OnDemand
from freshet.schemas.durations import text_of
from freshet.schemas.events.field import Field
from freshet.schemas.events.times import counted_by
from freshet.schemas.topics.digests import shown
from freshet.schemas.topics.topic import FieldRef, Topic


class FieldEntry(msgspec.Struct):
    """A field of a topic's events. `type` is Avro's; `unit` is the schema's attribute of that name,
    where it has one; `range` bounds numbers, `domain` lists the texts allowed; `derived` says how
    it is computed of others, where nobody sends it."""

    name: str
    type: str
    required: bool
    unit: str | None
    description: str
    range: tuple[float, float] | None = None
    domain: tuple[str, ...] | None = None
    imputed: str | None = None
    derived: str | None = None


class TopicEntry(msgspec.Struct):
    """`log` is the topic's name in the log, `freshness` its settings as the app declares them."""

    name: str
    log: str
    owner: str
    description: str
    event_id: str | None
    event_time: str | None
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
    or with `half_life`, of the events for which `where` is true (null: of all), and that are of
    `topic` (null: of all that the view is over)."""

    name: str
    dtype: str
    aggregation: str
    field: str | None
    window: str | None
    half_life: str | None
    unit: str | None
    where: str | None = None
    topic: str | None = None


class ViewEntry(msgspec.Struct):
    """`keys` are the entity columns that a request sends (none: there is one row); beyond `max_age`
    (null: no bound) values are not given, and beyond `kept` (null: for ever) a key is as one that
    was never seen. `topic` names all `topics` in one text; of several the tightest `feature_slo`
    holds."""

    name: str
    topic: str
    topics: list[str]
    owner: str
    description: str
    keys: list[str]
    features: list[FeatureEntry]
    max_age: str | None
    tile: str
    digest: str
    feature_slo: str
    kept: str | None = None


class ModelInput(msgspec.Struct):
    """A feature of a model: a `category` or a `number` of the request, one of a `view`, as
    `view:feature`, or one that is computed `on demand`, by what `computed` says."""

    name: str
    kind: str
    computed: str | None = None


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
        [_topic(topic, log) for topic, log in topics],
        [_view(view) for view in views],
        [_model(model) for model in models],
    )


def _topic(topic: Topic, log: str) -> TopicEntry:
    return TopicEntry(
        name=topic.name,
        log=log,
        owner=topic.owner,
        description=topic.description or topic.events.description,
        event_id=topic.event_id,
        event_time=topic.time_field,
        source=topic.source,
        partitions=topic.partitions,
        # Those that producers write by.
        schema_id=topic.declared.schema_id,
        schema_version=topic.declared.version,
        digest=topic.declared.digest,
        fields=[_field(topic, field) for field in topic.all_fields.fields],
        drop=list(topic.drop),
        freshness={name: getattr(topic.freshness, name) for name in topic.freshness.__slots__},
    )


def _field(topic: Topic, declared: Field) -> FieldEntry:
    how = topic.impute.get(declared.name)
    imputed: str | None = None
    if how is not None:
        imputed = how.kind
        if how.by:
            imputed += f" by {how.by}"
    return FieldEntry(
        name=declared.name,
        type=declared.type,
        required=declared.required or not declared.nullable,
        unit=_unit(topic, declared.name),
        description=declared.description,
        range=declared.range,
        domain=declared.domain or declared.symbols or None,
        imputed=imputed,
        derived=_derived(topic, declared.name),
    )


def _derived(topic: Topic, field: str) -> str | None:
    for made in topic.derivations:
        if made.field.name == field:
            return shown(made.fact)
    return None


def _unit(topic: Topic, field: str) -> str | None:
    if topic.time is not None and field == topic.time.field:
        return topic.time.counted
    declared = topic.all_fields[field]
    counted = counted_by(declared)
    if counted is not None:
        return counted
    return declared.unit


_KINDS: dict[type[Aggregate], str] = {
    Age: "age",
    DecayedMean: "decayed_mean",
    First: "first",
    Last: "last",
    TimeSince: "time_since",
}


def _view(view: View) -> ViewEntry:
    return ViewEntry(
        name=view.name,
        topic=view.topic_names,
        topics=[topic.name for topic in view.topics],
        owner=view.owner,
        description=view.description,
        keys=list(view.keys),
        features=[_feature(view, name, aggregate) for name, aggregate in view.features.items()],
        max_age=view.max_age,
        tile=view.tiles,
        digest=view.digest,
        feature_slo=min(view.topics, key=_slo_ms).freshness.feature_slo,
        kept=_kept(view),
    )


def _kept(view: View) -> str | None:
    if view.plan.keep_ms == FOR_EVER:
        return None
    return text_of(view.plan.keep_ms)


def _feature(view: View, name: str, aggregate: Aggregate) -> FeatureEntry:
    # A count has no field, only a window has a span, only a decay a half-life.
    field = getattr(aggregate, "field", None)
    kind: str
    if isinstance(aggregate, Window | DecayedTotal):
        kind = aggregate.kind
    elif isinstance(aggregate, Ratio):
        kind = shown(str(aggregate))
    else:
        kind = _KINDS[type(aggregate)]
    unit = None
    # What an age and a count are of has a unit of its own, which is not theirs.
    if isinstance(aggregate, Age | TimeSince):
        unit = "s"
    elif isinstance(aggregate, Window) and aggregate.per is not None:
        unit = f"events per {aggregate.per}"
    elif kind in ("count", "decayed_count"):
        unit = "events"
    elif kind == "variance" and field:
        own = _unit_in(view, aggregate, field)
        unit = None if own is None else f"({own})^2"
    elif field:
        unit = _unit_in(view, aggregate, field)
    over = getattr(aggregate, "over", None)
    half_life = getattr(aggregate, "half_life", None)
    where = None
    topic = None
    # Those of a ratio's parts stand in its text.
    if not isinstance(aggregate, Ratio):
        for taken in inputs_of(aggregate):
            topic = taken.topic
            if taken.where is not None and taken.where.expression is not None:
                where = str(taken.where)
    return FeatureEntry(name, "double", kind, field, over, half_life, unit, where, topic)


def _unit_in(view: View, aggregate: Aggregate, field: str) -> str | None:
    """What a field of its is counted by, if it is that in all topics that it is of."""
    (taken,) = inputs_of(aggregate)
    units = {_unit(topic, field) for topic in view.topics if taken.topic in (None, topic.name)}
    if len(units) > 1:
        return None
    return units.pop()


def _slo_ms(topic: Topic) -> int:
    return topic.freshness.ms("feature_slo")


def _model(model: Model) -> ModelEntry:
    freshness = model.label.topic.freshness
    return ModelEntry(
        name=model.name,
        owner=model.owner,
        description=model.description,
        on=model.on.name,
        id=model.id,
        features=[_input(model, feature) for feature in model.read],
        label_topic=model.label.topic.name,
        label_id=model.label.id,
        label=str(model.label.value),
        label_wait=freshness.label_wait,
        model_slo=freshness.model_slo,
        snapshot_every=freshness.snapshot_every,
        on_violation=freshness.on_violation,
        lineages=[model.lineage(learner) for learner in model.learners],
        slices=list(model.slices),
        digest=model.vectors.digest,
    )


def _input(model: Model, feature: FieldRef | FeatureRef | OnDemand) -> ModelInput:
    if isinstance(feature, FeatureRef):
        return ModelInput(f"{feature.view}:{feature.feature}", "view")
    if isinstance(feature, OnDemand):
        (made,) = [one for one in model.computed if one.field.name == feature.name]
        return ModelInput(feature.name, "on demand", shown(made.fact))
    kind = "number"
    if feature.categorical:
        kind = "category"
    return ModelInput(feature.field, kind)
