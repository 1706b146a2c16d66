"""The walker's programs: how what one schema wrote becomes the columns of another. Source: Apache
Avro 1.12 specification, schema resolution.

A step is `(op, null branch, reader's column, target, first, second)`:
- a value: of an enum `first` is where its symbols begin among `maps`, `second` how many there are;
- a constant: target says whether it is there; `first` is its word, or `first` and `second` are
  where a text lies among the constants;
- `BYTES`, `CHECKED` (a text in an array, which goes to no column and is held to UTF-8 all the same)
  and `FIXED` (`first` bytes);
- `BRANCH`: of `second` branches of a union, whose steps are listed in `maps` from `first` on;
- `JUMP`: on to step `first`;
- `BEGIN`, then `LOOP`: an array or map; after its last block on to step `first`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from freshet.schemas.avro import walker_kernels as kernels
from freshet.schemas.avro.defaults import default_fits, encoded, number_of, text_of
from freshet.schemas.avro.leaves import Leaf, alone_in, leaves_at
from freshet.schemas.avro.resolution import branch_for, source_of
from freshet.schemas.avro.tree import (
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Type,
    Union,
    branch_names,
    is_null,
    joined,
)

Step = list[int]
NONE = int(kernels.NONE)
_OPS = {
    "string": kernels.STRING,
    "bytes": kernels.BYTES,
    "int": kernels.INT,
    "long": kernels.LONG,
    "float": kernels.FLOAT,
    "double": kernels.DOUBLE,
    "boolean": kernels.BOOLEAN,
    "enum": kernels.ENUM,
}
_TARGETS = {"float": kernels.SINGLE, "double": kernels.WIDE}
_OF_BYTES = ("bytes", "decimal")
_SPANS = ("string", "bytes", "decimal", "array", "map")


class ProgramCompiler:
    """Compiles programs for the columns of one reader. `maps` and `constants` are what their steps
    refer to."""

    def __init__(self, reader: Record, leaves: Sequence[Leaf]) -> None:
        self.maps: list[int] = []
        self.constants = bytearray()
        # How deep arrays lie within arrays, at the most.
        self.depth = 0
        self._reader = reader
        self._leaves = leaves
        self._positions = {leaf.path: i for i, leaf in enumerate(leaves)}
        self._steps: list[Step] = []
        # For each program, the arrays and maps that its columns were written as.
        self.lists: list[dict[int, Array | Map]] = []

    def program(self, writer: Record) -> list[Step]:
        """The steps for records of a writer that the reader can read."""
        self._steps = []
        self.lists.append({})
        self._record(writer, self._reader, "")
        return self._steps

    def _put(self, op: int, column: int = NONE, null: int = -1, *more: int) -> int:
        """The step's index."""
        target, first, second = (*more, 0, 0, 0)[:3]
        self._steps.append([op, null, column, target, first, second])
        return len(self._steps) - 1

    # ------------------------------------------------------------ what the reader reads
    def _record(self, writer: Record, reader: Record, path: str) -> None:
        """The writer's fields in their order, then the defaults of those that it lacks."""
        sources = [(source_of(own, writer), own) for own in reader.fields]
        for written in writer.fields:
            own = next((own for source, own in sources if source is written), None)
            if own is None:
                self._skip(written.type)
            else:
                self._read(written.type, own.type, joined(path, f".{own.name}"))
        for source, own in sources:
            if source is None:
                self._default(own.type, own.default, joined(path, f".{own.name}"))

    def _read(self, writer: Type, reader: Type, path: str) -> None:
        if not isinstance(writer, Union):
            self._one(writer, reader, path)
            return
        under = leaves_at(reader, path)
        scalar = _beside_null(writer)
        bytes_at = [self._leaves[self._positions[leaf]].type in _OF_BYTES for leaf in under]
        if scalar is not None and under == [path] and not any(bytes_at):
            self._value(
                scalar,
                reader,
                path,
                _null_branch(writer),
            )
        else:
            self._branches(writer, under, lambda branch: self._one(branch, reader, path))

    def _branches(self, writer: Union, under: Sequence[str], put: Any) -> None:
        """A table of branches, and the steps of each, with a jump to the end of all."""
        # At fault, where the branch is none: the first that it would be of.
        column = next((self._positions[leaf] for leaf in under), NONE)
        first = len(self.maps)
        count = len(writer.branches)
        self.maps += [0] * count
        self._put(
            kernels.BRANCH,
            column,
            -1,
            0,
            first,
            count,
        )
        jumps = []
        for i, branch in enumerate(writer.branches):
            self.maps[first + i] = len(self._steps)
            put(branch)
            jumps.append(self._put(kernels.JUMP))
        for jump in jumps:
            self._steps[jump][kernels.FIRST] = len(self._steps)

    def _one(self, writer: Type, reader: Type, path: str) -> None:
        """A value of no union, read as the branch that takes it; all other columns are missing."""
        under = leaves_at(reader, path)
        if is_null(writer):
            self._missing(under)
            return
        chosen = branch_for(writer, reader)
        assert chosen is not None  # nothing is compiled that cannot be read
        at = path_of(chosen, reader, path)
        if at != path:
            filled = leaves_at(chosen, at)
            self._missing([leaf for leaf in under if leaf not in filled])
        self._value(writer, chosen, at)

    def _missing(self, paths: Sequence[str]) -> None:
        for path in paths:
            at = self._positions[path]
            self._put(
                kernels.CONSTANT,
                at,
                -1,
                0,
                empty_word(self._leaves[at]),
            )

    def _value(
        self,
        writer: Type,
        reader: Type,
        path: str,
        null: int = -1,
    ) -> None:
        if isinstance(writer, Record):
            assert isinstance(reader, Record)
            self._record(writer, reader, path)
            return
        at = self._positions[path]
        if isinstance(writer, Array | Map):
            # Where several branches have one, all were written alike: else it could not be read.
            self.lists[-1].setdefault(at, writer)
            self._items(writer, at)
        elif isinstance(writer, Fixed):
            self._put(
                kernels.FIXED,
                at,
                -1,
                0,
                writer.size,
            )
        elif isinstance(writer, Enum):
            enum = branch_for(writer, reader)
            assert isinstance(enum, Enum)
            self._put(kernels.ENUM, at, null, 0, *self._symbols(writer, enum))
        else:
            type_ = self._leaves[at].type
            op = _OPS[writer.kind]
            # Each may be read as the other, and the reader says what holds.
            if op in (kernels.STRING, kernels.BYTES):
                op = _OPS["string" if type_ == "string" else "bytes"]
            self._put(
                op,
                at,
                null,
                _TARGETS.get(type_, kernels.WHOLE),
            )

    def _symbols(self, writer: Enum, reader: Enum) -> tuple[int, int]:
        """Where the reader's index of each of the writer's symbols is listed, and how many there
        are."""
        known = {symbol: i for i, symbol in enumerate(reader.symbols)}
        # No symbol is empty, so without a default one nothing is found.
        other = known.get(reader.default or "", kernels.NO_SYMBOL)
        first = len(self.maps)
        self.maps += [known.get(symbol, other) for symbol in writer.symbols]
        return first, len(writer.symbols)

    # ------------------------------------------------------------ what is walked over
    def _items(self, writer: Array | Map, column: int, depth: int = 1) -> None:
        self.depth = max(self.depth, depth)
        self._put(kernels.BEGIN, column)
        loop = self._put(kernels.LOOP, column)
        if isinstance(writer, Map):
            self._put(kernels.CHECKED)
            self._skip(writer.values, depth)
        else:
            self._skip(writer.items, depth)
        self._put(
            kernels.JUMP,
            NONE,
            -1,
            0,
            loop,
        )
        self._steps[loop][kernels.FIRST] = len(self._steps)

    def _skip(self, writer: Type, depth: int = 0) -> None:
        """What nobody reads has to be walked over all the same; within arrays (at a `depth`) texts
        are held to be some, as what is in them may be read later."""
        if isinstance(writer, Record):
            for own in writer.fields:
                self._skip(own.type, depth)
        elif isinstance(writer, Union):
            scalar = _beside_null(writer)
            if scalar is not None and depth == 0:
                self._skip_scalar(scalar, _null_branch(writer))
            else:
                self._branches(writer, (), lambda branch: self._skip(branch, depth))
        elif isinstance(writer, Array | Map):
            self._items(writer, NONE, depth + 1)
        elif isinstance(writer, Fixed):
            self._put(
                kernels.FIXED,
                NONE,
                -1,
                0,
                writer.size,
            )
        elif not is_null(writer):
            assert isinstance(writer, Primitive | Enum)
            if writer.kind == "string" and depth > 0:
                self._put(kernels.CHECKED)
            else:
                self._skip_scalar(writer)

    def _skip_scalar(self, writer: Primitive | Enum, null: int = -1) -> None:
        symbols = (0, 0)
        if isinstance(writer, Enum):
            symbols = self._symbols(writer, writer)
        self._put(_OPS[writer.kind], NONE, null, 0, *symbols)

    # ------------------------------------------------------------ what was not written
    def _default(self, reader: Type, value: Any, path: str) -> None:
        if isinstance(reader, Record):
            for own in reader.fields:
                inner = value.get(own.name, own.default)
                self._default(own.type, inner, joined(path, f".{own.name}"))
            return
        under = leaves_at(reader, path)
        if value is None:
            self._missing(under)
            return
        if isinstance(reader, Union):
            branch = next(b for b in reader.branches if default_fits(value, b))
            at = path_of(branch, reader, path)
            if at != path:
                filled = leaves_at(branch, at)
                self._missing([leaf for leaf in under if leaf not in filled])
            self._default(branch, value, at)
            return
        self._constant(self._positions[path], reader, value)

    def _constant(self, at: int, reader: Type, value: Any) -> None:
        """The step that puts a default which is not null."""
        type_ = self._leaves[at].type
        if type_ in _SPANS:
            first = len(self.constants)
            text = encoded(value, reader)
            if type_ not in ("array", "map") and not isinstance(reader, Fixed):
                # Without the length in front.
                text = text_of(value, reader.kind)
            self.constants += text
            self._put(
                kernels.CONSTANT_TEXT,
                at,
                -1,
                1,
                first,
                len(self.constants),
            )
            return
        if isinstance(reader, Enum):
            word = reader.symbols.index(value)
        elif type_ in ("float", "double"):
            word = int(np.array([number_of(value, type_)], np.float64).view(np.int64)[0])
        else:
            word = int(value)
        self._put(
            kernels.CONSTANT,
            at,
            -1,
            1,
            word,
        )


def is_nested(steps: Sequence[Step]) -> bool:
    """Whether there is more in a program than values and constants, one after the other."""
    return any(step[kernels.OP] > kernels.CONSTANT_TEXT for step in steps)


def empty_word(leaf: Leaf) -> int:
    """The word of a missing value."""
    return int(kernels.NO_SYMBOL) if leaf.type == "enum" else 0


def path_of(branch: Type, reader: Type, path: str) -> str:
    """Where the columns of a reader's branch are."""
    if not isinstance(reader, Union) or alone_in(reader) is not None:
        return path
    names = branch_names(reader)
    at = next(i for i, own in enumerate(reader.branches) if own is branch)
    return joined(path, f".{names[at]}")


def _beside_null(writer: Union) -> Primitive | Enum | None:
    """The one value that a union of two has beside null, where one step reads it with its
    branch."""
    others = [branch for branch in writer.branches if not is_null(branch)]
    if len(writer.branches) != 2 or len(others) != 1:
        return None
    other = others[0]
    if isinstance(other, Primitive | Enum) and _OPS[other.kind] < kernels.CONSTANT:
        return other
    return None


def _null_branch(writer: Union) -> int:
    return next(i for i, branch in enumerate(writer.branches) if is_null(branch))
