"""Where a topic is read from: its first record, its end, or a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime

from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.errors import DefinitionError

EARLIEST = "earliest"
LATEST = "latest"
NEXT_STEP = (
    'Write "earliest", "latest", or a date or moment of ISO 8601, such as "2026-01-31" or '
    '"2026-01-31T12:30+01:00" (UTC where it names no zone).'
)


def canonical(start: str | date, where: str) -> str:
    """`earliest`, `latest`, or the moment in UTC: one text for each start, however it was written.

    Raises:
        DefinitionError: it is none of them.

    >>> canonical("2026-01-31T12:30+01:00", "topic orders")
    '2026-01-31T11:30:00+00:00'
    """
    if start in (EARLIEST, LATEST):
        return str(start)
    return moment(start, where, "start", NEXT_STEP)


def moment(given: str | date, where: str, argument: str, next_step: str) -> str:
    """A moment in UTC as one text; `next_step` says how else to write the `argument`.

    Raises:
        DefinitionError: it is none, or beyond the calendar.

    >>> moment("2026-01-31", "fr.Statistics", "reference", "")
    '2026-01-31T00:00:00+00:00'
    """
    named = f"{argument}={str(given)!r}"
    beyond = DefinitionError(
        where, f"{named} is before 1900 or after 9999", "Name a moment in between."
    )
    try:
        found = _parsed(given).astimezone(UTC)
    except ValueError as error:
        raise DefinitionError(where, f"{named} is no moment", next_step) from error
    # Of the first and the last day that Python has, as a zone moves them out of its calendar.
    except OverflowError as error:
        raise beyond from error
    if not EARLIEST_MS <= round(found.timestamp() * 1_000) <= LATEST_MS:
        raise beyond
    return found.isoformat(timespec="auto")


def moment_ms(start: str) -> int | None:
    """Of a canonical start, in ms; None of one that is no moment."""
    if start in (EARLIEST, LATEST):
        return None
    return round(datetime.fromisoformat(start).timestamp() * 1_000)


def _parsed(given: str | date) -> datetime:
    found = given
    if not isinstance(found, date):
        found = datetime.fromisoformat(found)
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found
