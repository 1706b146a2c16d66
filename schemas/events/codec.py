"""How a topic's records are read: the walker's programs, compiled from the topic's schema and its
older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import SchemaError
from freshet.schemas.events import avro_kernels as kernels
from freshet.schemas.events.evolution import require_readable, source_of
from freshet.schemas.events.field import FLOATS, Field
from freshet.schemas.events.schema import EventSchema

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
_OPS = {
    "string": kernels.STRING,
    "int": kernels.INT,
    "long": kernels.LONG,
    "float": kernels.FLOAT,
    "double": kernels.DOUBLE,
    "boolean": kernels.BOOLEAN,
    "enum": kernels.ENUM,
}
_TARGETS = {"float": kernels.SINGLE, "double": kernels.WIDE}


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view. numba compiles once more for read-only arrays, and arrays over bytes are
    read-only, so all that kernels only read is passed so."""
    if values.flags.writeable:
        values = values.view()
        values.flags.writeable = False
    return values


class EventCodec:
    """Reads records of `schema`, and of `older` ones by their wire id, into the columns of
    `schema`.

    Missing fields get their defaults, numbers are promoted, fields are found under their aliases,
    all as Avro says.

    Raises: SchemaError: records of an older schema cannot be read as `schema`, or two schemas share
        a wire id.
    """

    def __init__(self, schema: EventSchema, older: Mapping[int, EventSchema] | None = None) -> None:
        self.schema = schema
        self.older = dict(older or {})
        if schema.schema_id in self.older and self.older[schema.schema_id] != schema:
            raise SchemaError(
                schema.name,
                f"shares schema_id {schema.schema_id} with an older version",
                "Give it an id of its own.",
            )
        writers = {schema.schema_id: schema, **self.older}
        self._maps: list[int] = []
        self._words = b""
        programs = []
        for writer in writers.values():
            require_readable(writer, schema)
            programs.append(self._program(writer))
        self.programs = kernels.Programs(
            ids=frozen(np.array(list(writers), np.int64)),
            first=frozen(np.cumsum([0, *map(len, programs)]).astype(np.int64)),
            steps=frozen(np.array([step for steps in programs for step in steps], np.int64)),
            maps=frozen(np.array([*self._maps, 0], np.int64)),
        )
        self.constants: U8 = np.frombuffer(self._words, np.uint8)
        self.empty: I64 = frozen(np.array([_empty_word(field) for field in schema.fields]))
        enums = [field for field in schema.fields if field.type == "enum"]
        self.symbols = {field.name: _symbols(field) for field in enums}

    def __reduce__(self) -> tuple[object, ...]:
        return EventCodec, (self.schema, self.older)

    def _program(self, writer: EventSchema) -> list[list[int]]:
        """Steps of `(op, null branch, reader's field, target, first, second)`: the writer's fields
        in their order, then the constants of fields that it lacks."""
        reader_at = {source_of(own, writer): i for i, own in enumerate(self.schema.fields)}
        steps = []
        for i, written in enumerate(writer.fields):
            at = reader_at.get(i, int(kernels.NONE))
            # What nobody reads has to be walked over all the same.
            reader = self.schema.fields[at] if at >= 0 else written
            first = second = 0
            if written.type == "enum":
                first, second = self._map(written, reader)
            null = -1 if written.null_branch is None else written.null_branch
            target = _TARGETS.get(reader.type, kernels.WHOLE)
            steps.append([_OPS[written.type], null, at, target, first, second])
        for i, own in enumerate(self.schema.fields):
            if source_of(own, writer) is None:
                steps.append(self._constant(i, own))
        return steps

    def _map(self, writer: Field, reader: Field) -> tuple[int, int]:
        """Where the reader's index of each of the writer's symbols is listed, and how many there
        are."""
        known = {symbol: i for i, symbol in enumerate(reader.symbols)}
        # No symbol is empty, so without a default one nothing is found.
        other = known.get(reader.fallback or "", kernels.NO_SYMBOL)
        first = len(self._maps)
        self._maps += [known.get(symbol, other) for symbol in writer.symbols]
        return first, len(writer.symbols)

    def _constant(self, at: int, field: Field) -> list[int]:
        """The step that puts a field's default; target says whether it is valid."""
        first = 0
        second = 0
        op = kernels.CONSTANT
        if field.default is None:
            first = _empty_word(field)
        elif field.type == "string":
            op = kernels.CONSTANT_TEXT
            first = len(self._words)
            self._words += str(field.default).encode()
            second = len(self._words)
        elif field.type == "enum":
            first = field.symbols.index(str(field.default))
        elif field.type in FLOATS:
            # As a record would have held it: a float is rounded to 32 bits before it is widened.
            number = np.float32(field.default) if field.type == "float" else field.default
            first = int(np.array([number], np.float64).view(np.int64)[0])
        else:
            first = int(field.default)
        return [op, -1, at, int(field.default is not None), first, second]


def _empty_word(field: Field) -> int:
    """The word of a missing value."""
    return kernels.NO_SYMBOL if field.type == "enum" else 0


def _symbols(field: Field) -> tuple[U8, I64, I64]:
    """An enum's symbols as bytes with starts and ends; the last, at index -1, is empty and stands
    for a missing one."""
    encoded = [symbol.encode() for symbol in field.symbols]
    sizes = [len(symbol) for symbol in encoded]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    data = frozen(np.frombuffer(b"".join(encoded), np.uint8))
    return data, np.append(starts, 0).astype(np.int64), np.append(ends, 0).astype(np.int64)
