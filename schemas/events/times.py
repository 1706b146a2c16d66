"""When an event was: its time as its field has it, and as whole milliseconds since 1970 (UTC), by
which everything else goes.

Sources: Apache Avro 1.12 specification, logical types; RFC 3339, and of ISO 8601-1:2019 the
extended form of dates and times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import DAY_MS, EARLIEST_MS, HOUR_MS, LATEST_MS, NEAR_MS
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events import time_kernels as kernels
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import FLOATS, Field
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
MS = 1_000_000
# Of each unit.
NANOSECONDS = {"d": DAY_MS * MS, "s": 1_000 * MS, "ms": MS, "us": 1_000, "ns": 1}
NAMES = {"d": "days", "s": "seconds", "ms": "ms", "us": "µs", "ns": "ns"}
UNITS = tuple(NAMES)
TEXT = "text"  # in place of a unit: the field holds dates and times as texts
LOCAL = "local-"
_NAMED = {"ms": "timestamp-millis", "us": "timestamp-micros", "ns": "timestamp-nanos"}
_LOGICAL = {name: unit for unit, name in _NAMED.items()} | {"date": "d"}
# Before all times that are believed: of what is no time.
NO_TIME = np.iinfo(np.int64).min
_MOST_REAL = 1e30
_MOST = 1 << 63  # whole numbers of 64 bits are less, but for one that is no time
# Clocks that were put forward by more than that were so in no place of the zones' table.
_LONGEST_GAP_MS = 25 * HOUR_MS


@dataclass(frozen=True, slots=True)
class EventTime:
    """How a topic's events say when they were, as `fr.time(…)` gives it; not made directly.

    Args:
        field: Name of the field.
        unit: What its numbers count since 1970: `"s"`, `"ms"`, `"us"`, `"ns"` or `"d"` (days).
        zone: In which zone its times are that name none, as the IANA's table calls it.
    """

    field: str
    unit: str | None = None
    zone: str | None = None

    @property
    def counted(self) -> str:
        """What its values are, for people."""
        if self.unit == TEXT:
            return f"ISO 8601, {self.zone} where it names no zone"
        told = f"{NAMES[self.unit or 'ms']} since 1970"
        if self.zone is not None:
            told += f" in {self.zone}"
        return told

    def __str__(self) -> str:
        return f"{self.field} ({self.counted})"


def time(field: str, unit: str | None = None, zone: str | None = None) -> EventTime:
    """An event time that is no `long` of milliseconds, for `event_time` of a topic.

    Args:
        field: A field of whole numbers, doubles or texts. Texts are dates and times of ISO 8601,
            such as `2013-01-31`, `2013-01-31 05:15`, `2013-01-31T05:15:00.250Z` or
            `2013-01-31T05:15:00-05:00`; what is finer than a millisecond is cut off.
        unit: What numbers count since 1970 (UTC): `"s"`, `"ms"`, `"us"`, `"ns"` or `"d"` (days).
            None: what the field's logicalType says (timestamp-millis, -micros and -nanos, also
            local ones, or date); milliseconds where it has none.
        zone: The zone of times that name none, such as `"America/New_York"`: of texts without an
            offset, of local timestamps and of dates. An hour that comes twice is the first of the
            two; one that is left out counts as if the clocks had not been put forward. None: UTC;
            local timestamps must say which.

    Returns:
        What `event_time` takes.

    Raises:
        DefinitionError: when a topic is declared with it, for a unit or zone that is none, or that
            does not go with the field.

    Examples:
        >>> import freshet as fr
        >>> trips = fr.Topic(
        ...     "trips",
        ...     {
        ...         "type": "record",
        ...         "name": "trip",
        ...         "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "double"}],
        ...     },
        ...     event_id="id",
        ...     event_time=fr.time("at", unit="s"),
        ... )
        >>> print(trips.time)
        at (seconds since 1970)
    """
    return EventTime(field, unit, zone)


def resolved(declared: EventTime, field: Field, where: str, role: str = "event_time") -> EventTime:
    """With what the field says itself. Raises `DefinitionError` where the two do not go together;
    `where` names the topic, `role` what the field is to it."""

    def refuse(cause: str, next_step: str) -> NoReturn:
        raise DefinitionError(where, f"{role} {field.name!r} {cause}", next_step)

    unit = declared.unit
    zone = declared.zone
    if unit is not None and unit not in UNITS:
        refuse(f"has unit {unit!r}", f"Use one of {', '.join(UNITS)}.")
    if zone is not None and not is_zone(zone):
        refuse(f"has zone {zone!r}, which is none", 'Write one such as "America/New_York".')
    if field.domain is not None:
        refuse("has a domain, so it holds no times", "Name the field that holds them.")
    if field.type == "string" and field.logical is None:
        if unit is not None:
            refuse("is a text, which counts nothing", "Leave the unit out.")
        return EventTime(field.name, TEXT, zone or "UTC")
    if field.type not in ("int", "long", "double") or field.logical == "uuid":
        refuse(f"is of type {field.type}", "It must be of type long, int, double or string.")
    own = unit_of(field)
    if field.logical is not None and own is None:
        refuse(f"is of logicalType {field.logical}", "A time of day says not which day.")
    if own is not None and unit not in (None, own):
        refuse(f"counts {NAMES[own]}, as its logicalType says", "Leave the unit out.")
    unit = own or unit or "ms"
    if field.type == "int" and unit not in ("d", "s"):
        refuse(f"is an int, which holds no {NAMES[unit]} since 1970", "Make it a long.")
    if is_local(field) and zone is None:
        refuse("is local", f'Say where: fr.time({field.name!r}, zone="America/New_York").')
    if zone is not None and not is_local(field) and unit != "d":
        refuse("counts from 1970 in UTC", "Leave the zone out: texts and local times have one.")
    return EventTime(field.name, unit, zone)


def unit_of(field: Field) -> str | None:
    """What a field counts since 1970, by its logicalType; None where that says nothing of it."""
    return _LOGICAL.get((field.logical or "").removeprefix(LOCAL))


def is_local(field: Field) -> bool:
    """Whether it counts by clocks of some zone, which its type does not name."""
    return (field.logical or "").startswith(LOCAL)


def counted_by(field: Field) -> str | None:
    """The same for people."""
    unit = unit_of(field)
    if unit is None:
        return None
    told = f"{NAMES[unit]} since 1970"
    if is_local(field):
        told += ", local"
    return told


def likely_unit(value: object, time: EventTime, appended_ms: int) -> str | None:
    """The unit in which a number would be a time near that at which its record was appended, where
    it is none in the unit that was declared."""
    if time.unit == TEXT or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # JSON has whole numbers of any length, which no float holds.
    if abs(value) > _MOST_REAL:
        return None
    for unit in UNITS:
        ms = value * NANOSECONDS[unit] / MS
        # Said so that it does not hold of NaN, which is near nothing.
        if unit != time.unit and abs(ms - appended_ms) < NEAR_MS:
            return unit
    return None


def declared_as(field: Field, unit: str) -> str:
    """What to write so that a field's numbers are of a unit."""
    with_unit = f'event_time=fr.time("{field.name}", unit="{unit}")'
    own = field.logical
    if own is None:
        return with_unit
    named = _NAMED.get(unit)
    # Seconds and days of a long have no logicalType.
    if named is None:
        return f"no logicalType, and {with_unit}"
    if is_local(field):
        named = LOCAL + named
    return f'"logicalType": "{named}"'


