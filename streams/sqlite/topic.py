"""One topic of the embedded log: a SQLite file that several processes append to and read at once.

    meta(key, value)                      identity (a UUID, new with every creation), partitions
                                          (frozen), and of those whose beginning was deleted the
                                          first offset that is retained (first:PARTITION)
    records(position, time_ms, value)     position = partition * 2^40 + offset: one b-tree, no
                                          second index; offsets have no gaps

What is deleted goes in steps, each a transaction of its own, so that writers between them wait
little; the pages that it leaves free are used again, and beyond `FREE_PAGES` the file shrinks (one
that an earlier version made only uses them again).

The file is in WAL mode with `synchronous=NORMAL`: a record whose `append` returned survives the
death of any process by any signal. When the machine loses power, the last commits (those since
SQLite's last checkpoint of the WAL, a few MB) may be gone; the log is then shorter, never torn, and
a checkpoint beyond its end is refused by `seek`. Whoever needs more than that runs Kafka with
replicas.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from freshet.schemas.errors import LogError
from freshet.streams.log.errors import missing, recreated

LOCK_WAIT_SECONDS = 30.0
_PARTITION = 1 << 40
OFFSET_MASK = _PARTITION - 1
DELETE_RECORDS = 500  # in one transaction: some milliseconds in which nobody can append
FREE_PAGES = 1_024  # 4 MB: what is appended next fits in, and need not make the file grow again
VACUUM_PAGES = 1_024
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE records(position INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, value BLOB NOT NULL);
"""
_WITHIN = "FROM records WHERE position >= ? AND position < ? ORDER BY position"
_READ = f"SELECT position, time_ms, value {_WITHIN} LIMIT ?"
_FIRST = f"SELECT position {_WITHIN} LIMIT 1"
_LAST = f"SELECT position {_WITHIN} DESC LIMIT 1"
_FIRST_KEPT = "SELECT value FROM meta WHERE key = ?"
_KEEP_FROM = "INSERT OR REPLACE INTO meta VALUES(?, ?)"
_DELETE = "DELETE FROM records WHERE position >= ? AND position < ?"
_SINCE = """SELECT position FROM records WHERE position >= ? AND position < ? AND time_ms >= ?
ORDER BY position LIMIT 1"""

# Position, time (ms) and value, as SQLite hands them out: a tuple of a kind of our own would cost
# every record another object.
Row = tuple[int, int, bytes]


class TopicFile:
    """An open topic. Not thread-safe, but it may be handed from one thread to another.

    `path` is the database, `bell` the file rung after each append, `identity` and `partitions` as
    created.
    """

    def __init__(self, directory: Path, topic: str) -> None:
        self.topic = topic
        self.path = path_of(directory, topic)
        self.bell = self.path.with_suffix(".bell")
        self._db = self._open()
        self._writes = False  # whether the connection is set to wait by itself

    def _open(self) -> sqlite3.Connection:
        try:
            status = os.stat(self.path)
        except FileNotFoundError as error:
            raise missing(self.topic, str(self.path)) from error
        self._inode = (status.st_dev, status.st_ino)
        try:
            db = connect(self.path)
            meta = dict(db.execute("SELECT key, value FROM meta"))
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error
        self.identity: str = meta["identity"]
        self.partitions: int = meta["partitions"]
        return db

    def check(self) -> None:
        """Raise `LogError` if the file was removed or made anew since it was opened; SQLite does
        not see."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError as error:
            raise missing(
                self.topic, str(self.path), f"was removed (its identity was {self.identity})"
            ) from error
        if (status.st_dev, status.st_ino) != self._inode:
            raise recreated(
                self.topic, self.identity, TopicFile(self.path.parent, self.topic).identity
            )

    def read(self, partition: int, offset: int, max_records: int, max_bytes: int) -> list[Row]:
        """Rows `(position, time_ms, value)` from `offset` on, in order; at least one if there is
        any."""
        base = partition * _PARTITION
        try:
            rows: list[Row] = []
            left = max_bytes
            cursor = self._db.execute(_READ, (base + offset, base + _PARTITION, max_records))
            # One by one: some dozens of large ones fetched together would be a gigabyte.
            for row in cursor:
                rows.append(row)
                _, _, value = row
                left -= len(value)
                if left <= 0:
                    break
            cursor.close()  # stopped early, it would pin the WAL
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error
        return rows

    def span(self, partition: int) -> tuple[int, int]:
        """First retained offset, and the one after the last."""
        limits = (partition * _PARTITION, (partition + 1) * _PARTITION)
        try:
            # The last one first: what is deleted between the two is missing from both.
            last = self._db.execute(_LAST, limits).fetchone()
            first = self._db.execute(_FIRST, limits).fetchone()
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error
        if not first or not last:
            kept = self.first_kept(partition)
            return kept, kept
        return first[0] & OFFSET_MASK, (last[0] & OFFSET_MASK) + 1

    def first_kept(self, partition: int) -> int:
        """The offset before which everything was deleted; 0 where nothing was."""
        try:
            found = self._db.execute(_FIRST_KEPT, (_first_key(partition),)).fetchone()
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error
        return int(found[0]) if found else 0

    def delete_before(self, partition: int, offset: int) -> None:
        """Delete the records before `offset`, which must not lie beyond the end. Killed in the
        middle of it, some of them are gone, the first ones."""
        base = partition * _PARTITION
        try:
            first, _ = self.span(partition)
            for reached in range(first, offset, DELETE_RECORDS):
                until = min(offset, reached + DELETE_RECORDS)
                # Both at once: an emptied partition must know where it ends.
                with self._transaction():
                    self._db.execute(_DELETE, (base, base + until))
                    kept = max(until, self.first_kept(partition))
                    self._db.execute(_KEEP_FROM, (_first_key(partition), kept))
            self._give_back()
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error

    def _give_back(self) -> None:
        """Let the file shrink by the pages that are free, but for some."""
        (can_shrink,) = self._db.execute("PRAGMA auto_vacuum").fetchone()
        while can_shrink:
            (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
            if free <= FREE_PAGES:
                break
            pages = min(VACUUM_PAGES, free - FREE_PAGES)
            with self._transaction():
                # It gives back a page for each row that is fetched.
                self._db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        # The file itself shrinks when the WAL is written into it.
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def since(self, partition: int, time_ms: int) -> int:
        """The offset of the first record of that time or later, or the one after the last."""
        base = partition * _PARTITION
        # Before the records are looked through: one that is appended meanwhile is read.
        _, after = self.span(partition)
        try:
            # Times need not rise, so there is no index that would tell.
            cursor = self._db.execute(_SINCE, (base, base + _PARTITION, time_ms))
            found = cursor.fetchone()
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error
        if found is None:
            return after
        return int(found[0]) & OFFSET_MASK

    def append(self, records: Mapping[int, tuple[Sequence[int], Sequence[bytes]]]) -> None:
        """Commit `{partition: (times, values)}` in one transaction, or nothing."""
        db = self._db
        try:
            with self._transaction():
                for partition, (times, values) in records.items():
                    base = partition * _PARTITION
                    last = db.execute(_LAST, (base, base + _PARTITION)).fetchone()
                    at = last[0] + 1 if last else base + self.first_kept(partition)
                    rows = zip(range(at, at + len(values)), times, values)
                    db.executemany("INSERT INTO records VALUES(?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise translated(error, self.topic, self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is done within, or nothing."""
        self._begin()
        try:
            yield
            self.check()  # a removed file would take it without a word
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        """Start a write, retrying by the 0.1 ms: SQLite's own busy handler sleeps for
        milliseconds."""
        give_up = time.monotonic() + LOCK_WAIT_SECONDS
        if not self._writes:
            self._db.execute("PRAGMA busy_timeout=0")
            self._writes = True
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if (
                    error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
                    or time.monotonic() > give_up
                ):
                    raise
            time.sleep(random.uniform(50e-6, 200e-6))

    def close(self) -> None:
        self._db.close()


