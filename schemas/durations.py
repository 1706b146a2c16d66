"""Durations are written as text (`"15m"`) and kept as whole milliseconds (`*_ms`)."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from freshet.schemas.errors import DefinitionError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}
# nothing here is to last longer, and dates that it is added to stay dates
MOST_MS = 100 * 366 * DAY_MS
MOST_TEXT = 40  # more than any duration needs; digits without end are no number to compute with
# 1900 to 9999: where an app's clock can stand. Beyond, dates cannot be told, and sums of
# milliseconds leave 64 bits.
EARLIEST_MS = -2_208_988_800_000
LATEST_MS = 253_402_300_799_999
# Units of time lie a factor of a thousand apart, so years tell which of them is meant.
NEAR_MS = 10 * 365 * DAY_MS
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def milliseconds(text: str, name: str = "duration") -> int:
    """Milliseconds of a duration such as `250ms`, `5s`, `2m`, `1h30m` or `7d`.

    Raises:
        DefinitionError: the text is no duration, has an unknown unit or a fraction of a
            millisecond, or is longer than a hundred years.

    >>> milliseconds("1h30m")
    5400000
    """
    try:
        return _read(text, name)
    except TypeError:  # what has no hash, and so is no text
        return _parsed(text, name)


def _parsed(text: str, name: str) -> int:
    written = str(text)
    shown = f"{name}={text!r}"
    parts = _PART.findall(written[: MOST_TEXT + 1])
    if len(written) > MOST_TEXT:
        shown = f"{name}={written[:MOST_TEXT]!r}…"
    elif parts and "".join(number + unit for number, unit in parts) == text:
        return _whole(sum(Decimal(number) * UNITS_MS[unit] for number, unit in parts), shown)
    units = ", ".join(UNITS_MS)
    raise DefinitionError(
        shown,
        "is not a duration",
        f"Write a number and a unit, such as 250ms, 5s, 2m, 1h30m or 7d (units: {units}).",
    )


# Each turn of an operator asks for some.
_read = lru_cache(maxsize=1_000)(_parsed)


def _whole(total: Decimal | int, shown: str) -> int:
    if total > MOST_MS:
        raise DefinitionError(
            shown, "is longer than a hundred years", f"Use {text_of(MOST_MS)} at most."
        )
    if total != int(total):
        raise DefinitionError(shown, "is not a whole number of milliseconds", "Use a smaller unit.")
    return int(total)


def text_of(ms: int) -> str:
    """The shortest text of a duration; the inverse of `milliseconds`.

    >>> text_of(5_400_000)
    '1h30m'
    """
    if ms == 0:
        return "0s"
    out = ""
    for unit, size in reversed(UNITS_MS.items()):
        count, ms = divmod(ms, size)
        if count:
            out += f"{count}{unit}"
    return out
