"""What a registry has told is there: after a kill, after a full disk, and for one process alone."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import ComponentError, DiskError
from freshet.schemas.registry.client import Registered
from freshet.serving.registry.journal import FILE, Journal
from freshet.serving.registry.refusals import Refusal
from freshet.serving.registry.registry import Registry

INT = Registered('"int"')


def test_a_change_that_a_kill_left_half_written_never_was(tmp_path: Path) -> None:
    kept = Registry(tmp_path)
    kept.register("one", INT)
    kept.close()
    path = tmp_path / FILE
    whole = path.read_bytes()
    for cut in range(1, 30):
        path.write_bytes(whole + b'{"change": "level", "subject": ""'[:cut])
        again = Registry(tmp_path)
        assert again.versions("one")[1].id == 1
        again.set_level("one", "FULL")
        again.close()
        again = Registry(tmp_path)
        assert again.known.level_of("one") == "FULL"
        again.close()


def test_a_registered_schema_without_its_version_has_its_id_for_good(tmp_path: Path) -> None:
    """Of two lines that belong together the second may be lost."""
    kept = Registry(tmp_path)
    kept.register("one", INT)
    kept.close()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    again = Registry(tmp_path)
    assert again.names() == []
    assert again.register("two", Registered('"long"')).id == 2
    assert again.register("one", INT).id == 1
    again.close()


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["register", "delete", "delete_version", "level", "mode"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(['"int"', '"long"', '"string"']),
        st.booleans(),
    ),
    max_size=30,
)


@given(CHANGES)
def test_whatever_happened_is_there_when_it_is_opened_again(changes: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        kept = Registry(Path(folder))
        given_ids: dict[int, str] = {}
        for what, subject, text, flag in changes:
            with suppress(Refusal):
                if what == "register":
                    found = kept.register(subject, Registered(text))
                    # An id is one schema for good, whatever is deleted between.
                    assert given_ids.setdefault(found.id, text) == text
                elif what == "delete":
                    kept.delete_subject(subject, flag)
                elif what == "delete_version":
                    kept.delete_version(subject, "latest" if flag else "1", not flag)
                elif what == "level":
                    kept.set_level(subject, "NONE" if flag else None)
                else:
                    kept.set_mode(subject, "READONLY" if flag else None)
        before = kept.known
        kept.close()
        again = Registry(Path(folder))
        assert again.known == before
        again.close()


@pytest.mark.parametrize("room", [0, 1, 20, 90])
def test_a_change_that_was_refused_never_comes_to_be(tmp_path: Path, room: int) -> None:
    """Whatever of it a full disk took: not by the next change, and not when it is opened again."""
    kept = Registry(tmp_path)
    kept.register("one", INT)
    with room_for(tmp_path / FILE, room):
        for _ in range(2):
            with pytest.raises(DiskError, match="the change is not kept: File too large"):
                kept.register("two", Registered('"long"'))
    assert kept.register("three", Registered('"string"')).id == 2
    before = kept.known
    kept.close()
    again = Registry(tmp_path)
    assert again.known == before
    assert again.names() == ["one", "three"]
    assert again.register("two", Registered('"long"')).id == 3
    again.close()


def test_a_change_that_cannot_be_written_at_all_is_a_full_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    file = os.open(os.devnull, os.O_RDONLY)
    # Whatever the file's own calls say: here that it is none to write to.
    os.dup2(file, journal._file.fileno())
    with pytest.raises(DiskError, match="the change is not kept"):
        journal.append([{"change": "level"}])
    os.close(file)
    journal.close()


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """No file of this process may grow beyond this one and `more` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Not killed by it, but told.
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_line_that_is_no_json_is_told_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nonsense\n")
    with pytest.raises(ComponentError, match="line 1 is no JSON"):
        Registry(tmp_path)


def test_one_folder_is_served_by_one_process(tmp_path: Path) -> None:
    kept = Registry(tmp_path)
    with pytest.raises(ComponentError, match="is served by another process"):
        Registry(tmp_path)
    kept.close()
    Registry(tmp_path).close()
