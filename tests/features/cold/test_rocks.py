"""Rows in RocksDB: what was put is there, in order; what was frozen stays as it was."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.cold.named import NamedRows, rows_of
from freshet.features.cold.rocks import Caches, Rocks, _translated
from freshet.schemas.errors import ComponentError, DiskError

CACHES = Caches(8 << 20)
names = st.binary(max_size=20)
bodies = st.integers(1, 40).map(lambda words: bytes(range(8)) * words)


def named(rows: dict[bytes, bytes]) -> NamedRows:
    words, ends = rows_of(list(rows.values()))
    return NamedRows(list(rows), words, ends)


def as_dict(rows: NamedRows) -> dict[bytes, bytes]:
    starts = [0, *rows.ends.tolist()]
    found = [rows.words[a:b].tobytes() for a, b in itertools.pairwise(starts)]
    return dict(zip(rows.keys, found, strict=True))


def everything(rocks: Rocks, most: int = 3) -> dict[bytes, bytes]:
    return {key: row for keys, rows in rocks.parts(most) for key, row in zip(keys, rows)}


def opened(folder: Path) -> Rocks:
    folder.mkdir(exist_ok=True)
    return Rocks(folder, CACHES)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.dictionaries(names, bodies, max_size=12)), max_size=12),
    st.sets(names, max_size=20),
)
def test_it_is_a_dict(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[bool, dict[bytes, bytes]]],
    others: set[bytes],
) -> None:
    rocks = opened(tmp_path_factory.mktemp("rocks") / "db")
    expected: dict[bytes, bytes] = {}
    for is_put, rows in steps:
        if is_put:
            rocks.put(named(rows))
            expected |= rows
        else:
            rocks.remove(list(rows))
            expected = {key: row for key, row in expected.items() if key not in rows}
    asked = sorted(others | set(expected))
    assert as_dict(rocks.get(asked)) == expected
    found = everything(rocks)
    assert found == expected
    assert list(found) == sorted(expected)
    for key in asked:
        rest = {key: row for keys, rows in rocks.parts(2, key) for key, row in zip(keys, rows)}
        assert rest == {own: row for own, row in expected.items() if own >= key}
    rocks.close()


def test_what_is_frozen_is_no_part_of_what_comes_after(tmp_path: Path) -> None:
    rocks = opened(tmp_path / "db")
    before = {b"a": bytes(8), b"b": bytes(16)}
    rocks.put(named(before))
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in rocks.freeze(tmp_path / "frozen"):
        os.link(path, kept / path.name)
    rocks.put(named({b"a": bytes(24), b"c": bytes(8)}))
    rocks.remove([b"b"])
    held = {path.name: path.read_bytes() for path in kept.iterdir()}
    restored = tmp_path / "restored"
    restored.mkdir()
    for path in kept.iterdir():
        os.link(path, restored / path.name)
    again = Rocks(restored, CACHES)
    assert everything(again) == before
    # What is done to it then shows in none of the files that it was made of.
    again.put(named({b"d": bytes(8)}))
    again.freeze(tmp_path / "next")
    again.close()
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == held
    assert everything(rocks) == {b"a": bytes(24), b"c": bytes(8)}
    rocks.close()


def test_a_database_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    rocks = opened(tmp_path / "db")
    rocks.put(named({b"a": bytes(8)}))
    rocks.freeze(tmp_path / "frozen")
    rocks.close()
    rocks.close()
    assert not list(tmp_path.iterdir())


def test_a_torn_table_is_told_with_its_folder(tmp_path: Path) -> None:
    rocks = opened(tmp_path / "db")
    rocks.put(named({b"a": np.arange(1_000).tobytes()}))
    [table] = [path for path in rocks.freeze(tmp_path / "frozen") if path.suffix == ".sst"]
    table.unlink()
    table.write_bytes(b"torn")
    with pytest.raises(ComponentError, match="RocksDB cannot read or write them: Corruption"):
        everything(Rocks(tmp_path / "frozen", CACHES))


def test_a_full_disk_is_told_as_one() -> None:
    full = Exception("IO error: No space left on device: While appending to file: run/rows/1.sst")
    error = _translated(Path("run/rows"), full)
    assert isinstance(error, DiskError)
    assert error.facts["disk_full"]
