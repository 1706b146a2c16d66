"""Views as users declare them: features of one entity, computed over one topic or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from freshet.features.aggregates import GIVES_A_VALUE, Aggregate, LastDistinct, inputs_of
from freshet.features.inputs import Input, check_duration
from freshet.features.keeping import longest_ms
from freshet.features.rows.plan import LAYOUT, RowPlan
from freshet.features.rows.rings import TILES_A_WINDOW
from freshet.features.views.checks import (
    check_features,
    check_key,
    check_topics,
    is_text,
    texts_of,
    topics_of,
)
from freshet.schemas.declared import check_kind
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import INTEGERS, TEXTS
from freshet.schemas.text import keys
from freshet.schemas.topics.digests import Facts, detailed, digest_of, fields_read, of_field
from freshet.schemas.topics.topic import Topic, check_name
from freshet.streams.admission.excluded import EXCLUDED, NOTHING, Excluded


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """A feature of a view, as `view["feature"]` gives it; not made directly.

    Args:
        view: Name of the view.
        feature: Name of the feature.
        made_from: The digest of what its values come from; empty where nobody asks for it.
        is_text: Whether its values are texts, which models read as categories.
        meaning: The digest of what its own values come from, whatever else the view has.
        keys: The fields by which its row is found.
    """

    view: str
    feature: str
    made_from: str = field(default="", repr=False, compare=False)
    is_text: bool = field(default=False, repr=False, compare=False)
    meaning: str = field(default="", repr=False, compare=False)
    keys: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def name(self) -> str:
        """What models, requests and heuristics call it: view and feature, joined by a dot."""
        return f"{self.view}.{self.feature}"


@dataclass(frozen=True)
class View:
    """Features of one entity, computed over the events of a topic, or of several that share its
    key: a row for each key.

    Values are float64, but for the `last`, `first`, `last_distinct` and `most_frequent` of an int
    or long field, which are whole numbers with every digit, and of a text, which are texts; where a
    model reads them, numbers are float32, and texts categories. NaN is missing. Texts that are
    neither of an enum nor of a domain stand in the row itself: of one that is longer than 256 bytes
    what it begins with, `…`, and 16 hexadecimal digits of its hash, 256 bytes in all.

    A key without a row has no values at all: then counts and sums are missing, too. Rows hold
    tiles, and values are finished as of the moment of the question.

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
        topic: The topic whose events it folds, or a list of several. Their key is of one kind, and
            a row is of the events of all. `fr.of(topic, …)` is an aggregate of one topic's events;
            any other is of those of all, which must all have its field.
        key: The field by which there is a row, or several: string (a UUID, too), enum, int, long
            or boolean. Each value has a row of its own, and so has null: events without a key
            share one, which is read by a key that is null. `()`: one row for all events, which is
            read without a key. One process folds it, as it does each partition.
        features: Aggregates of number or boolean fields (true is 1.0), by name. `distinct` is of
            texts, too, and so are `last`, `first`, `last_distinct` and `most_frequent`, which then
            give texts.
        tile: The resolution of all its windows, a duration of which every `over` is a multiple.
            None: each window has tiles of its own, as many of 32 to 16 as divide it.
        max_age: Beyond this age of a row's newest event, a duration, all of its values are
            missing, and their status is `OUTSIDE_MAX_AGE`. None: no bound.
        owner: Who answers for it; shown in the catalogue.
        description: What it is; shown in the catalogue.
        keep: For how long a row is kept after its newest event, a duration no shorter than any
            window and `max_age`. Then it is as if the key had never been seen: its values are
            missing, their status is `NOT_FOUND`, its next event begins another row, and its memory
            is given back. None: the longest window (`over`), or twice `max_age` where that is
            longer; for ever, where a feature has none.

    Raises:
        DefinitionError: an unknown field or one of another type, a key of two kinds, no features, a
            wrong name or duration, a window that is no multiple of the tile or has more than 65,536
            of them, a `keep` that is shorter than a window or than `max_age`.

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
    topic: Topic | Sequence[Topic]
    key: str | tuple[str, ...]
    features: Mapping[str, Aggregate]
    tile: str | None = None
    max_age: str | None = None
    owner: str = ""
    description: str = ""
    keep: str | None = None
    # Of its topics, by name, the events that were taken out of it. Nothing that is declared: a
    # command does that, to a run.
    excluded: ClassVar[Mapping[str, Excluded]] = NOTHING

    def __post_init__(self) -> None:
        check_name("view", self.name)
        where = f"view {self.name}"
        check_topics(where, self.topic)
        check_kind(where, "features", self.features, Mapping, 'Write {"n": fr.count(over="1h")}.')
        check_key(where, self.key, self.topics)
        check_features(where, self.features, self.topics)
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

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics whose events it folds, in order of declaration."""
        return (self.topic,) if isinstance(self.topic, Topic) else tuple(self.topic)

    def is_over(self, topic: str) -> bool:
        """Whether it folds the events of a topic of that name."""
        return topic in [own.name for own in self.topics]

    @property
    def topic_names(self) -> str:
        """The same by name, as catalogue and command line have them."""
        return ", ".join(topic.name for topic in self.topics)

    @property
    def partitions(self) -> int:
        """How many its rows are spread over: as many as its topics have at most; one where a single
        row is of all events."""
        if not self.keys:
            return 1
        return max(topic.partitions for topic in self.topics)

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
        integers = [own.name for own in self.inputs if self._is_whole(own)]
        by_name = dict(sorted(self.features.items()))
        return RowPlan.compile(
            by_name,
            self.tile_ms,
            integers,
            milliseconds(self.keep) if self.keep else 0,
            self.max_age_ms,
            [own.name for own in self.inputs if self._is_open(own)],
        )

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """What its features take of an event, each once, in the order of `plan.fields`."""
        by_name = dict(sorted(self.features.items()))
        taken = [own for feature in by_name.values() for own in inputs_of(feature)]
        return tuple(dict.fromkeys(taken))

    def inputs_of(self, topic: Topic) -> tuple[Input, ...]:
        """Those of its inputs that are of a topic's events."""
        return tuple(own for own in self.inputs if own.topic in (None, topic.name))

    def _is_whole(self, own: Input) -> bool:
        """Whether its values are whole numbers to the last digit, or texts, which are kept as their
        codes, in each topic that has them."""
        if own.field is None:
            return False
        exact = (*INTEGERS, *TEXTS)
        of_these = topics_of(own, self.topics)
        return all(topic.all_fields[own.field].type in exact for topic in of_these)

    def _is_open(self, own: Input) -> bool:
        """Whether it may be any text, so that a row must have the text itself."""
        return is_text(own, self.topics) and not texts_of(own, self.topics)

    @cached_property
    def text_features(self) -> frozenset[str]:
        """The features whose values are texts."""
        return frozenset(
            name
            for name, feature in self.features.items()
            if isinstance(feature, GIVES_A_VALUE) and is_text(feature.input, self.topics)
        )

    @cached_property
    def texts(self) -> Mapping[str, tuple[str, ...]]:
        """The features that are texts of which all are declared, and all that each can be."""
        found: dict[str, tuple[str, ...]] = {}
        for name, feature in self.features.items():
            if not isinstance(feature, GIVES_A_VALUE):
                continue
            for own in inputs_of(feature):
                possible = texts_of(own, self.topics)
                if possible:
                    found[name] = possible
        return found

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
        if not self.plan.spans:
            return "none"
        return f"{TILES_A_WINDOW} a window"

    @cached_property
    def facts(self) -> Facts:
        """All that decides what its rows hold, by name."""
        gone = {
            f"{EXCLUDED} of {name}": detailed(
                f"{len(own):,} events, by {', '.join(map(str, own.numbers))}",
                repr(own.places.tolist()),
            )
            for name, own in self.excluded.items()
        }
        return {**self._declared, **gone}

    @cached_property
    def _declared(self) -> Facts:
        features = {f"feature {name}": str(what) for name, what in self.features.items()}
        own = {
            "key": ", ".join(self.keys),
            "tile": self.tiles,
            "layout": f"{LAYOUT}, keys {keys.ENCODING}",
        }
        read = {}
        for topic in self.topics:
            own[f"topic {topic.name}"] = topic.digest
            # One of several has fields of its own under names that others have, too.
            whose = f" of {topic.name}" if len(self.topics) > 1 else ""
            for name in sorted(self._fields_read(topic)):
                read[f"field {name}{whose}"] = of_field(topic.all_fields[name])
        # Only of views that have some: all others are what they always were.
        if whole := [name for name in self.plan.whole_names if name not in self.text_features]:
            own["whole numbers"] = ", ".join(whole)
        if self.plan.texts is not None:
            own["texts"] = ", ".join(self.plan.texts.names)
        if self.keep is not None:
            own["keep"] = text_of(milliseconds(self.keep))
        return {**own, **read, **features}

    def _fields_read(self, topic: Topic) -> set[str]:
        """What its rows depend on of a topic's fields."""
        names = {*self.keys}
        for own in self.inputs_of(topic):
            if own.field is not None:
                names.add(own.field)
            if own.where is not None and own.where.expression is not None:
                names |= fields_read(own.where.expression)
        return names

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with anything that changes rows."""
        return digest_of(self.facts)

    @cached_property
    def values_digest(self) -> str:
        """Also with what is read of them."""
        max_age = text_of(self.max_age_ms)
        # Not of what was taken out: models are asked as before.
        return digest_of({"rows": digest_of(self._declared), "max_age": max_age})

    def _meaning(self, feature: str) -> str:
        """Of one feature's values: no other feature changes them, but by how long rows are kept."""
        own = inputs_of(self.features[feature])
        names = {*self.keys, *(each.field for each in own if each.field is not None)}
        for each in own:
            if each.where is not None and each.where.expression is not None:
                names |= fields_read(each.where.expression)
        told = {
            "feature": str(self.features[feature]),
            "key": ", ".join(self.keys),
            # Without one a window has tiles of its own.
            "tile": text_of(self.tile_ms or 0),
            "layout": f"{LAYOUT}, keys {keys.ENCODING}",
            "keep": text_of(self.plan.keep_ms),
            "max_age": text_of(self.max_age_ms),
            "whole": str(any(self._is_whole(each) for each in own)),
            "open": str(any(self._is_open(each) for each in own)),
        }
        for topic in self.topics:
            told[f"topic {topic.name}"] = topic.digest
            for name in sorted(names & {known.name for known in topic.all_fields.fields}):
                told[f"field {name} of {topic.name}"] = of_field(topic.all_fields[name])
        return digest_of(told)

    def __getitem__(self, feature: str) -> FeatureRef:
        if feature not in self.features:
            raise DefinitionError(
                f"view {self.name}",
                f"has no feature {feature!r}",
                f"It has {', '.join(self.features)}.",
            )
        declared = self.features[feature]
        if isinstance(declared, LastDistinct) and declared.n is not None:
            raise DefinitionError(
                f"view {self.name}: feature {feature!r}",
                f"is a list of up to {declared.n}, and models read one value a feature",
                "Declare those that the model reads one by one, which makes rows no longer: "
                f'fr.last_distinct("{declared.field}", 1), say.',
            )
        return FeatureRef(
            self.name,
            feature,
            self.values_digest,
            is_text=feature in self.text_features,
            meaning=self._meaning(feature),
            keys=self.keys,
        )
