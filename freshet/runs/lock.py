"""One run at a time on a directory: two would both believe that the partitions are theirs alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from freshet.schemas.errors import LogError

LOCK = "run.lock"


def is_held(directory: Path) -> bool:
    """Whether something runs in a directory, or nobody could; without keeping it."""
    # Where nothing ever ran nothing is left behind by asking.
    if not (directory / LOCK).exists():
        return False
    try:
        RunLock(directory).close()
    except LogError:
        return True
    return False


class RunLock:
    """Holds a directory for this process until closed, or until the process ends, however it ends.

    The lock is on an open file (`flock`), so it survives other opens of that file here, and
    children started with `exec` do not keep it.

    Raises:
        LogError: another process holds it; the text names its process id.
    """

    def __init__(self, directory: str | Path) -> None:
        path = Path(directory) / LOCK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise LogError(
                str(directory),
                f"{path} cannot be locked: {error.strerror or error}",
                "Make it a file that may be written, or name another folder with --run-dir.",
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise LogError(
                str(directory),
                f"log locked by another run (pid {pid})",
                "Stop that run first, or give this one another folder (--run-dir).",
                pid=pid,
            ) from error
        # Only now is the file ours: until then it names the one that holds it.
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
