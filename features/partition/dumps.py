"""Rows as checkpoints hold them: with the ids of their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.rows.finish_kernels import plain
from freshet.schemas.errors import CheckpointError
from freshet.schemas.parted_arrays import PartedArray, PartedArrays
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Changes

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Dumped = Mapping[str, npt.NDArray[Any]]


class Rows(NamedTuple):
    """Rows by their ids, one after the other, with the word at which each ends."""

    ids: I64
    words: I64
    ends: I64


class KeyParts(NamedTuple):
    """Keys by their ids, part by part; of how many bytes all are."""

    ids: I64
    texts: Callable[[], Iterator[Texts]]
    bytes: int


class RowParts(NamedTuple):
    """The words of rows, part by part; the word at which each row ends."""

    words: Callable[[], Iterator[I64]]
    ends: I64


def as_arrays(digest: str, had: int, changes: Changes, rows: Rows, pending: I64) -> Arrays:
    """A dump: of which plan, how many keys there were before, what became of keys since, the rows
    that changed, and the ids of those that the store has yet to see."""
    return {
        "digest": np.frombuffer(digest.encode(), np.uint8).copy(),
        # How many keys there were before.
        "first_key": np.array([had], np.int64),
        "forgotten": changes.forgotten,
        "key_ids": changes.ids,
        "keys": changes.texts.data,
        "key_ends": changes.texts.end,
        "ids": rows.ids,
        "rows": rows.words,
        "row_ends": rows.ends,
        "pending": pending,
    }


def in_parts(digest: str, keys: KeyParts, rows: RowParts, pending: I64) -> PartedArrays:
    """A dump of everything, as `as_arrays` of all keys and rows, which are made part by part."""
    ids = keys.ids
    nothing = np.zeros(0, np.int64)
    none = Texts(np.zeros(0, np.uint8), nothing, nothing, np.zeros(0, np.bool_))
    small = as_arrays(
        digest, 0, Changes(nothing, ids, none), Rows(ids, nothing, rows.ends), pending
    )
    row_words = int(rows.ends[-1]) if ids.size else 0
    return {
        **small,
        # As a column of texts has one byte at the least.
        "keys": PartedArray(np.uint8, max(1, keys.bytes), lambda: _key_bytes(keys)),
        "key_ends": PartedArray(np.int64, ids.size, lambda: _key_ends(keys)),
        "rows": PartedArray(np.int64, row_words, rows.words),
    }


def _key_bytes(keys: KeyParts) -> Iterator[npt.NDArray[np.uint8]]:
    if not keys.bytes:
        yield np.zeros(1, np.uint8)
    for texts in keys.texts():
        yield texts.data[: int(texts.end[-1])]


def _key_ends(keys: KeyParts) -> Iterator[I64]:
    before = 0
    for texts in keys.texts():
        ends = texts.end + before
        before = int(ends[-1])
        yield ends


def rows_in(part: Dumped) -> Rows:
    """The rows of a dump."""
    return Rows(*(plain(part[name], np.int64) for name in ("ids", "rows", "row_ends")))


def check_digest(part: Dumped, digest: str) -> None:
    """Raises `CheckpointError` for a dump of another plan than that of a digest."""
    found = part["digest"].tobytes().decode()
    if found != digest:
        raise CheckpointError(
            f"rows of plan {found}",
            f"were dumped by another definition than {digest}",
            "Build this view's rows from its log, or load the checkpoint of this definition.",
        )


def changes_in(part: Dumped) -> Changes:
    """What became of keys before a dump."""
    ends = plain(part["key_ends"], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    data = plain(part["keys"], np.uint8)
    texts = Texts(data, starts, ends, np.ones(len(ends), np.bool_))
    # Before keys were forgotten, each had the next id.
    if "key_ids" not in part:
        first = int(part["first_key"][0])
        ids = np.arange(first, first + len(ends))
        return Changes(np.zeros(0, np.int64), ids, texts)
    forgotten = plain(part["forgotten"], np.int64)
    return Changes(forgotten, plain(part["key_ids"], np.int64), texts)