def _first_key(partition: int) -> str:
    return f"first:{partition}"


def path_of(directory: Path, topic: str) -> Path:
    """The database of a topic; its bell lies beside it."""
    return directory / f"{quote(topic, safe='')}.sqlite"


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the log's settings to a database that exists."""
    # Opening makes no file: one that is missing is an error.
    name = f"file:{quote(str(path.absolute()))}?mode=rw"
    db = sqlite3.connect(
        name, LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False, uri=True
    )
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(f"PRAGMA journal_size_limit={64 << 20}")
    return db


def create(directory: Path, topic: str, partitions: int) -> None:
    """Make the topic unless it exists. It appears complete or not at all, whoever else makes it
    meanwhile."""
    path = path_of(directory, topic)
    draft = path.with_name(f".{uuid.uuid4().hex}.draft")
    try:
        draft.touch()
        db = connect(draft)
        # Before anything else is written: later it would be of no effect.
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.executescript(f"PRAGMA journal_mode=WAL; BEGIN; {_SCHEMA} COMMIT;")
        meta = [("identity", str(uuid.uuid4())), ("partitions", partitions)]
        db.executemany("INSERT INTO meta VALUES(?, ?)", meta)
        db.close()
        # Before the topic: whoever finds it finds its bell.
        path.with_suffix(".bell").touch()
        # Not renamed: a link fails where somebody else was first.
        os.link(draft, path)
    except FileExistsError:
        pass
    except (sqlite3.Error, OSError) as error:
        raise translated(error, topic, path) from error
    finally:
        draft.unlink(missing_ok=True)


def translated(error: Exception, topic: str, path: Path) -> LogError:
    """The one place where SQLite's errors become ours."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    cause, next_step = {
        sqlite3.SQLITE_FULL: (
            "the disk is full",
            "Free some space; records that were not acknowledged can be retried.",
        ),
        sqlite3.SQLITE_BUSY: (
            f"stayed locked by another process for {LOCK_WAIT_SECONDS:.0f} s",
            "Find the process that holds the file open (a shell, a backup?) "
            "and end its transaction.",
        ),
        sqlite3.SQLITE_TOOBIG: ("a record is larger than SQLite takes (1 GB)", "Split it."),
        sqlite3.SQLITE_CORRUPT: (
            "the file is damaged",
            "Restore it, or remove it and replay its source.",
        ),
        sqlite3.SQLITE_NOTADB: ("the file is not a log", "Give freshet a directory of its own."),
    }.get(
        code,
        (f"{type(error).__name__}: {error}", "Check that the directory exists and may be written."),
    )
    # Named by its number, since a write may also fail before SQLite sees it.
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC
    return LogError(f"topic {topic}", f"{cause} ({path})", next_step, topic=topic, disk_full=full)
