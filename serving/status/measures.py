"""What a measure by which an hour was told of says, in a phrase: for alerts and the command."""

from __future__ import annotations

from freshet.serving.status.status import DriftFigures, Measure

_SHARES: dict[Measure, str] = {
    "unseen": "of the values are none that were there before",
    "new_values": "of the different values are none that were there before",
    "outside": "of the values are far outside of all before",
    "one_value": "more have one same value than of any hour before",
    "hour": "of the values were never there at this hour of the day",
    "missing": "more are missing than of any hour before",
}
_SIZES: dict[Measure, str] = {
    "level": "widths of all values is the median outside of the newest",
    "magnitude": "times doubled or halved is the size beyond that of all hours before",
}


def said(found: DriftFigures) -> str:
    """How far it is, and its bound."""
    if found.measure in _SHARES:
        bound = min(1.0, found.bound)
        return f"{found.distance:.0%} {_SHARES[found.measure]}, bound {bound:.0%}"
    if found.measure in _SIZES:
        return f"{found.distance:.1f} {_SIZES[found.measure]}, bound {found.bound:.1f}"
    return f"{found.distance:.2f} apart, bound {found.bound:.2f}"
