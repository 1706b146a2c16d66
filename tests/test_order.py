"""The order in which the tests begin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import conftest


def turn_of(file: str) -> int:
    return conftest._turn(cast(Any, SimpleNamespace(nodeid=f"{file}::test_a[b]")))


def test_the_longest_files_are_there_and_named_once() -> None:
    assert len(set(conftest.LONGEST)) == len(conftest.LONGEST)
    assert [file for file in conftest.LONGEST if not Path(conftest.ROOT, file).is_file()] == []


def test_the_longest_begin_first_and_short_ones_last() -> None:
    turns = [turn_of(file) for file in conftest.LONGEST]
    turns += [turn_of("tests/system/test_keys.py"), turn_of("tests/streams/test_clock.py")]
    assert turns == sorted(set(turns))
