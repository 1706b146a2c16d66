"""Paths of archived files, and what checkpoints name of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import SchemaError
from freshet.streams.archive import manifest
from freshet.streams.archive.layout import (
    DAY_MS,
    ArchivedFile,
    Named,
    Place,
    day_at,
    digest_of,
    named,
    task_of,
    text_of,
)
from freshet.streams.operators.checkpoints import Checkpoints

NAMES = st.text(min_size=1, max_size=20)
OFFSETS = st.integers(0, (1 << 62) - 1)
FILES = st.builds(
    ArchivedFile,
    first=OFFSETS,
    after=OFFSETS,
    day=st.integers(-300_000, 2_900_000),
    rows=OFFSETS,
    size=OFFSETS,
    digest=st.binary(max_size=9).map(digest_of),
    shape=st.integers(-(1 << 63), (1 << 63) - 1),
)


def test_a_path_reads_as_it_is_documented() -> None:
    place = Place("flights", "source", "flights.arrivals", 3)
    file = ArchivedFile(0, 1000, day_at(1_357_020_000_000), 1000, 1, "00ff" * 4)
    assert file.path(place) == (
        "app=flights/kind=source/name=flights.arrivals/day=2013-01-01/"
        "p00003-00000000000000000000-00000000000000001000-00ff00ff00ff00ff.parquet"
    )


@given(NAMES, NAMES, NAMES, st.integers(0, 1 << 20), FILES)
def test_a_path_says_again_what_it_was_made_of(
    app: str, kind: str, log: str, partition: int, file: ArchivedFile
) -> None:
    place = Place(app, kind, log, partition)
    path = file.path(place)
    assert path.count("/") == 4
    found = named(f"s3://bucket/any=where/{path}")
    assert found == Named(place, file.day, file.first, file.after, file.digest)


@pytest.mark.parametrize("path", ["", "a.parquet", "app=a/kind=b/name=c/day=2013-01-01/x.parquet"])
def test_what_is_no_archived_file_is_refused(path: str) -> None:
    with pytest.raises(SchemaError, match="archived file"):
        named(path)


def test_a_time_that_no_calendar_has_is_on_its_last_day() -> None:
    assert text_of(day_at(0)) == "1970-01-01"
    assert text_of(day_at(-1)) == "1969-12-31"
    assert text_of(day_at(DAY_MS * 10**9)) == "9999-12-31"
    assert text_of(day_at(-DAY_MS * 10**9)) == "0001-01-01"


@given(st.lists(FILES, unique_by=lambda file: file.first))
def test_checkpoints_name_files_as_they_were(files: list[ArchivedFile]) -> None:
    by_position = sorted(files)
    assert manifest.loaded(manifest.dumped(files), []) == by_position


def test_a_delta_takes_the_place_of_what_it_says_is_removed(tmp_path: Path) -> None:
    small = [ArchivedFile(at, at + 10, 1, 10, 5, digest_of(bytes([at]))) for at in (0, 10, 20)]
    joined = ArchivedFile(0, 20, 1, 20, 9, digest_of(b"joined"))
    checkpoints = Checkpoints(str(tmp_path), task_of("source", "a.b", 0), "identity")
    checkpoints.save(30, manifest.dumped(small), full=True)
    checkpoints.save(31, manifest.dumped([joined], [0, 10]), full=False)
    named = manifest.named_files(str(tmp_path), task_of("source", "a.b", 0), "identity")
    assert named == [joined, small[2]]


def test_without_checkpoints_an_archive_has_nothing(tmp_path: Path) -> None:
    assert manifest.named_files(str(tmp_path), task_of("source", "a.b", 0), "identity") == []
