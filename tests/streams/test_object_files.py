"""Files beside objects: each is put once, found whole or not at all, and goes once nobody names
it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from freshet.streams.object_files import NamedFile, ObjectFiles, digest_of
from freshet.streams.objects import opened


@pytest.fixture(params=["linked", "copied", "stored", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A place for files: on the same disk, on another one, or in a store of objects."""
    if request.param == "stored":
        return ObjectFiles(fsspec.filesystem("memory"), f"/{tmp_path.name}/files")
    if request.param == "s3":
        url = request.getfixturevalue("s3").make_bucket()
        return ObjectFiles(*opened(f"{url}/files"))
    if request.param == "copied":

        def refuse(source: object, target: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
    return ObjectFiles(fsspec.filesystem("file"), str(tmp_path / "files"))


@pytest.fixture
def made(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in {"a": b"one", "b": b"", "c": b"three" * 1000}.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def fetched(files: ObjectFiles, named: list[NamedFile], folder: Path) -> dict[str, bytes] | None:
    folder.mkdir()
    if not files.fetch(named, folder):
        return None
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_come_back_under_their_names(files: Any, made: list[Path], tmp_path: Path) -> None:
    named = files.put(made)
    assert [file.name for file in named] == ["a", "b", "c"]
    assert fetched(files, named, tmp_path / "got") == {p.name: p.read_bytes() for p in made}


def test_a_file_that_is_there_is_not_put_again(files: Any, made: list[Path]) -> None:
    named = files.put(made)
    before = files._there()
    files._put = None  # whoever puts one fails
    assert files.put(made) == named
    assert files._there() == before


def test_equal_bytes_are_one_file(files: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "x", tmp_path / "y"]
    for path in paths:
        path.write_bytes(b"same")
    named = files.put(paths)
    assert len(files._there()) == 1
    assert fetched(files, named, tmp_path / "got") == {"x": b"same", "y": b"same"}


def test_what_is_written_under_an_old_name_has_a_digest_of_its_own(
    files: Any, made: list[Path]
) -> None:
    [before, *_] = files.put(made)
    made[0].write_bytes(b"two")
    [after, *_] = files.put(made)
    assert after.digest == digest_of(made[0]) != before.digest


@pytest.mark.parametrize("how", ["gone", "short", "altered"])
def test_a_file_that_is_not_whole_is_told(how: str, made: list[Path], tmp_path: Path) -> None:
    files = ObjectFiles(fsspec.filesystem("file"), str(tmp_path / "files"))
    named = files.put(made)
    place = tmp_path / "files" / named[2].digest
    value = bytearray(place.read_bytes())
    place.unlink()
    if how == "short":
        place.write_bytes(value[:-1])
    if how == "altered":
        value[7] ^= 1
        place.write_bytes(value)
    assert fetched(files, named, tmp_path / "got") is None


def test_a_file_goes_the_second_time_that_nobody_names_it(files: Any, made: list[Path]) -> None:
    named = files.put(made)
    kept = {named[0].digest}
    files.keep(kept)
    # Another owner may have put it for an object that is yet to come.
    assert len(files._there()) == 3
    files.keep({*kept, named[1].digest})
    assert set(files._there()) == {named[0].digest, named[1].digest}
    files.keep(kept)
    files.keep(kept)
    assert set(files._there()) == kept


def test_half_a_copy_is_nobodys_file(made: list[Path], tmp_path: Path) -> None:
    files = ObjectFiles(fsspec.filesystem("file"), str(tmp_path / "files"))
    named = files.put(made)
    # As a process that was killed leaves it.
    (tmp_path / "files" / f"{named[0].digest}.1-1.part").write_bytes(b"o")
    assert len(files._there()) == 3
    assert fetched(files, named, tmp_path / "got") is not None
