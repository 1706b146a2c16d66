"""Snapshots: whatever is altered, torn, swapped or unsigned is refused, with its reason, before it
is parsed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from freshet.learners.contract import Export
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.files import (
    APPROVAL_FILE,
    ARRAYS,
    MANIFEST_FILE,
    PROVENANCE_FILE,
    Facts,
)
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import Identity
from freshet.schemas.models.vectors import VectorSchema

EXPORT = Export(
    "toy", {"bits": 3}, {"weights": np.arange(8, dtype=np.float32), "bias": np.array([-1.5])}
)


class Desk:
    """A trainer's and a qualifier's keys, and where their snapshots are."""

    def __init__(self, root: Path) -> None:
        for who in ("trainer", "qualifier", "stranger"):
            create_key(root / who)
        self.signers = {
            who: Signer.load(root / who) for who in ("trainer", "qualifier", "stranger")
        }
        self.cuts: dict[int, Identity] = {}
        self.known = Verifier.load(root / "trainer"), Verifier.load(root / "qualifier")
        self.root = root / "snapshots"
        self.place = self.root / "late" / "toy-0a"

    def cut(
        self, number: int, approved: bool = True, by: str = "trainer", bias: float = -1.5
    ) -> Path:
        facts = Facts("flights", "late", "toy-0a", number, VectorSchema((), ()), 1000, 10, 7)
        export = Export("toy", EXPORT.meta, {**EXPORT.arrays, "bias": np.array([bias])})
        which = snapshots.write(self.root, facts, export, self.signers[by])
        self.cuts[number] = which
        if approved:
            snapshots.approve(self.root, which, self.signers["qualifier"])
        return snapshots.path_of(self.root, which)

    def read(self, path: Path) -> snapshots.Snapshot:
        """As the one that was cut last under its number."""
        number = int(path.stem)
        which = self.cuts.get(number, Identity("flights", "late", "toy-0a", number, "0" * 64))
        return snapshots.read_verified(self.root, which, *self.known)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("snapshots"))


def altered(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_what_was_written_is_read_and_its_arrays_are_views(desk: Desk) -> None:
    found = desk.read(desk.cut(1))
    arrays = snapshots.arrays_of(found.data)
    for name, array in EXPORT.arrays.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
        assert np.shares_memory(arrays[name], np.frombuffer(found.data, np.uint8))
        assert arrays[name].flags.aligned
        assert not arrays[name].flags.writeable
    assert (found.manifest.model, found.manifest.number, found.manifest.meta) == (
        "late",
        1,
        {"bits": 3},
    )


def test_no_trace_of_writing_is_left_and_writing_again_changes_nothing(desk: Desk) -> None:
    path = desk.cut(2)
    before = {f.name: f.read_bytes() for f in desk.place.iterdir()}
    desk.cut(2)
    assert {f.name: f.read_bytes() for f in desk.place.iterdir()} == before
    assert {f.name for f in desk.place.glob("000002*")} == {
        path.with_suffix(s).name for s in (ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE)
    }


@given(
    part=st.sampled_from([ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE]),
    where=st.floats(0, 0.999),
)
@settings(max_examples=60, deadline=None)
def test_one_altered_bit_anywhere_is_refused(desk: Desk, part: str, where: float) -> None:
    path = desk.cut(3)
    file = path.with_suffix(part)
    altered(file, int(where * file.stat().st_size))
    with pytest.raises(SnapshotError, match=r"does not hold|altered"):
        desk.read(path)


@given(
    part=st.sampled_from([ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE]),
    keep=st.floats(0, 0.999),
)
@settings(max_examples=30, deadline=None)
def test_a_torn_file_is_refused(desk: Desk, part: str, keep: float) -> None:
    path = desk.cut(4)
    file = path.with_suffix(part)
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(SnapshotError, match=r"does not hold|bytes, its manifest says|bytes, 64"):
        desk.read(path)


def unapproved(desk: Desk) -> Path:
    return desk.cut(5, approved=False)


def without_provenance(desk: Desk) -> Path:
    path = desk.cut(5)
    path.with_suffix(PROVENANCE_FILE).unlink()
    return path


def by_a_stranger(desk: Desk) -> Path:
    return desk.cut(5, by="stranger")


def approved_with_its_provenance(desk: Desk) -> Path:
    path = desk.cut(5)
    shutil.copy(path.with_suffix(PROVENANCE_FILE), path.with_suffix(APPROVAL_FILE))
    return path


def approved_by_its_trainer(desk: Desk) -> Path:
    path = desk.cut(5)
    snapshots.approve(desk.root, desk.cuts[5], desk.signers["trainer"])
    return path


def with_the_arrays_of_another(desk: Desk) -> Path:
    path, other = desk.cut(5), desk.cut(6, bias=2.0)
    shutil.copy(other, path)
    return path


def with_the_manifest_of_another(desk: Desk) -> Path:
    path, other = desk.cut(5), desk.cut(6, bias=2.0)
    shutil.copy(other.with_suffix(MANIFEST_FILE), path.with_suffix(MANIFEST_FILE))
    return path


def another_under_its_number(desk: Desk) -> Path:
    path, other = desk.cut(5), desk.cut(6, bias=2.0)
    for suffix in (ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE):
        shutil.copy(other.with_suffix(suffix), path.with_suffix(suffix))
    return path


def absent(desk: Desk) -> Path:
    return desk.place / "000099.safetensors"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (unapproved, "no approval signature"),
        (without_provenance, "no provenance signature"),
        (by_a_stranger, "provenance signature does not hold"),
        (approved_with_its_provenance, "approval signature does not hold"),
        (approved_by_its_trainer, "approval signature does not hold"),
        (with_the_arrays_of_another, "altered"),
        (with_the_manifest_of_another, "provenance signature does not hold"),
        (another_under_its_number, "swapped"),
        (absent, "cannot be read"),
    ],
)
def test_what_is_not_signed_as_it_must_be_is_refused(
    desk: Desk, make: Callable[[Desk], Path], says: str
) -> None:
    shutil.rmtree(desk.place, ignore_errors=True)
    with pytest.raises(SnapshotError, match=says):
        desk.read(make(desk))


def test_a_signed_text_that_is_no_manifest_is_refused(desk: Desk) -> None:
    path = desk.cut(7)
    text = b'{"app": 1}'
    path.with_suffix(MANIFEST_FILE).write_bytes(text)
    path.with_suffix(PROVENANCE_FILE).write_bytes(
        desk.signers["trainer"].sign(snapshots.PROVENANCE, text)
    )
    with pytest.raises(SnapshotError, match="cannot be read"):
        snapshots.read_signed(desk.root, desk.cuts[7], desk.known[0])


def header(entry: object) -> memoryview:
    text = json.dumps({"w": entry}).encode()
    return memoryview(len(text).to_bytes(8, "little") + text + bytes(32))


@pytest.mark.parametrize(
    "data",
    [
        memoryview(b""),
        memoryview(b"\xff" * 64),
        memoryview((2**62).to_bytes(8, "little") + b"{}"),
        header({"dtype": "F32", "shape": [8], "data_offsets": [0, 64]}),
        header({"dtype": "F32", "shape": [8], "data_offsets": [8, 40]}),
        header({"dtype": "F32", "shape": [-8], "data_offsets": [0, 32]}),
        header({"dtype": "F32", "shape": [-4, -2], "data_offsets": [0, 32]}),
        header({"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 32]}),
        header({"dtype": "F32", "shape": [4], "data_offsets": [0, 32]}),
        header({"dtype": "F32", "shape": [8], "data_offsets": [32, 0]}),
        header({"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 32]}),
        header({"dtype": "OBJECT", "shape": [8], "data_offsets": [0, 32]}),
        header({"dtype": "F32", "shape": 8, "data_offsets": [0, 32]}),
        header([]),
        header(None),
    ],
)
def test_arrays_outside_their_buffer_are_refused(data: memoryview) -> None:
    with pytest.raises(SnapshotError, match="no safetensors"):
        snapshots.arrays_of(data)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_it_do_anything_but_read_or_refuse(noise: bytes) -> None:
    whole = bytearray(save({"w": np.arange(6, dtype=np.float64).reshape(2, 3)}))
    whole[8 : 8 + len(noise)] = noise
    try:
        arrays = snapshots.arrays_of(memoryview(bytes(whole)))
    except SnapshotError:
        return
    assert all(isinstance(a, np.ndarray) for a in arrays.values())


def test_the_newest_are_kept_and_so_is_what_is_in_use(desk: Desk) -> None:
    shutil.rmtree(desk.place, ignore_errors=True)
    paths = [desk.cut(n) for n in range(1, 8)]
    assert snapshots.prune(desk.root, "late", "toy-0a", keep=3, in_use=[2]) == 3
    assert sorted(desk.place.glob(f"*{ARRAYS}")) == [paths[1], *paths[4:]]
    assert len(list(desk.place.iterdir())) == 4 * 4
    desk.read(paths[1])


def test_nothing_outside_is_opened_written_or_removed(desk: Desk, tmp_path: Path) -> None:
    """A link in place of a folder or a file leads nowhere, also where its target would hold."""
    shutil.rmtree(desk.place, ignore_errors=True)
    for number in range(1, 5):
        desk.cut(number)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(desk.place, elsewhere)
    desk.place.symlink_to(elsewhere)
    before = {f.name: f.read_bytes() for f in elsewhere.iterdir()}
    for attempt in (
        lambda: desk.cut(9),
        lambda: desk.read(desk.place / "000001.safetensors"),
        lambda: snapshots.approve(desk.root, desk.cuts[1], desk.signers["qualifier"]),
        lambda: snapshots.withdraw(desk.root, desk.cuts[1]),
        lambda: snapshots.prune(desk.root, "late", "toy-0a", keep=0),
        lambda: snapshots.prune(desk.root, "..", "elsewhere", keep=0),
        lambda: snapshots.prune(desk.root, "late/..", "toy-0a", keep=0),
    ):
        with pytest.raises(SnapshotError):
            attempt()
    assert {f.name: f.read_bytes() for f in elsewhere.iterdir()} == before
    desk.place.unlink()
    shutil.move(elsewhere, desk.place)


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_stays(
    desk: Desk, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"mine")
    desk.place.mkdir(parents=True, exist_ok=True)
    for name in ("000031.safetensors", "000031.safetensors.part", "000031.json"):
        (desk.place / name).symlink_to(kept)
    desk.read(desk.cut(31))
    assert kept.read_bytes() == b"mine"


def test_only_snapshots_are_pruned(desk: Desk) -> None:
    shutil.rmtree(desk.place, ignore_errors=True)
    desk.cut(1)
    others = ["notes.txt", "x.safetensors", "1.safetensors", "٣٣٣٣٣٣.safetensors"]
    for name in others:
        (desk.place / name).write_bytes(b"")
    assert snapshots.prune(desk.root, "late", "toy-0a", keep=0) == 1
    assert sorted(f.name for f in desk.place.iterdir()) == sorted(others)


def test_an_approval_is_of_the_very_snapshot_that_was_judged(desk: Desk) -> None:
    desk.cut(33, approved=False)
    judged = desk.cuts[33]
    desk.cut(33, approved=False, bias=7.0)
    with pytest.raises(SnapshotError, match="was asked for"):
        snapshots.approve(desk.root, judged, desk.signers["qualifier"])


def test_more_than_is_allowed_is_not_read(desk: Desk) -> None:
    desk.cut(34)
    with pytest.raises(SnapshotError, match="are allowed"):
        snapshots.read_verified(desk.root, desk.cuts[34], *desk.known, most_bytes=10)
