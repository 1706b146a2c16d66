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
        self.schema, self.older = schema, dict(older or {})
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
        self.ids: I64 = frozen(np.array(list(writers), np.int64))
        self.first: I64 = frozen(np.cumsum([0, *map(len, programs)]).astype(np.int64))
        self.steps: I64 = frozen(np.array([s for p in programs for s in p], np.int64))
        self.maps: I64 = frozen(np.array([*self._maps, 0], np.int64))
        self.constants: U8 = np.frombuffer(self._words, np.uint8)
        self.empty: I64 = frozen(
            np.array([kernels.NO_SYMBOL if f.type == "enum" else 0 for f in schema.fields])
        )
        self.symbols = {f.name: _symbols(f) for f in schema.fields if f.type == "enum"}

    def __reduce__(self) -> tuple[object, ...]:
        return EventCodec, (self.schema, self.older)

    def _program(self, writer: EventSchema) -> list[list[int]]:
        """Steps of `(op, null branch, reader's field, target, first, second)`: the writer's fields
        in their order, then the constants of fields that it lacks."""
        read_from = {source_of(f, writer): i for i, f in enumerate(self.schema.fields)}
        steps = []
        for i, f in enumerate(writer.fields):
            field = read_from.get(i, -1)
            reader = self.schema.fields[field] if field >= 0 else f
            first, second = self._map(f, reader) if f.type == "enum" else (0, 0)
            null = -1 if f.null_branch is None else f.null_branch
            steps.append(
                [_OPS[f.type], null, field, _TARGETS.get(reader.type, kernels.WHOLE), first, second]
            )
        for i, f in enumerate(self.schema.fields):
            if source_of(f, writer) is None:
                steps.append(self._constant(i, f))
        return steps

    def _map(self, writer: Field, reader: Field) -> tuple[int, int]:
        """Where the reader's index of each of the writer's symbols is listed, and how many there
        are."""
        known = {s: i for i, s in enumerate(reader.symbols)}
        other = known.get(reader.fallback or "", kernels.NO_SYMBOL)
        first = len(self._maps)
        self._maps += [known.get(s, other) for s in writer.symbols]
        return first, len(writer.symbols)

    def _constant(self, i: int, f: Field) -> list[int]:
        """The step that puts a field's default; target says whether it is valid."""
        first, second, op = 0, 0, kernels.CONSTANT
        if f.default is None:
            first = kernels.NO_SYMBOL if f.type == "enum" else 0
        elif f.type == "string":
            op, first = kernels.CONSTANT_TEXT, len(self._words)
            self._words += str(f.default).encode()
            second = len(self._words)
        elif f.type == "enum":
            first = f.symbols.index(str(f.default))
        elif f.type in FLOATS:
            number = np.float32(f.default) if f.type == "float" else f.default
            first = int(np.array([number], np.float64).view(np.int64)[0])
        else:
            first = int(f.default)
        return [op, -1, i, int(f.default is not None), first, second]


def _symbols(f: Field) -> tuple[U8, I64, I64]:
    """An enum's symbols as bytes with starts and ends; the last, at index -1, is empty and stands
    for a missing one."""
    encoded = [s.encode() for s in f.symbols]
    ends = np.cumsum([len(s) for s in encoded])
    starts = ends - [len(s) for s in encoded]
    data = frozen(np.frombuffer(b"".join(encoded), np.uint8))
    return data, np.append(starts, 0).astype(np.int64), np.append(ends, 0).astype(np.int64)
