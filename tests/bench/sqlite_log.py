"""What does the embedded log add to a plain SQLite table: records a second, and the time of one
record there and back?"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from freshet.streams.sqlite.log import SqliteLog
from tests.bench.harness import Row, in_turns, microseconds, rates

VALUE, BATCH, BATCHES, SINGLES = bytes(100), 1_000, 100, 300


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        many = in_turns(*(_sides(Path(folder), [VALUE] * BATCH, BATCHES)))
        single = in_turns(*(_sides(Path(folder), [VALUE], SINGLES)))
    against = "a plain table, WAL"
    return [
        rates(
            "sqlite_log",
            "records/s",
            BATCH * BATCHES,
            many,
            against,
            batch=BATCH,
            bytes_a_record=len(VALUE),
        ),
        microseconds(
            "sqlite_log_there_and_back", SINGLES, single, against, bytes_a_record=len(VALUE)
        ),
    ]


def _sides(
    folder: Path, values: list[bytes], times: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Append, make safe and read again, `times` over."""
    log = SqliteLog(folder / "log")
    topic = f"bench{len(values)}"
    log.ensure(topic, 1)
    writer, reader = log.writer(), log.reader([topic], None)
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(f"CREATE TABLE {topic} (offset INTEGER PRIMARY KEY, time INT, value BLOB)")
    at = 0

    def ours() -> None:
        for _ in range(times):
            writer.append(topic, 0, values, 1)
            writer.flush()
            got = 0
            while got < len(values):
                got += sum(len(b) for b in reader.poll(len(values), 1.0))

    def plain() -> None:
        nonlocal at
        for _ in range(times):
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                f"INSERT INTO {topic} (time, value) VALUES (1, ?)", [(v,) for v in values]
            )
            db.execute("COMMIT")
            found = db.execute(
                f"SELECT offset, time, value FROM {topic} WHERE offset > ?", (at,)
            ).fetchall()
            at = found[-1][0]

    return ours, plain
