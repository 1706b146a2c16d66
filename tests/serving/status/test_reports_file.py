"""What was gathered of reports outlives the process that gathered it, or nothing of the log goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from freshet.schemas.wire.messages import Clock, Status
from freshet.serving.status import reports_file
from freshet.serving.status.reports_file import KeptReports


def kept(position: int, identity: str = "log") -> KeptReports:
    return KeptReports(
        identity=identity,
        position=position,
        clock=Clock(5, False),
        span=(1, None),
        tasks=[Status("kept", "view/1", 0, 5, {"view:v:0": {"keys": 3}})],
        ticks={"view:v:0": 5},
        newest=[Status("view", "view/1", 9, 5, {"view:v:0": {"keys": 3}})],
        gone={"serve/1": {"answered": 1, "failed": 0, "rows": 1, "per_second": 0.1}},
        swaps={},
    )


def test_it_is_read_as_it_was_saved(tmp_path: Path) -> None:
    assert reports_file.restored(tmp_path, "x") is None
    assert reports_file.save(tmp_path, "x", kept(7))
    assert reports_file.restored(tmp_path, "x") == kept(7)


def test_one_that_is_farther_on_is_not_replaced(tmp_path: Path) -> None:
    reports_file.save(tmp_path, "x", kept(7))
    assert not reports_file.save(tmp_path, "x", kept(6)), "whoever slept shortens nothing"
    assert reports_file.restored(tmp_path, "x") == kept(7)
    assert reports_file.save(tmp_path, "x", kept(7))
    assert reports_file.save(tmp_path, "x", kept(2, "another log"))


def changed(data: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(data), **fields}).encode()


def with_facts(data: bytes, facts: dict[str, Any]) -> bytes:
    content = json.loads(data)
    content["reports"]["tasks"][0]["facts"] = facts
    return json.dumps(content).encode()


BROKEN = {
    "nothing": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "no text": lambda data: b"\xff\xfe",
    "other format": lambda data: changed(data, format=reports_file.FORMAT + 1),
    "other app": lambda data: changed(data, app="y"),
    "facts of none of ours": lambda data: with_facts(data, {"view:v:0": {"keys": "many"}}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_cannot_be_read_is_set_aside_with_one_line(tmp_path: Path, how: str) -> None:
    reports_file.save(tmp_path, "x", kept(7))
    file = tmp_path / reports_file.FILE
    broken = BROKEN[how](file.read_bytes())
    file.write_bytes(broken)
    with structlog.testing.capture_logs() as lines:
        assert reports_file.restored(tmp_path, "x") is None
    (line,) = lines
    assert "set aside" in line["event"]
    assert (tmp_path / reports_file.ASIDE).read_bytes() == broken
    assert reports_file.save(tmp_path, "x", kept(2)), "it begins anew"


def test_where_it_cannot_be_saved_that_is_said(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        assert not reports_file.save(tmp_path / "none", "x", kept(1))
    assert [line["event"] for line in lines] == ["what roles told is not saved"]


def test_it_is_no_file_that_another_program_must_guess_at(tmp_path: Path) -> None:
    reports_file.save(tmp_path, "x", kept(7))
    content = msgspec.json.decode((tmp_path / reports_file.FILE).read_bytes())
    assert content["reports"]["position"] == 7
