"""Topics as users declare them: what an event is, which are dropped, how gaps are filled, how fresh it must be."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import INTEGERS, Field, fits
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.impute import Impute

if TYPE_CHECKING:
    import polars as pl

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
ON_VIOLATION = ("serve", "fallback", "refuse")


def check_name(kind: str, name: str) -> None:
    """Raises `DefinitionError` unless `name` can stand in topic names, keys and file names."""
    if not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{kind} {name!r}",
            "is not a usable name",
            "Use a lower-case letter, then up to 62 lower-case letters, digits or underscores.",
        )


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh a topic's data and the models learned from it must be. All values are durations such as `"5s"`.

    `feature_slo` and `model_slo` bound the lags; `batch_wait` is the longest wait for a fuller batch (wall);
    `snapshot_every`, `lateness`, `label_wait` and `max_future` run on the app's clock. Beyond `model_limit` (a model lag;
    0s: the SLO) `on_violation` changes answers: `serve` does not, `fallback` answers by a rung that needs no model,
    `refuse` by an error.
    """

    feature_slo: str = "5s"
    model_slo: str = "60s"
    batch_wait: str = "50ms"
    snapshot_every: str = "5s"
    lateness: str = "2m"
    label_wait: str = "12h"
    max_future: str = "5m"
    on_violation: str = "serve"
    model_limit: str = "0s"

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name != "on_violation":
                milliseconds(getattr(self, f.name), f.name)
        if self.on_violation not in ON_VIOLATION:
            raise DefinitionError(
                f"on_violation={self.on_violation!r}", "is unknown", f"Use one of {', '.join(ON_VIOLATION)}."
            )

    def ms(self, name: str) -> int:
        """A duration of this freshness in milliseconds.

        >>> Freshness().ms("lateness")
        120000
        """
        return milliseconds(getattr(self, name), name)


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field of a topic, as `topic["field"]`; `categorical` tells models to read it as a category."""

    topic: str
    field: str
    categorical: bool


def category(ref: FieldRef) -> FieldRef:
    """Read a number (an hour, a flight number) as a category."""
    return FieldRef(ref.topic, ref.field, True)


@dataclass(frozen=True)
class Topic:
    """Events of one kind. `schema` is an Avro record: a path beside the app's file, its JSON, or an `EventSchema`.

    `event_id` names the text field that duplicates share within `dedup`, `event_time` the time (ms) that windows run
    on, `source` the text field whose values are watched one by one. `drop` names row-wise Polars filters (true: dropped,
    counted under that name); `impute` fills missing fields. `partitions` is frozen once the topic exists.

    Raises:
        DefinitionError: a name, field or duration is wrong; the text says which, and what to do.
    """

    name: str
    schema: EventSchema | str | Path | Mapping[str, Any]
    event_id: str
    event_time: str
    source: str | None = None
    drop: Mapping[str, pl.Expr] = field(default_factory=dict)
    impute: Mapping[str, Impute] = field(default_factory=dict)
    freshness: Freshness = Freshness()
    partitions: int = 1
    dedup: str = "1h"
    owner: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        check_name("topic", self.name)
        object.__setattr__(self, "schema", _load(self.schema, self.name))
        milliseconds(self.dedup, "dedup")
        if not 1 <= self.partitions <= 4096:
            raise DefinitionError(f"topic {self.name}", f"partitions={self.partitions}", "Use 1 to 4096.")
        self._expect(self.event_id, "event_id", ("string",))
        self._expect(self.event_time, "event_time", ("long",))
        if self.source is not None:
            self._expect(self.source, "source", ("string", "enum"))
        for name in (self.event_id, self.event_time):
            f = self.events[name]
            if f.nullable and not f.required:
                raise DefinitionError(
                    f"topic {self.name}",
                    f"{name!r} may be missing, and every event needs one",
                    'Add "required": true to the field in its schema.',
                )
        for name, how in self.impute.items():
            if not isinstance(how, Impute):
                raise DefinitionError(
                    f"topic {self.name}",
                    f"impute[{name!r}]={how!r} says not how",
                    "Use fr.impute.constant(…), median, mean or last.",
                )
            kinds = ("string", "enum") if isinstance(how.value, str) else ("int", "long", "float", "double")
            self._expect(name, "impute", kinds)
            if how.by is not None:
                self._expect(how.by, f"impute[{name!r}].by", ("string", "enum"))
            if how.kind == "constant":
                self._check_constant(self.events[name], how.value)
        for name in self.drop:
            check_name("filter", name)

    @property
    def events(self) -> EventSchema:
        """The schema, loaded."""
        assert isinstance(self.schema, EventSchema)
        return self.schema

    def __getitem__(self, name: str) -> FieldRef:
        f = self._expect(name, "field", None)
        return FieldRef(self.name, name, f in ("string", "enum", "boolean"))

    def _check_constant(self, f: Field, value: float | str) -> None:
        """What is filled in must be a value that an event could have had."""
        if f.type in INTEGERS and isinstance(value, float) and value.is_integer():
            value = int(value)
        if not fits(value, f.type, f.symbols):
            expected = f"one of {', '.join(f.symbols)}" if f.symbols else f"{f.type}"
            known = f"It must be {expected}."
        elif f.domain is not None and value not in f.domain:
            known = f"Its domain is {', '.join(f.domain)}."
        elif f.range is not None and not f.range[0] <= float(value) <= f.range[1]:
            known = f"Its range is {f.range[0]} to {f.range[1]}."
        else:
            return
        raise DefinitionError(f"topic {self.name}", f"impute[{f.name!r}]={value!r} is no value of that field", known)

    def _expect(self, name: str, role: str, kinds: tuple[str, ...] | None) -> str:
        known = {f.name: f.type for f in self.events.fields}
        if name not in known:
            raise DefinitionError(
                f"topic {self.name}", f"{role} {name!r} is not in its schema", f"Its fields are {', '.join(known)}."
            )
        if kinds is not None and known[name] not in kinds:
            raise DefinitionError(
                f"topic {self.name}",
                f"{role} {name!r} is of type {known[name]}",
                f"It must be of type {' or '.join(kinds)}.",
            )
        return known[name]


def _load(schema: EventSchema | str | Path | Mapping[str, Any], topic: str) -> EventSchema:
    if isinstance(schema, EventSchema):
        return schema
    if isinstance(schema, Mapping):
        return EventSchema.parse(dict(schema), topic)
    if isinstance(schema, str) and schema.lstrip().startswith("{"):
        return EventSchema.parse(schema, topic)
    return EventSchema.load(_beside_the_app(Path(schema)))


def _beside_the_app(path: Path) -> Path:
    """A relative path is meant from the file that declares the topic: the first frame outside this file."""
    if path.is_absolute():
        return path
    frame = sys._getframe(1)
    while (
        frame.f_back is not None and frame.f_globals.get("__name__") == __name__
    ) or "__file__" not in frame.f_globals:
        assert frame.f_back is not None
        frame = frame.f_back
    return Path(frame.f_globals["__file__"]).resolve().parent / path
