"""A role that starts by itself imports nothing that it has no use for, and hides nothing from
whoever has."""

from __future__ import annotations

import subprocess
import sys

import pytest

USED = """
import sys
from freshet.processes.spared import spare
spare("view.1")
import freshet.processes.one
import pyarrow as pa
from freshet.schemas.text.columns import Texts
assert len(Texts.from_arrow(pa.array(["a", None])).hashes()) == 2
assert not {"pandas", "scipy.linalg"} & {*sys.modules}, "imported all the same"
import pandas
import scipy.linalg
assert pa.table({"a": [1]}).to_pandas()["a"].tolist() == [1]
assert pa.array(pandas.Series([1, 2])).to_pylist() == [1, 2]
"""
HIDDEN_FROM_NOBODY = """
import sys
from freshet.processes.spared import spare
finders = list(sys.meta_path)
spare("train:late")
assert "pyarrow" not in sys.modules
assert sys.meta_path == finders
"""


@pytest.mark.parametrize(
    "program", [USED, HIDDEN_FROM_NOBODY], ids=["a role without", "one with learners"]
)
def test_what_a_role_does_without_is_not_imported_until_somebody_asks_for_it(program: str) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
