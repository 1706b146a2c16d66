"""The three switches of a run: stop learning, stop releases, stop answering from models.

They are a file in the run's folder, so they work without log and store, survive restarts, and hold
for every process that shares the folder. Roles look at the file a few times a second.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Literal

import msgspec

from freshet.schemas.errors import ComponentError, RequestError
from freshet.schemas.whole_files import write_whole
from freshet.streams.clock import wall_now_ms

Name = Literal["learn", "release", "answer"]
NAMES: tuple[Name, ...] = ("learn", "release", "answer")
FILE = "switches.json"
LOOK_SECONDS = 0.2


class Switch(msgspec.Struct, frozen=True):
    """On or off, by whom and when (wall, ms). A switch that nobody has touched is on, by nobody."""

    on: bool = True
    by: str = ""
    at: int = 0


class Switches(msgspec.Struct, frozen=True):
    """`learn`: trainers learn; `release`: snapshots are released; `answer`: models answer (else the
    declared fallback, or nobody)."""

    learn: Switch = Switch()
    release: Switch = Switch()
    answer: Switch = Switch()


_decoder = msgspec.json.Decoder(Switches)


def read(run_dir: Path) -> Switches:
    """Raises `ComponentError` for a file that somebody has broken."""
    try:
        return _decoder.decode((run_dir / FILE).read_bytes())
    # Nobody has turned one yet.
    except (FileNotFoundError, NotADirectoryError):
        return Switches()
    except OSError as error:
        raise ComponentError(
            f"file {run_dir / FILE}",
            f"cannot be read: {error.strerror or error}",
            "Make it a file that can be read, or remove it: then all switches are on.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ComponentError(
            f"file {run_dir / FILE}",
            f"cannot be read: {error}",
            "Remove it: then all switches are on.",
        ) from error


def turn(run_dir: Path, name: str, on: bool, by: str) -> Switches:
    """Turn a switch, for all processes of the run, now and after restarts.

    Raises: RequestError: there is no such switch. ComponentError: it cannot be written, and is as
        it was: the disk is full, or the folder not ours.
    """
    if name not in NAMES:
        raise RequestError(
            f"switch {name!r}", "is unknown", f"The switches are {', '.join(NAMES)}."
        )
    changed = msgspec.structs.replace(read(run_dir), **{name: Switch(on, by, wall_now_ms())})
    text = msgspec.json.format(msgspec.json.encode(changed))
    try:
        # A switch holds over restarts, that of the machine too.
        write_whole(run_dir / FILE, text, durable=True)
    except OSError as error:
        raise ComponentError(
            f"file {run_dir / FILE}",
            f"cannot be written: {error.strerror or error}; all switches are as they were",
            "Make room there, or make it writable, and turn the switch again.",
        ) from error
    return changed


class SwitchBoard:
    """A process's view of the switches. `current` is cheap: the file is looked at a few times a
    second, and a broken one changes nothing."""

    def __init__(self, run_dir: Path) -> None:
        self._dir = run_dir
        self._next = 0.0
        self._switches = Switches()

    @property
    def current(self) -> Switches:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            with contextlib.suppress(ComponentError):
                self._switches = read(self._dir)
        return self._switches
