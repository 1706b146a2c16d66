"""A file that others read is the old one or the new one, whole, whatever happens while it is
written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from freshet.schemas.whole_files import PRIVATE, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"one")
    write_whole(path, b"two", durable=True)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_at_no_moment_anybody_else_s(tmp_path: Path) -> None:
    seen: list[int] = []
    real = os.open

    def watched(path: Any, *rest: Any, **named: Any) -> int:
        descriptor = real(path, *rest, **named)
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        return descriptor

    with mock.patch("os.open", watched):
        write_whole(tmp_path / "k.key", b"secret", mode=PRIVATE)
    assert seen == [0o600]
    assert (tmp_path / "k.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_disk_that_is_full_leaves_the_old_one(tmp_path: Path, call: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch(call, side_effect=full), pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
