"""The history in the run's folder, so that the plots outlive the process that draws them.

One file, written as a whole and put in place at once: a few megabytes at most, since a history is
bounded.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from freshet.schemas.errors import ObjectStoreError
from freshet.serving.status.history import History, KeptHistory
from freshet.streams import objects

log = structlog.get_logger()
FILE = "history.msgpack"
ASIDE = "history.unreadable"
FORMAT = 1


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """`format` rises when what is below it changes its meaning."""

    format: int
    app: str
    history: KeptHistory


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Content)


def save(place: str | Path, app: str, history: History) -> bool:
    """Write it; whether it is there now. A process that ends meanwhile leaves the file as it was. A
    disk that takes nothing costs but the history: it is logged."""
    # `kept` copies under the history's lock; encoding and writing need it no more.
    content = _Content(format=FORMAT, app=app, history=history.kept())
    try:
        objects.write(place, FILE, _encoder.encode(content))
    except (OSError, ObjectStoreError) as error:
        log.warning("history is not saved", folder=str(place), error=str(error))
        return False
    return True


def restore(place: str | Path, app: str, history: History) -> None:
    """Let `history` go on where the file ends. One that cannot be read, or is of another app or
    format, is set aside."""
    try:
        content = _decoder.decode(objects.read(place, FILE))
        if content.format != FORMAT or content.app != app:
            raise ValueError(f"it is of app {content.app}, format {content.format}")
        history.restore(content.history)
    except FileNotFoundError:
        return  # the run's first start
    except (OSError, msgspec.DecodeError, ValueError) as error:
        log.warning(
            "history cannot be read; it is set aside and begins anew",
            file=f"{place}/{ASIDE}",
            error=str(error),
        )
        _set_aside(place)


def _set_aside(place: str | Path) -> None:
    try:
        objects.set_aside(place, FILE, ASIDE)
    except (OSError, ObjectStoreError) as error:
        log.warning("history cannot be set aside", file=f"{place}/{FILE}", error=str(error))
