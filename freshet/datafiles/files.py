"""Files of old data: which topic each is for, and their rows, a few thousand at a time.

Polars and pyarrow read them. A row whose bytes are not what its format says (a CSV line with a
field too many, a line that is no JSON) is handed on as it stands: intake has a reason for it.
"""

from __future__ import annotations

import glob
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet

from freshet.app import App
from freshet.datafiles.csv_blocks import BadCsv, tables
from freshet.schemas.errors import ComponentError, DefinitionError

ROWS = 16_384  # that are in memory together while files are read
# A name as users write it: what comes before it may hold a `=` only as part of a path.
_GIVEN = re.compile(r"([a-z][a-z0-9_]*)=(.+)", re.DOTALL)
PARQUET = "Parquet"
CSV = "CSV"
JSON_LINES = "JSON lines"
FORMATS = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
}


# How msgspec calls JSON that goes on where the line ends.
CUT = "Input data was truncated"


class DataError(ComponentError):
    """A file of data cannot be read, or holds nothing that its topic could be."""

    component = "data"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file and the topic that its rows are events of."""

    topic: str
    path: Path
    format: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as columns by name, values as their file has them."""

    columns: dict[str, pa.ChunkedArray]
    rows: int
    # A name that two columns have: the latter is what is read.
    repeated: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows one by one: an object, or the bytes of what is none."""

    rows: list[dict[str, Any] | bytes]


Rows = Table | Lines


def data_files(app: App, given: Sequence[str]) -> list[DataFile]:
    """What is to be read, in the order it was given.

    `arrivals=old/*.parquet` names the topic. Without a name a file is for the app's only topic, or
    for the one that its own name begins with, such as `arrivals.csv.gz` or `arrivals-2013.parquet`.

    Raises:
        DefinitionError: it is not clear for which topic a file is.
        DataError: there is no such file, or it is of no format that is read.
    """
    found = []
    for text in given:
        named = _GIVEN.fullmatch(text)
        topic = None
        pattern = text
        # A file may have a `=` in its name, too.
        if named is not None and not Path(text).exists():
            topic, pattern = named.groups()
            _check_topic(app, topic)
        for path in _paths(pattern):
            found.append(DataFile(topic or _topic_of(app, path), path, _format(path)))
    return found


def sample_files(pattern: str) -> list[DataFile]:
    """Files that are for no topic yet.

    Raises:
        DataError: there is no such file, or it is of no format that is read.
    """
    return [DataFile("", path, _format(path)) for path in _paths(pattern)]


def _paths(pattern: str) -> list[Path]:
    if Path(pattern).is_file():
        return [Path(pattern)]
    paths = [Path(p) for p in sorted(glob.glob(pattern)) if Path(p).is_file()]
    if not paths:
        cause = "is a folder" if Path(pattern).is_dir() else "is not there"
        raise DataError(f"file {pattern}", cause, "Name files, such as old/*.parquet.")
    return paths


def _check_topic(app: App, name: str) -> None:
    names = [t.name for t in app.topics]
    if name not in names:
        raise DefinitionError(
            f"topic {name!r}", "is not in the app", f"Its topics are {', '.join(names)}."
        )


def _topic_of(app: App, path: Path) -> str:
    names = [t.name for t in app.topics]
    if len(names) == 1:
        return names[0]
    begins = re.match(r"[a-z][a-z0-9_]*", path.name)
    if begins is None or begins[0] not in names:
        raise DefinitionError(
            f"file {path}",
            f"may be for any of the topics {', '.join(names)}",
            f"Say for which: {names[0]}={path}.",
        )
    return begins[0]


def _format(path: Path) -> str:
    bare = path.name.removesuffix(".gz")
    found = FORMATS.get(Path(bare).suffix.lower())
    if found is None or (found == PARQUET and bare != path.name):
        raise DataError(
            f"file {path}",
            "has a name that says no format that is read",
            f"Name it by its format: {', '.join(FORMATS)}; CSV and JSON lines may be .gz, too.",
        )
    return found


def rows_of(file: DataFile) -> Iterator[Rows]:
    """A file's rows in their order.

    Raises:
        DataError: it cannot be read, or no further than to some row.
    """
    readers = {PARQUET: _parquet, CSV: _csv, JSON_LINES: _json_lines}
    try:
        yield from readers[file.format](file.path)
    except (
        OSError,
        EOFError,
        zlib.error,
        pa.ArrowException,
        UnicodeDecodeError,
        BadCsv,
    ) as error:
        raise DataError(
            f"file {file.path}",
            f"cannot be read as {file.format}: {_cause(error)}",
            "Mend it, or leave it out.",
        ) from error


def _cause(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8, which iconv -t utf-8 makes of it"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text.split("\n", 1)[0].rstrip(".")


def _parquet(path: Path) -> Iterator[Rows]:
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS):
            yield _table(pa.Table.from_batches([batch]))


def _csv(path: Path) -> Iterator[Rows]:
    """Every field as it is written: what it means, its topic's schema says."""
    separator = ""
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        separator = "\t"
    with _opened(path) as file:
        for table, refused in tables(file, separator):
            yield _table(table)
            if refused:
                yield Lines([*refused])


def _table(found: pa.Table) -> Table:
    names = found.column_names
    repeated = next((name for name in names if names.count(name) > 1), "")
    return Table(dict(zip(names, found.columns)), found.num_rows, repeated)


def _json_lines(path: Path) -> Iterator[Rows]:
    with _opened(path) as file:
        while lines := list(islice(file, ROWS)):
            yield Lines([parsed(line) for line in lines if line.strip()])


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def parsed(line: bytes) -> dict[str, Any] | bytes:
    """An object of JSON, or the bytes of what is none."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line.strip()
    return found if isinstance(found, dict) else line.strip()


def why_none(line: bytes) -> str:
    """Why bytes are no object of JSON."""
    try:
        msgspec.json.decode(line)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        if str(error) == CUT and _is_object(line):
            return "it has half of a surrogate pair, which is no character"
        return str(error).partition(" - at ")[0]
    return "it is no object"


def _is_object(line: bytes) -> bool:
    """To Python's own reader, which takes more than others do."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
