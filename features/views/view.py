"""Views as users declare them: features of one entity, computed over one topic."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from freshet.features.aggregates import Aggregate
from freshet.features.rows.rows import RowPlan
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Topic, check_name

KEY_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """A feature of a view, as `view["feature"]`."""

    view: str
    feature: str

    @property
    def name(self) -> str:
        return f"{self.view}.{self.feature}"


@dataclass(frozen=True)
class View:
    """Features by `key` (one text field, or several joined with `|`) over a topic.

    `tile` is the resolution of the windows (default: a tenth of the shortest `over`); every `over` is a multiple of it.
    Beyond `max_age` since a row's newest event, values are `OUTSIDE_MAX_AGE` and missing to models.

    Raises:
        DefinitionError: an unknown field, a window that is no multiple of the tile, no features.
    """

    name: str
    topic: Topic
    key: str | tuple[str, ...]
    features: Mapping[str, Aggregate]
    tile: str | None = None
    max_age: str | None = None
    owner: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        check_name("view", self.name)
        types = {f.name: f.type for f in self.topic.events.fields}
        for k in self.keys:
            if types.get(k) not in ("string", "enum"):
                raise DefinitionError(
                    f"view {self.name}",
                    f"key {k!r} is {'of type ' + types[k] if k in types else 'not a field of ' + self.topic.name}",
                    f"Texts of {self.topic.name}: "
                    + ", ".join(n for n, t in types.items() if t in ("string", "enum"))
                    + ".",
                )
        if not self.features:
            raise DefinitionError(
                f"view {self.name}", "has no features", 'Add one, such as {"n": fr.count(over="1h")}.'
            )
        for name, feature in self.features.items():
            check_name(f"view {self.name}: feature", name)
            if not isinstance(feature, Aggregate):
                raise DefinitionError(
                    f"view {self.name}: feature {name!r}",
                    f"{feature!r} is no aggregate",
                    'Use one, such as fr.count(over="1h").',
                )
        for f in self.plan.fields:
            if types.get(f) not in ("int", "long", "float", "double", "boolean"):
                raise DefinitionError(
                    f"view {self.name}",
                    f"field {f!r} is {'of type ' + types[f] if f in types else 'not a field of ' + self.topic.name}",
                    f"Numbers of {self.topic.name}: "
                    + ", ".join(n for n, t in types.items() if t not in ("string", "enum"))
                    + ".",
                )
        if self.max_age is not None:
            milliseconds(self.max_age, "max_age")

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def max_age_ms(self) -> int:
        """0: no bound."""
        return milliseconds(self.max_age) if self.max_age else 0

    @cached_property
    def plan(self) -> RowPlan:
        """The layout of its rows and the tables that drive its kernels."""
        return RowPlan.compile(self.features, self.tile_ms)

    @cached_property
    def tile_ms(self) -> int:
        if self.tile is not None:
            return milliseconds(self.tile, "tile")
        overs = [milliseconds(over) for a in self.features.values() if (over := getattr(a, "over", None))]
        return max(1, min(overs) // 10) if overs else 60_000

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with anything that changes rows."""
        text = f"{self.topic.name} {self.keys} {text_of(self.tile_ms)} {self.plan.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def __getitem__(self, feature: str) -> FeatureRef:
        if feature not in self.features:
            raise DefinitionError(
                f"view {self.name}", f"has no feature {feature!r}", f"It has {', '.join(self.features)}."
            )
        return FeatureRef(self.name, feature)
