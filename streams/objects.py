"""Objects that are written as a whole, in a folder of this machine or in a store of objects."""

from __future__ import annotations

from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from freshet.schemas.whole_files import write_whole


def put(fs: fsspec.AbstractFileSystem, path: str, data: bytes, durable: bool = False) -> None:
    """Put `data` at `path`, whole or not at all; `durable` is that of `write_whole`.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(fs, LocalFileSystem):
        write_whole(Path(path), data, durable=durable)
    else:
        # A store of objects shows one once all of it is there.
        fs.pipe_file(path, data)
