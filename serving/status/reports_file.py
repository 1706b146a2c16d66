"""What was gathered of the log of reports, in the run's folder: whoever begins again goes on where
that ends, so what stands before it may go.

As JSON, like the messages that it is made of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import structlog

from freshet.schemas.errors import ObjectStoreError
from freshet.schemas.wire import facts
from freshet.schemas.wire.facts import Count, Moment
from freshet.schemas.wire.messages import Clock, Status, Swapped
from freshet.streams import objects

log = structlog.get_logger()
FILE = "reports.json"
ASIDE = "reports.unreadable"
FORMAT = 1


class Swaps(msgspec.Struct, frozen=True):
    """How often scorers have put a snapshot of a model in place, and the newest time that one
    did."""

    count: Count = 0
    newest: Swapped | None = None

    def and_(self, m: Swapped) -> Swaps:
        return Swaps(self.count + 1, m)


class KeptReports(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all that stands before `position` of the log of reports that has the `identity`:
    the newest facts of tasks, as statuses of those who told them, and their ticks; the `newest`
    status of each process, and of those that are `gone` the requests they answered; swaps by
    model; and what the log held, as marks of an `Extent`. Nothing of it depends on what the app
    declares, which may change meanwhile."""

    identity: str
    position: Count
    clock: Clock | None
    span: tuple[Moment | None, Moment | None]
    tasks: list[Status]
    ticks: dict[str, Moment]
    newest: list[Status]
    gone: dict[str, dict[str, Any]]
    swaps: dict[str, Swaps]
    held: list[tuple[Count, Count]] = []


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """`format` rises when what is below it changes its meaning."""

    format: int
    app: str
    reports: KeptReports


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Content)


def save(place: str | Path, app: str, kept: KeptReports) -> bool:
    """Write it; whether it is there now. A disk that takes nothing is logged. One that knows more
    stays: another process has read on while this one slept."""
    content = _Content(format=FORMAT, app=app, reports=kept)
    try:
        there = restored(place, app)
        if there is not None and _knows_more(there, kept):
            return False
        objects.write(
            place,
            FILE,
            _encoder.encode(content),
        )
    except (OSError, ObjectStoreError) as error:
        log.warning("what roles told is not saved", folder=str(place), error=str(error))
        return False
    return True


def restored(place: str | Path, app: str) -> KeptReports | None:
    """What the file has. One that cannot be read, or is of another app or format, is set aside, and
    the log is read from what it has first.

    Raises:
        ObjectStoreError: nobody can say what it has. To begin without it would lose that.
        OSError: as above.
    """
    try:
        content = _decoder.decode(objects.read(place, FILE))
        if content.format != FORMAT or content.app != app:
            raise ValueError(f"it is of app {content.app}, format {content.format}")
        _check(content.reports)
    except FileNotFoundError:
        return None  # the run's first start
    except (msgspec.DecodeError, ValueError) as error:
        log.warning(
            "what roles told cannot be read; it is set aside and gathered from the log",
            file=f"{place}/{ASIDE}",
            error=str(error),
        )
        objects.set_aside(place, FILE, ASIDE)
        return None
    return content.reports


def _knows_more(there: KeptReports, kept: KeptReports) -> bool:
    if there.identity != kept.identity:
        return False
    return there.position > kept.position


def _check(kept: KeptReports) -> None:
    """Raises `msgspec.ValidationError` for facts that no message would have brought."""
    for status in (*kept.tasks, *kept.newest):
        facts.check_status(status.facts)
    for requests in kept.gone.values():
        facts.check_status({"requests": requests})