def is_zone(name: object) -> bool:
    """Whether it is in both tables: columns are read by that of Polars, audits by Python's."""
    import polars as pl

    if not isinstance(name, str):
        return False
    try:
        ZoneInfo(name)
        pl.Series([0]).cast(pl.Datetime("ms")).dt.replace_time_zone(name)
    except (pl.exceptions.ComputeError, ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def event_times(columns: Columns, time: EventTime | None, appended: I64) -> I64:
    """When the events were, in ms, int64 `[n]`: `NO_TIME` where that cannot be read, 0 where it is
    missing. Without a field for it (`time` is None) that is when their records were `appended`."""
    if time is None:
        return appended
    if time.unit == TEXT:
        return moments_of(columns.text(time.field), time)
    if columns.schema[time.field].type in FLOATS:
        return _of_numbers(columns.numbers(time.field)[0], time)
    return _of_numbers(columns.integers(time.field)[0], time)


def moments_in(values: Texts | npt.NDArray[Any], time: EventTime) -> I64:
    """When the values of a field are: its texts, or its numbers (int64 or float64). As
    `event_times` has them."""
    if isinstance(values, Texts):
        return moments_of(values, time)
    return _of_numbers(values, time)


def moment_ms(value: object, time: EventTime) -> int | None:
    """When one event was, by the value of its field: what `event_times` says of many. None where
    that is no time."""
    if time.unit == TEXT:
        if not isinstance(value, str):
            return None
        ms = int(moments_of(Texts.of([value]), time)[0])
        if ms == NO_TIME:
            return None
        return ms
    # True and false are whole numbers to Python.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= _MOST:
        return None
    return int(_of_numbers(np.array([value]), time)[0])


def _of_numbers(values: npt.NDArray[Any], time: EventTime) -> I64:
    """Of int64 or float64."""
    assert time.unit is not None
    if values.dtype.kind == "f":
        ms = _of_reals(values, time.unit)
    else:
        ms = in_ms(values, time.unit)
    if time.zone is None:
        return ms
    return in_utc(ms, time.zone)


def in_ms(values: I64, unit: str) -> I64:
    """Whole numbers of a unit as ms, the earlier one where they lie between two. What is beyond all
    times stays beyond them."""
    if unit == "ms":
        return values
    size = NANOSECONDS[unit]
    if size < MS:
        return values // (MS // size)
    # The last one whose milliseconds fit into 64 bits: it lies far beyond all times.
    most = np.iinfo(np.int64).max // (size // MS)
    return np.clip(values, -most, most) * (size // MS)


def _of_reals(values: npt.NDArray[np.float64], unit: str) -> I64:
    """To the nearest ms: a double of seconds has not all of their fractions."""
    # What is not finite is out of range already, by its own type. Then twice within bounds that lie
    # beyond all times: before it is scaled, and before it becomes a whole number of 64 bits.
    scaled = np.clip(np.nan_to_num(values), -_MOST_REAL, _MOST_REAL)
    size = NANOSECONDS[unit]
    # By whole numbers alone, which doubles have exactly.
    if size < MS:
        scaled /= MS // size
    else:
        scaled *= size // MS
    within = np.clip(scaled, -2 * LATEST_MS, 2 * LATEST_MS)
    return np.rint(within).astype(np.int64)


def moments_of(texts: Texts, time: EventTime) -> I64:
    """When dates and times of ISO 8601 are, in ms, int64 `[n]`: as `event_times` has them."""
    ms = np.empty(len(texts), np.int64)
    said = np.empty(len(texts), np.uint8)
    kernels.read_times(texts.data, texts.start, texts.end, ms, said)
    local = said == kernels.LOCAL
    ms[local] = in_utc(ms[local], time.zone or "UTC")
    ms[(said == kernels.NO_TIME) & texts.valid] = NO_TIME
    return ms


def in_utc(local: I64, zone: str) -> I64:
    """Times of a zone's clocks, in ms, as those of UTC."""
    if zone == "UTC":
        return local
    # Within: of what lies beyond all times no zone knows anything.
    within = np.clip(local, EARLIEST_MS - DAY_MS, LATEST_MS)
    found = _by_clocks(within, zone)
    left_out = found == NO_TIME
    if left_out.any():
        before = within[left_out] - _LONGEST_GAP_MS
        found[left_out] = within[left_out] - (before - _by_clocks(before, zone))
    out: I64 = np.where(within == local, found, local)
    return out


def _by_clocks(local: I64, zone: str) -> I64:
    """`NO_TIME` where the clocks were put forward over it."""
    import polars as pl

    clocks = pl.Series(local).cast(pl.Datetime("ms"))
    utc = clocks.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return utc.to_physical().fill_null(NO_TIME).to_numpy(writable=True)
