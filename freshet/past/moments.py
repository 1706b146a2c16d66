"""Moments as whoever asks writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from freshet.schemas.errors import RequestError

Moment = datetime | date | str


def ms_of(name: str, moment: Moment) -> int:
    """Milliseconds since 1970; a moment without a zone is of UTC.

    Raises:
        RequestError: `name`, as whoever asks calls it, is no moment.

    >>> ms_of("since", "1970-01-01T01:00"), ms_of("since", "1970-01-01T01:00+01:00")
    (3600000, 0)
    """
    found = moment
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError as error:
            raise RequestError(
                f"{name} {moment!r}",
                "is no moment",
                "Write one as ISO 8601, such as 2013-02-08 or 2013-02-08T12:30.",
            ) from error
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1_000)
