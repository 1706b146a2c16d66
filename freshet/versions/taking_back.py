"""What was made for a version that is taken back is removed, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from freshet.streams.log.contract import Log
from freshet.streams.sqlite import topic as sqlite_topic
from freshet.versions.record import Left

# Beside the file of a topic: its bell, and what SQLite makes itself.
SUFFIXES = (".bell", "-wal", "-shm", "-journal")


class Brokers(Protocol):
    """Kafka's, as far as they are asked here."""

    def topics(self) -> set[str]: ...

    def is_empty(self, topic: str) -> bool: ...

    def remove(self, topics: Collection[str], is_gone: Callable[[str], bool]) -> None: ...


def remove(made: Left, checkpoints: Path, log: Log, log_folder: Path | None) -> None:
    """Remove it; what is no more there is removed. A topic of the version's own into which somebody
    published meanwhile stays, with all that is in it."""
    for path in made.paths:
        _remove_path(checkpoints / path)
    if log_folder is None:
        return
    for name in made.logs:
        _remove_topic(log_folder, name)
    for name in made.sources:
        if sqlite_topic.path_of(log_folder, name).exists() and _is_empty(log, name):
            _remove_topic(log_folder, name)


def remove_of_brokers(made: Left, app: str, version: int, brokers: Brokers) -> None:
    """The same on Kafka, with the groups of the version's processes."""
    there = brokers.topics()
    unused = [name for name in made.sources if name in there and brokers.is_empty(name)]
    brokers.remove(
        [*made.logs, *unused],
        # As `Context` names them.
        lambda group: group.startswith(f"{app}.") and group.endswith(f".v{version}"),
    )


def _is_empty(log: Log, name: str) -> bool:
    return all(end == 0 for _, end in log.bounds(name).spans.values())


def _remove_path(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    # A kind of checkpoints of which this was the first.
    parent = path.parent
    if parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()


def _remove_topic(folder: Path, name: str) -> None:
    file = sqlite_topic.path_of(folder, name)
    for suffix in SUFFIXES:
        if suffix.startswith("."):
            file.with_suffix(suffix).unlink(missing_ok=True)
        else:
            file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
    # Last: whoever goes on after a kill finds it by this one.
    file.unlink(missing_ok=True)
