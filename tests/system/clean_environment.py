"""freshet as others get it: built from its sources, and installed with what `locks/base.lock` names
and nothing else.

To download all of that again would take minutes, so the libraries are links to those of the
environment that runs the tests, which has them from a lock file, too. Its own freshet, which is the
checkout, is not among them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving")
# Made by `make` when it has compiled the kernels, from none that were there before.
WARMED = ROOT / ".venv" / ".stamp-warm"
_LOCKED = re.compile(r"^(\S+==[^\\\n]*)", re.MULTILINE)
_BUILD = (
    "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
)


@dataclass(frozen=True)
class CleanEnvironment:
    """A Python with freshet's wheel; `home` is its user's, in which nothing is yet. Commands of it
    see no checkout."""

    folder: Path
    home: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def freshet(self) -> str:
        return str(self.folder / "bin" / "freshet")

    @property
    def site_packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def variables(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if name in ("LANG", "PATH", "TMPDIR")
        }
        return kept | {"HOME": str(self.home)}

    def run(self, *command: str, cwd: Path) -> str:
        """What a command prints; fails with all that it said if it does."""
        done = subprocess.run(
            command, cwd=cwd, env=self.variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def build_sdist(sources: Path, target: Path) -> Path:
    return _build("sdist", sources, target)


def build_wheel(sources: Path, target: Path) -> Path:
    return _build("wheel", sources, target)


def _build(kind: str, sources: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-c", _BUILD.format(kind=kind), str(target)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


def copied_sources(target: Path) -> Path:
    """What git knows or would add, links as links: a build leaves files behind, which the checkout
    must not have."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(
        listed, cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            copy.symlink_to(source.readlink())
        elif source.exists():  # git still lists what was removed a moment ago
            copy.write_bytes(source.read_bytes())
    return target


def unpacked(sdist: Path, target: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


def made(folder: Path, wheel: Path) -> CleanEnvironment:
    """An environment in `folder` with the wheel and its locked libraries."""
    environment = CleanEnvironment(folder / "env", folder / "home")
    environment.home.mkdir(parents=True)
    _python("-m", "venv", "--without-pip", str(environment.folder))
    for requirement in _locked():
        _link(requirement, environment.site_packages)
    _python(
        "-m",
        "pip",
        "--python",
        environment.python,
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        str(wheel),
    )
    _python("-m", "pip", "--python", environment.python, "check")
    return environment


def take_kernels(environment: CleanEnvironment) -> None:
    """Give it what `freshet.warm` has compiled of the same sources, by `make` in the checkout: that
    takes four minutes of CPU. What tests or runs have compiled since stays behind, and where `make`
    has compiled nothing, or a source has changed since, there is nothing to be had."""
    if not WARMED.exists():
        return
    warmed_ns = WARMED.stat().st_mtime_ns
    installed = environment.site_packages / "freshet"
    folders = {ROOT / room: installed / room for room in ROOMS} | {ROOT / "freshet": installed}
    for folder, copy in folders.items():
        for source in _sources(folder):
            kept = list(source.parent.glob(f"__pycache__/{source.stem}.*.nb[ic]"))
            if not kept:
                continue
            there = copy / source.relative_to(folder)
            # By its time numba knows a source; one with another size or time is compiled anew.
            times = source.stat()
            os.utime(there, ns=(times.st_atime_ns, times.st_mtime_ns))
            (there.parent / "__pycache__").mkdir(exist_ok=True)
            for file in kept:
                # An index names what came later, too; numba compiles what it does not find.
                if file.suffix == ".nbi" or file.stat().st_mtime_ns <= warmed_ns:
                    shutil.copy2(file, there.parent / "__pycache__")


def _sources(folder: Path) -> Iterator[Path]:
    """Not those behind a link, which are another room's."""
    for path, _, names in os.walk(folder):
        yield from (Path(path) / name for name in names if name.endswith(".py"))


def _python(*arguments: str) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _locked() -> Iterator[Requirement]:
    """What the lock names for this system and this Python."""
    for line in _LOCKED.findall((ROOT / "locks" / "base.lock").read_text()):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _link(requirement: Requirement, site_packages: Path) -> None:
    """Everything that a distribution installed, in the version that the lock names."""
    distribution = metadata.distribution(requirement.name)
    assert requirement.specifier.contains(distribution.version), (
        f"{requirement} has version {distribution.version}"
    )
    for name in _top_level(distribution):
        link = site_packages / name
        if not link.exists():
            link.symlink_to(str(distribution.locate_file(name)))


def _top_level(distribution: metadata.Distribution) -> Sequence[str]:
    names = {file.parts[0] for file in distribution.files or ()}
    return sorted(names - {"..", "__pycache__"})
