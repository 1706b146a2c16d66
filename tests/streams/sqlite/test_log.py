"""What is particular to the embedded log: its files, its locks, its bells. The contract:
`contracts/`."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from freshet.runs.lock import RunLock
from freshet.schemas.errors import LogError
from freshet.streams.catalog import open_log
from freshet.streams.outages import Outages
from freshet.streams.sqlite import doorbell
from freshet.streams.sqlite import reader as sqlite_reader
from freshet.streams.sqlite import topic as sqlite_topic
from freshet.streams.sqlite.doorbell import Bell, Listener
from freshet.streams.sqlite.log import SqliteLog


@pytest.fixture
def log(tmp_path: Path):
    log = SqliteLog(tmp_path / "log")
    log.ensure("t", 2)
    yield log
    log.close()


def count(log: SqliteLog, topic: str = "t") -> int:
    return sum(after - first for first, after in log.bounds(topic).spans.values())


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (
        ("sqlite:///" + str(tmp_path)[1:] + "/a", "a"),
        (f"{tmp_path}/b", "b"),
        ("c/d", "c/d"),
    ):
        open_log(url).close()
        assert (tmp_path / path).is_dir()
    with pytest.raises(LogError, match=r"sqlite:// or kafka://"):
        open_log("redis://localhost")


def test_whoever_reads_several_topics_has_one_turn_for_what_was_flushed_together(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = ["u", "v", "w"]
    for topic in topics:
        log.ensure(topic, 1)
    seen: list[list[int]] = []
    ring = Bell.ring

    def rung(bell: Bell) -> None:
        seen.append([count(log, topic) for topic in topics])
        ring(bell)

    monkeypatch.setattr(Bell, "ring", rung)
    writer = log.writer()
    for topic in topics:
        writer.append(topic, 0, [b"1"], 0)
    writer.flush()
    writer.close()
    assert seen == [[1, 1, 1]] * 3


def test_what_was_committed_before_a_flush_failed_is_rung_for(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.ensure("u", 1)
    reader = log.reader(["t", "u"], None)
    reader.poll(10, 0.0)
    writer = log.writer()
    for topic in ("t", "u"):
        writer.append(topic, 0, [b"1"], 0)
    sqlite_topic.path_of(log.directory, "u").unlink()
    rung: list[Path] = []
    monkeypatch.setattr(Bell, "ring", lambda bell: rung.append(Path()))
    with pytest.raises(LogError):
        writer.flush()
    assert len(rung) == 1
    writer.close()
    reader.close()


def test_any_name_is_a_topic(log: SqliteLog) -> None:
    for name in ("a/b", "..", "ä b", "clean.arrivals.origin", "x" * 60):
        log.ensure(name, 1)
        writer = log.writer()
        writer.append(name, 0, [b"1"], 0)
        writer.flush()
        writer.close()
        assert count(log, name) == 1


def test_a_second_run_on_the_same_directory_is_refused_naming_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, freshet.runs.lock as l; x = l.RunLock(sys.argv[1]); print(flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(LogError, match=rf"locked by another run \(pid {holder.pid}\)"):
        RunLock(tmp_path)
    holder.kill()
    holder.communicate()
    with RunLock(tmp_path), pytest.raises(LogError, match=str(os.getpid())):
        RunLock(tmp_path)
    RunLock(tmp_path).close()


def test_a_full_disk_is_named_at_the_end_and_what_was_queued_can_be_flushed_later(
    tmp_path: Path,
) -> None:
    outages = Outages()
    outages.ending.set()  # else it would wait for room
    log = SqliteLog(tmp_path / "log", outages)
    log.ensure("t", 1)
    writer = log.writer()
    writer.append("t", 0, [b"first"], 0)
    writer.flush()
    db = writer._topics["t"][0]._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages}")
    writer.append("t", 0, [bytes(100_000)], 0)
    with pytest.raises(LogError, match="no space is left on it"):
        writer.flush()
    assert count(log) == 1
    db.execute("PRAGMA max_page_count=1000000")
    writer.flush()
    writer.flush()
    assert count(log) == 2
    writer.close()
    log.close()


def test_a_locked_topic_is_waited_for_then_named(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.writer()
    other = sqlite3.connect(
        sqlite_topic.path_of(log.directory, "t"), isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    writer.append("t", 0, [b"x"], 0)
    monkeypatch.setattr(sqlite_topic, "LOCK_WAIT_SECONDS", 0.05)
    with pytest.raises(LogError, match="locked by another process"):
        writer.flush()
    monkeypatch.setattr(sqlite_topic, "LOCK_WAIT_SECONDS", 30.0)
    thread = threading.Thread(target=writer.flush)
    thread.start()
    other.execute("ROLLBACK")
    thread.join(30)
    assert count(log) == 1
    other.close()
    writer.close()


def test_a_file_that_is_no_log_is_named(log: SqliteLog) -> None:
    path = sqlite_topic.path_of(log.directory, "junk")
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LogError, match="not a log"):
        log.bounds("junk")


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="cannot make the directory"):
        SqliteLog(tmp_path / "file" / "log")


def test_a_removed_topic_takes_no_more_records(log: SqliteLog) -> None:
    writer = log.writer()
    writer.append("t", 0, [b"x"], 0)
    for file in log.directory.glob("t.sqlite*"):
        file.unlink()
    with pytest.raises(LogError, match="was removed"):
        writer.flush()
    writer.close()


@pytest.mark.parametrize("deaf", [False, True])
def test_news_come_without_a_bell_at_the_next_sweep(
    log: SqliteLog, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either nobody rings, or (where there is no inotify) nobody hears."""
    if deaf:
        monkeypatch.setattr(doorbell, "_inotify", lambda paths, index: None)
    else:
        monkeypatch.setattr(Bell, "ring", lambda self: None)
    monkeypatch.setattr(sqlite_reader, "SWEEP_SECONDS", 0.01)
    reader, writer = log.reader(["t"], None), log.writer()
    assert reader.poll(1, 0.0) == []
    writer.append("t", 1, [b"x"], 0)
    writer.flush()
    assert [len(b) for b in reader.poll(1, 30.0)] == [1]
    reader.close()
    writer.close()


