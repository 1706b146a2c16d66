"""What a role never needs, though libraries that it needs import it on their way: pyarrow looks for
pandas before it reads an array, in case that is one of pandas's, and numba for scipy's linear
algebra, which no kernel of ours calls. Both together are a fifth of the CPU of a start."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType

# Roles that run nothing of users' or of learners' but declarations: others may have a use for them.
ROLES = ("intake", "dedup", "view", "join", "archive")


def spare(role: str) -> None:
    """Have the libraries of a role find out that they do without; whatever imports these modules
    later has them."""
    if role.split(".")[0] not in ROLES:
        return
    with _hidden("pandas", "scipy.linalg"):
        # Each looks once, and remembers.
        import pyarrow as pa

        pa.array([None])
        import_module("numba.np.arraymath")


class _Hidden(MetaPathFinder):
    """Asked before all others, it says that some modules are not installed."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is spared here", name=fullname)


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """As where these are not installed; those that are imported already stay so."""
    # Not by `None` in `sys.modules`: what Cython compiled takes that for the module.
    finder = _Hidden(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
