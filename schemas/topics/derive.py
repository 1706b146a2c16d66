"""Row-wise functions for `derive` of a topic, beside Polars' own expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from freshet.schemas.declared import check_each
from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import KEY_TYPES, NUMBERS, fits
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import TEXT, EventTime, is_zone, moments_in, resolved
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import joined

if TYPE_CHECKING:
    import polars as pl

# Values for the rows of a frame.
Over: TypeAlias = "Callable[[pl.DataFrame], pl.Series]"
# Mean radius of the Earth, IUGG.
EARTH_KM = 6371.0088
MOST_BUCKETS = 1 << 31
DEGREES = "Name a number field, or write a number: degrees, such as -73.78."
ZONE = 'Write one such as "America/New_York".'


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of a time, as `fr.hour(…)` and its like give it; not made directly.

    Args:
        part: `"hour"`, `"weekday"`, `"day"`, `"month"` or `"minute_of_day"`.
        time: The field that holds the time, and how.
        zone: By whose clocks it is told, as the IANA's table calls it.
    """

    part: str
    time: str | EventTime
    zone: str | None = None

    @property
    def type(self) -> str:
        """Of what it gives."""
        return "long"

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that it is made of."""
        return (_field_of(self.time),)

    def settled(self, schema: EventSchema, event_time: EventTime | None, where: str) -> TimePart:
        """With the unit and the zones that hold; `event_time` is how the topic's own time is
        declared.

        Raises:
            DefinitionError: the field holds no such times, or a zone is none.
        """
        time = self.time
        if isinstance(time, str) and event_time is not None and event_time.field == time:
            time = event_time
        else:
            declared = EventTime(time) if isinstance(time, str) else time
            time = resolved(declared, schema[declared.field], where, "the time")
        if self.zone is not None and not is_zone(self.zone):
            raise DefinitionError(where, f"has zone {self.zone!r}, which is none", ZONE)
        return TimePart(self.part, time, self.zone or time.zone or "UTC")

    def compiled(self) -> Over:
        """Of the rows of a frame, int64; null where the time is missing, or none that an event may
        have."""
        import polars as pl

        time = self.time
        assert isinstance(time, EventTime)
        utc = pl.col(time.field).cast(pl.Datetime("ms", "UTC"))
        clocks = utc.dt.convert_time_zone(self.zone or "UTC")
        part = _part(self.part, clocks).cast(pl.Int64).alias(self.part)

        def over(frame: pl.DataFrame) -> pl.Series:
            column = frame[time.field]
            if time.unit == TEXT:
                ms = moments_in(_texts(column), time)
            else:
                ms = moments_in(column.fill_null(0).to_numpy(), time)
            there = column.is_not_null().to_numpy() & (ms >= EARLIEST_MS) & (ms <= LATEST_MS)
            # What is no time lies beyond all that clocks are known of.
            times = pl.Series(time.field, pa.array(ms, mask=~there))
            return times.to_frame().select(part)[self.part]

        return over

    def __str__(self) -> str:
        return f"{self.part} of {self.time} by the clocks of {self.zone or 'its zone'}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A hash bucket, as `fr.bucket(…)` gives it; not made directly.

    Args:
        fields: The fields whose values are hashed together.
        count: How many buckets there are.
    """

    fields: tuple[str, ...]
    count: int

    @property
    def type(self) -> str:
        """Of what it gives."""
        return "long"

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that it is made of."""
        return self.fields

    def settled(self, schema: EventSchema, event_time: EventTime | None, where: str) -> Bucket:
        """Itself.

        Raises:
            DefinitionError: a field has no canonical text, or `count` is out of range.
        """
        for name in self.fields:
            type_ = schema[name].type
            if type_ not in KEY_TYPES:
                expected = f"It must be of type {' or '.join(KEY_TYPES)}."
                raise DefinitionError(where, f"hashes {name!r}, which is of type {type_}", expected)
        # True is a whole number to Python.
        whole = isinstance(self.count, int) and not isinstance(self.count, bool)
        if not whole or not 1 <= self.count <= MOST_BUCKETS:
            raise DefinitionError(where, f"has {self.count!r} buckets", f"Use 1 to {MOST_BUCKETS}.")
        return self

    def compiled(self) -> Over:
        """Of the rows of a frame, int64 from 0; null where a field is missing."""
        import polars as pl

        def over(frame: pl.DataFrame) -> pl.Series:
            texts = [_texts(frame[name]) for name in self.fields]
            there = np.logical_and.reduce([text.valid for text in texts])
            # Only of several a text must say where one ends.
            key = texts[0] if len(texts) == 1 else joined(texts)
            buckets = (key.hashes() % np.uint64(self.count)).astype(np.int64)
            return pl.Series(pa.array(buckets, mask=~there))

        return over

    def __str__(self) -> str:
        return f"bucket of {', '.join(self.fields)}, one of {self.count}"


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance, as `fr.haversine(…)` gives it; not made directly.

    Args:
        places: Latitude and longitude of a place, then those of another: fields, or degrees.
    """

    places: tuple[str | float, str | float, str | float, str | float]

    @property
    def type(self) -> str:
        """Of what it gives."""
        return "double"

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that it is made of."""
        return tuple(place for place in self.places if isinstance(place, str))

    def settled(self, schema: EventSchema, event_time: EventTime | None, where: str) -> Distance:
        """Itself.

        Raises:
            DefinitionError: a place is neither a number field nor a number.
        """
        for place in self.places:
            if isinstance(place, str):
                type_ = schema[place].type
                if type_ not in NUMBERS:
                    cause = f"reads {place!r}, which is of type {type_}"
                    raise DefinitionError(where, cause, DEGREES)
            elif not fits(place, "double") or not math.isfinite(place):
                raise DefinitionError(where, f"has {place!r} for degrees", DEGREES)
        return self

    def compiled(self) -> Over:
        """Of the rows of a frame, float64; null where a field is missing or what comes out is no
        number."""
        import polars as pl

        lat1, lon1, lat2, lon2 = map(_number, self.places)
        phi1 = lat1.radians()
        phi2 = lat2.radians()
        half_north = (phi2 - phi1) / 2
        half_east = (lon2 - lon1).radians() / 2
        north = half_north.sin() * half_north.sin()
        east = half_east.sin() * half_east.sin()
        haversin = north + phi1.cos() * phi2.cos() * east
        # Of opposite places it may be rounded to more than 1, of which there is no root's arc.
        km = haversin.clip(0, 1).sqrt().arcsin() * (2 * EARTH_KM)
        sound = pl.when(km.is_finite()).then(km).alias("km")
        return lambda frame: frame.select(sound)["km"]

    def __str__(self) -> str:
        lat1, lon1, lat2, lon2 = self.places
        return f"km from {lat1}, {lon1} to {lat2}, {lon2}"


def hour(time: str | EventTime, zone: str | None = None) -> TimePart:
    """The hour of a time, 0 to 23, for `derive` of a topic.

    Args:
        time: The field that holds it: its unit is what `event_time` of the topic says where it is
            that field, else what its logicalType says (milliseconds where it has none; texts are
            of ISO 8601). For other units and zones `fr.time(…)`.
        zone: By whose clocks it is told, such as `"America/New_York"`, with their daylight saving
            time. None: those of the zone that the time is declared in, UTC where it is in none.

    Returns:
        What `derive` takes; a whole number for each event, missing where the time is, or is none
        between 1900 and 9999.

    Raises:
        DefinitionError: when a topic is declared with it, for a field that holds no times, or a
            zone that is none.

    Examples:
        >>> import freshet as fr
        >>> trips = fr.Topic(
        ...     "trips",
        ...     {
        ...         "type": "record",
        ...         "name": "trip",
        ...         "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
        ...     },
        ...     event_id="id",
        ...     event_time="at",
        ...     derive={"hour": fr.hour("at", zone="America/New_York")},
        ... )
        >>> fr.category(trips["hour"])
        FieldRef(topic='trips', field='hour', categorical=True)
    """
    return TimePart("hour", time, zone)


def minute_of_day(time: str | EventTime, zone: str | None = None) -> TimePart:
    """The minutes since midnight as clocks show them, 0 to 1439, for `derive` of a topic.

    Args:
        time: The field that holds it, as `fr.hour` has it.
        zone: By whose clocks it is told, as `fr.hour` has it.

    Returns:
        What `derive` takes; a whole number for each event, missing as with `fr.hour`.

    Raises:
        DefinitionError: as with `fr.hour`.

    Examples:
        >>> import freshet as fr
        >>> print(fr.minute_of_day("at", zone="Europe/Berlin"))
        minute_of_day of at by the clocks of Europe/Berlin
    """
    return TimePart("minute_of_day", time, zone)


def weekday(time: str | EventTime, zone: str | None = None) -> TimePart:
    """The day of the week, 1 (Monday) to 7 (Sunday) as in ISO 8601, for `derive` of a topic.

    Args:
        time: The field that holds it, as `fr.hour` has it.
        zone: By whose clocks it is told, as `fr.hour` has it.

    Returns:
        What `derive` takes; a whole number for each event, missing as with `fr.hour`.

    Raises:
        DefinitionError: as with `fr.hour`.

    Examples:
        >>> import freshet as fr
        >>> print(fr.weekday("at", zone="Europe/Berlin"))
        weekday of at by the clocks of Europe/Berlin
    """
    return TimePart("weekday", time, zone)


def day(time: str | EventTime, zone: str | None = None) -> TimePart:
    """The day of the month, 1 to 31, for `derive` of a topic.

    Args:
        time: The field that holds it, as `fr.hour` has it.
        zone: By whose clocks it is told, as `fr.hour` has it.

    Returns:
        What `derive` takes; a whole number for each event, missing as with `fr.hour`.

    Raises:
        DefinitionError: as with `fr.hour`.

    Examples:
        >>> import freshet as fr
        >>> print(fr.day("at", zone="Europe/Berlin"))
        day of at by the clocks of Europe/Berlin
    """
    return TimePart("day", time, zone)


def month(time: str | EventTime, zone: str | None = None) -> TimePart:
    """The month, 1 to 12, for `derive` of a topic.

    Args:
        time: The field that holds it, as `fr.hour` has it.
        zone: By whose clocks it is told, as `fr.hour` has it.

    Returns:
        What `derive` takes; a whole number for each event, missing as with `fr.hour`.

    Raises:
        DefinitionError: as with `fr.hour`.

    Examples:
        >>> import freshet as fr
        >>> print(fr.month("at", zone="Europe/Berlin"))
        month of at by the clocks of Europe/Berlin
    """
    return TimePart("month", time, zone)


def bucket(fields: str | Sequence[str], count: int) -> Bucket:
    """A hash bucket of a value, or of several together, for `derive` of a topic: the same one in
    each process, on each machine, in each version of freshet.

    Args:
        fields: A field of type string, enum, int, long or boolean, or several. What is hashed is
            the canonical text of the value, or of all of them, as keys have it.
        count: How many buckets there are, 1 to 2,147,483,648.

    Returns:
        What `derive` takes; a whole number from 0 for each event, missing where a field is.

    Raises:
        DefinitionError: when a topic is declared with it, for a field of another type, or for a
            `count` out of range.

    Examples:
        >>> import freshet as fr
        >>> print(fr.bucket(["origin", "dest"], 1000))
        bucket of origin, dest, one of 1000
    """
    if isinstance(fields, str):
        return Bucket((fields,), count)
    check_each("fr.bucket", "fields", fields, str, "Name a field, or several.")
    return Bucket(tuple(fields), count)


def haversine(
    lat1: str | float, lon1: str | float, lat2: str | float, lon2: str | float
) -> Distance:
    """The distance of two places along the Earth's surface, in kilometres, for `derive` of a topic.

    Source: Sinnott, "Virtues of the haversine", Sky and Telescope 68 (1984); on a sphere of
    6371.0088 km, the mean radius of the IUGG.

    Args:
        lat1: Latitude of the first place in degrees: a number field, or a number.
        lon1: Its longitude in degrees, east of Greenwich positive.
        lat2: Latitude of the second.
        lon2: Its longitude.

    Returns:
        What `derive` takes; a float64 for each event, missing where one of the fields is.

    Raises:
        DefinitionError: when a topic is declared with it, for a field that is no number.

    Examples:
        >>> import freshet as fr
        >>> print(fr.haversine("lat", "lon", 40.64, -73.78))
        km from lat, lon to 40.64, -73.78
    """
    return Distance((lat1, lon1, lat2, lon2))


def _number(place: str | float) -> pl.Expr:
    import polars as pl

    if isinstance(place, str):
        return pl.col(place).cast(pl.Float64)
    return pl.lit(float(place))


def _part(part: str, clocks: pl.Expr) -> pl.Expr:
    import polars as pl

    if part == "minute_of_day":
        return clocks.dt.hour().cast(pl.Int64) * 60 + clocks.dt.minute().cast(pl.Int64)
    found: pl.Expr = getattr(clocks.dt, part)()
    return found


def _texts(column: pl.Series) -> Texts:
    """Canonical ones: digits, `true` and `false`."""
    import polars as pl

    if column.dtype != pl.String:
        column = column.cast(pl.String)
    arrow = column.to_arrow()
    return Texts.from_arrow(arrow.cast(pa.string()))


def _field_of(time: str | EventTime) -> str:
    if isinstance(time, EventTime):
        return time.field
    return time
