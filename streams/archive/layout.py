"""Where archived records lie, and what a file's name says of it.

    {url}/app={app}/kind={kind}/name={log}/day={YYYY-MM-DD}/
        p{partition:05}-{first:020}-{after:020}-{digest}.parquet

A file holds all records of one partition of one log from position `first` to `after` (exclusive),
gaps included; `digest` is the first 16 hex digits of the SHA-256 of the file's bytes, and `day` the
day (UTC) on which its first record was appended. Which log that was, by its identity, stands in the
file's metadata. A file that no checkpoint of the archive's operator names does not count.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from freshet.schemas.errors import SchemaError

FORMAT = 1
DIGEST_DIGITS = 16
DAY_MS = 86_400_000
SUFFIX = ".parquet"
# Kinds of logs, as they stand in paths.
SOURCE = "source"
OUTCOMES = "outcomes"
EXAMPLES = "examples"
DEAD = "dead"
CONTROL = "control"
STATISTICS = "statistics"
CLEAN = "clean"
FATES = "fates"
_EPOCH = date(1970, 1, 1)
_NAME = re.compile(r"p(\d{5,})-(\d{20})-(\d{20})-([0-9a-f]{16})\.parquet")


class Place(NamedTuple):
    """One partition of one log, whose name is `log`, of an app."""

    app: str
    kind: str
    log: str
    partition: int

    @property
    def folder(self) -> str:
        """Of all its days, beneath the archive's URL."""
        return f"app={_quoted(self.app)}/kind={_quoted(self.kind)}/name={_quoted(self.log)}"


class ArchivedFile(NamedTuple):
    """A file: positions `first` to `after` (exclusive), the day (days since 1970, UTC), the rows
    and bytes that it has, its digest (16 hex digits), and `shape`: equal where the columns are."""

    first: int
    after: int
    day: int
    rows: int
    size: int
    digest: str
    shape: int = 0

    def path(self, place: Place) -> str:
        """Beneath the archive's URL."""
        positions = f"{self.first:020}-{self.after:020}"
        name = f"p{place.partition:05}-{positions}-{self.digest}{SUFFIX}"
        return f"{place.folder}/day={text_of(self.day)}/{name}"


class Named(NamedTuple):
    """What a path says."""

    place: Place
    day: int
    first: int
    after: int
    digest: str


def named(path: str) -> Named:
    """What the path of an archived file says, whatever stands before `app=`.

    Raises:
        SchemaError: it is none.
    """
    parts = path.split("/")[-5:]
    found = _NAME.fullmatch(parts[-1])
    keys = [part.partition("=") for part in parts[:-1]]
    if found is None or [key for key, _, _ in keys] != ["app", "kind", "name", "day"]:
        raise SchemaError(
            f"archived file {path}",
            "has another name than files of an archive",
            "Keep nothing else beneath the archive's app= folders.",
        )
    app, kind, log, day = (urllib.parse.unquote(value) for _, _, value in keys)
    partition, first, after, digest = found.groups()
    place = Place(app, kind, log, int(partition))
    return Named(place, day_of(day), int(first), int(after), digest)


def day_at(time_ms: int) -> int:
    """The day (days since 1970, UTC) of a time; those that no calendar has are its first or
    last."""
    first = (date.min - _EPOCH).days
    last = (date.max - _EPOCH).days
    return min(max(time_ms // DAY_MS, first), last)


def day_of(text: str) -> int:
    """Days since 1970 of YYYY-MM-DD."""
    return (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date() - _EPOCH).days


def text_of(day: int) -> str:
    """A day as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def digest_of(data: bytes | memoryview) -> str:
    """Of a file's bytes, as its name has it."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]


def task_of(kind: str, log: str, partition: int) -> str:
    """The name of the task that archives a partition, and of its checkpoints."""
    return f"archive:{kind}.{log}:{partition}"


def _quoted(text: str) -> str:
    # Readers of such folders take `=` and `/` apart, and undo %XX.
    return urllib.parse.quote(text, safe="")
