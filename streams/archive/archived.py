"""Records of an archived file, whichever kind it is of."""

from __future__ import annotations

from freshet.streams.archive import block_rows, records
from freshet.streams.archive.folder import table_of
from freshet.streams.log.contract import Batch


def batch_of(data: bytes, topic: str, partition: int) -> Batch:
    """The records of a file's bytes as they were read, in offset order."""
    table = table_of(data)
    if block_rows.BLOCKS in (table.schema.metadata or {}):
        return block_rows.batch_of(table, topic, partition)
    return records.batch_of(table, topic, partition)
