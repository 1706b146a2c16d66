"""Topics as users declare them: what an event is, which are dropped, how gaps are filled, how fresh
it must be."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from freshet.schemas.declared import check_kind
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import (
    FLOATS,
    INTEGERS,
    KEY_TYPES,
    NUMBERS,
    TEXTS,
    Field,
    fits,
)
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import EventTime, resolved
from freshet.schemas.shown_text import address as shown_address
from freshet.schemas.text import keys
from freshet.schemas.topics import derivations, headers
from freshet.schemas.topics.derivations import Declared, Derivation
from freshet.schemas.topics.digests import (
    Facts,
    digest_of,
    fields_read,
    has_rule,
    of_expression,
    of_field,
)
from freshet.schemas.topics.exploding import EXAMPLE as ONE_ARRAY
from freshet.schemas.topics.exploding import Exploding, exploding
from freshet.schemas.topics.impute import Impute
from freshet.schemas.topics.start import (
    EARLIEST,
    NEXT_STEP,
    canonical,
)
from freshet.schemas.topics.topic_statistics import Statistics

if TYPE_CHECKING:
    import polars as pl

STATISTICS = 'Write fr.Statistics(bounds={"price": 0.3}), or None: none are kept.'
TIME = 'Name a field, or write fr.time("at", unit="s").'
SCHEMA = (
    "Give an Avro record or a JSON Schema, as a dict or as JSON, or the path of a file with one."
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
CLUSTER = (
    'Write log="orders.v1", cluster="kafka://host:port", and logins for it into the setting '
    "clusters."
)
_CLUSTER = re.compile(r"kafka://[^/@?,\s]+:[0-9]{1,5}(,[^/@?,\s]+:[0-9]{1,5})*")
_LOG = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
# No registry's: those are below 2 ** 31. Not 0, which bytes that are no record often begin with.
NO_ID = headers.NO_ID
TOMBSTONES = ("ignore", "delete")
DEDUP_BY = ("partition", "topic")
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
    """How fresh a topic's data, and the models that learn from it, must be.

    A duration is a text of whole or decimal numbers with units (`ms`, `s`, `m`, `h`, `d`), such as
    `"250ms"`, `"1h30m"` or `"7d"`, and comes to whole milliseconds. `snapshot_every`, `label_wait`,
    `model_slo`, `model_limit` and, for the model lag, `on_violation` of a model are those of the
    topic of its labels. Each setting can be changed while the app runs, within bounds: see
    "Settings of a topic" in `docs/operating.md`.

    Args:
        feature_slo: Bound of the feature lag, a duration. The lag is how long ago it was that the
            rows of the topic's views were known to reflect all that the topic held, so it grows
            when a role is silent, and stays small when a source is. At least a second more than
            `batch_wait`: the time is told once a second. Beyond the bound status and alerts say so.
        model_slo: Bound of the model lag, a duration. The lag is how long ago it was that the
            served snapshot was known to reflect all labels. At least a second more than
            `snapshot_every` and `batch_wait`.
        batch_wait: The longest that intake waits for a fuller batch, a duration of the wall
            clock. Of several topics the shortest rules.
        snapshot_every: How often a learner cuts a snapshot, a duration of the app's clock: at the
            first tick at or after each multiple of it.
        lateness: How far an event's time may lie behind the newest event time of its own source
            and still count, a duration; that of an event without a source, behind the time at
            which its record was appended. What is later is dropped, and counted as late.
        label_wait: How long a prediction waits for its label, a duration of the app's clock.
        max_future: How far an event's time may lie ahead of the time at which its record was
            appended, a duration. What lies further ahead is a dead letter. `"0s"` stands for
            `lateness`: with more, one event from ahead can make those of its source late that
            come after it and are in time.
        on_violation: What answers do once the model lag is beyond `model_limit`, or the lag of a
            view over the topic beyond `feature_limit`: `"serve"` (as before), `"fallback"` (a
            declared rung that needs no model, or no features) or `"refuse"` (an error, HTTP 503).
        model_limit: The model lag beyond which `on_violation` holds, a duration. `"0s"` stands
            for `model_slo`.
        feature_limit: The feature lag beyond which `on_violation` holds, a duration. `"0s"` stands
            for `feature_slo`.

    Raises:
        DefinitionError: a value is no duration, or `on_violation` is none of the three.

    Examples:
        >>> import freshet as fr
        >>> fr.Freshness(snapshot_every="10s", label_wait="1d").model_slo
        '60s'
    """

    feature_slo: str = "5s"
    model_slo: str = "60s"
    batch_wait: str = "50ms"
    snapshot_every: str = "5s"
    lateness: str = "5m"
    label_wait: str = "12h"
    max_future: str = "0s"
    on_violation: str = "serve"
    model_limit: str = "0s"
    feature_limit: str = "0s"

    def __post_init__(self) -> None:
        for setting in fields(self):
            # All others are durations.
            if setting.name != "on_violation":
                milliseconds(getattr(self, setting.name), setting.name)
        if self.on_violation not in ON_VIOLATION:
            raise DefinitionError(
                f"on_violation={self.on_violation!r}",
                "is unknown",
                f"Use one of {', '.join(ON_VIOLATION)}.",
            )

    def ms(self, name: str) -> int:
        """One of its durations in milliseconds; `max_future` as it holds.

        Args:
            name: The name of any field but `on_violation`.

        Raises:
            DefinitionError: the field holds no duration.

        Examples:
            >>> import freshet as fr
            >>> fr.Freshness(lateness="2m").ms("lateness")
            120000
        """
        found = milliseconds(getattr(self, name), name)
        # See `max_future` above: what is believed may make no event late that is in time.
        if name == "max_future" and not found:
            return self.ms("lateness")
        return found


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field of a topic, as `topic["field"]` and `fr.category(…)` give it; not made directly.

    Args:
        topic: Name of the topic.
        field: Name of the field.
        categorical: Whether models read it as a category (a text, hashed to 64 bits) or as a
            number (float32). Texts, enums and booleans are categories unless told otherwise.
    """

    topic: str
    field: str
    categorical: bool


