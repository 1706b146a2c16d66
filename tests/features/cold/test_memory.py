"""The memory of rows is shared by all that hold some, and a folder is one process's alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from freshet.features.cold import memory
from freshet.features.cold.memory import RowMemory
from freshet.schemas.errors import DefinitionError


class Held:
    """Whose rows take so many bytes."""

    def __init__(self, used_bytes: int) -> None:
        self.used_bytes = used_bytes


def excess(most: int, *used: int) -> list[int]:
    shared = RowMemory(most_bytes=most)
    holders = [Held(each) for each in used]
    for holder in holders:
        shared.hold(holder)
    return [shared.excess_bytes(holder) for holder in holders]


@pytest.mark.parametrize(
    ("most", "used", "expected"),
    [
        # A quarter is RocksDB's own.
        (400, [300], [0]),
        (400, [310], [10]),
        (400, [250, 50], [0, 0]),
        (400, [250, 70], [20, 0]),
        (400, [200, 200], [50, 50]),
        (400, [151, 200, 0], [51, 51, 0]),
        # No more than brings it to its share.
        (400, [160, 1_000], [10, 850]),
        (0, [10**12], [0]),
    ],
)
def test_who_holds_more_than_its_share_makes_room(
    most: int, used: list[int], expected: list[int]
) -> None:
    assert excess(most, *used) == expected


def test_who_is_gone_holds_nothing() -> None:
    shared = RowMemory(most_bytes=400)
    stays = Held(290)
    goes = Held(200)
    shared.hold(stays)
    shared.hold(goes)
    assert shared.excess_bytes(stays) == 140
    del goes
    assert shared.excess_bytes(stays) == 0


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    shared = RowMemory(tmp_path / "rows", 400)
    assert not list(tmp_path.iterdir())
    path = shared.new_path()
    assert path.parent.is_dir()
    assert not path.exists()


def test_what_a_killed_process_left_goes_and_what_another_has_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; "
        "from freshet.features.cold.memory import RowMemory; "
        "shared = RowMemory(Path(sys.argv[1]), 400); shared.new_path().mkdir(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    [left] = [path for path in tmp_path.iterdir() if path.is_dir()]
    one = RowMemory(tmp_path, 400)
    own = one.new_path().parent
    other = RowMemory(tmp_path, 400)
    others = other.new_path().parent
    assert not left.exists()
    assert own.is_dir()
    assert others.is_dir()
    del other
    assert not others.exists()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "freshet.features.cold.rocks", None)
    with pytest.raises(DefinitionError, match=r"pip install 'freshet\[rocksdb\]'"):
        memory.check_installed()
