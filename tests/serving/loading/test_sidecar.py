"""The sidecar as a real process: what it lets through, what it refuses and why, and that it comes
back."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import Identity
from freshet.serving.loading import sealed, sidecar
from freshet.serving.loading.sidecar import Archive
from freshet.serving.loading.sidecar_client import Refused, Sidecar, Verified, _taken
from tests.serving.loading.toy_snapshots import Mint


@pytest.fixture(scope="module")
def mint(tmp_path_factory: pytest.TempPathFactory) -> Mint:
    return Mint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def child(mint: Mint) -> Iterator[Sidecar]:
    one = Sidecar(mint.directory, mint.trainer, mint.qualifier)
    yield one
    one.close()


def test_a_signed_and_approved_snapshot_comes_as_read_only_bytes(
    mint: Mint, child: Sidecar
) -> None:
    which = mint.cut(1)
    found = child.verify(which)
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
    one = Sidecar(mint.directory, mint.trainer, mint.qualifier)
    try:
        assert isinstance(one.verify(mint.cut(1)), Verified)
    finally:
        one.close()


def test_a_file_altered_after_it_was_verified_is_not_what_is_served(
    mint: Mint, child: Sidecar
) -> None:
    which = mint.cut(2)
    found = child.verify(which)
    assert isinstance(found, Verified)
    data = mint.path(which)
    with data.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\xff" * 100)
    np.testing.assert_array_equal(
        snapshots.arrays_of(found.data)["weights"], mint.export(2).arrays["weights"]
    )


def flip_a_byte(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    data = bytearray(path.with_suffix(snapshots.ARRAYS).read_bytes())
    data[-1] ^= 1
    path.with_suffix(snapshots.ARRAYS).write_bytes(data)


def cut_short(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    data = path.with_suffix(snapshots.ARRAYS).read_bytes()
    path.with_suffix(snapshots.ARRAYS).write_bytes(data[:-1])


def edit_manifest(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    manifest = path.with_suffix(snapshots.MANIFEST_FILE)
    manifest.write_bytes(manifest.read_bytes().replace(b'"tick":', b'"tick":1'))


def forget(suffix: str) -> Callable[[Identity, Mint], None]:
    return lambda which, mint: mint.path(which).with_suffix(suffix).unlink()


def approve_with_another_key(which: Identity, mint: Mint) -> None:
    create_key(mint.trainer.parent / "stranger")
    snapshots.approve(mint.directory, which, Signer.load(mint.trainer.parent / "stranger"))


def approve_as_trainer(which: Identity, mint: Mint) -> None:
    snapshots.approve(mint.directory, which, Signer.load(mint.trainer))


def provenance_as_approval(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    signature = path.with_suffix(snapshots.PROVENANCE_FILE).read_bytes()
    path.with_suffix(snapshots.APPROVAL_FILE).write_bytes(signature)


def anothers_arrays(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    other = mint.cut(99)
    path.write_bytes(mint.path(other).read_bytes())


def a_pipe(which: Identity, mint: Mint) -> None:
    manifest = mint.path(which).with_suffix(snapshots.MANIFEST_FILE)
    manifest.unlink()
    os.mkfifo(manifest)


def a_sparse_file(which: Identity, mint: Mint) -> None:
    """Of three gigabytes, in a few blocks of the disk."""
    with mint.path(which).with_suffix(snapshots.MANIFEST_FILE).open("r+b") as file:
        file.truncate(3 << 30)


def a_link(which: Identity, mint: Mint) -> None:
    """To a manifest that would hold."""
    manifest = mint.path(which).with_suffix(snapshots.MANIFEST_FILE)
    elsewhere = mint.trainer.parent / "elsewhere.json"
    elsewhere.write_bytes(manifest.read_bytes())
    manifest.unlink()
    manifest.symlink_to(elsewhere)


def a_large_signature(which: Identity, mint: Mint) -> None:
    with mint.path(which).with_suffix(snapshots.APPROVAL_FILE).open("r+b") as file:
        file.truncate(3 << 30)


def remove(which: Identity, mint: Mint) -> None:
    path = mint.path(which)
    path.with_suffix(snapshots.ARRAYS).unlink()


ALTERED = [
    (flip_a_byte, "altered: their digest is"),
    (cut_short, "bytes, its manifest says"),
    (edit_manifest, "provenance signature does not hold"),
    (forget(snapshots.PROVENANCE_FILE), "no provenance signature"),
    (forget(snapshots.APPROVAL_FILE), "no approval signature"),
    (approve_with_another_key, "approval signature does not hold"),
    (approve_as_trainer, "approval signature does not hold"),
    (provenance_as_approval, "approval signature does not hold"),
    (anothers_arrays, "altered"),
    (a_pipe, "no plain file"),
    (a_sparse_file, "3221225472 bytes"),
    (a_large_signature, "3221225472 bytes"),
    (a_link, "cannot be read"),
    (remove, "No such file"),
]


@pytest.mark.parametrize(("alter", "word"), ALTERED)
def test_anything_altered_is_refused_with_its_reason(
    mint: Mint, child: Sidecar, alter: Callable[[Identity, Mint], None], word: str
) -> None:
    shutil.rmtree(mint.directory, ignore_errors=True)
    which = mint.cut(50)
    alter(which, mint)
    found = child.verify(which)
    assert isinstance(found, Refused)
    assert word in found.reason
    assert child.starts == 1, "a refusal is an answer, not a crash"


def test_what_is_not_there_is_refused(mint: Mint, child: Sidecar) -> None:
    there = mint.cut(51)
    for odd in (
        {"number": 52},
        {"lineage": "none"},
        {"model": ".."},
        {"model": "a/b"},
        {"lineage": "a\0b"},
    ):
        assert isinstance(child.verify(msgspec.structs.replace(there, **odd)), Refused)
    assert child.starts == 1


def test_a_sidecar_that_died_is_started_again(mint: Mint, child: Sidecar) -> None:
    which = mint.cut(3)
    assert isinstance(child.verify(which), Verified)
    starts, pid = child.starts, child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert isinstance(child.verify(which), Verified)
    assert (child.starts, child.pid != pid) == (starts + 1, True)


def test_a_sidecar_that_cannot_live_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    broken = Sidecar(tmp_path, tmp_path / "keys", tmp_path / "keys")
    found = broken.verify(Identity("flights", "late", "toy-0a", 1, "0" * 64))
    assert isinstance(found, Refused)
    assert "died twice" in found.reason
    broken.close()


def test_keys_may_come_later_and_until_then_the_refusal_says_what_to_do(
    mint: Mint, tmp_path: Path
) -> None:
    trainer = tmp_path / "trainer"
    early = Sidecar(mint.directory, trainer, mint.qualifier)
    which = mint.cut(5)
    found = early.verify(which)
    assert found == Refused(
        f"freshet keys in {trainer}: there is no public key. Copy the signer's .pub files here."
    )
    shutil.copytree(mint.trainer, trainer)
    assert isinstance(early.verify(which), Verified)
    assert early.starts == 1
    early.close()


def test_without_sealed_memory_the_bytes_are_checked_where_they_are_served(
    mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "SEALABLE", False)
    archive = Archive(mint.directory, Verifier.load(mint.trainer), Verifier.load(mint.qualifier))
    which = mint.cut(4)
    reply, descriptor = sidecar.answer(which, lambda: archive)
    assert descriptor is None
    found = _taken(reply, descriptor, mint.directory)
    assert isinstance(found, Verified)
    flip_a_byte(which, mint)  # after the sidecar's word, before the scorer's own reading
    with pytest.raises(SnapshotError, match="altered"):
        _taken(reply, descriptor, mint.directory)
    assert "altered" in sidecar.answer(which, lambda: archive)[0].refused
