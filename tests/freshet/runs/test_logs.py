"""Log lines quote data and addresses: one JSON object a line, without what a terminal obeys and
without secrets."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import structlog

from freshet.runs import logs
from freshet.schemas.errors import ComponentError

HOSTILE = "a\x1b[2J\x9b31m\nb\u202e kafka://ann:hunter2@broker"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The log of a role of this process, which logs elsewhere afterwards as before."""
    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    logging.getLogger().handlers = []
    logs.configure("view", tmp_path)
    yield tmp_path / "view.jsonl"
    for handler in logging.getLogger().handlers:
        handler.close()
    logging.getLogger().handlers = before
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def lines(file: Path) -> list[dict[str, object]]:
    text = file.read_text()
    assert all(char == "\n" or char.isprintable() for char in text)
    return [json.loads(line) for line in text.splitlines()]


def test_whatever_is_logged_is_printable_and_without_secrets(file: Path) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        structlog.get_logger().error(
            HOSTILE, **{HOSTILE: HOSTILE, "many": [{"x": HOSTILE}], "exc_info": error}
        )
    logging.getLogger("some.library").error("%s", HOSTILE)
    assert "hunter2" not in file.read_text()
    ours, library = lines(file)
    for line in (ours, library):
        assert line["event"] == "a\\x1b[2J\\x9b31m\nb\\u202e kafka://***@broker"
        assert line["role"] == "view"
    assert "ValueError: a\\x1b" in str(ours["exception"])


def test_lines_that_a_full_disk_does_not_take_are_counted(file: Path) -> None:
    log = structlog.get_logger()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("freshet.runs.logs.os.write", side_effect=full):
        log.info("one")
        log.info("two")
    log.info("three")
    assert [line["event"] for line in lines(file)] == [
        "three",
        "lines of this log are lost: its disk was full",
    ]
    assert lines(file)[1]["lines"] == 2


def test_a_line_that_a_full_disk_took_half_of_spoils_no_other(file: Path) -> None:
    log = structlog.get_logger()
    real = os.write
    with mock.patch("freshet.runs.logs.os.write", lambda number, data: real(number, data[:10])):
        log.info("one")
    log.info("two")
    torn, *whole = file.read_text().splitlines()
    assert len(torn) == 10
    assert [json.loads(line)["event"] for line in whole] == [
        "two",
        "lines of this log are lost: its disk was full",
    ]


def test_a_folder_that_takes_no_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ComponentError, match=r"log .*/file/logs/view\.jsonl: cannot be written: Not a directory"
    ):
        logs.configure("view", tmp_path / "file" / "logs")


def test_what_a_command_says_of_a_failure_shows_no_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        logs.use_stderr()
        password = "-".join(["hunter", "2"])
        try:
            raise ValueError(f"a login of {len(password)} letters")
        except ValueError:
            structlog.get_logger().exception("a request failed")
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert "ValueError: a login of 8 letters" in told
    assert password not in told
