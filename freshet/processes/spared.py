"""What nobody needs until somebody asks for it, though libraries import it on their way: pyarrow
looks for pandas before it reads an array, in case that is one of pandas's, and numba for scipy's
linear algebra, which no kernel of ours calls. Both together are a fifth of the CPU of a start."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def spare() -> None:
    """Have libraries do without pandas and scipy, until these are imported by whoever uses them."""
    with _hidden("pandas", "scipy.linalg"):
        # Each looks once, and remembers.
        arrow: Any = import_module("pyarrow")
        arrow.array([None])
        arraymath: Any = import_module("numba.np.arraymath")
    # It asks whether there is pandas, too, and does not import it: that is no use of it.
    import_module("polars")
    # Users' kernels multiply by scipy's: numba imports it when it compiles one.
    arraymath._HAVE_BLAS = find_spec("scipy") is not None
    if "pandas" not in sys.modules and not any(isinstance(x, _Looked) for x in sys.meta_path):
        sys.meta_path.insert(0, _Looked(arrow))


class _Looked(MetaPathFinder):
    """Asked before all others, it has pyarrow look for pandas once more when somebody imports that:
    else what is missing in a column of pandas's would be read as a number that is none."""

    def __init__(self, arrow: Any) -> None:
        self._arrow = arrow
        self._is_asked = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "pandas" and not self._is_asked:
            self._is_asked = True
            # As it is made when pyarrow is imported: it looks when it is next asked.
            self._arrow.lib._pandas_api.__init__()


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
