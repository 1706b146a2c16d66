"""Which files an archive has of a partition: what the checkpoints of its operator name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.streams.archive.layout import ArchivedFile
from freshet.streams.operators.checkpoints import Checkpoints

Arrays = Mapping[str, npt.NDArray[Any]]
_NUMBERS = ("first", "after", "day", "rows", "size", "shape")


def dumped(files: Sequence[ArchivedFile], removed: Sequence[int] = ()) -> dict[str, Any]:
    """Files as arrays; `removed` are first positions of those of an earlier dump that these take
    the place of."""
    arrays = {
        name: np.array([getattr(file, name) for file in files], np.int64) for name in _NUMBERS
    }
    digests = [int(file.digest, 16) for file in files]
    # As signed words: those are what checkpoints hold.
    arrays["digest"] = np.array(digests, np.uint64).view(np.int64)
    arrays["removed"] = np.array(removed, np.int64)
    return arrays


def loaded(base: Arrays, deltas: Sequence[Arrays]) -> list[ArchivedFile]:
    """The files that a base and what came after it name, by position."""
    found: dict[int, ArchivedFile] = {}
    for state in (base, *deltas):
        for first in state["removed"].tolist():
            found.pop(first, None)
        found |= {file.first: file for file in _files(state)}
    return [found[first] for first in sorted(found)]


def named_files(checkpoints_url: str, kept_as: str, identity: str) -> list[ArchivedFile]:
    """The files that the newest checkpoint of an archive's task names, by position: all that the
    archive has of that partition of the log of this identity.

    Raises:
        CheckpointError: there are checkpoints, but of another identity of the log.
    """
    found = Checkpoints(checkpoints_url, kept_as, identity).load()
    if found is None:
        return []
    _, base, deltas = found
    return loaded(base, deltas)


def _files(state: Arrays) -> list[ArchivedFile]:
    digests = [f"{word:016x}" for word in state["digest"].view(np.uint64).tolist()]
    columns = [state[name].tolist() for name in _NUMBERS]
    return [
        ArchivedFile(first, after, day, rows, size, digest, shape)
        for first, after, day, rows, size, shape, digest in zip(*columns, digests)
    ]
