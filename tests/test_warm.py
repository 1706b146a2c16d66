"""`python -m freshet.warm`: after it, nothing is compiled while an app runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.timeout(600)
def test_a_run_of_the_demo_compiles_nothing_after_warming(tmp_path: Path) -> None:
    python("-m", "freshet.warm")
    before = compiled()
    report = tmp_path / "report.json"
    python("-m", "freshet", "demo", "--days", "1", "--run-dir", str(tmp_path / "run"), "--report", str(report))
    assert before
    assert compiled() == before


def compiled() -> set[tuple[str, int]]:
    """What numba has kept, each with the moment it was written."""
    folders = [os.environ["NUMBA_CACHE_DIR"]] if "NUMBA_CACHE_DIR" in os.environ else _rooms()
    found = (file for folder in folders for file in (ROOT / folder).rglob("*.nbc"))
    return {(file.name, file.stat().st_mtime_ns) for file in found}


def _rooms() -> list[str]:
    return [p.parent.name for p in ROOT.glob("*/__init__.py")]


def python(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
