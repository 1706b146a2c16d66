"""A sample as columns, some thousand rows at a time, so that its length costs no memory.

Files are read by the readers of `freshet replay`, so what is said of a sample holds of its replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from freshet.datafiles.files import (
    CSV,
    DataError,
    DataFile,
    Lines,
    Rows,
    Table,
    rows_of,
    sample_files,
    why_none,
)

ROWS = 100_000  # that are looked at where nobody says how many
SHOWN = 60  # characters of a record that is none


class Absent:
    """In place of a value that a JSON object has no name for; there is one of it."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = Absent()


class Broken(NamedTuple):
    """A row that is none: a line that is no JSON object, a CSV row with a field too many."""

    row: int | None  # None: somewhere in the file
    text: str
    why: str = ""  # of the first of a chunk alone


class Chunk(NamedTuple):
    """Rows as columns. Row `i` of a column is row `first_row + i` of the sample, counted from 1."""

    columns: dict[str, list[Any]]
    rows: int
    first_row: int
    broken: list[Broken]
    # Of Parquet alone, whose columns have types before they have values.
    types: dict[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class Sample:
    """Where rows come from. `as_text`: every value was written as text, as CSV has it. `of_log`:
    they are records, as intake reads them."""

    name: str
    parts: Sequence[Iterable[Rows]] = field(repr=False)
    as_text: bool = False
    of_log: bool = False

    def chunks(self, most: int = ROWS) -> Iterator[Chunk]:
        """At most that many rows, in their order.

        Raises:
            DataError: a file cannot be read, or there is no row.
        """
        seen = 0
        for part in self.parts:
            for rows in part:
                try:
                    chunk = _chunk(rows, seen + 1, most - seen)
                # Parquet holds years that no calendar of Python has.
                except (OverflowError, ValueError, pa.ArrowException) as error:
                    raise DataError(
                        f"sample {self.name}",
                        f"has a value after row {seen} that cannot be read: {error}",
                        "Mend it, or leave it out.",
                    ) from error
                seen += chunk.rows
                yield chunk
                if seen >= most:
                    return
        if not seen:
            raise DataError(f"sample {self.name}", "holds no row", "Give one that does.")


def of_files(pattern: str) -> Sample:
    """Files of one kind of event: a path, or a pattern such as `old/*.csv`.

    Raises:
        DataError: there is no such file, or it is of no format that is read.
    """
    files = sample_files(pattern)
    formats = {file.format for file in files}
    if len(formats) > 1:
        raise DataError(
            f"sample {pattern}",
            f"is of several formats: {', '.join(sorted(formats))}",
            "Name files of one format.",
        )
    return Sample(pattern, [_Read(file) for file in files], files[0].format == CSV)


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that is opened when it is its turn, and as often as it is asked for."""

    file: DataFile

    def __iter__(self) -> Iterator[Rows]:
        return rows_of(self.file)


def _chunk(rows: Rows, first_row: int, most: int) -> Chunk:
    match rows:
        case Table():
            if rows.repeated:
                raise DataError(
                    "sample", f"has two columns {rows.repeated!r}", "Give each a name of its own."
                )
            taken = min(rows.rows, most)
            columns = {
                name: _values(column.slice(0, taken)) for name, column in rows.columns.items()
            }
            types = {name: column.type for name, column in rows.columns.items()}
            return Chunk(columns, taken, first_row, [], types)
        case Lines():
            return _of_lines(rows.rows[:most], first_row)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        # Bytes that are no UTF-8 stay told apart: no text of a file has surrogates in it.
        return [_text(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's own moments have no nanoseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _text(value: bytes | None) -> str | None:
    """Bytes as text; those that are no UTF-8 stay told apart."""
    if value is None:
        return None
    return value.decode("utf-8", "surrogateescape")


def _of_lines(lines: list[dict[str, Any] | bytes], first_row: int) -> Chunk:
    """Objects as columns, in which a name that one lacks is `ABSENT`."""
    names: dict[str, None] = {}
    broken: list[Broken] = []
    for at, line in enumerate(lines):
        if isinstance(line, bytes):
            why = ""
            if not broken:
                why = why_none(line)
            broken.append(Broken(first_row + at, line[:SHOWN].decode("utf-8", "replace"), why))
        else:
            names |= dict.fromkeys(line)
    columns: dict[str, list[Any]] = {name: [ABSENT] * len(lines) for name in names}
    for at, line in enumerate(lines):
        if isinstance(line, dict):
            for name, value in line.items():
                columns[name][at] = value
    return Chunk(columns, len(lines), first_row, broken, {})
