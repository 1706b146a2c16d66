"""On-demand features of a model: computed when a question is asked, of its fields and of features
of views together.

They are part of the vector, which is logged with the answer and learned from as it was logged: what
was served is what is learned, by one definition. The name is the field's (on-demand feature views
of Feast, realtime features of Tecton).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from freshet.features.views.view import FeatureRef
from freshet.schemas.declared import check_each, check_kind
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.derivations import (
    OWN,
    Declared,
    Derivation,
    field_name,
    settled_field,
    with_fields,
)
from freshet.schemas.topics.digests import fields_read
from freshet.schemas.topics.topic import Topic

EXAMPLE = (
    'Write fr.on_demand("times_mean", pl.col("amount") / pl.col("by_user.mean"), '
    'reads=[by_user["mean"]]).'
)


@dataclass(frozen=True, eq=False)
class OnDemand:
    """An on-demand feature, as `fr.on_demand(…)` gives it; not made directly.

    Args:
        name: What vectors call it.
        compute: What it is computed by.
        reads: The features of views that it reads.
        category: Whether models read whole numbers of it as categories.
    """

    name: str
    compute: Declared = field(repr=False)
    reads: tuple[FeatureRef, ...] = ()
    category: bool = False


def on_demand(
    name: str, compute: Declared, reads: Sequence[FeatureRef] = (), category: bool = False
) -> OnDemand:
    """A feature of a model that is computed when a question is asked, of the request's fields and
    of features of views together.

    The scorer computes it once, logs it with the rest of the vector, and learners are given what
    was logged: there is no second computation that could disagree.

    Source: the on-demand feature views of Feast, the realtime features of Tecton.

    Args:
        name: A name of its own: letters, digits or underscores, not beginning with a digit.
        compute: A row-wise Polars expression, or one of `fr.hour`, `fr.minute_of_day`,
            `fr.weekday`, `fr.day`, `fr.month`, `fr.bucket` and `fr.haversine`. It reads fields of
            the model's topic by their names, derived ones too, with the types that events have;
            features of views as `view.feature` (float64, or the text where it is one, null where
            missing; beyond 9,007,199,254,740,992 whole numbers are rounded); and on-demand features
            that stand before it.
        reads: The features of views that it reads, as `view["feature"]`. Those that are among the
            model's own features need not be named again. Others are read of the store, and are no
            part of the vector.
        category: Whether whole numbers are read as categories. Texts and truths are categories in
            any case, all others numbers (float32).

    Returns:
        What `features` of `fr.Model` takes. Its value is missing where the expression gives null
        or no finite number, fails for a row, or gives a text of more than 4,096 bytes.

    Raises:
        DefinitionError: when a model is declared with it: a name that is taken, or an expression
            that reads what is not there. That it is row-wise is checked by `fr.App`.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> payments = fr.Topic(
        ...     "payments",
        ...     {
        ...         "type": "record",
        ...         "name": "payment",
        ...         "fields": [
        ...             {"name": "id", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "user", "type": "long"},
        ...             {"name": "amount", "type": "double"},
        ...         ],
        ...     },
        ...     event_id="id",
        ...     event_time="at",
        ... )
        >>> by_user = fr.View(
        ...     "by_user", payments, key="user", features={"mean": fr.mean("amount", over="30d")}
        ... )
        >>> fr.on_demand(
        ...     "times_mean", pl.col("amount") / pl.col("by_user.mean"), reads=[by_user["mean"]]
        ... )
        OnDemand(name='times_mean', reads=(FeatureRef(view='by_user', feature='mean'),), \
category=False)
    """
    where = f"fr.on_demand({name!r})"
    check_kind(where, "name", name, str, "Give it a name of its own.")
    check_each(
        where, "reads", reads, FeatureRef, 'Name features of views: reads=[by_user["mean"]].'
    )
    check_kind(where, "category", category, bool, "Write category=True, or leave it out.")
    return OnDemand(name, compute, tuple(reads), category)


def settled(
    features: Iterable[OnDemand], read: Iterable[FeatureRef], on: Topic, model: str
) -> tuple[Derivation, ...]:
    """How a model's on-demand features are computed, in order: each may read those before it.
    `read` are the features of views that the model knows.

    Raises:
        DefinitionError: as `on_demand` says.
    """
    of_views = [
        Field(ref.name, "string" if ref.is_text else "double", null_branch=1) for ref in read
    ]
    known = with_fields(on.all_fields, of_views)
    found = []
    for feature in features:
        where = f"model {model}: on-demand feature {feature.name!r}"
        made = _settled(feature, known, on, where)
        known = with_fields(known, [made.field])
        found.append(made)
    return tuple(found)


def categories_of(features: Iterable[OnDemand], computed: Iterable[Derivation]) -> frozenset[str]:
    """The names of those that models read as texts, hashed; all others are numbers. `computed` is
    how the same are computed, in the same order."""
    return frozenset(
        feature.name
        for feature, made in zip(features, computed)
        if feature.category or made.field.type in ("string", "boolean")
    )


def made_of_views(computed: Iterable[Derivation], read: Iterable[str]) -> frozenset[str]:
    """The names of those that are made of features of views (`read`), be it by way of others."""
    of_views = {*read}
    found = set()
    for made in computed:
        if not of_views.isdisjoint(made.reads):
            of_views.add(made.field.name)
            found.add(made.field.name)
    return frozenset(found)


def _settled(feature: OnDemand, known: EventSchema, on: Topic, where: str) -> Derivation:
    import polars as pl

    if not isinstance(feature.compute, (pl.Expr, *OWN)):
        raise DefinitionError(where, f"{feature.compute!r} is no expression over fields", EXAMPLE)
    if not field_name(feature.name):
        raise DefinitionError(
            where,
            "is no name of a feature",
            "Use letters, digits and underscores, and begin with no digit.",
        )
    if feature.name in known.positions:
        what = "an on-demand feature"
        if feature.name in on.all_fields.positions:
            what = f"a field of {on.name}"
        raise DefinitionError(where, f"is {what} already", "Give it a name of its own.")
    _check_reads(feature.compute, known, on, where)
    made = settled_field(feature.name, feature.compute, known, on.time, where)
    if feature.category and made.field.type == "double":
        raise DefinitionError(
            where,
            "is a category of fractions, each of which would be one of its own",
            "Cut it into whole numbers, as .floor().cast(pl.Int64) does, or leave category out.",
        )
    return made


def _check_reads(compute: Declared, known: EventSchema, on: Topic, where: str) -> None:
    """What it reads of views must be named, as a name alone says nothing of what that is."""
    read: Iterable[str]
    if isinstance(compute, OWN):
        read = compute.reads
    else:
        read = sorted(fields_read(compute))
    if not read:
        raise DefinitionError(where, "reads no field and no feature", EXAMPLE)
    for name in read:
        # What is no text is told as of a derived field.
        if not isinstance(name, str) or name in known.positions:
            continue
        # Fields within fields have dots, too, and what they lack is told as of any other field.
        view, dot, rest = name.partition(".")
        if not dot or any(field.startswith(f"{view}.") for field in on.all_fields.positions):
            continue
        raise DefinitionError(
            where,
            f"reads {name!r}, which the model does not know",
            f'If it is a feature of view {view}, name it: reads=[{view}["{rest}"]].',
        )
