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
    return DASH if value is None else f"{value:,.0f}"


def fixed(value: float | None, digits: int = 3) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    return DASH if value is None else f"{value:+.{digits}f}".replace("-", "−")


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
        n, rest = divmod(rest, size)
        if n or parts:
            parts.append(f"{n}{unit}" if n else "")
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
    low, high = min(picked), max(picked)
    top = len(_BARS) - 1
    return "".join(
        _BARS[round(top * (v - low) / (high - low)) if high > low else 0] for v in picked
    )
