"""Faust lives in an environment of its own, `.venv-faust`, made by `make setup-dev`: it needs older
versions of what freshet needs. Tests run it as its users do, as a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PYTHON = Path(__file__).parent.parent / ".venv-faust" / "bin" / "python"


def faust_python() -> str:
    """The interpreter that has Faust; a test without it is skipped, or fails if `FRESHET_REQUIRE`
    names it."""
    if not PYTHON.exists():
        absent = f"{PYTHON.parent.parent.name} is absent: make setup-dev makes it"
        (
            pytest.fail
            if "faust" in os.environ.get("FRESHET_REQUIRE", "").split(",")
            else pytest.skip
        )(absent)
    return str(PYTHON)
