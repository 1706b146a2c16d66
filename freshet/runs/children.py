"""What the supervisor of a run knows of its processes, for the process that shows it: a file in the
run's folder.

A role that dies before it can speak is heard of by nobody else.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from freshet.schemas.whole_files import write_whole

FILE = "processes.json"
# Members that a supervisor starts beside those of another version.
_OF_A_VERSION = re.compile(r"\.v\d+$")


class Children(msgspec.Struct, frozen=True):
    """Facts by role name, as `Supervisor.facts` tells them, and the process id of who told."""

    supervisor: int
    roles: dict[str, dict[str, Any]]


def write(run_dir: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `OSError` where it cannot be written."""
    told = Children(os.getpid(), {name: dict(of_role) for name, of_role in facts.items()})
    write_whole(run_dir / FILE, msgspec.json.encode(told))


def read(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Of the supervisor that started this process; nothing for a role that runs alone, or while
    there is no such file."""
    parent = mp.parent_process()
    if parent is None:
        return {}
    try:
        found = msgspec.json.decode((run_dir / FILE).read_bytes(), type=Children)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    # One that was killed leaves its file behind.
    if found.supervisor != parent.pid:
        return {}
    return found.roles


def made_room(name: str, roles: Collection[str]) -> bool:
    """Whether a process of this lasting name is one that made room for those of another version;
    `roles` are the names that the supervisor has now.

    >>> made_room("serve", ["serve.v2", "view"]), made_room("view.2", ["view"])
    (True, False)
    """
    if not roles or name in roles:
        return False
    kind = name.partition(".")[0]
    return bool(_OF_A_VERSION.search(name)) or any(
        role.startswith(f"{kind}.") and _OF_A_VERSION.search(role) for role in roles
    )


def forget(run_dir: Path) -> None:
    (run_dir / FILE).unlink(missing_ok=True)
