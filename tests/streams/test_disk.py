"""A disk that is full is one outage: who writes waits, loses nothing, and goes on once there is
room."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from freshet.schemas.errors import DiskError, LogError
from freshet.streams import disk
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from tests.small_disk import fill, small_disk

SECONDS = 60.0
MEGABYTE = 1 << 20


@pytest.fixture
def full_soon(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


class Told(Outages):
    """Says when the first outage begins, and how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.first = threading.Event()

    def begin(self, error: DiskError, meanwhile: str) -> None:  # type: ignore[override]
        super().begin(error, meanwhile)
        self.first.set()


def test_a_log_on_a_full_disk_waits_and_goes_on_with_all_of_it(full_soon: Path) -> None:
    outages = Told()
    log = SqliteLog(full_soon / "log", outages)
    log.ensure("a", 1)
    writer = log.writer()
    stuffing = fill(full_soon)
    writer.append("a", 0, [bytes(300_000)] * 3, 1)
    flushed = threading.Thread(target=writer.flush)
    flushed.start()
    assert outages.first.wait(SECONDS)
    (outage,) = outages.current()
    assert (outage.component, outage.resource, outage.cause) == (
        "disk",
        f"of {full_soon}",
        "no space is left on it",
    )
    assert log.bounds("a").spans[0] == (0, 0)
    stuffing.unlink()
    flushed.join(SECONDS)
    assert not flushed.is_alive()
    assert (outages.current(), outages.begun) == ([], 1)
    assert log.bounds("a").spans[0] == (0, 3)
    writer.close()
    log.close()


def test_a_checkpoint_on_a_full_disk_waits_and_the_one_before_it_stays(full_soon: Path) -> None:
    outages = Told()
    checkpoints = Checkpoints(str(full_soon / "checkpoints"), "view:a:0", "one", outages)
    checkpoints.save(1, {"x": np.zeros(4)}, full=True)
    stuffing = fill(full_soon)
    saved = threading.Thread(
        target=checkpoints.save, args=(2, {"x": np.zeros(MEGABYTE // 8)}, True)
    )
    saved.start()
    assert outages.first.wait(SECONDS)
    found = Checkpoints(str(full_soon / "checkpoints"), "view:a:0", "one").load()
    assert found is not None
    assert found[0] == 1
    stuffing.unlink()
    saved.join(SECONDS)
    assert outages.current() == []
    found = Checkpoints(str(full_soon / "checkpoints"), "view:a:0", "one").load()
    assert found is not None
    assert found[0] == 2


def test_what_a_log_on_a_full_disk_raises_at_the_end_is_the_log_s_error(full_soon: Path) -> None:
    outages = Outages()
    outages.ending.set()
    log = SqliteLog(full_soon / "log", outages)
    log.ensure("a", 1)
    writer = log.writer()
    fill(full_soon)
    writer.append("a", 0, [bytes(300_000)], 1)
    with pytest.raises(LogError, match="no space is left on it"):
        writer.flush()
    writer.close()
    log.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_process_that_is_to_end_waits_no_longer(number: int) -> None:
    outages = Outages()
    outages.ending.set()

    def write() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DiskError, match=r"disk of /run: no space is left on it\. Make room there"):
        disk.until_there_is_room(write, outages, "/run")
    assert [outage.component for outage in outages.current()] == ["disk"]


def test_another_error_of_a_write_is_no_full_disk() -> None:
    def write() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    outages = Outages()
    with pytest.raises(PermissionError):
        disk.until_there_is_room(write, outages, "/run")
    assert outages.current() == []
