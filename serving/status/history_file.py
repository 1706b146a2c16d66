"""The history in the run's folder, so that the plots outlive the process that draws them.

One file, written as a whole and put in place at once: a few megabytes at most, since a history is
bounded.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from freshet.schemas.whole_files import write_whole
from freshet.serving.status.history import History, KeptHistory

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


def save(folder: Path, app: str, history: History) -> None:
    """Write it; a process that ends meanwhile leaves the file as it was. A disk that takes nothing
    costs but the history: it is logged."""
    # `kept` copies under the history's lock; encoding and writing need it no more.
    content = _Content(format=FORMAT, app=app, history=history.kept())
    try:
        write_whole(folder / FILE, _encoder.encode(content))
    except OSError as error:
        log.warning("history is not saved", folder=str(folder), error=str(error))


def restore(folder: Path, app: str, history: History) -> None:
    """Let `history` go on where the file ends. One that cannot be read, or is of another app or
    format, is set aside."""
    try:
        content = _decoder.decode((folder / FILE).read_bytes())
        if content.format != FORMAT or content.app != app:
            raise ValueError(f"it is of app {content.app}, format {content.format}")
        history.restore(content.history)
    except FileNotFoundError:
        return  # the run's first start
    except (OSError, msgspec.DecodeError, ValueError) as error:
        log.warning(
            "history cannot be read; it is set aside and begins anew",
            file=str(folder / ASIDE),
            error=str(error),
        )
        _set_aside(folder)


def _set_aside(folder: Path) -> None:
    try:
        (folder / FILE).replace(folder / ASIDE)
    except OSError as error:
        log.warning("history cannot be set aside", file=str(folder / FILE), error=str(error))
