"""Other projects' programs in environments of their own, in the user's cache: they need other
versions of what freshet needs. An environment is made once; where it cannot be, its benchmark says
so and goes on without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path.home() / ".cache" / "freshet" / "bench"
# Which are compared with; newer ones may be, too.
PACKAGES = {
    "feast": ["feast[redis]==0.67.0"],
    "streams": ["bytewax==0.21.1", "quixstreams==3.28.1", "fastavro", "redis"],
    "faust": ["faust-streaming==0.15.3", "fastavro", "redis"],
}


class NoPeer(Exception):
    """Its environment cannot be made, and why."""


def python_of(name: str) -> Path:
    """The interpreter of an environment.

    Raises: NoPeer.
    """
    folder = FOLDER / name
    python = folder / "bin" / "python"
    made = folder / ".made"
    packages = "\n".join(PACKAGES[name])
    if made.exists() and made.read_text() == packages:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]])
    # Last: an environment that was left half made is made again.
    made.write_text(packages)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPeer(f"{command[0]}: {done.stderr[-500:]}")
