"""What was plotted before a restart is plotted after it; a file that cannot be read costs the
history, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.serving.status import history_file
from freshet.serving.status.history import HOUR_MS, TIERS_MS, WHOLE, History, Swap
from freshet.serving.status.status import encode
from tests.serving.status.test_history import status


def told(history: History) -> list[Any]:
    """All that a reader can get, less what tells one history from another."""
    parts = [history.since(tier=tier) for tier in (WHOLE, *TIERS_MS)]
    return [json.loads(encode(msgspec.structs.replace(part, cursor=""))) for part in parts]


def restarted(folder: Path, history: History, capacity: int = 1200) -> History:
    history_file.save(folder, "x", history)
    again = History(capacity)
    history_file.restore(folder, "x", again)
    return again


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 40 * HOUR_MS), st.booleans()), max_size=60),
    capacity=st.integers(2, 12),
)
def test_a_history_that_was_restarted_anywhere_is_the_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], capacity: int
) -> None:
    folder = tmp_path_factory.mktemp("history")
    one, other = History(capacity), History(capacity)
    at = 0
    for i, (gap, restart) in enumerate(steps):
        at += gap
        for history in (one, other):
            history.observe(status(at, lag=i % 5, lineage="a", number=i // 3))
        if restart:
            other = restarted(folder, other, capacity)
    assert told(other) == told(one)


def test_readers_from_before_the_restart_get_all_of_it_anew(tmp_path: Path) -> None:
    history = History()
    for at in (1, 2, 3):
        history.observe(status(at))
    cursor = history.since().cursor
    part = restarted(tmp_path, history).since(cursor)
    assert (part.start, part.times, part.begun_ms) == (0, [1, 2, 3], 1)


def test_what_the_app_does_not_declare_any_more_is_gone_with_the_first_observation(
    tmp_path: Path,
) -> None:
    history = History()
    history.observe(status(1, lineage="old"))
    history.swap(Swap(1, "gone", "old", 1))
    again = restarted(tmp_path, history)
    again.observe(status(2, lineage="new"))
    part = again.since()
    assert "ne/m/old" not in part.series
    assert part.series["ne/m/@served"] == [0.9, 0.9], "what was served then was served"
    assert {swap.model for swap in part.swaps} == {"m"}


def test_swaps_that_a_log_tells_again_are_marked_once(tmp_path: Path) -> None:
    history = History()
    for number in (1, 2, 3):
        history.swap(Swap(10 * number, "m", "a", number))
    again = restarted(tmp_path, history)
    for number in (1, 2, 3, 4):
        again.swap(Swap(10 * number, "m", "a", number))
    assert [swap.number for swap in again.since().swaps] == [1, 2, 3, 4]


BROKEN = {
    "nothing": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "text": lambda data: b"no history at all",
    "other format": lambda data: changed(data, format=history_file.FORMAT + 1),
    "other app": lambda data: changed(data, app="y"),
    "series of another length": lambda data: in_whole(data, times=[1, 2, 3, 4, 5, 6, 7]),
    "times that fall": lambda data: in_whole(data, times=[3, 2, 1]),
}


def changed(data: bytes, **fields: Any) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(data), **fields})


def in_whole(data: bytes, **fields: Any) -> bytes:
    content = msgspec.msgpack.decode(data)
    content["history"]["tiers"][WHOLE] |= fields
    return msgspec.msgpack.encode(content)


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_cannot_be_read_is_set_aside_with_one_line(tmp_path: Path, how: str) -> None:
    history = History()
    for at in (1, 2, 3):
        history.observe(status(at))
    history_file.save(tmp_path, "x", history)
    file = tmp_path / history_file.FILE
    broken = BROKEN[how](file.read_bytes())
    file.write_bytes(broken)
    again = History()
    with structlog.testing.capture_logs() as lines:
        history_file.restore(tmp_path, "x", again)
    (line,) = lines
    assert "set aside" in line["event"]
    assert line["file"] == str(tmp_path / history_file.ASIDE)
    assert (tmp_path / history_file.ASIDE).read_bytes() == broken
    assert not file.exists()
    assert again.since().times == []
    again.observe(status(1))
    assert again.since().times == [1], "it begins anew"


def test_the_first_start_finds_no_file_and_says_nothing(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        history_file.restore(tmp_path, "x", History())
    assert lines == []


def test_a_folder_that_takes_nothing_costs_only_the_history(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        history_file.save(tmp_path / "none", "x", History())
    assert [line["event"] for line in lines] == ["history is not saved"]


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    history = History()
    for at in range(1, 4):
        history.observe(status(at))
        history_file.save(tmp_path, "x", history)
    assert [path.name for path in tmp_path.iterdir()] == [history_file.FILE]


def test_the_file_of_a_year_is_bounded(tmp_path: Path) -> None:
    history = History(capacity=100)
    sizes = []
    for step in range(1, 35_041):
        history.observe(status(step * 900_000))
        if step % 8_760 == 0:
            history_file.save(tmp_path, "x", history)
            sizes.append((tmp_path / history_file.FILE).stat().st_size)
    assert max(sizes) < 100_000
