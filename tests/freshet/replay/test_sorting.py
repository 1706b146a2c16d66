"""Events come out in the order of their times, whatever order and pieces they came in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.datafiles.files import DataError
from freshet.replay import sorting
from freshet.replay.sorting import SortedEvents, frame

PIECES = st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=7), max_size=8)


@given(pieces=PIECES, read_rows=st.integers(1, 3))
def test_it_sorts_as_a_list_would_and_keeps_equal_times_as_they_came(
    pieces: list[list[int]], read_rows: int
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        SortedEvents(Path(folder) / "own") as events,
    ):
        patch.setattr(sorting, "READ_ROWS", read_rows)
        rows = []
        for piece in pieces:
            made = [(t, len(rows) + i, 0, 0, b"%d" % (len(rows) + i)) for i, t in enumerate(piece)]
            rows += made
            events.add(frame(made), "a file")
        found = [row for piece in events.pieces() for row in piece.iter_rows()]
        assert found == sorted(rows)
        assert events.rows == len(rows)


def test_what_is_in_order_makes_one_run_and_the_folder_goes_in_the_end(tmp_path: Path) -> None:
    with SortedEvents(tmp_path / "own") as events:
        for i in range(5):
            events.add(frame([(i, i, 0, 0, b"x")]), "a file")
        assert len(list((tmp_path / "own").iterdir())) == 1
    assert not (tmp_path / "own").exists()


def test_what_is_too_little_in_order_is_refused_and_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "MOST_RUNS", 3)
    with SortedEvents(tmp_path / "own") as events:
        for i in range(3):
            events.add(frame([(-i, i, 0, 0, b"x")]), "old.csv")
        with pytest.raises(DataError, match=r"old\.csv: is too little in order of time"):
            events.add(frame([(-9, 9, 0, 0, b"x")]), "old.csv")
