"""What groups of the embedded log have committed: for lag tools, never where a reader starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from freshet.streams.log.contract import TopicPartition
from freshet.streams.sqlite import topic as sqlite_topic


class Positions:
    """Positions by group, in a file of their own so that committing never waits for an append."""

    def __init__(self, directory: Path) -> None:
        path = directory / "groups.db"
        path.touch()
        self._db = sqlite_topic.connect(path)
        # They are for lag tools: after a power failure the next ones will do.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS positions"
            "(member TEXT, topic TEXT, partition INT, next INT, "
            "PRIMARY KEY(member, topic, partition))"
        )

    def write(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        rows = [
            (group, topic, partition, offset) for (topic, partition), offset in positions.items()
        ]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO positions VALUES(?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def read(self, group: str, topic: str) -> dict[int, int]:
        sql = "SELECT partition, next FROM positions WHERE member = ? AND topic = ?"
        return dict(self._db.execute(sql, (group, topic)))

    def __enter__(self) -> Positions:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()
