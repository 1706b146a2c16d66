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
    moment = _moment(start, where)
    try:
        moment = moment.astimezone(UTC)
    # Of the first and the last day that Python has, as a zone moves them out of its calendar.
    except OverflowError as error:
        raise _beyond(start, where) from error
    if not EARLIEST_MS <= round(moment.timestamp() * 1_000) <= LATEST_MS:
        raise _beyond(start, where)
    return moment.isoformat(timespec="auto")


def moment_ms(start: str) -> int | None:
    """Of a canonical start, in ms; None of one that is no moment."""
    if start in (EARLIEST, LATEST):
        return None
    return round(datetime.fromisoformat(start).timestamp() * 1_000)


def _moment(start: str | date, where: str) -> datetime:
    found: datetime | date = start if isinstance(start, date) else _parsed(start, where)
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found


def _parsed(text: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise DefinitionError(where, f"start={text!r} is no moment", NEXT_STEP) from error


def _beyond(start: str | date, where: str) -> DefinitionError:
    return DefinitionError(
        where, f"start={str(start)!r} is before 1900 or after 9999", "Name a moment in between."
    )
