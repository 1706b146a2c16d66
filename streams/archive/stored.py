"""The archive as it lies under its URL: which pieces it has of a partition, and the records in
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from freshet.schemas.errors import LogError
from freshet.streams.archive import block_rows, records
from freshet.streams.archive.layout import ArchivedFile, Place, digest_of, task_of
from freshet.streams.archive.log import Piece, PieceGone
from freshet.streams.archive.manifest import named_files
from freshet.streams.archive.parquet_files import file_of
from freshet.streams.log.contract import Batch, TopicPartition
from freshet.streams.objects import opened
from freshet.streams.operators.checkpoints import positions


class StoredArchive:
    """An `Archive` under `url`, of the app's logs that `kinds` names, by their kinds. Which of its
    files count is what the checkpoints of its operator say, under `checkpoints_url`."""

    def __init__(self, url: str, checkpoints_url: str, app: str, kinds: Mapping[str, str]) -> None:
        self._fs, root = opened(url)
        self._root = root.rstrip("/")
        self._checkpoints_url = checkpoints_url
        self._app = app
        self._kinds = kinds

    def holds(self, topic: str) -> bool:
        return topic in self._kinds

    def pieces(self, part: TopicPartition, identity: str) -> Sequence[ArchivedFile]:
        topic, partition = part
        task = task_of(self._kinds[topic], topic, partition)
        # Of a log that was made anew it has nothing, and what it has of the old one says nothing.
        if all(of != identity for of, _ in positions(self._checkpoints_url, task)):
            return []
        return named_files(self._checkpoints_url, task, identity)

    def read(self, part: TopicPartition, piece: Piece) -> Batch:
        data = self._bytes(part, piece)
        if digest_of(data) != cast(ArchivedFile, piece).digest:
            topic, partition = part
            raise LogError(
                f"archive of {topic} partition {partition}",
                f"its records from {piece.first} to {piece.after} are not as they were written",
                f"Restore {self._path(part, piece)}.",
                topic=topic,
                partition=partition,
            )
        return batch_of(data, *part)

    def verify(self, part: TopicPartition, piece: Piece) -> bool:
        """Whether a piece's bytes, read back from where they lie, are those that it is named by."""
        return digest_of(self._bytes(part, piece)) == cast(ArchivedFile, piece).digest

    def _bytes(self, part: TopicPartition, piece: Piece) -> bytes:
        path = self._path(part, piece)
        try:
            data: bytes = self._fs.cat_file(path)
        except FileNotFoundError as error:
            raise PieceGone(path) from error
        except OSError as error:
            raise LogError(
                f"archive {self._root}",
                f"{path} cannot be read: {error}",
                "Is the archive reachable? What lies in it is read once it is.",
            ) from error
        return data

    def _path(self, part: TopicPartition, piece: Piece) -> str:
        topic, partition = part
        place = Place(
            self._app,
            self._kinds[topic],
            topic,
            partition,
        )
        return f"{self._root}/{cast(ArchivedFile, piece).path(place)}"


def batch_of(data: bytes, topic: str, partition: int) -> Batch:
    """The records of a file's bytes as they were read, in offset order, whichever kind it is of."""
    file = file_of(data)
    if block_rows.BLOCKS in (file.schema_arrow.metadata or {}):
        return block_rows.batch_of(file.read(), topic, partition)
    # What was decoded of them is decoded again by whoever reads, as of a live log.
    return records.batch_of(file.read(records.COLUMNS), topic, partition)
