"""Checkpoints: base and deltas are the whole state, a damaged object is passed over, another log's
state is refused."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import CheckpointError
from freshet.schemas.parted_arrays import PartedArray
from freshet.streams import tensors
from freshet.streams.operators import checkpoints
from freshet.streams.operators.checkpoints import DELTAS_PER_BASE, KEPT_BASES, Checkpoints

TASK, LOG = "view:by_gate:0", "aa11"


def place(directory: Path, identity: str = LOG) -> Checkpoints:
    return Checkpoints(str(directory), TASK, identity)


def state(offset: int) -> dict[str, Any]:
    return {
        "at": np.array([offset]),
        "empty": np.zeros(0, np.uint8),
        "rows": np.full((2, 3), offset, np.float64),
    }


def fill(directory: Path, offsets: Sequence[int], bases: Sequence[int]) -> None:
    saver = place(directory)
    for o in offsets:
        saver.save(o, state(o), o in bases)


def loaded(directory: Path, identity: str = LOG) -> tuple[int, list[int]] | None:
    """The next offset, and which states make up the chain."""
    found = place(directory, identity).load()
    if found is None:
        return None
    offset, base, deltas = found
    for part in (base, *deltas):
        at = int(part["at"][0])
        assert part.keys() == state(at).keys()
        assert all(
            part[k].dtype == v.dtype and np.array_equal(part[k], v) for k, v in state(at).items()
        )
    return offset, [int(part["at"][0]) for part in (base, *deltas)]


def objects(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.suffix in (".base", ".delta"))


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    assert place(tmp_path).load() is None
    assert place(tmp_path).wants_full


def test_the_newest_chain_is_loaded_in_order(tmp_path: Path) -> None:
    fill(tmp_path, [10, 20, 30, 40, 55], bases=[10, 30])
    assert loaded(tmp_path) == (55, [30, 40, 55])


def test_an_offset_saved_again_is_left_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, [10, 20], bases=[10])
    before = {p: p.read_bytes() for p in objects(tmp_path)}
    again = place(tmp_path)
    again.load()
    again.save(20, state(99), False)
    assert {p: p.read_bytes() for p in objects(tmp_path)} == before


def test_who_loaded_goes_on_with_the_chain_until_it_is_long(tmp_path: Path) -> None:
    fill(tmp_path, [10, 20], bases=[10])
    saver = place(tmp_path)
    saver.load()
    for i in range(DELTAS_PER_BASE - 1):
        assert not saver.wants_full
        saver.save(30 + i, state(30 + i), False)
    assert saver.wants_full
    assert loaded(tmp_path) == (48, [10, 20, *range(30, 49)])


def bulky(size: int) -> dict[str, Any]:
    return {"rows": np.zeros(size, np.uint8)}


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_base_waits_until_its_deltas_are_as_large(tmp_path: Path, is_loaded: bool) -> None:
    saver = place(tmp_path)
    deltas = 2 * DELTAS_PER_BASE
    saver.save(0, bulky(100 * deltas), True)
    for offset in range(1, deltas + 1):
        assert not saver.wants_full
        saver.save(offset, bulky(100), False)
        if is_loaded:
            saver = place(tmp_path)
            saver.load()
    assert saver.wants_full


@pytest.mark.parametrize("is_loaded", [False, True])
def test_of_a_state_that_changes_as_a_whole_few_copies_are_kept(
    tmp_path: Path, is_loaded: bool
) -> None:
    size = 100_000
    saver = place(tmp_path)
    for offset in range(60):
        saver.save(offset, bulky(size), saver.wants_full)
        assert len(objects(tmp_path)) <= (KEPT_BASES + 1) * 3
        if is_loaded:
            saver = place(tmp_path)
            saver.load()
    found = place(tmp_path).load()
    assert found is not None
    offset, _, _ = found
    assert offset == 59


@pytest.mark.parametrize("is_loaded", [False, True])
def test_deltas_of_a_base_that_hardly_changes_have_an_end(
    tmp_path: Path, is_loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_DELTAS", DELTAS_PER_BASE + 5)
    saver = place(tmp_path)
    saver.save(0, bulky(1_000_000), True)
    for offset in range(1, checkpoints.MOST_DELTAS + 1):
        assert not saver.wants_full
        saver.save(offset, bulky(1), False)
        if is_loaded:
            saver = place(tmp_path)
            saver.load()
    assert saver.wants_full
    saver.save(checkpoints.MOST_DELTAS + 1, bulky(1_000_000), True)
    assert not saver.wants_full


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_object_is_torn_altered_or_gone_an_older_whole_chain_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("state")
    fill(directory, [10, 20, 30, 40, 50, 60], bases=[10, 40])
    chains = {10: [10], 20: [10, 20], 30: [10, 20, 30], 40: [40], 50: [40, 50], 60: [40, 50, 60]}
    for path in data.draw(
        st.lists(st.sampled_from(objects(directory)), min_size=1, max_size=4, unique=True)
    ):
        value = bytearray(path.read_bytes())
        how = data.draw(st.sampled_from(["torn", "altered", "empty", "gone", "other digest"]))
        if how == "gone":
            path.unlink()
        elif how == "other digest":
            body = b"\xff" * 8 + bytes(value[40:])
            path.write_bytes(hashlib.sha256(body).digest() + body)
        else:
            value[data.draw(st.integers(0, len(value) - 1))] ^= 1
            size = {"torn": data.draw(st.integers(0, len(value) - 1)), "empty": 0}.get(
                how, len(value)
            )
            path.write_bytes(value[:size])
        bad = int(path.stem.rsplit("-", 1)[1])
        chains = {o: c for o, c in chains.items() if bad not in c}
    if chains:
        assert loaded(directory) == (max(chains), chains[max(chains)])
    elif objects(directory):
        with pytest.raises(CheckpointError, match="no checkpoint is whole"):
            place(directory).load()


def test_after_a_torn_delta_saving_goes_on_from_the_older_state(tmp_path: Path) -> None:
    fill(tmp_path, [10, 20, 30], bases=[10])
    newest = objects(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:50])
    saver = place(tmp_path)
    found = saver.load()
    assert found is not None
    assert found[0] == 20
    saver.save(30, state(30), False)
    saver.save(40, state(40), False)
    assert loaded(tmp_path) == (40, [10, 20, 30, 40])


def test_a_crash_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, [10, 20], bases=[10])
    saver = place(tmp_path)
    saver.load()
    monkeypatch.setattr(os, "replace", lambda *a, **k: (_ for _ in ()).throw(OSError("pulled")))
    with pytest.raises(OSError, match="pulled"):
        saver.save(30, state(30), False)
    monkeypatch.undo()
    # As a process that was killed leaves it.
    objects(tmp_path)[-1].with_suffix(".base.1-1.part").write_bytes(b"half")
    assert loaded(tmp_path) == (20, [10, 20])


def test_state_of_another_log_is_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path, [10], bases=[10])
    with pytest.raises(
        CheckpointError,
        match=r"of log aa11, and the log now is bb22: the topic was recreated\. Restore",
    ):
        place(tmp_path, "bb22").load()
    saver = place(tmp_path, "bb22")
    saver.save(5, state(5), True)
    assert loaded(tmp_path, "bb22") == (5, [5])
    assert loaded(tmp_path) == (10, [10])


def test_identities_with_dashes_are_told_apart(tmp_path: Path) -> None:
    place(tmp_path, "0e-1").save(7, state(7), True)
    assert loaded(tmp_path, "0e-1") == (7, [7])
    with pytest.raises(CheckpointError):
        place(tmp_path, "0e").load()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_pruning_keeps_two_whole_chains(
    tmp_path_factory: pytest.TempPathFactory, fulls: list[bool]
) -> None:
    directory = tmp_path_factory.mktemp("state")
    saver = place(directory)
    fulls = [True, *fulls]
    for i, full in enumerate(fulls):
        saver.save(10 * i, state(10 * i), full)
    bases = [10 * i for i, full in enumerate(fulls) if full]
    assert [
        int(p.stem.rsplit("-", 1)[1]) for p in objects(directory) if p.suffix == ".base"
    ] == bases[-KEPT_BASES:]
    assert loaded(directory) == (10 * (len(fulls) - 1), list(range(bases[-1], 10 * len(fulls), 10)))
    for path in objects(directory):
        if int(path.stem.rsplit("-", 1)[1]) >= bases[-1]:
            path.unlink()
    if len(bases) > 1:
        assert loaded(directory) == (bases[-1] - 10, list(range(bases[-2], bases[-1], 10)))


def test_a_zombie_beside_the_owner_leaves_a_chain_of_true_states(tmp_path: Path) -> None:
    """States are functions of the offset, so whoever wrote last, a chain leads to the state of its
    offset."""
    fill(tmp_path, [10], bases=[10])
    owner, zombie = place(tmp_path), place(tmp_path)
    owner.load()
    zombie.load()
    owner.save(20, state(20), False)
    zombie.save(15, state(15), False)
    zombie.save(20, state(20), False)
    owner.save(30, state(30), False)
    found = loaded(tmp_path)
    assert found is not None
    assert found[0] == 30
    assert found[1] in ([10, 20, 30], [10, 15, 20, 30])


def test_the_memory_file_system_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    saver = Checkpoints("memory://state", TASK, LOG)
    saver.save(1, state(1), True)
    saver.save(2, state(2), False)
    found = Checkpoints("memory://state", TASK, LOG).load()
    assert found is not None
    assert found[0] == 2
    assert checkpoints.DELTAS_PER_BASE > 0


# ------------------------------------------------------------- arrays that are made part by part


def in_parts(values: Any) -> PartedArray:
    """One part for each number."""
    return PartedArray(values.dtype, values.size, lambda: (values[at : at + 1] for at in places))


places = range(5)


@pytest.mark.parametrize("folder", ["", "memory://parts/"])
def test_an_array_made_in_parts_is_saved_as_the_same_bytes(folder: str, tmp_path: Path) -> None:
    root = folder or f"{tmp_path}/"
    numbers = {"rows": np.arange(5), "keys": np.arange(5, dtype=np.uint8)}
    saved = []
    for name in ("whole", "parts"):
        state: Any = numbers
        if name == "parts":
            state = {key: in_parts(values) for key, values in numbers.items()}
        saver = Checkpoints(f"{root}{name}", TASK, LOG)
        saver.save(1, state, True)
        saved.append(saver._fs.cat_file(f"{saver._root}/{LOG}-{1:020}.base"))
        # A base and its deltas are compared by their sizes.
        assert saver._base_bytes == 45
    assert saved[0] == saved[1]
    found = Checkpoints(f"{root}parts", TASK, LOG).load()
    assert found is not None
    assert {key: values.tolist() for key, values in found[1].items()} == {
        key: values.tolist() for key, values in numbers.items()
    }


def test_a_full_disk_while_parts_are_made_leaves_nothing_and_all_are_made_once_more(
    tmp_path: Path,
) -> None:
    tries = []

    def parts() -> Iterator[Any]:
        tries.append(len(list(tmp_path.rglob("*.base"))))
        yield np.arange(3)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield np.arange(3)

    place(tmp_path).save(7, {"rows": PartedArray(np.int64, 6, parts)}, True)
    found = place(tmp_path).load()
    assert found is not None
    assert found[1]["rows"].tolist() == [0, 1, 2] * 2
    assert tries == [0, 0]
    assert len(list(tmp_path.rglob("*0*"))) == 2  # the folder of partition 0, and one object


def test_large_arrays_are_loaded_without_a_copy_and_may_be_written_to(tmp_path: Path) -> None:
    large = np.arange(tensors.VIEW_BYTES // 8)
    place(tmp_path).save(1, {"large": large, "small": np.arange(3)}, True)
    found = place(tmp_path).load()
    assert found is not None
    state = found[1]
    assert np.array_equal(state["large"], large)
    assert not state["large"].flags.owndata
    assert state["large"].flags.behaved
    # Whoever keeps it does not keep all the others.
    assert state["small"].base is None


# ------------------------------------------------------------------- bases of which some is files


def with_files(folder: Path, offset: int) -> list[Path]:
    """What a base at an offset has: a file of its own, and one that all have."""
    folder.mkdir(exist_ok=True)
    own = folder / f"{offset}.sst"
    own.write_bytes(b"%d" % offset * 50)
    shared = folder / "shared.sst"
    if not shared.exists():
        shared.write_bytes(b"shared" * 50)
    return [own, shared]


def filled(directory: Path, made: Path, bases: Sequence[int]) -> Checkpoints:
    saver = place(directory)
    for offset in bases:
        saver.save(offset, state(offset), True, files=with_files(made, offset))
        saver.save(offset + 1, state(offset + 1), False)
    return saver


def restored(directory: Path, into: Path) -> tuple[int, list[str]] | None:
    """The next offset, and the files that came with its base."""

    def folder() -> Path:
        into.mkdir()
        return into

    found = place(directory).load(folder)
    if found is None:
        return None
    names = sorted(path.name for path in into.iterdir())
    for name in names:
        text = name.partition(".")[0]
        assert (into / name).read_bytes() == text.encode() * 50
    return found[0], names


def test_a_base_comes_back_with_its_files(tmp_path: Path) -> None:
    filled(tmp_path / "kept", tmp_path / "made", [10])
    assert restored(tmp_path / "kept", tmp_path / "got") == (11, ["10.sst", "shared.sst"])


def test_who_takes_no_files_is_given_the_arrays(tmp_path: Path) -> None:
    filled(tmp_path / "kept", tmp_path / "made", [10])
    assert loaded(tmp_path / "kept") == (11, [10, 11])


def test_files_that_no_kept_base_names_go(tmp_path: Path) -> None:
    filled(tmp_path / "kept", tmp_path / "made", [10, 20, 30, 40, 50])
    files = {path.read_bytes()[:2] for path in (tmp_path / "kept").rglob("files/*")}
    # The two that are kept, and one more for whoever else has this place now.
    assert files == {b"50", b"40", b"30", b"sh"}


@pytest.mark.parametrize("step", range(8))
def test_killed_at_any_step_of_a_save_there_is_a_whole_base(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps: a file is put, then the base; an older base goes with its delta, then a file."""
    saver = filled(tmp_path / "kept", tmp_path / "made", [10, 20, 30])
    left = [step]

    def counted(do: Any) -> Any:
        def dies(*args: Any, **named: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return do(*args, **named)

        return dies

    monkeypatch.setattr(os, "link", counted(os.link))
    monkeypatch.setattr(os, "replace", counted(os.replace))
    local = type(saver._fs)
    monkeypatch.setattr(local, "rm_file", counted(local.rm_file))
    with contextlib.suppress(KeyboardInterrupt):
        saver.save(40, state(40), True, files=with_files(tmp_path / "made", 40))
    monkeypatch.undo()
    got = restored(tmp_path / "kept", tmp_path / "got")
    assert got in (
        (31, ["30.sst", "shared.sst"]),
        (40, ["40.sst", "shared.sst"]),
    )
    # Whoever comes next goes on from there, and leaves nothing that nobody names.
    later = filled(tmp_path / "kept", tmp_path / "made", [50, 60, 70])
    assert later.load() is not None
    there = {path.read_bytes()[:2] for path in (tmp_path / "kept").rglob("files/*")}
    assert there <= {b"70", b"60", b"50", b"sh"}


@pytest.mark.parametrize("how", ["gone", "torn"])
def test_a_base_without_all_of_its_files_is_none(how: str, tmp_path: Path) -> None:
    filled(tmp_path / "kept", tmp_path / "made", [10, 20])
    [own] = [
        path for path in (tmp_path / "kept").rglob("files/*") if path.read_bytes()[:2] == b"20"
    ]
    own.unlink()
    if how == "torn":
        own.write_bytes(b"20" * 49 + b"21")
    assert restored(tmp_path / "kept", tmp_path / "got") == (11, ["10.sst", "shared.sst"])