def category(ref: FieldRef) -> FieldRef:
    """Read a number field (an hour, a flight number) as a category: each value stands for itself.

    Args:
        ref: A field, as `topic["field"]`. Values are written as whole numbers, so 7.0 is `7`; a
            request with a fraction there is refused.

    Returns:
        The same field, to be listed among the features of a model.

    Raises:
        DefinitionError: it is no field of a topic.

    Examples:
        >>> import freshet as fr
        >>> trips = fr.Topic(
        ...     "trips",
        ...     {
        ...         "type": "record",
        ...         "name": "trip",
        ...         "fields": [
        ...             {"name": "id", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "hour", "type": "int"},
        ...         ],
        ...     },
        ...     event_id="id",
        ...     event_time="at",
        ... )
        >>> trips["hour"].categorical, fr.category(trips["hour"]).categorical
        (False, True)
    """
    expected = (
        'Name a field of a topic, as trips["hour"]; views have numbers alone, and what is computed '
        "of them is a category by fr.on_demand(…, category=True)."
    )
    check_kind("fr.category", "ref", ref, FieldRef, expected)
    return FieldRef(ref.topic, ref.field, True)


@dataclass(frozen=True)
class Topic:
    """Events of one kind: their schema, which of them are dropped, how gaps in them are filled.

    `topic["field"]` is a field of it, for the features of a model; it raises `DefinitionError` for
    a name that the schema lacks.

    Keys and ids of any of these types have one canonical text for each value: decimal digits,
    `true` or `false`, a UUID in lower case, any other text as it is.

    Source of the schema language: Apache Avro 1.12 specification. Beside Avro's own attributes a
    record may carry `"schema_id"` (of the Confluent wire format, 1 unless given) and `"version"`,
    a field `"required": true`, `"range": [lowest, highest]` (numbers, both inclusive), `"domain":
    [...]` (texts) and `"unit"`. What breaks these rules becomes a dead letter.

    Args:
        name: A lower-case letter, then up to 62 lower-case letters, digits or underscores.
        schema: An Avro record, nested as it may be but not recursive, or a JSON Schema (2020-12,
            draft-07) of objects: as a `dict`, as JSON text, as the path of a file (a relative one
            starts at the file that declares the topic) or as an `EventSchema`. Of which of the two
            kinds it is, its content tells. A field within a record is named by its path,
            `address.city`; of a union of several types each has a name of its own, `value.string`.
        event_id: The field that tells events apart: a string (a UUID, too), enum, int, long or
            boolean. Whatever freshet itself appends (pushes, agents' outputs) goes to the
            partition that its canonical text hashes to. None: every record is an event of its
            own, told apart by its place in the log; none is taken for a repeat.
        event_time: When an event was: windows, lateness and labels run on it. The name of a field:
            of a long of milliseconds since 1970 (UTC), of whole numbers whose logicalType says
            what they count, or of texts of ISO 8601 (UTC where they name no zone). For other
            units and zones `fr.time(…)`. None: the time of its record, which its producer or its
            broker wrote.
        source: A string, enum, int, long or boolean field whose values have each a clock and a
            rhythm of their own: lateness is judged source by source, and so are statistics and
            the alert of a silent one. None: no source is told apart.
        drop: Filters by name. Each is a row-wise Polars expression over the schema's fields that
            is true, false or null for an event; events for which it is true are dropped, and
            counted under the name. The first that is true counts.
        impute: How missing values of a field are filled, by field: `fr.impute.constant(…)`,
            `median`, `mean` or `last`. Filters see events as they came, views and labels as
            filled. Fields of a topic that a model is asked on take constants only.
        freshness: The bounds that the topic's data is held to.
        partitions: How many partitions its log has, 1 to 4,096. Frozen once the topic exists.
        dedup: A duration of the app's clock. Of the events of a partition that share an id and
            were appended within it of each other only the first is applied; an id is remembered
            for one to two times as long, and for a minute at least. See `dedup_by`.
        owner: Who answers for it; shown in the catalogue.
        description: What it is; shown in the catalogue.
        log: The log that it is read from, where others have made that and write it: a topic of
            Kafka with any name, keys and settings, and with `partitions` at least. freshet never
            makes it and never writes it, so pushes and replays to it are refused. On the embedded
            log, which holds nothing of others, it is made under that name. None: `APP.NAME`.
        start: Where each partition begins that this app has never read: `"earliest"`, at the first
            record that it has; `"latest"`, after the last; or a date or moment (a `date`, a
            `datetime`, or text of ISO 8601; UTC where it names no zone), at the first record that
            was appended then or later, by the record's own time, after the last where there is
            none. It is decided once, when the app first runs, and kept beside the checkpoints. A
            partition that is added later begins at its first record. Kept as text, in UTC.
        tombstone: What a record without a value does: `"ignore"`, nothing; `"delete"`, it erases
            the row of its key in the topic's views, at its own place in the log, and a later event
            makes that row anew. Then all views of the topic have one and the same field as their
            key, and a record's key is the text of it, in UTF-8.
        headers: Fields that come from headers of the records, by field the name of the header:
            nullable texts in UTF-8, to be used like fields of the schema. Of several headers of
            one name the last counts. An event may also have such a field in its value (as pushes
            and replays do), which counts where its record has no such header.
        cluster: The Kafka that `log` is on, where that is not the app's own: `kafka://host:port`,
            brokers alone. Logins and other settings for it stand in the setting `clusters`.
            freshet writes nothing there. None: the app's own.
        registry: The subject of a schema registry, such as `"orders.v1-value"`, under which the
            topic's writers register: the ids in its records are the registry's then, and what was
            written under each is asked of it (`FRESHET_REGISTRY`). `schema` is what events are
            read as. Its own `schema_id`, where it has one, must be that of the very same schema
            there: see `docs/howto/registry.md`. None: ids are those that the topic's schemas
            declare.
        derive: Fields that are computed of others, by name, once gaps are filled: each a row-wise
            Polars expression that gives a text, a number, or true or false, or one of `fr.hour`,
            `fr.minute_of_day`, `fr.weekday`, `fr.day`, `fr.month`, `fr.bucket` and `fr.haversine`.
            Each may read those before it. Views, labels and models use them like fields of the
            schema; ids, `event_time`, `source`, filters and imputes, which come before, do not.
            Whole numbers have 64 bits, other ones are float64. Missing where the expression fails
            for an event, and where it gives no finite number or a text of more than 4,096 bytes.
            Nobody sends them: of a request they are computed as of an event.
        dedup_by: Within what events that share an id are repeats: `"partition"`, one of its log;
            or `"topic"`, wherever they come. Then intake first writes all records into a log of
            the app's own, in which an id has one partition, and the first that stands there
            counts. So one write and one read more are between an event and its row; events of one
            id stay in the order in which they came, events of several ids need not. It needs an
            `event_id`; with `tombstone="delete"` that must be the key of the topic's views.
        explode: The path of an array or map in the schema, of which each element is an event of its
            own: an order of three lines is three events. Fields of an element are named by their
            paths, `lines.sku`, a plain value by the array's own name, and those of a map's entries
            `counts.key` and `counts.value`; all other fields are those of the record, in each of
            its events. Where `event_id` is no field of the element, an event is told apart by it
            and the element's place in the array. A record whose array is empty or missing has no
            event, and is counted as `empty`. Requests have the fields of one event. None: a record
            is one event.
        statistics: What the values of its fields are compared with, and when it is told of. None:
            nothing is kept of them.
        keep: For how long records stay in the topic's log, a duration of the app's clock, and in
            the logs that are made of it; what is older is read from the archive alone, where it
            lies before it is deleted. No shorter than what still needs the records: `lateness`,
            twice `dedup`, the windows of its views, twice `label_wait` of its models. From a log
            that others write nothing is deleted. None: for ever.

    Raises:
        DefinitionError: a name, field, duration, impute or partition count is wrong. The text
            says which, and what to do.
        SchemaError: the schema cannot be read, or is no such record. It is a `DefinitionError`.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> late = {"name": "minutes_late", "type": ["null", "double"], "range": [-600, 6000]}
        >>> deliveries = fr.Topic(
        ...     "deliveries",
        ...     schema={
        ...         "type": "record",
        ...         "name": "delivery",
        ...         "fields": [
        ...             {"name": "parcel", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "courier", "type": "string"},
        ...             late,
        ...         ],
        ...     },
        ...     event_id="parcel",
        ...     event_time="at",
        ...     drop={"test_runs": pl.col("courier") == "nobody"},
        ...     impute={"minutes_late": fr.impute.median(by="courier")},
        ...     freshness=fr.Freshness(lateness="5m"),
        ... )
        >>> deliveries["courier"]
        FieldRef(topic='deliveries', field='courier', categorical=True)
    """

    name: str
    schema: EventSchema | str | Path | Mapping[str, Any]
    event_id: str | None
    event_time: str | EventTime | None
    source: str | None = None
    drop: Mapping[str, pl.Expr] = field(default_factory=dict)
    impute: Mapping[str, Impute] = field(default_factory=dict)
    freshness: Freshness = Freshness()
    partitions: int = 1
    dedup: str = "1h"
    owner: str = ""
    description: str = ""
    log: str | None = None
    start: str | date = EARLIEST
    tombstone: str = "ignore"
    headers: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    registry: str | None = None
    derive: Mapping[str, Declared] = field(default_factory=dict)
    dedup_by: str = "partition"
    explode: str | None = None
    statistics: Statistics | None = field(default_factory=Statistics)
    keep: str | None = None

    def __post_init__(self) -> None:
        check_name("topic", self.name)
        where = f"topic {self.name}"
        check_kind(where, "log", self.log, (str, NoneType), 'Name a topic, such as "orders.v1".')
        check_kind(where, "event_time", self.event_time, (str, EventTime, NoneType), TIME)
        if isinstance(self.event_time, EventTime):
            check_kind(where, "event_time", self.event_time.field, str, TIME)
        check_kind(where, "cluster", self.cluster, (str, NoneType), CLUSTER)
        self._check_cluster()
        check_kind(where, "start", self.start, (str, date), NEXT_STEP)
        if self.tombstone not in TOMBSTONES:
            raise DefinitionError(
                where,
                f"tombstone={self.tombstone!r} is unknown",
                f"Use one of {', '.join(TOMBSTONES)}.",
            )
        self._check_dedup_by(where)
        # One text for each start: equal ones are one definition.
        object.__setattr__(self, "start", canonical(self.start, where))
        if self.log is not None and not _LOG.fullmatch(self.log):
            raise DefinitionError(
                f"topic {self.name}",
                f"log={self.log!r} is no name of a topic",
                "Kafka's are up to 249 letters, digits, dots, dashes and underscores.",
            )
        check_kind(where, "schema", self.schema, (EventSchema, Mapping, str, Path), SCHEMA)
        check_kind(where, "partitions", self.partitions, int, "Use 1 to 4096.")
        check_kind(
            where, "freshness", self.freshness, Freshness, 'Write fr.Freshness(feature_slo="5s").'
        )
        check_kind(where, "drop", self.drop, Mapping, 'Write {"early": pl.col("late") < 0}.')
        check_kind(where, "impute", self.impute, Mapping, 'Write {"late": fr.impute.constant(0)}.')
        # Frozen to everybody else: loaded once, here, while the file that declares it is a frame.
        object.__setattr__(self, "schema", _load(self.schema, self.name))
        self._check_registry(where)
        check_kind(where, "derive", self.derive, Mapping, derivations.EXAMPLE)
        check_kind(where, "headers", self.headers, Mapping, 'Write {"tenant": "x-tenant-id"}.')
        headers.check(self.headers, self.declared, where)
        check_kind(where, "explode", self.explode, (str, NoneType), ONE_ARRAY)
        _ = self.exploding  # what is wrong with it is told before its fields are asked for
        self._check_statistics(where)
        milliseconds(self.dedup, "dedup")
        check_kind(where, "keep", self.keep, (str, NoneType), 'Write a duration, such as "7d".')
        _ = self.keep_ms  # what is wrong with it is told when it is declared
        if not 1 <= self.partitions <= 4096:
            raise DefinitionError(
                f"topic {self.name}", f"partitions={self.partitions}", "Use 1 to 4096."
            )
        if self.event_id is not None:
            self._expect(self.event_id, "event_id", KEY_TYPES)
        _ = self.time  # what is wrong with it is told when it is declared
        if self.source is not None:
            self._expect(self.source, "source", KEY_TYPES)
        for name in (self.event_id, self.time_field):
            if name is None:
                continue
            found = self.events[name]
            # A null in a required field is a dead letter, so such a field has no gaps.
            if found.nullable and not found.required:
                instead = 'Add "required": true to the field in its schema.'
                if found.within_nullable:
                    instead += " It is missing, too, where what it stands in is."
                raise DefinitionError(
                    f"topic {self.name}",
                    f"{name!r} may be missing, and every event needs one",
                    instead,
                )
        for name, how in self.impute.items():
            if not isinstance(how, Impute):
                raise DefinitionError(
                    f"topic {self.name}",
                    f"impute[{name!r}]={how!r} says not how",
                    "Use fr.impute.constant(…), median, mean or last.",
                )
            # NaN would be missing once more, where vectors are made.
            if isinstance(how.value, float) and not math.isfinite(how.value):
                cause = f"impute[{name!r}] fills in {how.value}"
                raise DefinitionError(f"topic {self.name}", cause, "Fill in a finite number.")
            # What is filled in says which kind of field is meant.
            filled = TEXTS if isinstance(how.value, str) else (*INTEGERS, *FLOATS)
            self._expect(name, "impute", filled)
            if how.by is not None:
                self._expect(how.by, f"impute[{name!r}].by", KEY_TYPES)
            # What else is filled in came with an event, which kept the rules.
            if how.kind == "constant":
                self._check_constant(self.events[name], how.value)
        for name in self.drop:
            check_name("filter", name)
        _ = self.derivations  # what is wrong with them is told when they are declared

    def _check_dedup_by(self, where: str) -> None:
        if self.dedup_by not in DEDUP_BY:
            raise DefinitionError(
                where,
                f"dedup_by={self.dedup_by!r} is unknown",
                f"Use one of {', '.join(DEDUP_BY)}.",
            )
        if self.by_id and self.event_id is None:
            raise DefinitionError(
                where,
                'dedup_by="topic" finds repeats by their id, and event_id=None says that no event '
                "has one",
                "Name the field that tells events apart as event_id, or leave dedup_by out.",
            )
        if self.by_id and self.explode is not None:
            raise DefinitionError(
                where,
                f'dedup_by="topic" moves records to where their ids belong, and with '
                f"explode={self.explode!r} one record has events of several ids",
                "Leave one of the two out: repeats within a partition are found without dedup_by.",
            )

    @property
    def keep_ms(self) -> int | None:
        """`keep` in milliseconds."""
        if self.keep is None:
            return None
        return milliseconds(self.keep, "keep")

    @property
    def by_id(self) -> bool:
        """Whether its records are first brought together by their ids: `dedup_by="topic"`."""
        return self.dedup_by == "topic"

    def _check_statistics(self, where: str) -> None:
        check_kind(where, "statistics", self.statistics, (Statistics, NoneType), STATISTICS)
        if self.statistics is None:
            return
        for name in self.statistics.bounds:
            self._expect(name, "statistics.bounds", None)

    def _check_registry(self, where: str) -> None:
        subject = 'Name a subject of a schema registry, such as "orders-value".'
        check_kind(where, "registry", self.registry, (str, NoneType), subject)
        if self.registry is None:
            return
        if not self.registry.strip():
            raise DefinitionError(where, "registry is empty", subject)
        # Who says no id means none: the usual one would be some other schema's there.
        if "schema_id" not in self.declared.avro:
            object.__setattr__(self, "schema", replace(self.declared, schema_id=NO_ID))

    def _check_cluster(self) -> None:
        if self.cluster is None:
            return
        cause = ""
        if self.log is None:
            cause = f"names a cluster ({shown_address(self.cluster)}), and no log= there"
        elif "@" in self.cluster or "?" in self.cluster:
            # An app's file is shown, sent and kept where no password should be.
            cause = f"cluster={shown_address(self.cluster)!r} has a login or settings"
        elif not _CLUSTER.fullmatch(self.cluster):
            cause = f"cluster={shown_address(self.cluster)!r} is no address of brokers"
        if cause:
            raise DefinitionError(f"topic {self.name}", cause, CLUSTER)

    @property
    def written(self) -> Mapping[int, EventSchema]:
        """The schema that producers write by, by its wire id, where events have fields more: those
        of their headers."""
        # Of a registry's ids the registry says what they are.
        if not self.headers or self.registry is not None:
            return {}
        return {self.declared.schema_id: self.declared}

    @cached_property
    def records(self) -> EventSchema:
        """The schema of its records, loaded, with the fields of headers."""
        if not self.headers:
            return self.declared
        return headers.extended(self.declared, list(self.headers), self.name)

    @cached_property
    def exploding(self) -> Exploding | None:
        """How its records become events, where each is more than one."""
        if self.explode is None:
            return None
        return exploding(self.records, self.explode, f"topic {self.name}")

    @property
    def events(self) -> EventSchema:
        """The schema of its events: of its records, or of what they are made into. Its `fields`
        have a name, a type and rules."""
        if self.exploding is None:
            return self.records
        return self.exploding.events

    @property
    def record_id(self) -> str | None:
        """The field that tells its records apart, where one does: `event_id`, unless that is one of
        many in a record."""
        if self.event_id is None or self._is_of_element(self.event_id):
            return None
        return self.event_id

    @property
    def record_time(self) -> EventTime | None:
        """How its records say when their events were, where they all were at once."""
        if self.time is None or self._is_of_element(self.time.field):
            return None
        return self.time

    def _is_of_element(self, name: str) -> bool:
        """Whether each event of a record has a value of its own in a field."""
        # The array's own name is that of its elements, where they are plain values.
        return self.explode is not None and f"{name}.".startswith(f"{self.explode}.")

    @cached_property
    def derivations(self) -> tuple[Derivation, ...]:
        """How its derived fields are computed, in order of declaration."""
        if not self.derive:
            return ()
        return derivations.settled(self.derive, self.events, self.time, self.name)

    @cached_property
    def all_fields(self) -> EventSchema:
        """The schema with the derived fields after its own: what views, labels and models may
        name."""
        if not self.derive:
            return self.events
        return derivations.with_fields(self.events, [made.field for made in self.derivations])

    @property
    def declared(self) -> EventSchema:
        """The schema as producers write by it, without the fields of headers."""
        assert isinstance(self.schema, EventSchema)
        return self.schema

    @cached_property
    def time(self) -> EventTime | None:
        """How its events say when they were: with the unit and the zone that hold; None: by their
        records' times."""
        declared = self.event_time
        if declared is None:
            return None
        if isinstance(declared, str):
            declared = EventTime(declared)
        self._expect(declared.field, "event_time", None)
        return resolved(declared, self.events[declared.field], f"topic {self.name}")

    @property
    def time_field(self) -> str | None:
        """The field that says when an event was, where one does."""
        if self.time is None:
            return None
        return self.time.field

    @cached_property
    def facts(self) -> Facts:
        """All that decides what becomes of an event, by name. A field without a rule that nothing
        here reads is none of it, so fields may be added."""
        filters = {
            f"filter {name}": of_expression(expression) for name, expression in self.drop.items()
        }
        imputes = {f"impute {name}": _told(how) for name, how in self.impute.items()}
        read = {*self.impute}
        read |= {name for name in (self.event_id, self.time_field) if name is not None}
        # Its values have each a clock of their own: what is late depends on it.
        if self.source is not None:
            read.add(self.source)
        # Groups, and what filters look at: a change there changes what is applied.
        read |= {how.by for how in self.impute.values() if how.by is not None}
        for expression in self.drop.values():
            read |= fields_read(expression)
        for derivation in self.derivations:
            read |= set(derivation.reads)
        fields_known = {
            f"field {known.name}": of_field(known)
            for known in self.events.fields
            if known.name in read or has_rule(known)
        }
        own = {
            "event_id": self.event_id or "",
            "event_time": _told_of(self.time),
            "dedup": text_of(milliseconds(self.dedup)),
            **self._orders(),
        }
        if self.source is not None:
            own["source"] = self.source
        if self.log is not None:
            own["log"] = self.log
        if self.registry is not None:
            own["registry"] = self.registry
        for name, header in self.headers.items():
            own[f"header of {name}"] = header
        if self.tombstone != "ignore":
            own["tombstone"] = self.tombstone
        if self.cluster is not None:
            own["cluster"] = self.cluster
        if self.by_id:
            own["dedup_by"] = self.dedup_by
        if self.start != EARLIEST:
            own["start"] = str(self.start)
        if self.explode is not None:
            own["explode"] = self.explode
        return {**own, **filters, **imputes, **self.derived_facts, **fields_known}

    @property
    def derived_facts(self) -> Facts:
        """The definitions of its derived fields, by name."""
        return {f"derive {made.field.name}": made.fact for made in self.derivations}

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with anything that changes what becomes of an event."""
        return digest_of(self.facts)

    def _orders(self) -> dict[str, str]:
        """Orders that mean something: the first filter that is true counts, and what is filled in
        may be told apart by what was."""
        orders = {}
        if len(self.drop) > 1:
            orders["order of filters"] = ", ".join(self.drop)
        if any(how.by in self.impute for how in self.impute.values()):
            orders["order of imputes"] = ", ".join(self.impute)
        return orders

    def __getitem__(self, name: str) -> FieldRef:
        type_ = self._expect(name, "field", None)
        if type_ not in (*TEXTS, *NUMBERS):
            raise DefinitionError(
                f"topic {self.name}",
                f"field {name!r} is of type {type_}, of which a model makes nothing",
                "Name a text or a number; filters and labels may look into arrays and bytes.",
            )
        return FieldRef(self.name, name, type_ in ("string", "enum", "boolean"))

    def _check_constant(self, field: Field, value: float | str) -> None:
        """What is filled in must be a value that an event could have had."""
        # 3.0 is meant as 3, and no whole-number field takes it as it is.
        if field.type in INTEGERS and isinstance(value, float) and value.is_integer():
            value = int(value)
        if field.logical == "uuid" and not _is_canonical_uuid(value):
            known = "It must be a UUID in lower case."
        elif not fits(value, field.type, field.symbols):
            expected = f"one of {', '.join(field.symbols)}" if field.symbols else f"{field.type}"
            known = f"It must be {expected}."
        elif field.domain is not None and value not in field.domain:
            known = f"Its domain is {', '.join(field.domain)}."
        elif (
            not isinstance(value, str)
            and field.range
            and not field.range[0] <= value <= field.range[1]
        ):
            known = f"Its range is {field.range[0]} to {field.range[1]}."
        else:
            return
        raise DefinitionError(
            f"topic {self.name}",
            f"impute[{field.name!r}]={value!r} is no value of that field",
            known,
        )

    def _expect(self, name: str, role: str, kinds: tuple[str, ...] | None) -> str:
        schema = self.events
        # The roles of all others come before anything is derived.
        if role == "field":
            schema = self.all_fields
        elif name in self.derive and name not in schema.positions:
            raise DefinitionError(
                f"topic {self.name}",
                f"{role} {name!r} is derived, which is done after",
                "Name a field of its schema.",
            )
        known = {field.name: field.type for field in schema.fields}
        within = [field for field in known if field.startswith(f"{name}.")]
        if name not in known and within:
            raise DefinitionError(
                f"topic {self.name}",
                f"{role} {name!r} is made of fields",
                f"Name one of them: {', '.join(within)}.",
            )
        if name not in known:
            raise DefinitionError(
                f"topic {self.name}",
                f"{role} {name!r} is not in its schema",
                f"Its fields are {', '.join(known)}.",
            )
        if kinds is not None and known[name] not in kinds:
            raise DefinitionError(
                f"topic {self.name}",
                f"{role} {name!r} is of type {known[name]}",
                f"It must be of type {' or '.join(kinds)}.",
            )
        return known[name]


def _told_of(time: EventTime | None) -> str:
    """As a fact: milliseconds, which nearly all count, go without saying."""
    if time is None:
        return ""
    if time.unit == "ms" and time.zone is None:
        return time.field
    return str(time)


def _told(how: Impute) -> str:
    """As a fact."""
    told = f"{how.kind} {how.value!r}"
    if how.by is None:
        return told
    return f"{told} by {how.by}"


def _is_canonical_uuid(value: float | str) -> bool:
    try:
        return keys.canonical(value, keys.UUID) == value
    except ValueError:
        return False


def _load(schema: EventSchema | str | Path | Mapping[str, Any], topic: str) -> EventSchema:
    if isinstance(schema, EventSchema):
        return schema
    if isinstance(schema, Mapping):
        return EventSchema.parse(dict(schema), topic)
    if isinstance(schema, str) and schema.lstrip().startswith("{"):
        return EventSchema.parse(schema, topic)
    return EventSchema.load(_beside_the_app(Path(schema)))


def _beside_the_app(path: Path) -> Path:
    """A relative path is meant from the file that declares the topic: the first frame outside this
    file."""
    if path.is_absolute():
        return path
    frame = sys._getframe(1)
    while (
        frame.f_back is not None and frame.f_globals.get("__name__") == __name__
    ) or "__file__" not in frame.f_globals:
        assert frame.f_back is not None
        frame = frame.f_back
    return Path(frame.f_globals["__file__"]).resolve().parent / path
