"""A toy day whose snapshots were cut every two hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.freshet.toy_day import toy_day


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the run."""
    made = tmp_path_factory.mktemp("backtest")
    with toy_day(made):
        return made
