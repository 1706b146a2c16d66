"""Figures as text for the terminal. What is not known is a dash, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

DASH = "–"
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_BARS = "▁▂▃▄▅▆▇█"


def count(value: float | None) -> str:
    """
    >>> count(336776)
    '336,776'
    """
    if value is None:
        return DASH
    return f"{value:,.0f}"


def fixed(value: float | None, digits: int = 3) -> str:
    if value is None:
        return DASH
    return f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    if value is None:
        return DASH
    # A minus as wide as the plus, so that columns stand under each other.
    return f"{value:+.{digits}f}".replace("-", "−")


def duration(ms: float | None) -> str:
    """The two largest units.

    >>> duration(93_784_000), duration(250), duration(0)
    ('1d 2h', '250ms', '0s')
    """
    if ms is None:
        return DASH
    if 0 < ms < 1_000:
        return f"{ms:.0f}ms"
    rest = round(ms / 1_000)
    parts: list[str] = []
    for unit, size in _UNITS:
        whole, rest = divmod(rest, size)
        if whole:
            parts.append(f"{whole}{unit}")
        elif parts:
            parts.append("")  # it takes its place: 1d 5m would be no two neighbours
    return " ".join(filter(None, parts[:2])) or "0s"


def moment(ms: int | None, form: str = "%a %-d %b %Y %H:%M") -> str:
    """A moment of the app's clock, UTC.

    >>> moment(1_357_016_400_000)
    'Tue 1 Jan 2013 05:00'
    """
    if ms is None:
        return DASH
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime(form)
    # no year that a calendar has: somebody else's number
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last of each of `width` parts, as bars from the lowest to the highest.

    >>> sparkline([1, 2, 3, 8], 4)
    '▁▂▃█'
    """
    if not values:
        return ""
    parts = min(width, len(values))
    picked = [values[(i + 1) * len(values) // parts - 1] for i in range(parts)]
    low = min(picked)
    high = max(picked)
    top = len(_BARS) - 1
    # Equal ones have no range to be drawn in: all are the lowest bar.
    if not high > low:
        return _BARS[0] * len(picked)
    return "".join(_BARS[round(top * (value - low) / (high - low))] for value in picked)
