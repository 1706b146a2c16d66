"""Layouts: what stands where in a prediction's row, by name.

A layout is immutable, and named by its content. Every block of predictions or examples says that of
its rows, so whoever reads takes the columns that it knows by their names, whatever else a scorer
has written beside them, in whatever order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.tasks import Task
from freshet.schemas.models.vectors import Column, VectorSchema, with_meanings

Rows = npt.NDArray[np.void]
Stamp = tuple[str, str, int]
# Beside the vector: name, numpy's format, and how many of it.
STAMPS: tuple[Stamp, ...] = (
    ("request", "<u8", 2),
    ("p", "<f8", 1),
    ("asked_at", "<i8", 1),
    ("model_lag", "<i8", 1),
    ("value_age", "<i8", 1),
    ("sequence", "<i8", 1),
    ("snapshot", "<i4", 1),
    ("rung", "<i4", 1),
)
_FORMATS = frozenset({"<u8", "<i8", "<i4", "<f8", "<f4"})
_MOST = 1_000  # values of one stamp: far beyond any, and no harm


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layout as JSON."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    meanings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A row's columns: `categories` (uint64 each) and `numbers` (float32 each) of its vector by
    their names and their `meanings` (see `VectorSchema`), then `stamps`.

    >>> one = Layout.of(VectorSchema(("shop",), ("late", "n")))
    >>> other = Layout.of(VectorSchema(("shop",), ("n",)))
    >>> other.lacking(one), one.lacking(other), Layout.parse(one.text) == one
    ((), ('late',), True)
    """

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    stamps: tuple[Stamp, ...] = STAMPS
    meanings: tuple[str, ...] = ()

    @staticmethod
    def of(vectors: VectorSchema) -> Layout:
        """That of what this build writes of such vectors."""
        return Layout(
            vectors.categories,
            vectors.numbers,
            stamps_of(vectors.task),
            vectors.meanings,
        )

    @staticmethod
    def parse(text: bytes) -> Layout:
        """Raises `SchemaError` for what is no layout."""
        return _parsed(text)

    @cached_property
    def text(self) -> bytes:
        """Canonical JSON."""
        return msgspec.json.encode(
            _Said(
                self.categories,
                self.numbers,
                self.stamps,
                self.meanings,
            )
        )

    @cached_property
    def id(self) -> str:
        """16 hex digits that change when a name, a type, a meaning or the order does."""
        return hashlib.sha256(self.text).hexdigest()[:16]

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """A row, packed."""
        vector = [
            ("categories", "<u8", (len(self.categories),)),
            ("numbers", "<f4", (len(self.numbers),)),
        ]
        stamps: list[Any] = [
            (name, form) if count == 1 else (name, form, (count,))
            for name, form, count in self.stamps
        ]
        return np.dtype([*vector, *stamps])

    @cached_property
    def columns(self) -> tuple[list[Column], list[Column]]:
        """Categories and numbers, each with its meaning."""
        return with_meanings(
            self.categories,
            self.numbers,
            self.meanings,
        )

    # By names and meanings: that two layouts hold them in another order means nothing to a reader.
    def lacking(self, written: Layout) -> tuple[str, ...]:
        """What this layout has that rows of another one do not."""
        columns = [
            name
            for own, theirs in zip(self.columns, written.columns)
            for name, meaning in own
            if (name, meaning) not in theirs
        ]
        return (*columns, *self.stamps_lacking(written))

    def stamps_lacking(self, written: Layout) -> tuple[str, ...]:
        """The same of stamps alone."""
        stamps = set(self.stamps) - set(written.stamps)
        return tuple(sorted(name for name, _, _ in stamps))

    def taken(self, rows: Rows, written: Layout) -> Rows:
        """This layout's columns of rows that were written by another one. A column of the vector
        that they lack is missing: nobody asked for it then.

        Raises:
            SchemaError: they lack a stamp. Nothing stands in for what every answer has.
        """
        if written == self:
            return rows
        lacking = self.stamps_lacking(written)
        if lacking:
            raise SchemaError(
                f"rows of layout {written.id}",
                f"lack {', '.join(lacking)}",
                "They were written by another version of freshet.",
            )
        out = np.zeros(len(rows), self.dtype)
        categories, numbers = self._places(written)
        # What is not there is 0 of a category, and NaN of a number.
        out["numbers"] = np.nan
        there = categories >= 0
        out["categories"][:, there] = rows["categories"][:, categories[there]]
        there = numbers >= 0
        out["numbers"][:, there] = rows["numbers"][:, numbers[there]]
        for name, _, _ in self.stamps:
            out[name] = rows[name]
        return out

    def _places(self, written: Layout) -> list[npt.NDArray[np.intp]]:
        """Where categories and numbers stand in another layout; -1 where they do not."""
        return [
            np.array([theirs.index(c) if c in theirs else -1 for c in own], np.intp)
            for own, theirs in zip(self.columns, written.columns)
        ]


def stamps_of(task: Task) -> tuple[Stamp, ...]:
    """Of an answer of a task: of classes `p` is the probability of each, in the order declared."""
    return tuple((name, form, task.width if name == "p" else count) for name, form, count in STAMPS)


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> Layout:
    try:
        said = msgspec.json.decode(text, type=_Said)
    except msgspec.DecodeError as error:
        raise _wrong(str(error)) from error
    # It came from a log: numpy would take a name twice for our fault, and a huge count for real.
    columns = ["categories", "numbers", *(name for name, _, _ in said.stamps)]
    if len(set(columns)) < len(columns):
        raise _wrong("a name stands there twice")
    for name, form, count in said.stamps:
        if form not in _FORMATS or not 1 <= count <= _MOST:
            raise _wrong(f"{name!r} is {count} of {form!r}")
    if said.meanings and len(said.meanings) != len(said.categories) + len(said.numbers):
        raise _wrong(f"{len(said.meanings)} meanings are not of its columns")
    return Layout(
        said.categories,
        said.numbers,
        said.stamps,
        said.meanings,
    )


def _wrong(cause: str) -> SchemaError:
    return SchemaError(
        "layout of a block",
        f"is none: {cause}",
        "Is this topic freshet's own?",
    )
