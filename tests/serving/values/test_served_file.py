"""What is known of answers is kept in the run's folder, and a file that says nothing costs only time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freshet.serving.status.status import DriftFigures
from freshet.serving.values.served_file import (
    ASIDE,
    FILE,
    KeptServed,
    packed,
    restored,
    save,
    unpacked,
)
from freshet.serving.values.skew import KeptSkew

TOLD = DriftFigures(
    field="price",
    source=None,
    hour_ms=3_600_000,
    measure="unseen",
    distance=0.5,
    bound=0.3,
    psi=0.1,
    largest=0.2,
    events=1_000,
    reference_events=5_000,
    moved="1 to 2",
    share=0.5,
    usual_share=0.1,
)
KEPT = KeptSkew({"price": 0.5}, 3, 9, (41, 17), [TOLD])
ARRAYS = {"rows": np.zeros(3, np.dtype([("x", "<f4", (2,))])), "counts": np.arange(4)}
MODELS = {"late": KeptServed("a log", 17, "so", KEPT, packed(ARRAYS))}


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    assert restored(tmp_path, "shop") == {}
    save(tmp_path, "shop", MODELS)
    assert restored(tmp_path, "shop") == MODELS
    found = unpacked(restored(tmp_path, "shop")["late"].packed)
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in ARRAYS.items()
    }
    assert found["rows"].dtype == ARRAYS["rows"].dtype


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 is cut", packed(ARRAYS)[:-30]])
def test_what_is_no_arrays_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no arrays"):
        unpacked(data)


@pytest.mark.parametrize("app", ["shop", "another"])
def test_a_file_that_says_nothing_is_set_aside(tmp_path: Path, app: str) -> None:
    save(tmp_path, "shop", MODELS)
    if app == "shop":
        (tmp_path / FILE).write_bytes(b"\xc1 is no msgpack")
    assert restored(tmp_path, app) == {}
    assert (tmp_path / ASIDE).exists()
    assert not (tmp_path / FILE).exists()


def test_a_disk_that_takes_nothing_costs_but_what_is_read_again(tmp_path: Path) -> None:
    save(tmp_path / "gone", "shop", MODELS)
    assert restored(tmp_path / "gone", "shop") == {}
