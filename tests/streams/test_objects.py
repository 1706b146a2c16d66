"""Objects in a store of objects, by a real server: whole, new only where none is, and every failure
told as one of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from freshet.schemas.errors import ObjectStoreError
from freshet.servers.server import free_ports
from freshet.streams import objects
from freshet.streams.disk import until_there_is_room
from freshet.streams.object_probe import probe
from freshet.streams.outages import Outages
from tests.s3 import S3Server, Way


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("memory://run", "memory of one process"),
        ("https://example.org/run", "nothing can be written to"),
        ("s3:/bucket/run", "is no URL such as"),
        ("s3://", "is no URL such as"),
        ("simplecache::s3://bucket/run", "chain of URLs"),
        ("nowhere://bucket/run", "fsspec does not know"),
    ],
)
def test_a_place_that_processes_cannot_share_is_refused_with_the_cause(
    place: str, cause: str
) -> None:
    with pytest.raises(ValueError, match=cause):
        objects.plain(place)


def test_paths_stay_as_they_are(tmp_path: Path) -> None:
    for path in (str(tmp_path), "run", "a:b/run", "../run"):
        assert objects.plain(path) == path
        assert not objects.is_remote(path)
    assert objects.plain(f"file://{tmp_path}") == str(tmp_path)


def test_a_new_object_is_put_once(s3: S3Server) -> None:
    fs, root = objects.opened(f"{s3.make_bucket()}/run")
    objects.put_new(fs, f"{root}/one", b"first")
    with pytest.raises(FileExistsError):
        objects.put_new(fs, f"{root}/one", b"second")
    assert fs.cat_file(f"{root}/one") == b"first"
    objects.put(fs, f"{root}/one", b"sec", b"ond")
    assert fs.cat_file(f"{root}/one") == b"second"


def test_what_another_process_writes_is_listed_at_once(s3: S3Server) -> None:
    place = f"{s3.make_bucket()}/run"
    ours, root = objects.opened(place)
    assert objects.names(ours, root) == []
    assert not ours.isdir(root)
    # By a client of its own, as that of another process is.
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(f"{root}/a%2Fb-7.base", b"x")
    assert objects.names(ours, root) == ["a%2Fb-7.base"]
    assert ours.isdir(root)


def test_a_part_of_an_object_is_read_also_of_an_empty_one(s3: S3Server) -> None:
    fs, root = objects.opened(f"{s3.make_bucket()}/run")
    for data in (b"", b"abc"):
        objects.put(fs, f"{root}/x", data)
        assert fs.cat_file(f"{root}/x", start=0, end=2) == data[:2]
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{root}/y", start=0, end=2)


def test_what_is_set_aside_is_there_under_the_other_name(s3: S3Server) -> None:
    place = f"{s3.make_bucket()}/run"
    objects.write(place, "history", b"torn")
    objects.set_aside(place, "history", "aside")
    assert objects.read(place, "aside") == b"torn"
    with pytest.raises(FileNotFoundError):
        objects.read(place, "history")


def test_a_probe_leaves_nothing(s3: S3Server) -> None:
    place = f"{s3.make_bucket()}/run"
    probe(place)
    assert not objects.anything_at(place)


def test_a_bucket_that_is_not_there_is_not_made(s3: S3Server) -> None:
    with pytest.raises(ObjectStoreError, match="is not there: The specified bucket does not exist"):
        probe("s3://nobody-made-it/run")
    with pytest.raises(ObjectStoreError, match="is not there"):
        probe("s3://nobody-made-it/run")


def test_wrong_credentials_are_one_clear_error(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{s3.make_bucket()}/run"
    s3.hold_to_known_keys(True)
    try:
        with pytest.raises(ObjectStoreError, match=r"refuses access: .*Access Key Id") as caught:
            probe(place)
        assert caught.value.facts["away"] is False
        assert "may list, read, write and delete" in caught.value.next_step
        assert "secret" not in str(caught.value)
    finally:
        s3.hold_to_known_keys(False)


def test_a_server_that_is_away_is_waited_out_and_told_once(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, stack: ExitStack
) -> None:
    place = f"{s3.make_bucket()}/run"
    way = stack.enter_context(Way(s3.port))
    monkeypatch.setenv("AWS_ENDPOINT_URL", way.endpoint)
    # Its clients are kept by what they were made with, not by the environment.
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    fs, root = objects.opened(place)
    objects.put(fs, f"{root}/one", b"before")
    way.cut()
    outages = Outages()
    told = threading.Event()
    begin = outages.begin

    def begun(*given: str) -> None:
        begin(*given)
        told.set()

    outages.begin = begun  # type: ignore[method-assign, assignment]

    def mended() -> None:
        assert told.wait(60.0)
        (outage,) = outages.current()
        assert (outage.component, outage.resource) == ("object store", place)
        way.mend()

    mending = threading.Thread(target=mended)
    mending.start()
    until_there_is_room(lambda: objects.put(fs, f"{root}/one", b"after"), outages, place)
    mending.join()
    assert outages.current() == []
    assert outages.begun == 1
    assert fs.cat_file(f"{root}/one") == b"after"


def test_nobody_waits_for_a_server_in_a_process_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    (port,) = free_ports(1)
    for name, value in S3Server.environment_at(f"http://127.0.0.1:{port}").items():
        monkeypatch.setenv(name, value)
    ending = threading.Event()
    ending.set()
    with pytest.raises(ObjectStoreError, match="does not answer"):
        until_there_is_room(lambda: probe("s3://bucket/gone"), Outages(ending), "s3://bucket/gone")
