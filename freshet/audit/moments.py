"""When an event was, the slow and obvious way: by regular expressions and Python's own clocks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from freshet.schemas.events.times import EventTime

EPOCH = datetime(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)
_EACH = {"d": 86_400_000, "s": 1_000, "ms": 1}
_A_MS = {"us": 1_000, "ns": 1_000_000}
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:([Zz])|([+-]\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)


def moment(event: Mapping[str, Any], time: EventTime | None, appended: int) -> int | None:
    """In ms; None where its field says no time."""
    if time is None:
        return appended
    value = event[time.field]
    if value is None:
        return 0
    assert time.unit is not None
    if isinstance(value, str):
        return of_text(value, time.zone or "UTC")
    if isinstance(value, float):
        ms = _of_real(value, time.unit)
    else:
        ms = _of_whole(value, time.unit)
    if time.zone is None:
        return ms
    try:
        return in_utc(EPOCH + ms * MILLISECOND, time.zone)
    except OverflowError:
        return ms  # beyond the years that Python has, and so beyond all that are believed


def _of_whole(value: int, unit: str) -> int:
    if unit in _A_MS:
        return value // _A_MS[unit]
    return value * _EACH[unit]


def _of_real(value: float, unit: str) -> int:
    """To the nearest: a double of seconds has not all of their fractions."""
    if not math.isfinite(value):
        return 0  # it is out of range
    # Beyond all times whatever it counts; and Python rounds no infinity.
    if abs(value) > 1e30:
        return int(math.copysign(1 << 80, value))
    if unit in _A_MS:
        return round(value / _A_MS[unit])
    return round(value * _EACH[unit])


def of_text(text: str, zone: str) -> int | None:
    """In ms, what is finer cut off; None of what is no date and time of ISO 8601."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    date, clock, second, fraction, zulu, hours, minutes = found.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock or '00:00'}:{second or '00'}")
    except ValueError:
        return None  # the thirtieth of February, say
    local += int(f"{fraction or ''}000"[:3]) * MILLISECOND
    if zulu is not None:
        return in_utc(local, "UTC")
    if hours is None:
        return in_utc(local, zone)
    if abs(int(hours)) > 23 or int(minutes or 0) > 59:
        return None
    east = timedelta(hours=abs(int(hours)), minutes=int(minutes or 0))
    if hours.startswith("-"):
        east = -east
    return (local - EPOCH - east) // MILLISECOND


def in_utc(local: datetime, zone: str) -> int:
    """In ms, of what the clocks of a zone say. An hour that comes twice is the first one, one that
    never comes is as if the clocks had not been put forward: `fold` is 0."""
    east = timedelta(0)
    if zone != "UTC":
        there = local.replace(tzinfo=ZoneInfo(zone), fold=0)
        east = there.utcoffset() or east
    return (local - EPOCH - east) // MILLISECOND
