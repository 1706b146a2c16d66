"""Objects that are written as a whole, in a folder of this machine or in a store of objects."""

from __future__ import annotations

from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from freshet.schemas.whole_files import Part, write_whole


def put(fs: fsspec.AbstractFileSystem, path: str, *parts: Part, durable: bool = False) -> None:
    """Put `parts`, one after the other, at `path`, whole or not at all; `durable` is that of
    `write_whole`.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(fs, LocalFileSystem):
        write_whole(Path(path), *parts, durable=durable)
    else:
        # A store of objects shows one once all of it is there.
        fs.pipe_file(path, b"".join(parts))
