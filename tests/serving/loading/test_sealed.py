"""Sealed memory: what was verified is what is served."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from freshet.serving.loading import sealed

pytestmark = pytest.mark.skipif(not sealed.SEALABLE, reason="this system has no memfd_create")


def copied(path: Path, size: int) -> int:
    with path.open("rb") as file:
        return sealed.sealed_copy(file.fileno(), size)


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    path = tmp_path / "x"
    path.write_bytes(np.arange(10_000, dtype=np.int64).tobytes())
    return copied(path, 80_000)


def test_nobody_can_change_a_sealed_copy(descriptor: int) -> None:
    assert sealed.is_sealed(descriptor)
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 0)
    with pytest.raises(PermissionError):
        os.truncate(descriptor, 8)
    os.close(descriptor)


def test_a_plain_file_does_not_pass_for_a_sealed_one(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        assert not sealed.is_sealed(file.fileno())
    unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    assert not sealed.is_sealed(unsealed)
    os.close(unsealed)


def test_a_view_outlives_its_mapping_and_its_descriptor_and_is_read_only(descriptor: int) -> None:
    whole = sealed.map_populated(descriptor, 80_000)
    os.close(descriptor)
    array = np.frombuffer(whole, np.int64)[100:200]
    del whole
    gc.collect()
    assert array.tolist() == list(range(100, 200))
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_the_memory_is_given_back_with_the_last_view(descriptor: int) -> None:
    def mapped() -> int:
        return sum(
            "memfd:snapshot" in line for line in Path("/proc/self/maps").read_text().splitlines()
        )

    before = mapped()
    view = np.frombuffer(sealed.map_populated(descriptor, 80_000), np.int64)
    assert mapped() == before + 1
    os.close(descriptor)
    del view
    gc.collect()
    assert mapped() == before


def test_a_file_of_another_size_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    for size in (4, 6):
        with pytest.raises(OSError, match="have 5 bytes"):
            copied(path, size)