def test_a_poll_is_bounded_in_bytes(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_reader, "READ_BYTES", 50_000)
    writer = log.writer()
    for p in (0, 1):
        writer.append("t", p, [bytes(1000)] * 400, 0)
    writer.flush()
    writer.close()
    reader = log.reader(["t"], None)
    sizes = []
    while batches := reader.poll(10_000, 0.0):
        sizes.append(sum(len(b) for b in batches))
    assert sum(sizes) == 800
    assert max(sizes) == 50
    reader.close()


def test_a_reader_does_not_pin_the_wal(log: SqliteLog) -> None:
    writer, reader = log.writer(), log.reader(["t"], None)
    for _ in range(40):
        writer.append("t", 0, [bytes(1000)] * 1000, 0)
        writer.flush()
        reader.poll(100, 0.0)
    wal = sqlite_topic.path_of(log.directory, "t").with_suffix(".sqlite-wal")
    assert wal.stat().st_size < 10 << 20
    reader.close()
    writer.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs inotify")
def test_a_listener_hears_which_bells_rang(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.bell" for i in range(3)]
    bells = [Bell(path) for path in paths]
    listener = Listener(paths)
    if listener.wait(0) == {0, 1, 2}:
        pytest.skip("this user has no inotify instance left: a listener naps, and says all rang")
    bells[2].ring()
    bells[0].ring()
    bells[2].ring()
    assert listener.wait(5) == {0, 2}
    assert listener.wait(0) == set()
    thread = threading.Thread(target=bells[1].ring)
    thread.start()
    assert listener.wait(30) == {1}
    thread.join()
    paths[1].unlink()
    assert listener.wait(5) == {1}
    listener.close()
    for bell in bells:
        bell.close()
