"""Rows on disk, in an embedded RocksDB: by far more of them than memory holds.

Nothing of it survives the process: what a checkpoint holds are its own names for the same files.
Source: O'Neil, Cheng, Gawlick and O'Neil, "The log-structured merge-tree" (1996), as RocksDB builds
it (github.com/facebook/rocksdb/wiki).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from freshet.features.cold.named import NamedRows, rows_of
from freshet.features.rows.plan import WORD
from freshet.schemas.errors import ComponentError, DiskError

Part = tuple[list[bytes], list[bytes]]
Result = TypeVar("Result")
# A filter of 10 bits a key lets one of a hundred keys through that are not there.
FILTER_BITS = 10
# A row is fetched with all of its block, and hardly ever a second one of it: of smaller blocks less
# is taken apart, of larger ones the files are smaller.
BLOCK_BYTES = 2048
LEAST_BYTES = 1 << 20
MOST_BUFFER_BYTES = 64 << 20
# One is written out while the other is filled; more of them only where the disk is slow.
BUFFERS = 2
MOST_BUFFERS = 4
# What is read lies in memory as rows: of blocks few are asked for twice.
BLOCK_PARTS = 4
# Files are merged with others as large as they, once there are so many. By levels, each few rows
# that come would have all of a small database written anew: four times as much of CPU.
FILES = 8
# While a large merge takes long, small files gather; each costs a look into its filter, but nobody
# waits before there are many.
SLOW_FILES = 64
MOST_FILES = 128
# Two merges at a time, a long one and a short one, and the writing of a buffer.
JOBS = 3
# Of RocksDB's own log, which tells what it did: two files of this size.
LOG_BYTES = 1 << 20
# Files of rows, which are written once; whatever else is there it may write to.
TABLE = ".sst"


class Caches:
    """What all databases of a process share: blocks that were read, and rows that are not in files
    yet. `most_bytes` is for both together."""

    def __init__(self, most_bytes: int) -> None:
        of_blocks = max(LEAST_BYTES, most_bytes // BLOCK_PARTS)
        of_buffers = max(LEAST_BYTES, most_bytes - of_blocks)
        self.blocks = Cache(of_blocks)
        # Not stalled: a database that must write its buffer out goes on meanwhile.
        self.buffers = WriteBufferManager(of_buffers, False)
        self.buffer_bytes = min(MOST_BUFFER_BYTES, max(LEAST_BYTES, of_buffers // BUFFERS))


class Rocks:
    """Rows by key in `folder`, which is empty or holds the files of a `freeze`. Not thread-safe."""

    def __init__(self, folder: Path, caches: Caches) -> None:
        self.folder = folder
        self._frozen: Path | None = None
        self._is_closed = False
        _unshare(folder)
        self._write_options = WriteOptions()
        # After a crash the log of events is read once more from a checkpoint, never this one.
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        self._db = self._try(lambda: Rdict(str(folder), _options(caches)))

    def put(self, rows: NamedRows) -> None:
        """Put rows in the place of what their keys have."""
        data = rows.words.tobytes()
        batch = WriteBatch(raw_mode=True)
        start = 0
        for key, end in zip(rows.keys, (rows.ends * WORD).tolist(), strict=True):
            batch.put(key, data[start:end])
            start = end
        self._try(lambda: self._db.write(batch, self._write_options))

    def get(self, keys: Sequence[bytes]) -> NamedRows:
        """The rows of those keys that have one; they are each there once, and in order, which is a
        third of the work."""
        found: list[bytes | None] = self._try(lambda: cast(Any, self._db.get(list(keys))))
        there = [(key, row) for key, row in zip(keys, found) if row is not None]
        words, ends = rows_of([row for _, row in there])
        return NamedRows([key for key, _ in there], words, ends)

    def remove(self, keys: Sequence[bytes]) -> None:
        batch = WriteBatch(raw_mode=True)
        for key in keys:
            batch.delete(key)
        self._try(lambda: self._db.write(batch, self._write_options))

    def parts(self, most: int, after: bytes | None = None) -> Iterator[Part]:
        """All rows as they are now, by key, at most so many at a time; those from `after` on."""
        cursor = self._try(self._db.iter)
        if after is None:
            cursor.seek_to_first()
        else:
            cursor.seek(after)
        keys: list[bytes] = []
        rows: list[bytes] = []
        while cursor.valid():
            keys.append(cursor.key())
            rows.append(cursor.value())
            cursor.next()
            if len(keys) == most:
                yield keys, rows
                keys = []
                rows = []
        # Where it could not go on, it is not valid either.
        self._try(cursor.status)
        if keys:
            yield keys, rows

    def freeze(self, folder: Path) -> list[Path]:
        """Make `folder` of all rows as they are now, in files that nobody writes any more; tables
        are links to those of this database. The one made before goes."""
        self._remove_frozen()
        self._try(self._db.flush)
        self._try(lambda: Checkpoint(self._db).create_checkpoint(str(folder)))
        self._frozen = folder
        return sorted(folder.iterdir())

    def close(self) -> None:
        """Give the database up, with all that was made of it; once more is nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._db.close()
        self._remove_frozen()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_frozen(self) -> None:
        if self._frozen is not None:
            shutil.rmtree(self._frozen, ignore_errors=True)
            self._frozen = None

    def _try(self, do: Callable[[], Result]) -> Result:
        try:
            return do()
        # It raises nothing else, and says in words what was wrong.
        except Exception as error:
            raise _translated(self.folder, error) from error


def _options(caches: Caches) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_manager(caches.buffers)
    options.set_write_buffer_size(caches.buffer_bytes)
    options.set_max_write_buffer_number(MOST_BUFFERS)
    options.set_max_background_jobs(JOBS)
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_level_zero_file_num_compaction_trigger(FILES)
    options.set_level_zero_slowdown_writes_trigger(SLOW_FILES)
    options.set_level_zero_stop_writes_trigger(MOST_FILES)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_log_file_size(LOG_BYTES)
    options.set_keep_log_file_num(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(caches.blocks)
    # A key that was never seen is told by its filter, without a look at the disk.
    blocks.set_bloom_filter(FILTER_BITS, False)
    blocks.set_block_size(BLOCK_BYTES)
    options.set_block_based_table_factory(blocks)
    return options


def _unshare(folder: Path) -> None:
    """Give the database files of its own for those that it may write to: a checkpoint has other
    names for the same ones."""
    for path in folder.iterdir():
        if path.suffix != TABLE and path.stat().st_nlink > 1:
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)


def _translated(folder: Path, error: Exception) -> ComponentError:
    text = str(error)
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return DiskError(
            f"of {folder}",
            "no space is left on it, and rows that memory has no room for lie there",
            "Make room there, or give rows more memory (rows_memory).",
            disk_full=True,
        )
    return ComponentError(
        f"rows in {folder}",
        f"RocksDB cannot read or write them: {text}",
        "Look after that disk; this role goes on from its last checkpoint.",
    )
