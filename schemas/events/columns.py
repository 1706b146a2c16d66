"""Decoded events as columns, with the fate of each row that could not be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.field import FLOATS, KEY_TYPES, TEXTS, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.text.columns import Texts, arrow_validity

if TYPE_CHECKING:
    import polars as pl

# Kernels know them by index: a new one goes to the end.
REASONS = (
    "ok",
    "undecodable",
    "unknown_type",
    "wrong_type",
    "missing_required",
    "out_of_domain",
    "out_of_range",
    "far_future",
    "crash",
    "too_large",
    "bad_label",
    "bad_time",
)
# Their indices.
OK = 0
UNDECODABLE = 1
WRONG_TYPE = 3
MISSING_REQUIRED = 4
OUT_OF_DOMAIN = 5
TOO_LARGE = 9
BAD_LABEL = 10
BAD_TIME = 11
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
_ARROW = {
    "string": pa.string(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}


def arrow_type(field: Field) -> pa.DataType:
    """What `Columns.arrow` gives for a field; a timestamp is an int64 of ms, as windows and
    expressions take it."""
    return _ARROW[field.type]


class Columns:
    """`n` decoded events. `reason` uint8 `[n]` indexes `REASONS`, `detail_field` int16 `[n]` the
    schema's fields (-1: none).

    `words` int64 `[fields, 2, n]` and `valid` bool `[fields, n]` are as `avro_kernels` lays them
    out, and stay as they were decoded whatever is replaced. A row that was not decoded is missing
    in every column.
    """

    def __init__(
        self,
        codec: EventCodec,
        data: U8,
        words: I64,
        valid: Bools,
        reason: U8,
        detail: npt.NDArray[np.int16],
    ) -> None:
        self.schema: EventSchema = codec.schema
        self.n = len(reason)
        self.data = data
        self.words = words
        self.valid = valid
        self.reason = reason
        self.detail_field = detail
        self._codec = codec
        self._texts: dict[str, Texts] = {}
        self._values: dict[str, tuple[npt.NDArray[Any], Bools]] = {}

    def __len__(self) -> int:
        return self.n

    def text(self, name: str) -> Texts:
        """A string or enum field; UUIDs in lower case."""
        found = self._texts.get(name)
        if found is not None:
            return found
        at, field = self._find(name, TEXTS)
        if field.type == "enum":
            data, starts, ends = self._codec.symbols[name]
            # -1 where it is missing: the last entry, which is empty.
            index = self.words[at, 0]
            made = Texts(data, starts[index], ends[index], self.valid[at])
        else:
            made = Texts(self.data, self.words[at, 0], self.words[at, 1], self.valid[at])
        if field.logical == "uuid":
            # Either case is the same id: in one of them it is the same key and hash, too.
            made = Texts.from_arrow(pc.ascii_lower(made.to_arrow()))
        self._texts[name] = made
        return made

    def key(self, name: str) -> Texts:
        """A field that may be a key or an id, as canonical texts: see
        `freshet.schemas.text.keys`."""
        _, field = self._find(name, KEY_TYPES)
        if field.type in TEXTS:
            return self.text(name)
        every = np.arange(self.n)
        return Texts.from_arrow(self.arrow(name, every).cast(pa.string()))

    def integers(self, name: str) -> tuple[I64, Bools]:
        """An int, long or boolean field, int64 `[n]` (0 where missing), and where it is there, bool
        `[n]`."""
        replaced = self._values.get(name)
        if replaced is None:
            at, _ = self._find(name, ("int", "long", "boolean"))
            return self.words[at, 0], self.valid[at]
        return replaced

    def numbers(self, name: str) -> tuple[F64, Bools]:
        """Any number or boolean field as float64 `[n]` (0.0 where missing), and where it is there,
        bool `[n]`."""
        replaced = self._values.get(name)
        if replaced is not None:
            values, valid = replaced
            return values.astype(np.float64, copy=False), valid
        at, field = self._find(name, ("int", "long", "boolean", *FLOATS))
        words = self.words[at, 0]
        if field.type in FLOATS:
            return words.view(np.float64), self.valid[at]
        return words.astype(np.float64), self.valid[at]

    def replace(self, name: str, values: Texts | npt.NDArray[Any], valid: Bools) -> None:
        """Other values for a column, `Texts` or numbers `[n]`; numbers for a whole-number field are
        rounded."""
        if isinstance(values, Texts):
            self._find(name, TEXTS)
            self._texts[name] = Texts(values.data, values.start, values.end, valid)
            return
        _, field = self._find(name, ("int", "long", "boolean", *FLOATS))
        if field.type in FLOATS:
            self._values[name] = values.astype(np.float64), valid
            return
        if values.dtype.kind == "f":
            # Where nothing is, there may be a NaN, which is no whole number.
            values = np.rint(np.where(valid, values, 0.0))
        self._values[name] = values.astype(np.int64), valid

    def refuse(self, rows: npt.NDArray[np.intp], reason: int, field: str | None) -> None:
        """Give rows (int64 indices) a reason, and the field that is at fault, if it is one."""
        self.reason[rows] = reason
        self.detail_field[rows] = -1 if field is None else self.schema.position(field)

    def arrow(self, name: str, rows: npt.NDArray[np.intp]) -> pa.Array:
        """The rows (int64 indices) of a field, typed as `arrow_type` says, null where missing."""
        field = self.schema[name]
        if field.type in TEXTS:
            return self.text(name).to_arrow(rows)
        values: npt.NDArray[Any]
        if field.type in FLOATS:
            values, valid = self.numbers(name)
        else:
            # Not as float64: that has room for 53 bits of a long.
            values, valid = self.integers(name)
        type_ = _ARROW[field.type]
        if field.type == "boolean":
            data = np.packbits(values[rows] != 0, bitorder="little")
        else:
            data = values[rows].astype(type_.to_pandas_dtype(), copy=False)
        buffers = [arrow_validity(valid[rows]), pa.py_buffer(data)]
        return pa.Array.from_buffers(type_, len(rows), buffers)

    def frame(self, names: Sequence[str], rows: npt.NDArray[np.intp]) -> pl.DataFrame:
        """The rows of some fields, for users' expressions."""
        import polars as pl

        if not names:
            # A record batch without columns would have no rows either.
            return pl.DataFrame(height=len(rows))
        arrays = [self.arrow(name, rows) for name in names]
        # As polars keeps texts itself: it takes four times as long to turn them into that.
        for i, array in enumerate(arrays):
            if pa.types.is_string(array.type):
                arrays[i] = array.cast(pa.string_view())
        return pl.DataFrame(pa.RecordBatch.from_arrays(arrays, names=list(names)))

    def _find(self, name: str, types: tuple[str, ...]) -> tuple[int, Field]:
        at = self.schema.position(name)
        field = self.schema.fields[at]
        if field.type not in types:
            raise SchemaError(
                f"{self.schema.name}, field {name!r}",
                f"is of type {field.type}",
                f"Ask for one of {', '.join(types)}.",
            )
        return at, field
