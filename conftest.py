"""Of the whole repository: a room is tested under the one name that its modules have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """`pytest schemas/text/kernels.py` means `freshet/schemas/…`: by the bare path its modules would be imported a second time,
    under names that nothing else uses."""
    config.args[:] = [_through_the_package(argument, config.invocation_params.dir) for argument in config.args]


def _through_the_package(argument: str, directory: Path) -> str:
    given, separator, test = argument.partition("::")
    path = Path(os.path.normpath(directory / given))
    if not path.is_relative_to(ROOT) or path == ROOT:
        return argument
    room, *rest = path.relative_to(ROOT).parts
    linked = ROOT / "freshet" / room
    if not linked.is_symlink():
        return argument
    return f"{linked.joinpath(*rest)}{separator}{test}"
