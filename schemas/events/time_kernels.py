"""The numba kernel that reads dates and times of ISO 8601.

Days are counted as in Howard Hinnant's *chrono-Compatible Low-Level Date Algorithms*
(`days_from_civil`): years begin in March, so that the leap day is a year's last.
"""

from __future__ import annotations

from typing import Any

import numba as nb

# What a text says of its zone; NO_TIME where it is no time at all.
LOCAL, ZONED, NO_TIME = range(3)
NONE = -1
ZERO = ord("0")
DASH = ord("-")
PLUS = ord("+")
COLON = ord(":")
POINT = ord(".")
COMMA = ord(",")
SPACE = ord(" ")
T_UPPER = ord("T")
T_LOWER = ord("t")
Z_UPPER = ord("Z")
Z_LOWER = ord("z")
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DATE_LENGTH = len("2013-01-31")
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def number(data: Any, at: Any, end: Any, digits: Any) -> Any:
    """The number that stands there in so many digits; `NONE` where none does."""
    if at + digits > end:
        return NONE
    found = 0
    for i in range(digits):
        digit = data[at + i] - ZERO
        if digit < 0 or digit > 9:
            return NONE
        found = 10 * found + digit
    return found


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def days_in(year: Any, month: Any) -> Any:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and is_leap:
        return 29
    return DAYS[month - 1]


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def days_since_1970(year: Any, month: Any, day: Any) -> Any:
    # January and February are the last months of the year before.
    if month <= 2:
        year -= 1
        month += 12
    era = year // 400
    of_era = year - era * 400
    # 153 days are the five months from March on, and again from August on.
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def is_byte(data: Any, at: Any, end: Any, byte: Any) -> Any:
    return at < end and data[at] == byte


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_date(data: Any, at: Any, end: Any) -> Any:
    """Milliseconds of a date's midnight, and whether it is a date."""
    year = number(data, at, end, 4)
    month = number(data, at + 5, end, 2)
    day = number(data, at + 8, end, 2)
    if not is_byte(data, at + 4, end, DASH) or not is_byte(data, at + 7, end, DASH):
        return 0, False
    if year < 1 or month < 1 or month > 12 or day < 1 or day > days_in(year, month):
        return 0, False
    return days_since_1970(year, month, day) * DAY_MS, True


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_clock(data: Any, at: Any, end: Any) -> Any:
    """Milliseconds since midnight of `hh:mm[:ss[.f…]]`, and where it ends (`NONE`: it is none).
    What is finer than a millisecond is cut off."""
    hour = number(data, at, end, 2)
    minute = number(data, at + 3, end, 2)
    if not is_byte(data, at + 2, end, COLON) or hour < 0 or hour > 23:
        return 0, NONE
    if minute < 0 or minute > 59:
        return 0, NONE
    ms = hour * HOUR_MS + minute * MINUTE_MS
    at += 5
    if not is_byte(data, at, end, COLON):
        return ms, at
    second = number(data, at + 1, end, 2)
    if second < 0 or second > 59:
        return 0, NONE
    ms += second * SECOND_MS
    at += 3
    if not (is_byte(data, at, end, POINT) or is_byte(data, at, end, COMMA)):
        return ms, at
    at += 1
    # Of each digit a tenth of the one before; from the fourth on nothing.
    worth = SECOND_MS // 10
    first = at
    while number(data, at, end, 1) != NONE:
        ms += worth * number(data, at, end, 1)
        worth //= 10
        at += 1
    if at == first:
        return 0, NONE
    return ms, at


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_zone(data: Any, at: Any, end: Any) -> Any:
    """Milliseconds east of Greenwich of `Z`, `±hh`, `±hhmm` or `±hh:mm` that ends the text, and
    whether it is one."""
    if at + 1 == end and (data[at] == Z_UPPER or data[at] == Z_LOWER):
        return 0, True
    hours = number(data, at + 1, end, 2)
    if (data[at] != PLUS and data[at] != DASH) or hours < 0 or hours > 23:
        return 0, False
    is_west = data[at] == DASH
    east = hours * HOUR_MS
    at += 3
    if at < end:
        if data[at] == COLON:
            at += 1
        minutes = number(data, at, end, 2)
        # What follows the minutes is no part of any time.
        if minutes < 0 or minutes > 59 or at + 2 != end:
            return 0, False
        east += minutes * MINUTE_MS
    if is_west:
        return -east, True
    return east, True


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_time(data: Any, at: Any, end: Any) -> Any:
    """Milliseconds since 1970 of one text (0 where it is no time), and what it says of its zone."""
    day, is_date = read_date(data, at, end)
    if not is_date:
        return 0, NO_TIME
    at += DATE_LENGTH
    if at == end:
        return day, LOCAL
    if data[at] != T_UPPER and data[at] != T_LOWER and data[at] != SPACE:
        return 0, NO_TIME
    clock, at = read_clock(data, at + 1, end)
    if at == NONE:
        return 0, NO_TIME
    if at == end:
        return day + clock, LOCAL
    east, is_zone = read_zone(data, at, end)
    if not is_zone:
        return 0, NO_TIME
    return day + clock - east, ZONED


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_times(data: Any, start: Any, end: Any, ms: Any, said: Any) -> None:
    """Of each text its milliseconds, and what it says of its zone."""
    for row in range(start.size):
        ms[row], said[row] = read_time(data, start[row], end[row])
