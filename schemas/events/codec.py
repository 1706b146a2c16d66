"""How a topic's records are read: the walker's programs, compiled from the topic's schema and its
older versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.avro import walker_kernels as kernels
from freshet.schemas.avro.leaves import is_uuid_of_bytes, leaves
from freshet.schemas.avro.programs import ProgramCompiler, is_nested
from freshet.schemas.avro.tree import Array, Map, Record, record_of_item
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.evolution import require_readable
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view. numba compiles once more for read-only arrays, and arrays over bytes are
    read-only, so all that kernels only read is passed so."""
    if values.flags.writeable:
        values = values.view()
        values.setflags(write=False)
    return values


class CompiledColumns:
    """How the columns of `schema` are read from what `writers` wrote, each of which it can read;
    `ids` are the wire ids of the writers, where they have some."""

    def __init__(self, schema: EventSchema, writers: Sequence[Record], ids: Sequence[int]) -> None:
        self.schema = schema
        found = leaves(schema.tree)
        compiler = ProgramCompiler(schema.tree, found)
        programs = [compiler.program(writer) for writer in writers]
        steps = [step for one in programs for step in one]
        self.programs = kernels.Programs(
            ids=frozen(np.array(ids, np.int64)),
            first=frozen(np.cumsum([0, *map(len, programs)]).astype(np.int64)),
            steps=frozen(np.array(steps, np.int64).reshape(-1, kernels.WIDTH)),
            maps=frozen(np.array([*compiler.maps, 0], np.int64)),
        )
        self.is_nested = any(is_nested(one) for one in programs)
        # One place more than is needed: an array of none would have no address.
        self.depth = compiler.depth + 1
        self.constants: U8 = np.frombuffer(bytes(compiler.constants), np.uint8)
        self.empty: I64 = frozen(np.array([_empty_word(field) for field in schema.fields]))
        # Of these the walker finds the bytes alone.
        self.uuids = [at for at, leaf in enumerate(found) if is_uuid_of_bytes(leaf)]
        self.decimals = [
            (at, _most(field)) for at, field in enumerate(schema.fields) if field.type == "decimal"
        ]
        enums = [field for field in schema.fields if field.type == "enum"]
        self.symbols = {field.name: _symbols(field) for field in enums}
        self._lists = compiler.lists
        self._items: dict[int, CompiledColumns] = {}

    def items(self, at: int) -> CompiledColumns:
        """How the items of column `at`, an array or map, are read: as records of one field `item`,
        or of `key` and `value`. Its writers are as the column's are, and the reader after them, for
        arrays that no writer wrote."""
        made = self._items.get(at)
        if made is None:
            own = self.schema.fields[at].node
            assert isinstance(own, Array | Map)
            # A program without the column gives none of it: any will do.
            writers = [record_of_item(lists.get(at, own)) for lists in self._lists]
            schema = EventSchema.of_tree(record_of_item(own), self.schema.fields[at].name)
            made = CompiledColumns(schema, [*writers, schema.tree], ())
            self._items[at] = made
        return made


class EventCodec(CompiledColumns):
    """Reads records of `schema`, and of `older` ones by their wire id, into the columns of
    `schema`.

    Missing fields get their defaults, numbers are promoted, fields are found under their aliases,
    all as Avro says. Records of the schemas with the ids `unreadable` are known, and cannot be
    read.

    Raises: SchemaError: records of an older schema cannot be read as `schema`, or two schemas share
        a wire id.
    """

    def __init__(
        self,
        schema: EventSchema,
        older: Mapping[int, EventSchema] | None = None,
        unreadable: Collection[int] = (),
    ) -> None:
        self.older = dict(older or {})
        self.unreadable: I64 = np.array(sorted(unreadable), np.int64)
        if schema.schema_id in self.older and self.older[schema.schema_id] != schema:
            raise SchemaError(
                schema.name,
                f"shares schema_id {schema.schema_id} with an older version",
                "Give it an id of its own.",
            )
        writers = {schema.schema_id: schema, **self.older}
        for writer in writers.values():
            require_readable(writer, schema)
        super().__init__(schema, [writer.tree for writer in writers.values()], list(writers))

    def __reduce__(self) -> tuple[object, ...]:
        return EventCodec, (self.schema, self.older, self.unreadable.tolist())


def _most(field: Field) -> npt.NDArray[np.uint64]:
    """The largest number of a decimal's digits, as the low and the high half of 128 bits."""
    most = 10**field.precision - 1
    return frozen(np.array([most & ((1 << 64) - 1), most >> 64], np.uint64))


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
