"""`python -m freshet.warm`: after it, nothing is compiled while an app runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import freshet


@pytest.mark.timeout(600)
def test_a_run_of_the_demo_compiles_nothing_after_warming(tmp_path: Path) -> None:
    # A copy with caches of its own: tests that run beside this one compile kernels of theirs into
    # the checkout's.
    shutil.copytree(Path(freshet.__file__).parent, tmp_path / "freshet")
    python(tmp_path, "-m", "freshet.warm")
    before = compiled(tmp_path)
    assert before
    python(
        tmp_path,
        "-m",
        "freshet",
        "demo",
        "--days",
        "1",
        "--run-dir",
        "run",
        "--report",
        "report.json",
    )
    assert compiled(tmp_path) == before


def compiled(folder: Path) -> set[tuple[str, int]]:
    """What numba has kept, each with the moment it was written."""
    return {(file.name, file.stat().st_mtime_ns) for file in folder.rglob("*.nbc")}


def python(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
