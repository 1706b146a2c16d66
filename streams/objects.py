"""Objects that are written as a whole, in a folder of this machine or in a store of objects."""

from __future__ import annotations

import os
import uuid
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


def put_new(fs: fsspec.AbstractFileSystem, path: str, data: bytes) -> None:
    """Put `data` at `path`, whole, where nothing is.

    Raises:
        FileExistsError: something is there, or came there at the same time.
        OSError: it cannot be written.
    """
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data, mode="create")
        return
    draft = Path(f"{path}.{uuid.uuid4().hex}.draft")
    try:
        write_whole(draft, data, durable=True)
        # Not renamed: a link fails where somebody else was first.
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
