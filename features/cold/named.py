"""Rows with their keys, as checkpoints hold them where an id says nothing: a row that went to disk
and came back has another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.partition.dumps import check_digest
from freshet.features.rows.finish_kernels import plain
from freshet.features.rows.layout import NEWEST, OVER
from freshet.features.rows.plan import WORD
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]
COUNT = "named_rows"  # an array that dumps by ids lack


class NamedRows(NamedTuple):
    """Keys and the words of their rows as they are in memory, one row after the other, with where
    each ends."""

    keys: list[bytes]
    words: I64
    ends: I64

    def part(self, first: int, after: int) -> NamedRows:
        """The rows from `first` to `after` (exclusive)."""
        begin = 0
        if first:
            begin = int(self.ends[first - 1])
        ends = self.ends[first:after]
        words = self.words[begin : int(ends[-1])]
        return NamedRows(self.keys[first:after], words, ends - begin)


class Dumped(NamedTuple):
    """What a dump by names says: which keys went, then which rows came or changed, in order (the
    last of a key counts); how many there are then, in total; and which the store had yet to see. Of
    a base all rows are in the files that come with it."""

    is_base: bool
    total: int
    gone: list[bytes]
    rows: NamedRows
    pending: list[bytes]


def is_named(part: Arrays) -> bool:
    """Whether a dump is one by names."""
    return COUNT in part


def as_arrays(what: Dumped, digest: str) -> dict[str, npt.NDArray[Any]]:
    """A dump by names; `digest` is that of the plan."""
    return {
        "digest": np.frombuffer(digest.encode(), np.uint8).copy(),
        COUNT: np.array([what.total], np.int64),
        "is_base": np.array([what.is_base], np.bool_),
        "rows": what.rows.words,
        "row_ends": what.rows.ends,
        **_columns("keys", what.rows.keys),
        **_columns("gone", what.gone),
        **_columns("pending", what.pending),
    }


def from_arrays(part: Arrays, digest: str) -> Dumped:
    """What `as_arrays` was given.

    Raises:
        CheckpointError: it is of another plan.
    """
    check_digest(part, digest)
    rows = NamedRows(
        _names("keys", part),
        plain(part["rows"], np.int64),
        plain(part["row_ends"], np.int64),
    )
    return Dumped(
        bool(part["is_base"][0]),
        int(part[COUNT][0]),
        _names("gone", part),
        rows,
        _names("pending", part),
    )


def joined(parts: Sequence[NamedRows]) -> NamedRows:
    """One after the other."""
    keys: list[bytes] = []
    words = [np.zeros(0, np.int64)]
    ends = [np.zeros(0, np.int64)]
    after = 0
    for part in parts:
        keys += part.keys
        words.append(part.words)
        ends.append(part.ends + after)
        after += part.words.size
    return NamedRows(
        keys,
        np.concatenate(words),
        np.concatenate(ends),
    )


def ended(words: I64, ends: I64, now_ms: int, hold_ms: int) -> npt.NDArray[np.bool_]:
    """Which rows, as they are in memory, are over by the clock, or have ended before."""
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    newest = words[starts + NEWEST]
    # Of those that have ended, the difference may have no int64.
    is_empty = newest <= OVER
    age = now_ms - np.where(is_empty, now_ms, newest)
    out: npt.NDArray[np.bool_] = is_empty | ((newest < now_ms) & (age > hold_ms))
    return out


def rows_of(rows: Sequence[bytes]) -> tuple[I64, I64]:
    """The words of rows, one row after the other, and where each ends."""
    packed = Packed.of(rows)
    return packed.data.view(np.int64), packed.ends // WORD


def texts_of(names: Sequence[bytes]) -> Texts:
    """Names as a column."""
    # At least one byte, since kernels want an array.
    data = np.frombuffer(bytearray().join(names) or bytearray(1), np.uint8)
    edges = np.zeros(len(names) + 1, np.int64)
    edges[1:] = np.fromiter(map(len, names), np.int64, len(names)).cumsum()
    return Texts(
        data,
        edges[:-1],
        edges[1:],
        np.ones(len(names), np.bool_),
    )


def names_of(texts: Texts) -> list[bytes]:
    """A column as names."""
    data = texts.data.tobytes()
    starts = texts.start.tolist()
    ends = texts.end.tolist()
    return [data[start:end] for start, end in zip(starts, ends)]


def _columns(name: str, names: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    texts = texts_of(names)
    return {name: texts.data, f"{name}_ends": texts.end}


def _names(name: str, part: Arrays) -> list[bytes]:
    ends = part[f"{name}_ends"].tolist()
    data = part[name].tobytes()
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends)]
