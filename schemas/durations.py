"""Durations are written as text (`"15m"`) and kept as whole milliseconds (`*_ms`)."""

from __future__ import annotations

import re

from freshet.schemas.errors import DefinitionError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def milliseconds(text: str, name: str = "duration") -> int:
    """Milliseconds of a duration such as `250ms`, `5s`, `2m`, `1h30m` or `7d`.

    Raises:
        DefinitionError: the text is no duration, has an unknown unit or a fraction of a millisecond.

    >>> milliseconds("1h30m")
    5400000
    """
    parts = _PART.findall(str(text))
    if not parts or "".join(n + u for n, u in parts) != text:
        raise DefinitionError(
            f"{name}={text!r}",
            "is not a duration",
            f"Write a number and a unit, such as 250ms, 5s, 2m, 1h30m or 7d (units: {', '.join(UNITS_MS)}).",
        )
    total = sum(float(n) * UNITS_MS[u] for n, u in parts)
    if total != int(total):
        raise DefinitionError(f"{name}={text!r}", "is not a whole number of milliseconds", "Use a smaller unit.")
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
        n, ms = divmod(ms, size)
        out += f"{n}{unit}" if n else ""
    return out
