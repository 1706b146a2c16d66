"""The rows of the outcomes and examples logs: predictions as served, labels, and examples as they
are learned from.

A prediction's fixed part is one structured row of the block's layout: vector, probability and
stamps. It is joined, held and handed on as bytes, so a vector is computed once and never touched
again. Its texts (`TEXTS`) vary in length: the id's canonical text, its categories, joined as
`freshet.schemas.text.keys` does, and the lineage.

Of the stamps, `request` is 128 bits of what the request said, so that a repeated question can be
told from another one for the same id; `p` the answer (of classes `[k]`, one for each in order);
`asked_at` the app's clock (`as_of`, ms);
`model_lag` and `value_age` are in ms (-1: unknown); `snapshot` is its number (-1: none); `rung` the
index in `RUNGS`; `sequence` counts the scorer instance's predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import Vectors
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import joined, taken_apart, without_key

# In a block's metadata: the layout of its rows, and the views whose rows were read for them.
LAYOUT = b"layout"
VIEWS = b"views"
# Where no model answered for want of inputs: the features that were missing.
MISSING = b"missing"
TEXTS = ("id", "categories", "lineage")
RUNGS = ("champion", "last_good", "heuristic", "constant")
ASKED = 0
LABELLED = 1
EXPIRED = 2
CORRECTED = 3
CONFLICTED = 4
KINDS = ("asked", "labelled", "expired", "corrected", "conflicted")

Fixed = npt.NDArray[np.void]


def to_binary(rows: Fixed | npt.NDArray[np.uint8], width: int) -> pa.Array:
    """Fixed rows as an Arrow fixed-size binary column."""
    # A model without categories and numbers has vectors of no bytes.
    count = rows.size * rows.dtype.itemsize // width if width else 0
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), count, [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def layout_of(rows: pa.RecordBatch) -> Layout:
    """That by which rows of a block were written. Raises `SchemaError` if they do not say it."""
    text = (rows.schema.metadata or {}).get(LAYOUT)
    if text is None:
        raise SchemaError(
            "block", "does not say the layout of its rows", "Is this topic freshet's own?"
        )
    return Layout.parse(text)


def fixed_of(rows: pa.RecordBatch, layout: Layout) -> Fixed:
    """The fixed parts of a block's rows by a reader's own layout: a view where that is the
    block's. Of a vector that lacks a column that is missing. Raises `SchemaError` if they lack a
    stamp."""
    column = rows.column("fixed")
    written = layout_of(rows)
    width = written.dtype.itemsize
    if column.type != pa.binary(width):
        raise SchemaError(
            f"rows of layout {written.id}",
            f"are {column.type} and not of {width} bytes",
            "Is this topic freshet's own?",
        )
    start = column.offset * width
    # A slice of a batch begins within its buffer.
    stored = np.frombuffer(
        column.buffers()[1],
        written.dtype,
        len(column),
        start,
    )
    return layout.taken(stored, written)


def texts_of(rows: pa.RecordBatch, layout: Layout) -> dict[str, Texts]:
    """The texts of a block's rows, of which the categories are those of a reader's own layout."""
    texts = {name: Texts.from_arrow(rows.column(name)) for name in TEXTS}
    written, _ = layout_of(rows).columns
    wanted, _ = layout.columns
    # The joined text has them by place, so it is taken apart where the places differ.
    if written != wanted:
        parts = dict(zip(written, taken_apart(texts["categories"], len(written))))
        missing = Texts.missing(rows.num_rows)
        own = [parts.get(column, missing) for column in wanted]
        texts["categories"] = joined(own) if own else without_key(rows.num_rows)
    return texts


def vectors_of(fixed: Fixed) -> Vectors:
    """The vectors of fixed rows, copied: of one row the column itself is contiguous, but neither
    writable nor aligned, and kernels would be compiled for that kind of arrays, too."""
    return Vectors(fixed["categories"].copy(), fixed["numbers"].copy())


def prediction_rows(
    layout: Layout,
    fixed: Fixed,
    texts: dict[str, Texts],
    versions: pa.Array,
    views: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> pa.RecordBatch:
    """Predictions as a batch for the outcomes log. `versions` is fixed-size binary: 16 bytes for
    each of the `views` read, by their names in the store. `missing` are the features for want of
    which no model answered."""
    rows = len(fixed)
    columns = {
        "fixed": to_binary(fixed, fixed.dtype.itemsize),
        **{name: texts[name].to_arrow() for name in TEXTS},
        "versions": versions,
        "_offset": pa.array(np.ascontiguousarray(fixed["sequence"])),
        "_index": pa.array(np.zeros(rows, np.int32)),
    }
    metadata = {LAYOUT: layout.text, VIEWS: msgspec.json.encode(list(views))}
    if missing:
        metadata[MISSING] = msgspec.json.encode(list(missing))
    return pa.RecordBatch.from_pydict(columns, metadata=metadata)


def views_of(rows: pa.RecordBatch) -> tuple[str, ...]:
    """The views, by their names in the store, whose versions predictions were logged with."""
    return _names_in(rows, VIEWS)


def missing_of(rows: pa.RecordBatch) -> tuple[str, ...]:
    """The features for want of which no model answered predictions."""
    return _names_in(rows, MISSING)


def _names_in(rows: pa.RecordBatch, key: bytes) -> tuple[str, ...]:
    told = (rows.schema.metadata or {}).get(key, b"[]")
    try:
        return msgspec.json.decode(told, type=tuple[str, ...])
    except msgspec.DecodeError as error:
        cause = f"says no {key.decode()}: {error}"
        raise SchemaError("block", cause, "Is this topic freshet's own?") from error


@dataclass(frozen=True, slots=True)
class ExampleRows:
    """Rows of the examples log as columns.

    `kind` int8 (index in `KINDS`); `ask` int64 numbers the asked rows of the partition from 0 and
    is repeated by their answers; `t` int64 (ms) the time of the event that made the row; `label`
    float64 (NaN unless labelled or corrected); `saw_future` bool: the label's event was not later
    than `as_of`, so the row must not be learned.
    """

    kind: npt.NDArray[np.int8]
    ask: npt.NDArray[np.int64]
    t: npt.NDArray[np.int64]
    label: npt.NDArray[np.float64]
    saw_future: npt.NDArray[np.bool_]
    fixed: Fixed
    texts: dict[str, Texts]

    def __len__(self) -> int:
        return len(self.kind)

    def to_arrow(self, layout: Layout, offset: int, first: int = 0) -> pa.RecordBatch:
        """For the log; rows have origin `offset` of the outcomes log and count up from `first`
        within it."""
        rows = len(self)
        columns = {
            "kind": pa.array(self.kind),
            "ask": pa.array(self.ask),
            "t": pa.array(self.t),
            "label": pa.array(self.label),
            "saw_future": pa.array(self.saw_future),
            "fixed": to_binary(self.fixed, self.fixed.dtype.itemsize),
            **{name: self.texts[name].to_arrow() for name in TEXTS},
            "_offset": pa.array(np.full(rows, offset)),
            "_index": pa.array(np.arange(first, first + rows, dtype=np.int32)),
        }
        return pa.RecordBatch.from_pydict(columns, metadata={LAYOUT: layout.text})

    @staticmethod
    def from_arrow(rows: pa.RecordBatch, layout: Layout) -> ExampleRows:
        """Rows of a block, by the reader's own layout: of a vector that lacks a column that is
        missing. Raises `SchemaError` if they lack a stamp."""
        return ExampleRows(
            rows.column("kind").to_numpy(),
            rows.column("ask").to_numpy(),
            rows.column("t").to_numpy(),
            rows.column("label").to_numpy(zero_copy_only=False),
            rows.column("saw_future").to_numpy(zero_copy_only=False),
            fixed_of(rows, layout),
            texts_of(rows, layout),
        )
