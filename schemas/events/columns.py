"""Decoded events as columns, with the fate of each row that could not be believed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.avro.walker_kernels import Decoded
from freshet.schemas.errors import SchemaError
from freshet.schemas.events import lists
from freshet.schemas.events.codec import EventCodec, frozen
from freshet.schemas.events.field import FLOATS, KEY_TYPES, TEXTS, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.text.columns import Texts

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
    "unreadable_schema",
    "refused",
)
# Their indices.
OK = 0
UNDECODABLE = 1
UNKNOWN_TYPE = 2
WRONG_TYPE = 3
MISSING_REQUIRED = 4
OUT_OF_DOMAIN = 5
OUT_OF_RANGE = 6
TOO_LARGE = 9
BAD_LABEL = 10
BAD_TIME = 11
UNREADABLE_SCHEMA = 12
REFUSED = 13  # of rows, not of records
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
# Of texts: data, where each starts and ends, and which are there.
Arrays = tuple[U8, I64, I64, Bools]
_EXACT = 1 << 53  # below it every whole number is a float64
_EXACT_TENS = 22  # 10 to that, too


def arrow_type(field: Field) -> pa.DataType:
    """What `Columns.arrow` gives for a field; a timestamp is an int64 of ms, as windows and
    expressions take it."""
    return lists.arrow_type(field)


class Columns:
    """`n` decoded events; `start` is where each begins in `data`, `end` where all of them
    end: behind are defaults. `reason` uint8 `[n]` indexes `REASONS`, `detail_field` int16 `[n]` the
    schema's fields (-1: none).

    `words` int64 `[fields, 2, n]` and `valid` bool `[fields, n]` are as `walker_kernels` lays them
    out, and stay as they were decoded whatever is replaced. A row that was not decoded is missing
    in every column.
    """

    def __init__(
        self,
        codec: EventCodec,
        data: U8,
        into: Decoded,
        start: I64,
        end: int,
    ) -> None:
        self.schema: EventSchema = codec.schema
        self.n = len(into.reason)
        self.data = data
        self.words = into.words
        self.valid = into.valid
        self.reason = into.reason
        self.detail_field = into.detail
        self.start = start
        self._end = end
        self.codec = codec
        self._symbols = codec.symbols
        self._texts: dict[str, Texts] = {}
        self._frozen: dict[str, Arrays] = {}
        self._values: dict[str, tuple[npt.NDArray[Any], Bools]] = {}

    def __len__(self) -> int:
        return self.n

    def freeze(self) -> None:
        """What was decoded is whole: kernels take it as it is from now on, for it is read-only, and
        so are the columns that are parts of it."""
        self.words = frozen(self.words)
        self.valid = frozen(self.valid)

    def text(self, name: str) -> Texts:
        """A string or enum field; UUIDs in lower case."""
        found = self._texts.get(name)
        if found is not None:
            return found
        at, field = self._find(name, TEXTS)
        if field.type == "enum":
            data, starts, ends = self._symbols[name]
            # -1 where it is missing: the last entry, which is empty.
            index = self.words[at, 0]
            made = Texts(
                data,
                starts[index],
                ends[index],
                self.valid[at],
            )
        else:
            made = Texts(
                self.data,
                self.words[at, 0],
                self.words[at, 1],
                self.valid[at],
            )
        if field.logical == "uuid":
            # Only here: it makes a thousand functions when it is imported, and few topics need one.
            import pyarrow.compute as pc

            # Either case is the same id: in one of them it is the same key and hash, too.
            made = Texts.from_arrow(pc.ascii_lower(made.to_arrow()))
        self._texts[name] = made
        return made

    def key(self, name: str) -> Texts:
        """A field that may be a key or an id, as canonical texts: see
        `freshet.schemas.text.keys`."""
        # Of texts alone something is found: they are their own keys.
        made = self._texts.get(name)
        if made is not None:
            return made
        _, field = self._find(name, KEY_TYPES)
        if field.type in TEXTS:
            return self.text(name)
        every = np.arange(self.n)
        return Texts.from_arrow(self.arrow(name, every).cast(pa.string()))

    def frozen_text(self, name: str) -> Arrays:
        """The arrays of `text`, read-only, as kernels take them; several ask for the same."""
        found = self._frozen.get(name)
        if found is None:
            texts = self.text(name)
            found = (
                frozen(texts.data),
                frozen(texts.start),
                frozen(texts.end),
                frozen(texts.valid),
            )
            self._frozen[name] = found
        return found

    def integers(self, name: str) -> tuple[I64, Bools]:
        """An int, long or boolean field, int64 `[n]` (0 where missing), and where it is there, bool
        `[n]`."""
        replaced = self._values.get(name)
        if replaced is None:
            at, _ = self._find(name, ("int", "long", "boolean"))
            return self.words[at, 0], self.valid[at]
        return replaced

    def numbers(self, name: str) -> tuple[F64, Bools]:
        """Any number, decimal or boolean field as float64 `[n]` (0.0 where missing), and where it
        is there, bool `[n]`."""
        replaced = self._values.get(name)
        if replaced is not None:
            values, valid = replaced
            return values.astype(np.float64, copy=False), valid
        at, field = self._find(name, ("int", "long", "boolean", "decimal", *FLOATS))
        if field.type == "decimal":
            return _nearest(self.words[at], self.valid[at], field.scale), self.valid[at]
        words = self.words[at, 0]
        if field.type in FLOATS:
            return words.view(np.float64), self.valid[at]
        return words.astype(np.float64), self.valid[at]

    def replace(self, name: str, values: Texts | npt.NDArray[Any], valid: Bools) -> None:
        """Other values for a column, `Texts` or numbers `[n]`; numbers for a whole-number field are
        rounded."""
        if isinstance(values, Texts):
            self._find(name, TEXTS)
            self._frozen.pop(name, None)
            self._texts[name] = Texts(
                values.data,
                values.start,
                values.end,
                valid,
            )
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

    def arrow(self, name: str, rows: npt.NDArray[np.intp] | None = None) -> pa.Array:
        """The rows (int64 indices; None: all) of a field, typed as `arrow_type` says, null where
        missing."""
        field = self.schema[name]
        if field.type in TEXTS:
            return self.text(name).to_arrow(rows)
        if field.type in lists.WHOLE_VALUES:
            if rows is None:
                rows = np.arange(self.n)
            return self._whole_value(self.schema.position(name), rows)
        values: npt.NDArray[Any]
        if field.type in FLOATS:
            values, valid = self.numbers(name)
        else:
            # Not as float64: that has room for 53 bits of a long.
            values, valid = self.integers(name)
        if rows is not None:
            values = values[rows]
            valid = valid[rows]
        return lists.of_numbers(field.type, values, valid)

    def at_fault(self, rows: npt.NDArray[np.intp]) -> list[str | None]:
        """The field that is at fault in each row (int64 indices), None where none is."""
        names = [field.name for field in self.schema.fields]
        # The last of them is that of -1.
        names_and_none = [*names, None]
        return [names_and_none[at] for at in self.detail_field[rows].tolist()]

    def _whole_value(self, at: int, rows: npt.NDArray[np.intp]) -> pa.Array:
        """The rows of a column that is more than a word."""
        return lists.column(
            self.codec,
            self.found(),
            at,
            rows,
        )

    def found(self) -> lists.Found:
        """What was decoded, with the program of each row: the codec's first, where it has no
        other."""
        which = np.zeros(self.n, np.int64)
        ids = self.codec.programs.ids
        if len(ids) > 1:
            which = lists.programs_of(self.data, self.start, ids)
        return lists.Found(
            self.data,
            self.words,
            self.valid,
            which,
            self._end,
        )

    def plain_arrow(self, name: str, rows: npt.NDArray[np.intp]) -> pa.Array:
        """As `arrow`, but decimals as the nearest float64: what features are made of."""
        if self.schema[name].type != "decimal":
            return self.arrow(name, rows)
        values, valid = self.numbers(name)
        return pa.array(values[rows], mask=~valid[rows])

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


def _nearest(halves: I64, valid: Bools, scale: int) -> F64:
    """Decimals, as int64 `[2, n]` low and high halves, as the nearest float64 each; 0.0 where
    missing."""
    low, high = halves
    out = np.zeros(len(valid))
    # One division of two numbers that are exact is rounded once.
    small = valid & (high == low >> 63) & (abs(low) < _EXACT)
    if scale <= _EXACT_TENS:
        out[small] = low[small] / 10.0**scale
    else:
        small = np.zeros_like(valid)
    for row in np.flatnonzero(valid & ~small).tolist():
        whole = (int(high[row]) << 64) | (int(low[row]) & ((1 << 64) - 1))
        out[row] = float(Decimal(whole).scaleb(-scale, Context(prec=40)))
    return out
