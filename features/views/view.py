"""Views as users declare them: features of one entity, computed over one topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from freshet.features.aggregates import Aggregate, inputs_of
from freshet.features.inputs import Condition, Input, check_duration
from freshet.features.keeping import longest_ms
from freshet.features.rows.plan import LAYOUT, RowPlan
from freshet.features.rows.rings import TILES_A_WINDOW
from freshet.schemas.declared import check_each, check_kind
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import INTEGERS, KEY_TYPES, NUMBERS
from freshet.schemas.text import keys
from freshet.schemas.topics.digests import Facts, digest_of, fields_read, of_field
from freshet.schemas.topics.topic import Topic, check_name
from freshet.streams.intake.expressions import check_row_wise


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """A feature of a view, as `view["feature"]` gives it; not made directly.

    Args:
        view: Name of the view.
        feature: Name of the feature.
        made_from: The digest of what its values come from; empty where nobody asks for it.
    """

    view: str
    feature: str
    made_from: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """What models, requests and heuristics call it: view and feature, joined by a dot."""
        return f"{self.view}.{self.feature}"


@dataclass(frozen=True)
class View:
    """Features of one entity, computed over the events of a topic: a row for each key.

    Values are float64, but for the `last` of an int or long field, which is that whole number with
    every digit; where a model reads them, all are float32. NaN is missing. A key without a row has
    no values at all: then counts and sums are missing, too. Rows hold tiles, and values are
    finished as of the moment of the question.

    A window is the newest `over / tile` tiles, that of the question's moment included. So it
    reaches back by at least `over - tile` and by less than `over`: a smaller tile is more exact,
    and makes busy rows longer. Unless the view declares a tile, each window has 32 of its own, and
    is exact to a 32nd of its length. Events that are older than a window, seen from the row's
    newest event, no longer enter it.

    A row begins as its events, one after the other; beyond 32 it has tiles instead, of which only
    those with events take room. No value depends on that.

    `view["feature"]` is a feature of it, for the features of a model; it raises `DefinitionError`
    for a name that the view lacks.

    Source of the tiles: the panes of Li, Maier, Tufte, Papadimos and Tucker, "No pane, no gain:
    efficient evaluation of sliding-window aggregates over data streams" (2005).

    Args:
        name: A lower-case letter, then up to 62 lower-case letters, digits or underscores.
        topic: The topic whose events it folds.
        key: The field by which there is a row, or several: string (a UUID, too), enum, int, long
            or boolean. Each value has a row of its own, and so has null: events without a key
            share one, which is read by a key that is null.
        features: Aggregates of number or boolean fields (true is 1.0), by name.
        tile: The resolution of all its windows, a duration of which every `over` is a multiple.
            None: each window has tiles of its own, as many of 32 to 16 as divide it.
        max_age: Beyond this age of a row's newest event, a duration, all of its values are
            missing, and their status is `OUTSIDE_MAX_AGE`. None: no bound.
        owner: Who answers for it; shown in the catalogue.
        description: What it is; shown in the catalogue.
        keep: For how long a row is kept after its newest event, a duration no shorter than any
            window and `max_age`. Then it is as if the key had never been seen: its values are
            missing, their status is `NOT_FOUND`, its next event begins another row, and its memory
            is given back. None: the longest window, or twice `max_age` where that is longer; for
            ever, where a feature is neither a window nor a ratio of two.

    Raises:
        DefinitionError: an unknown field or one of another type, no features, a wrong name or
            duration, a window that is no multiple of the tile or has more than 65,536 of them,
            a `keep` that is shorter than a window or than `max_age`.

    Examples:
        >>> import freshet as fr
        >>> deliveries = fr.Topic(
        ...     "deliveries",
        ...     {
        ...         "type": "record",
        ...         "name": "delivery",
        ...         "fields": [
        ...             {"name": "parcel", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "courier", "type": "string"},
        ...             {"name": "minutes_late", "type": "double"},
        ...         ],
        ...     },
        ...     event_id="parcel",
        ...     event_time="at",
        ... )
        >>> by_courier = fr.View(
        ...     "by_courier",
        ...     deliveries,
        ...     key="courier",
        ...     features={"n_1h": fr.count(over="1h"), "late": fr.decayed_mean("minutes_late")},
        ...     max_age="1d",
        ... )
        >>> by_courier["n_1h"].name, by_courier.tiles
        ('by_courier.n_1h', '32 a window')
    """

    name: str
    topic: Topic
    key: str | tuple[str, ...]
    features: Mapping[str, Aggregate]
    tile: str | None = None
    max_age: str | None = None
    owner: str = ""
    description: str = ""
    keep: str | None = None

    def __post_init__(self) -> None:
        check_name("view", self.name)
        where = f"view {self.name}"
        check_kind(
            where, "topic", self.topic, Topic, "Name the topic itself: the variable, not its text."
        )
        check_kind(where, "features", self.features, Mapping, 'Write {"n": fr.count(over="1h")}.')
        if not isinstance(self.key, str):
            check_each(
                where,
                "key",
                self.key,
                str,
                f"A key is the name of a field of {self.topic.name}, or several.",
            )
        types = {own.name: own.type for own in self.topic.all_fields.fields}
        for key in self.keys:
            if types.get(key) not in KEY_TYPES:
                may_be = [name for name, type_ in types.items() if type_ in KEY_TYPES]
                raise DefinitionError(
                    f"view {self.name}",
                    f"key {key!r} is {self._what(types, key)}",
                    f"Fields of {self.topic.name} that may be keys: {', '.join(may_be)}.",
                )
        if not self.features:
            raise DefinitionError(
                f"view {self.name}",
                "has no features",
                'Add one, such as {"n": fr.count(over="1h")}.',
            )
        for name, feature in self.features.items():
            check_name(f"view {self.name}: feature", name)
            if not isinstance(feature, Aggregate):
                raise DefinitionError(
                    f"view {self.name}: feature {name!r}",
                    f"{feature!r} is no aggregate",
                    'Use one, such as fr.count(over="1h").',
                )
            for own in inputs_of(feature):
                if own.where is None:
                    continue
                check_row_wise(
                    own.where.expression,
                    self.topic.all_fields,
                    f"view {self.name}: feature {name!r}: where",
                    true_or_false=True,
                )
        for used in (own.field for own in self.inputs if own.field is not None):
            # What is no field counts as none of them.
            if types.get(used) not in NUMBERS:
                numbers = [name for name, type_ in types.items() if type_ in NUMBERS]
                raise DefinitionError(
                    f"view {self.name}",
                    f"field {used!r} is {self._what(types, used)}",
                    f"Numbers of {self.topic.name}: {', '.join(numbers)}.",
                )
        if self.max_age is not None:
            milliseconds(self.max_age, "max_age")
        if self.keep is not None:
            self._check_keep(self.keep)
        _ = self.plan  # what is wrong with its windows is told when they are declared

    def _check_keep(self, keep: str) -> None:
        """What is read must be kept for so long."""
        check_duration(keep, f"view {self.name}: keep")
        keep_ms = milliseconds(keep)
        least = {"its longest window": longest_ms(self.features), "max_age": self.max_age_ms}
        for what, least_ms in least.items():
            if keep_ms < least_ms:
                raise DefinitionError(
                    f"view {self.name}",
                    f"keep={keep} is shorter than {what}, {text_of(least_ms)}",
                    f'Write keep="{text_of(least_ms)}" or more, or leave it out.',
                )

    def _what(self, types: Mapping[str, str], field: str) -> str:
        if field in types:
            return f"of type {types[field]}"
        return f"not a field of {self.topic.name}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of its key, in order."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def max_age_ms(self) -> int:
        """`max_age` in milliseconds. 0: no bound."""
        return milliseconds(self.max_age) if self.max_age else 0

    @cached_property
    def plan(self) -> RowPlan:
        """The layout of its rows and the tables that drive its kernels. Features are laid out by
        name: in which order they were declared means nothing."""
        whole = {own.name for own in self.topic.all_fields.fields if own.type in INTEGERS}
        integers = [own.name for own in self.inputs if own.field in whole]
        by_name = dict(sorted(self.features.items()))
        return RowPlan.compile(
            by_name,
            self.tile_ms,
            integers,
            milliseconds(self.keep) if self.keep else 0,
            self.max_age_ms,
        )

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """What its features take of an event, each once, in the order of `plan.fields`."""
        by_name = dict(sorted(self.features.items()))
        taken = [own for feature in by_name.values() for own in inputs_of(feature)]
        return tuple(dict.fromkeys(taken))

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Those of its inputs, each once."""
        found = [own.where for own in self.inputs if own.where is not None]
        return tuple(dict.fromkeys(found))

    @cached_property
    def tile_ms(self) -> int | None:
        """The declared width of all tiles in milliseconds. None: each window has its own."""
        if self.tile is None:
            return None
        return milliseconds(self.tile, "tile")

    @property
    def tiles(self) -> str:
        """How fine its windows are, as catalogue and command line say it."""
        if self.tile_ms is not None:
            return text_of(self.tile_ms)
        if not self.plan.rings:
            return "none"
        return f"{TILES_A_WINDOW} a window"

    @cached_property
    def facts(self) -> Facts:
        """All that decides what its rows hold, by name."""
        schema = self.topic.all_fields
        names = {*self.keys, *(own.field for own in self.inputs if own.field is not None)}
        for condition in self.conditions:
            names |= fields_read(condition.expression)
        read = {f"field {name}": of_field(schema[name]) for name in sorted(names)}
        features = {f"feature {name}": str(what) for name, what in self.features.items()}
        own = {
            f"topic {self.topic.name}": self.topic.digest,
            "key": ", ".join(self.keys),
            "tile": self.tiles,
            "layout": f"{LAYOUT}, keys {keys.ENCODING}",
        }
        # Only of views that have some: all others are what they always were.
        if self.plan.wholes:
            own["whole numbers"] = ", ".join(self.plan.wholes)
        if self.keep is not None:
            own["keep"] = text_of(milliseconds(self.keep))
        return {**own, **read, **features}

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with anything that changes rows."""
        return digest_of(self.facts)

    @cached_property
    def values_digest(self) -> str:
        """Also with what is read of them."""
        max_age = text_of(self.max_age_ms)
        return digest_of({"rows": self.digest, "max_age": max_age})

    def __getitem__(self, feature: str) -> FeatureRef:
        if feature not in self.features:
            raise DefinitionError(
                f"view {self.name}",
                f"has no feature {feature!r}",
                f"It has {', '.join(self.features)}.",
            )
        return FeatureRef(self.name, feature, self.values_digest)
