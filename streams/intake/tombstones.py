"""Records without a value: in a compacted topic they say that a key is gone.

They are no events, and so neither late nor repeats. Those of a topic with `tombstone="delete"` each
erase the row of their key, at their own place in the log.

A record's key is read as UTF-8, and as the canonical text of the field that its topic's views are
keyed by. What other serialisers write (eight bytes of a long, Avro behind a zero byte) is none: a
tombstone with such a key, or without one, is a dead letter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from freshet.schemas.events.columns import (
    OK,
    UNDECODABLE,
    Columns,
)
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text import keys
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import joined
from freshet.streams.log.contract import Batch

Rows = npt.NDArray[np.intp]
UNREADABLE = "a tombstone whose key is no text of the field that its topic's views are keyed by"
_WHOLE = "^-?[0-9]+$"
_BOOLEAN = "^(true|false)$"
_UUID = f"^{keys.UUID_PATTERN}$"


def rows_of(batch: Batch) -> Rows:
    """The records without a value."""
    if batch.nulls is None:
        return np.empty(0, np.intp)
    return np.flatnonzero(batch.nulls)


def settle(columns: Columns, rows: Rows, key_of_rows: Texts | None) -> Rows:
    """Which of these rows are tombstones that can be taken: all, or, where they erase, those of
    which a key is known. The others are refused."""
    columns.reason[rows] = OK
    if key_of_rows is None:
        return rows
    columns.refuse(rows[~key_of_rows.valid], UNDECODABLE, None)
    taken: Rows = rows[key_of_rows.valid]
    return taken


def keys_of(batch: Batch, rows: Rows, kind: str | None) -> Texts:
    """The keys of rows without a value, as texts of a `kind` (see `freshet.schemas.text.keys`) in
    the encoding of keys; missing where there is none."""
    given = texts_of(batch, rows, kind)
    there = Texts(given.data, given.start, given.end, np.ones(len(rows), np.bool_))
    encoded = joined([there])
    return Texts(encoded.data, encoded.start, encoded.end, given.valid)


def texts_of(batch: Batch, rows: Rows, kind: str | None) -> Texts:
    """The same keys as canonical texts."""
    assert batch.keys is not None
    texts = _as_texts(batch.keys.take(rows))
    found = pl.Series("key", texts).cast(pl.String)
    # A zero byte begins what a registry's serialisers write, and no text that a person reads.
    is_text = (found.str.len_bytes() <= KEY_BYTES) & ~found.str.starts_with("\0")
    if kind == keys.WHOLE:
        found = _whole(found)
    elif kind == keys.BOOLEAN:
        is_text &= found.str.contains(_BOOLEAN)
    elif kind == keys.UUID:
        is_text &= found.str.contains(_UUID)
        found = found.str.to_lowercase()
    valid = (is_text & found.is_not_null()).fill_null(False).to_numpy()
    given = Texts.from_arrow(found.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string()))
    return Texts(given.data, given.start, given.end, valid)


def _as_texts(given: Texts) -> pa.Array:
    """Null where bytes are no UTF-8."""
    column = given.to_arrow().cast(pa.binary())
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(value) for value in column.to_pylist()], pa.string())


def _decoded(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _whole(found: pl.Series) -> pl.Series:
    """In canonical digits; null of what no 64 bits hold."""
    is_digits = found.str.contains(_WHOLE)
    digits = found.set(~is_digits.fill_null(False), None)
    return digits.cast(pl.Int64, strict=False).cast(pl.String)
