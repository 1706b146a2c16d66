"""The rows of the outcomes and examples logs: predictions as served, labels, and examples as they
are learned from.

A prediction's fixed part is one structured row (`fixed_dtype`): vector, probability and stamps. It
is joined, held and handed on as bytes, so a vector is computed once and never touched again. Its
texts (`TEXTS`) vary in length: the id's canonical text, its categories, joined as
`freshet.schemas.text.keys` does, and the lineage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.schemas.text.columns import Texts

TEXTS = ("id", "categories", "lineage")
RUNGS = ("champion", "last_good", "heuristic", "constant")
ASKED, LABELLED, EXPIRED, CORRECTED, CONFLICTED = 0, 1, 2, 3, 4
KINDS = ("asked", "labelled", "expired", "corrected", "conflicted")

Fixed = npt.NDArray[np.void]


def fixed_dtype(schema: VectorSchema) -> np.dtype[np.void]:
    """Packed fields of a prediction.

    `categories` and `numbers` are its vector; `request` 128 bits of what the request said, so that
    a repeated question can be told from another one for the same id; `p` the answer; `asked_at` the app's clock (`as_of`,
    ms); `model_lag` and `value_age` in ms (-1: unknown); `snapshot` its number (-1: none); `rung`
    the index in `RUNGS`; `sequence` counts the scorer instance's predictions.
    """
    return np.dtype(
        [
            ("categories", "<u8", (len(schema.categories),)),
            ("numbers", "<f4", (len(schema.numbers),)),
            ("request", "<u8", (2,)),
            ("p", "<f8"),
            ("asked_at", "<i8"),
            ("model_lag", "<i8"),
            ("value_age", "<i8"),
            ("sequence", "<i8"),
            ("snapshot", "<i4"),
            ("rung", "<i4"),
        ]
    )


def to_binary(rows: Fixed | npt.NDArray[np.uint8], width: int) -> pa.Array:
    """Fixed rows as an Arrow fixed-size binary column."""
    n = rows.size * rows.dtype.itemsize // width if width else 0
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), n, [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def from_binary(column: pa.Array, dtype: np.dtype[np.void]) -> Fixed:
    """A view of a fixed-size binary column as structured rows."""
    n, at = len(column), column.offset
    return np.frombuffer(column.buffers()[1], dtype, n, at * dtype.itemsize)


def vectors_of(fixed: Fixed) -> Vectors:
    """The vectors of fixed rows, copied: of one row the column itself is contiguous, but neither
    writable nor aligned, and kernels would be compiled for that kind of arrays, too."""
    return Vectors(fixed["categories"].copy(), fixed["numbers"].copy())


def prediction_rows(
    fixed: Fixed, texts: dict[str, Texts], versions: pa.Array, sequence: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Predictions as a batch for the outcomes log. `versions` is fixed-size binary: 16 bytes for
    every view read."""
    n = len(fixed)
    columns = {
        "fixed": to_binary(fixed, fixed.dtype.itemsize),
        **{name: texts[name].to_arrow() for name in TEXTS},
        "versions": versions,
        "_offset": pa.array(sequence),
        "_index": pa.array(np.zeros(n, np.int32)),
    }
    return pa.RecordBatch.from_pydict(columns)


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

    def to_arrow(self, offset: int) -> pa.RecordBatch:
        """For the log; rows have origin `offset` of the outcomes log and count up from 0 within
        it."""
        n = len(self)
        columns = {
            "kind": pa.array(self.kind),
            "ask": pa.array(self.ask),
            "t": pa.array(self.t),
            "label": pa.array(self.label),
            "saw_future": pa.array(self.saw_future),
            "fixed": to_binary(self.fixed, self.fixed.dtype.itemsize),
            **{name: self.texts[name].to_arrow() for name in TEXTS},
            "_offset": pa.array(np.full(n, offset)),
            "_index": pa.array(np.arange(n, dtype=np.int32)),
        }
        return pa.RecordBatch.from_pydict(columns)

    @staticmethod
    def from_arrow(rows: pa.RecordBatch, dtype: np.dtype[np.void]) -> ExampleRows:
        return ExampleRows(
            rows.column("kind").to_numpy(),
            rows.column("ask").to_numpy(),
            rows.column("t").to_numpy(),
            rows.column("label").to_numpy(zero_copy_only=False),
            rows.column("saw_future").to_numpy(zero_copy_only=False),
            from_binary(rows.column("fixed"), dtype),
            {name: Texts.from_arrow(rows.column(name)) for name in TEXTS},
        )
