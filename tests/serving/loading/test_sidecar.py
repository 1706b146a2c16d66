"""The sidecar as a real process: what it lets through, what it refuses and why, and that it comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Signer, Verifier, create_key
from freshet.schemas.errors import SnapshotError
from freshet.serving.loading import sealed, sidecar
from freshet.serving.loading.sidecar import Order
from freshet.serving.loading.sidecar_client import Refused, Sidecar, Verified, _taken
from tests.serving.loading.toy_snapshots import Mint


@pytest.fixture(scope="module")
def mint(tmp_path_factory: pytest.TempPathFactory) -> Mint:
    return Mint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def child(mint: Mint) -> Iterator[Sidecar]:
    one = Sidecar(mint.trainer, mint.qualifier)
    yield one
    one.close()


def test_a_signed_and_approved_snapshot_comes_as_read_only_bytes(mint: Mint, child: Sidecar) -> None:
    path = mint.cut(1)
    found = child.verify(str(path))
    assert isinstance(found, Verified)
    assert (found.manifest.number, found.manifest.lineage) == (1, "hashed_logistic-0a")
    arrays = snapshots.arrays_of(found.data)
    np.testing.assert_array_equal(arrays["weights"], mint.export(1).arrays["weights"])
    assert not arrays["weights"].flags.writeable


def test_nothing_of_the_working_directory_is_imported(
    mint: Mint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the folder of an app, and the child checks signatures."""
    for name in ("hashlib", "msgspec", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.chdir(tmp_path)
    one = Sidecar(mint.trainer, mint.qualifier)
    try:
        assert isinstance(one.verify(str(mint.cut(1))), Verified)
    finally:
        one.close()


def test_a_file_altered_after_it_was_verified_is_not_what_is_served(mint: Mint, child: Sidecar) -> None:
    path = mint.cut(2)
    found = child.verify(str(path))
    assert isinstance(found, Verified)
    data = path.with_suffix(snapshots.ARRAYS)
    with data.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\xff" * 100)
    np.testing.assert_array_equal(snapshots.arrays_of(found.data)["weights"], mint.export(2).arrays["weights"])


def flip_a_byte(path: Path, mint: Mint) -> None:
    data = bytearray(path.with_suffix(snapshots.ARRAYS).read_bytes())
    data[-1] ^= 1
    path.with_suffix(snapshots.ARRAYS).write_bytes(data)


def cut_short(path: Path, mint: Mint) -> None:
    data = path.with_suffix(snapshots.ARRAYS).read_bytes()
    path.with_suffix(snapshots.ARRAYS).write_bytes(data[:-1])


def edit_manifest(path: Path, mint: Mint) -> None:
    manifest = path.with_suffix(snapshots.MANIFEST_FILE)
    manifest.write_bytes(manifest.read_bytes().replace(b'"tick":', b'"tick":1'))


def forget(suffix: str) -> Callable[[Path, Mint], None]:
    return lambda path, mint: path.with_suffix(suffix).unlink()


def approve_with_another_key(path: Path, mint: Mint) -> None:
    create_key(mint.directory / "stranger")
    snapshots.approve(path, Signer.load(mint.directory / "stranger"))


def approve_as_trainer(path: Path, mint: Mint) -> None:
    snapshots.approve(path, Signer.load(mint.trainer))


def provenance_as_approval(path: Path, mint: Mint) -> None:
    signature = path.with_suffix(snapshots.PROVENANCE_FILE).read_bytes()
    path.with_suffix(snapshots.APPROVAL_FILE).write_bytes(signature)


def anothers_arrays(path: Path, mint: Mint) -> None:
    other = mint.cut(99)
    path.with_suffix(snapshots.ARRAYS).write_bytes(other.with_suffix(snapshots.ARRAYS).read_bytes())


def remove(path: Path, mint: Mint) -> None:
    path.with_suffix(snapshots.ARRAYS).unlink()


ALTERED = [
    (flip_a_byte, "was altered: its digest is"),
    (cut_short, "bytes, its manifest says"),
    (edit_manifest, "provenance signature does not hold"),
    (forget(snapshots.PROVENANCE_FILE), "no provenance signature"),
    (forget(snapshots.APPROVAL_FILE), "no approval signature"),
    (approve_with_another_key, "approval signature does not hold"),
    (approve_as_trainer, "approval signature does not hold"),
    (provenance_as_approval, "approval signature does not hold"),
    (anothers_arrays, "was altered"),
    (remove, "No such file"),
]


@pytest.mark.parametrize(("alter", "word"), ALTERED)
def test_anything_altered_is_refused_with_its_reason(
    mint: Mint, child: Sidecar, alter: Callable[[Path, Mint], None], word: str
) -> None:
    path = mint.cut(50)
    alter(path, mint)
    found = child.verify(str(path))
    assert isinstance(found, Refused)
    assert word in found.reason
    assert child.starts == 1, "a refusal is an answer, not a crash"


def test_a_path_that_is_nothing_is_refused(mint: Mint, child: Sidecar) -> None:
    assert isinstance(child.verify(str(mint.directory / "nothing.safetensors")), Refused)
    assert isinstance(child.verify(str(mint.directory)), Refused)


def test_a_sidecar_that_died_is_started_again(mint: Mint, child: Sidecar) -> None:
    path = mint.cut(3)
    assert isinstance(child.verify(str(path)), Verified)
    starts, pid = child.starts, child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert isinstance(child.verify(str(path)), Verified)
    assert (child.starts, child.pid != pid) == (starts + 1, True)


def test_a_sidecar_that_cannot_live_refuses(tmp_path: Path) -> None:
    broken = Sidecar(tmp_path / "no keys", tmp_path / "no keys")
    found = broken.verify("x.json")
    assert isinstance(found, Refused)
    assert "died twice" in found.reason
    broken.close()


def test_without_sealed_memory_the_bytes_are_checked_where_they_are_served(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "SEALABLE", False)
    trainer, qualifier = Verifier.load(mint.trainer), Verifier.load(mint.qualifier)
    path = mint.cut(4)
    reply, descriptor = sidecar.answer(Order(str(path)), trainer, qualifier)
    assert descriptor is None
    found = _taken(reply, descriptor, str(path))
    assert isinstance(found, Verified)
    flip_a_byte(path, mint)  # after the sidecar's word, before the scorer's own reading
    with pytest.raises(SnapshotError, match="was altered"):
        _taken(reply, descriptor, str(path))
    assert "altered" in sidecar.answer(Order(str(path)), trainer, qualifier)[0].refused
