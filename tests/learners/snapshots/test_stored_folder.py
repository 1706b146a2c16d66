"""Snapshots in a bucket: written, approved, verified, loaded and pruned as on a disk; what is altered
there is refused, and a store that is away says nothing of a snapshot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from freshet.learners.contract import Export
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.keys import create_key, publish
from freshet.learners.snapshots.signing import APPROVAL, Signer, Verifier
from freshet.schemas.errors import ObjectStoreError, SnapshotError
from freshet.schemas.models.manifest import Identity
from freshet.schemas.models.vectors import VectorSchema
from freshet.serving.loading import sealed
from freshet.serving.loading.sidecar import Archive, answer, archive_of, verified
from freshet.streams import objects
from tests.s3 import S3Server

ARRAYS = {"w": np.arange(1000, dtype=np.float64), "b": np.zeros(0, np.float32)}


class Written:
    """One approved snapshot below a URL, and whoever signed it."""

    def __init__(self, url: str, keys: Path) -> None:
        self.root = f"{url}/snapshots"
        self.keys = f"{url}/keys"
        for signer in ("trainer", "qualifier"):
            create_key(keys / signer)
            publish(keys / signer, f"{self.keys}/{signer}")
        self.trainer = Signer.load(keys / "trainer")
        self.qualifier = Signer.load(keys / "qualifier")
        self.which = self.cut(1)
        snapshots.approve(self.root, self.which, self.qualifier)

    def cut(self, number: int) -> Identity:
        facts = snapshots.Facts("app", "model", "lineage", number, VectorSchema((), ()), 7, 8, 9)
        return snapshots.write(self.root, facts, Export("toy", {}, ARRAYS), self.trainer)

    def archive(self) -> Archive:
        return archive_of(self.root, f"{self.keys}/trainer", f"{self.keys}/qualifier")

    def object(self, suffix: str) -> str:
        return f"model/lineage/000001{suffix}"


@pytest.fixture
def written(s3: S3Server, tmp_path: Path) -> Written:
    return Written(f"{s3.make_bucket()}/run", tmp_path / "keys")


def test_what_is_loaded_are_the_bytes_that_were_verified_and_nothing_stays_on_disk(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    signed, descriptor = verified(written.which, written.archive())
    assert descriptor is not None
    try:
        assert sealed.is_sealed(descriptor)
        data = sealed.map_populated(descriptor, signed.manifest.size)
    finally:
        os.close(descriptor)
    found = snapshots.arrays_of(data)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("suffix", "data", "why"),
    [
        (snapshots.ARRAYS, b"other", "arrays have 5 bytes"),
        (snapshots.MANIFEST_FILE, b"{}", "provenance signature does not hold"),
        (snapshots.APPROVAL_FILE, b"", "approval signature does not hold"),
        (snapshots.PROVENANCE_FILE, b"x" * 65, "more than the 64 bytes"),
    ],
)
def test_what_was_altered_in_the_bucket_is_refused(
    written: Written, suffix: str, data: bytes, why: str
) -> None:
    objects.write(written.root, written.object(suffix), data)
    reply, descriptor = answer(written.which, written.archive)
    assert descriptor is None
    assert why in reply.refused


def test_without_its_approval_a_snapshot_is_not_served(written: Written) -> None:
    snapshots.withdraw(written.root, written.which)
    with pytest.raises(SnapshotError, match="has no approval signature"):
        verified(written.which, written.archive())


def test_old_snapshots_go_and_the_one_in_use_stays(written: Written) -> None:
    for number in range(2, 6):
        written.cut(number)
    assert snapshots.prune(written.root, "model", "lineage", 2, in_use=(1,)) == 2
    assert [snapshots.is_there(written.root, written.which)] == [True]
    fs, root = objects.opened(f"{written.root}/model/lineage")
    left = {name.split(".")[0] for name in objects.names(fs, root)}
    assert left == {"000001", "000004", "000005"}


def test_a_signer_that_goes_on_elsewhere_is_believed_once_its_key_is_known(
    written: Written, tmp_path: Path
) -> None:
    follower = Verifier.following(f"{written.keys}/qualifier")
    assert follower.accepts(APPROVAL, b"text", written.qualifier.sign(APPROVAL, b"text"))
    create_key(tmp_path / "elsewhere")
    another = Signer.load(tmp_path / "elsewhere", follower)
    signature = another.sign(APPROVAL, b"text")
    assert not follower.accepts(APPROVAL, b"text", signature)
    publish(tmp_path / "elsewhere", f"{written.keys}/qualifier")
    assert follower.accepts(APPROVAL, b"text", signature)
    # Who goes on there accepts what was approved before.
    assert another.verifier().accepts(APPROVAL, b"text", written.qualifier.sign(APPROVAL, b"text"))
    fs, root = objects.opened(f"{written.keys}/qualifier")
    assert all(name.endswith(".pub") for name in objects.names(fs, root))


def test_a_store_that_is_away_says_nothing_of_a_snapshot(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bytes:
        raise ObjectStoreError("s3://bucket/run", "does not answer", "Start it.")

    archive = written.archive()
    monkeypatch.setattr(objects.StoreOfObjects, "cat_file", away)
    reply, _ = answer(written.which, lambda: archive)
    assert reply.refused == ""
    assert reply.away is not None
    assert reply.away.cause == "does not answer"
