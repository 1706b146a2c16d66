"""Records of what was decided once, as files beside the checkpoints: whoever is first decides."""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import msgspec

from freshet.schemas.errors import CheckpointError
from freshet.streams.objects import put_new
from freshet.streams.operators.checkpoints import START_ANEW

Kind = TypeVar("Kind", bound=msgspec.Struct)


def read(fs: Any, path: str, kind: type[Kind]) -> Kind | None:
    """The record at a path; None where there is none.

    Raises:
        CheckpointError: the file is not what was written.
    """
    try:
        return msgspec.json.decode(fs.cat_file(path), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise CheckpointError(
            f"file {path}",
            f"cannot be read: {error}",
            f"Restore it from a backup. {START_ANEW}",
        ) from error


def put_first(fs: Any, path: str, made: msgspec.Struct) -> None:
    """Write a record, unless another process was first."""
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    with contextlib.suppress(FileExistsError):
        put_new(fs, path, encoded(made))


def encoded(made: msgspec.Struct) -> bytes:
    """For people to read, too."""
    return msgspec.json.format(msgspec.json.encode(made))
