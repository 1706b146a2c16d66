"""A role imports nothing that it has no use for, and hides nothing from whoever has."""

from __future__ import annotations

import subprocess
import sys

import pytest

SPARED = """
import sys
from freshet.processes.spared import spare
spare()
import freshet.processes.one
import pyarrow as pa
from freshet.schemas.text.columns import Texts
assert len(Texts.from_arrow(pa.array(["a", None])).hashes()) == 2
assert not {"pandas", "scipy.linalg"} & {*sys.modules}, "imported all the same"
"""
COLUMNS = """
import pandas
assert pa.table({"a": [1]}).to_pandas()["a"].tolist() == [1]
assert pa.array(pandas.Series([1, 2])).to_pylist() == [1, 2]
assert pa.array(pandas.Series([1.0, float("nan")])).null_count == 1, "taken for a number"
assert pa.Table.from_pandas(pandas.DataFrame({"a": ["x"]})).to_pylist() == [{"a": "x"}]
"""
KERNELS = """
import numpy as np
from numba import njit
eye = np.eye(2)
assert (njit(lambda a, b: a @ b)(eye, eye) == eye).all()
assert "scipy.linalg" in sys.modules, "numba multiplies by scipy's BLAS"
import scipy.linalg
assert scipy.linalg.det(eye) == 1.0
"""
TWICE = """
import sys
import pandas
from freshet.processes.spared import spare
finders = list(sys.meta_path)
spare()
spare()
assert sys.meta_path == finders, "there is nothing to wait for"
"""


@pytest.mark.parametrize("asked_for", [COLUMNS, KERNELS], ids=["pandas", "scipy"])
def test_what_a_role_does_without_is_imported_as_soon_as_somebody_asks_for_it(
    asked_for: str,
) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    runs(SPARED + asked_for)


def test_what_is_there_already_stays_as_it_is() -> None:
    pytest.importorskip("pandas")
    runs(TWICE)


def runs(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
