"""What is kept of a topic's values, and when they are told of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from freshet.schemas.declared import brief, check_kind
from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.start import moment, moment_ms

WEEKS = "weeks"
_DAY_HOURS = DAY_MS // HOUR_MS
_WHERE = "fr.Statistics"
_REFERENCE = (
    'Write "weeks", or the first and the last moment of a span, ("2026-01-05", "2026-02-02").'
)
_BOUNDS = 'Write the largest usual distance by field, {"price": 0.3}: more than 0, and less than 1.'


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the values of a topic's fields are compared with, hour by hour, and when it is told
    of. It changes no row, example or prediction, and may be changed at any time.

    Source of the distance: Lin, Divergence measures based on the Shannon entropy, 1991.

    Args:
        bounds: By field the Jensen–Shannon distance, between 0 and 1, beyond which an hour is told
            of at once, at each source. That of the topic's `source` is of who brings how much. Of
            all other fields the bound is learned: beyond what any hour had, from the ninth week on.
        reference: What an hour is compared with: `"weeks"`, the same hours of the four weeks
            before; or the first and the last moment of a span of event time (each a `date`, a
            `datetime`, or text of ISO 8601; UTC where it names no zone), of which the whole days
            (UTC) count. Kept as texts, in UTC.

    Raises:
        DefinitionError: a bound is no number between 0 and 1, or the reference is neither.

    Examples:
        >>> import freshet as fr
        >>> held = fr.Statistics(bounds={"price": 0.3}, reference=("2026-01-05", "2026-02-02"))
        >>> held.reference
        ('2026-01-05T00:00:00+00:00', '2026-02-02T00:00:00+00:00')
    """

    bounds: Mapping[str, float] = field(default_factory=dict)
    reference: str | tuple[str | date, str | date] = WEEKS

    def __post_init__(self) -> None:
        check_kind(_WHERE, "bounds", self.bounds, Mapping, _BOUNDS)
        for name, bound in self.bounds.items():
            check_bound(_WHERE, "bounds", name, bound, _BOUNDS)
        if self.reference != WEEKS:
            object.__setattr__(self, "reference", _span(self.reference))

    @property
    def span(self) -> tuple[int, int] | None:
        """The hours since 1970 of a fixed reference: the first, and the one after the last."""
        if isinstance(self.reference, str):
            return None
        first, last = (str(end) for end in self.reference)
        return _whole_days(first, last)

    @property
    def reference_name(self) -> str:
        """As it is told of: "unlike …"."""
        if isinstance(self.reference, str):
            return "the same hours of the weeks before"
        # Midnights go without saying.
        ends = [str(end).removesuffix("+00:00") for end in self.reference]
        first, last = (end.removesuffix("T00:00:00") for end in ends)
        return f"{first} to {last} UTC"


def check_bound(where: str, parameter: str, name: object, bound: object, next_step: str) -> None:
    """Of a Jensen–Shannon distance by name. Raises `DefinitionError` where it is none."""
    # Booleans are numbers to Python, and no distances.
    is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
    if isinstance(name, str) and is_number and _is_distance(bound):
        return
    cause = f"{parameter}[{brief(name)}]={brief(bound)} is no distance"
    raise DefinitionError(where, cause, next_step)


def _is_distance(bound: object) -> bool:
    assert isinstance(bound, int | float)
    return math.isfinite(bound) and 0.0 < bound < 1.0


def _span(given: object) -> tuple[str, str]:
    named = f"reference={brief(given)}"
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DefinitionError(_WHERE, f"{named} is no span", _REFERENCE)
    for end in given:
        check_kind(_WHERE, "reference", end, (str, date), _REFERENCE)
    first, last = (moment(end, _WHERE, "reference", _REFERENCE) for end in given)
    begin, after = _whole_days(first, last)
    if after <= begin:
        raise DefinitionError(_WHERE, f"{named} has no whole day", _REFERENCE)
    return first, last


def _whole_days(first: str, last: str) -> tuple[int, int]:
    """In hours: days are what hours become that are old."""
    first_ms = moment_ms(first) or 0
    last_ms = moment_ms(last) or 0
    first_day = -(-first_ms // DAY_MS)
    return first_day * _DAY_HOURS, last_ms // DAY_MS * _DAY_HOURS
