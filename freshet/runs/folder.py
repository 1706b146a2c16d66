"""The folder of a run: made where it is not there, and refused for its true reason where it cannot
be used."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from freshet.runs.lock import LOCK, RunLock
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.settings import Settings, settings
from freshet.streams import objects
from freshet.streams.object_probe import probe

# SQLite takes paths of some 500 bytes, and the longest name of a log in the folder has 170 of them:
# app, model and digest, with the suffix of SQLite's own file.
MOST_BYTES = 300
# Of the path of a socket on Linux; Python's own sockets in the temporary folder add up to this
# many.
SOCKET_BYTES = 107
SOCKET_NAME_BYTES = 40
ANOTHER = "Name another folder with --run-dir."


def local(run_dir: str | Path) -> Path:
    """The folder on this machine of what `--run-dir` names: itself, or, of a URL, what stays here
    of the run there."""
    if isinstance(run_dir, Path) or not objects.is_remote(run_dir):
        return Path(objects.plain(str(run_dir)))
    return settings(run_dir=run_dir).local_path


def take(given: Settings) -> None:
    """Make the folder of a run on this machine, and see that what others share of it can be put,
    listed, read and removed.

    Raises:
        DefinitionError: others cannot share its log.
        ComponentError: the folder cannot be used.
        ObjectStoreError: the store of objects does not answer, or refuses it.
    """
    refuse_unshared(given)
    prepare(given.local_path)
    if given.is_shared:
        probe(given.shared_url)


def refuse_unshared(given: Settings) -> None:
    """Checkpoints say where in a log they are: who has them on another machine needs that log."""
    if given.is_shared and not given.log.startswith("kafka://"):
        raise DefinitionError(
            f"setting run_dir={given.run_dir!r}",
            "is for roles on several machines, and an embedded log is on one of them alone",
            "Name a Kafka with --log kafka://host:port, or with --run-dir a folder here.",
        )


def prepare(run_dir: Path) -> None:
    """Make the folder, and see that it may be written.

    Raises:
        ComponentError: it is a file, its path is too long, or it may not be written.
    """
    whole = os.fsencode(run_dir.absolute())
    if len(whole) > MOST_BYTES:
        raise ComponentError(
            f"run folder {run_dir}",
            f"its whole path has {len(whole)} bytes, "
            f"and up to {MOST_BYTES} leave room for the names in it",
            "Name a folder with a shorter path with --run-dir.",
        )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        # The kernel's word, not what modes say: of a disk that is mounted to be read only, too.
        with tempfile.TemporaryFile(dir=run_dir):
            pass
    except OSError as error:
        raise ComponentError(
            f"run folder {run_dir}", _why_not(run_dir, error), _next_step(error)
        ) from error
    _check_temporary()


def empty(run_dir: Path) -> None:
    """Make a run's folder new.

    Raises:
        LogError: another run holds it.
        ComponentError: it holds something, and is no run's folder.
    """
    if not run_dir.exists() or not any(run_dir.iterdir()):
        return
    if not (run_dir / LOCK).exists():
        raise ComponentError(
            f"folder {run_dir}",
            "is not empty, and not of a run",
            "Name another with --run-dir, or empty it yourself.",
        )
    with RunLock(run_dir):
        for found in run_dir.iterdir():
            if found.is_dir():
                shutil.rmtree(found)
            elif found.name != LOCK:
                found.unlink()


def no_run(run_dir: Path, what: str, error: OSError) -> ComponentError:
    """The error of a folder in which a file of a run could not be read; `what` is told where it is
    not there."""
    cause = _why_not(run_dir, error)
    if isinstance(error, FileNotFoundError):
        cause = what
    next_step = "Start one with freshet run APP.py, or name its folder with --run-dir."
    return ComponentError(f"run in {run_dir}", cause, next_step)


def _why_not(run_dir: Path, error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{_file_in_the_way(run_dir)} is a file, not a folder"
    if error.errno == errno.ENAMETOOLONG:
        return "its path is longer than this system takes"
    return f"cannot be used: {error.strerror or error}"


def _file_in_the_way(run_dir: Path) -> Path:
    """The folder itself, or the one above it that is none."""
    for path in (run_dir, *run_dir.parents):
        if path.exists() and not path.is_dir():
            return path
    return run_dir


def _next_step(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Make room there. {ANOTHER}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Make it writable. {ANOTHER}"
    return ANOTHER


def _check_temporary() -> None:
    """Processes talk through sockets in the temporary folder, whose paths are short."""
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) + SOCKET_NAME_BYTES > SOCKET_BYTES:
        raise ComponentError(
            f"temporary folder {temporary}",
            "its path is too long for the sockets of the run's processes",
            "Set TMPDIR to a shorter one, such as /tmp.",
        )
