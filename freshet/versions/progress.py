"""How far the change of a run's version is, for whoever shows it; and what is asked of it.

    {run}/versions/apply.json            what is asked, and how far it is
    {run}/versions/abort                 whether it is to be taken back
    {run}/versions/progress/{role}.json  what a process of the new version says of itself

The first is the supervisor's but for its first writing, which asks for the change."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import msgspec

from freshet.schemas.whole_files import write_whole
from freshet.versions.record import FOLDER, Left

FILE = "apply.json"
ABORT = "abort"
SAID = "progress"
# Steps, in their order; each is begun again by whoever finds it.
STAGING = "staging"  # by who asks: nothing is done yet
ASKED = "asked"
BUILDING = "building"
MOVING = "moving"
TAKING_BACK = "taking back"
FAILED = "failed"


class OfView(msgspec.Struct, frozen=True):
    """A view that is built: as `HydrateFacts` has it."""

    state: str = ""
    records: int = 0
    records_left: int = 0
    records_a_second: int = 0
    seconds_left: int | None = None
    waits_for: str = ""


class Applying(msgspec.Struct, frozen=True):
    """The change to `version`: its `step`, its `state` (hydrating, lagging, ready, failing), the
    views that are built, and why nothing comes on. What it `made` is what a change back removes;
    a `new` version goes with it."""

    version: int
    step: str = ASKED
    state: str = ""
    cause: str = ""
    views: dict[str, OfView] = {}
    since_ms: int = 0
    made: Left = Left()
    new: bool = True


def read(run_dir: Path) -> Applying | None:
    """None while nothing is being changed."""
    try:
        return msgspec.json.decode((run_dir / FOLDER / FILE).read_bytes(), type=Applying)
    except (OSError, msgspec.DecodeError):
        return None


def write(run_dir: Path, now: Applying) -> None:
    """Raises `OSError` where it cannot be written."""
    write_whole(run_dir / FOLDER / FILE, msgspec.json.encode(now), durable=True)


def end(run_dir: Path) -> None:
    """Nothing is being changed any more."""
    folder = run_dir / FOLDER
    shutil.rmtree(folder / SAID, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)
    # Last: until then whoever is started goes on with taking back.
    (folder / ABORT).unlink(missing_ok=True)


def ask_back(run_dir: Path) -> None:
    (run_dir / FOLDER / ABORT).touch()


def back_is_asked(run_dir: Path) -> bool:
    return (run_dir / FOLDER / ABORT).exists()


def say(run_dir: Path, role: str, facts: dict[str, Any]) -> None:
    """Of a process of the new version. Never raises: it is told again a second later."""
    folder = run_dir / FOLDER / SAID
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{role}.json", msgspec.json.encode(facts))


def said(run_dir: Path, role: str) -> dict[str, Any]:
    """Nothing where it has not spoken."""
    try:
        found = msgspec.json.decode((run_dir / FOLDER / SAID / f"{role}.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return dict(found)


def forget_said(run_dir: Path) -> None:
    """What processes said that are no more."""
    shutil.rmtree(run_dir / FOLDER / SAID, ignore_errors=True)
