"""CSV, a block of whole records at a time. Source: RFC 4180; separators other than the comma are
told by the header.

Each block is parsed by itself, and records of a wrong number of fields are cut out of it before:
pyarrow's own reader of streams reads ahead in a thread of its own, and may let go there of the
Python function that is told of bad rows, which aborts a process at its end; and it tells of no row
that is not UTF-8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from freshet.datafiles.csv_kernels import LINE, NONE, RETURNED, scan

# Of records, where each starts and ends: int64 `[n, 2]`.
Places = npt.NDArray[np.int64]
BLOCK_BYTES = 1 << 20
# The header is hardly longer, nor is a record: it is a quote that is not closed.
HEADER_BYTES = 1 << 20
RECORD_BYTES = 64 << 20
# The rarer in texts and numbers comes first: it is taken where nothing else decides, as of
# `1;2,50`.
SEPARATORS = ("\t", "|", ";", ",")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"([ \t]*(\r\n|\r|\n))+")
_LINE_ENDS = b"\r\n"


class BadCsv(ValueError):
    """What is no CSV with a header; the text says why."""


def tables(file: IO[bytes], separator: str = "") -> Iterator[tuple[pa.Table, list[bytes]]]:
    """Records as columns of binary values, each as it is written, some thousand at a time, with the
    records between them that have not as many fields as the header. Nothing between two separators
    is null; `""` is a text. Without a separator the header tells it, and where two fit it alike,
    the first record.

    Raises:
        BadCsv: there is no header, two columns have one name, or a quote is not closed.
        UnicodeDecodeError: the header is no UTF-8.
        pa.ArrowInvalid: a block is no CSV.
    """
    head = _head(file)
    separator = separator or _separator(head)
    end = _first_end(head, separator)
    if end >= HEADER_BYTES:
        raise BadCsv(f"its header has more than {HEADER_BYTES:,} bytes: a quote may not be closed")
    names = _names(head[:end].decode(), separator)
    _check(names)
    parts = _parts(head[end:], file)
    for block, misfits in _blocks(parts, separator, len(names)):
        whole, refused = _cut(block, misfits)
        yield _parsed(whole, names, separator), refused


def warm() -> None:
    """Compile what reading needs."""
    list(tables(io.BytesIO(b"a,b\n1,2\n")))


def _head(file: IO[bytes]) -> bytes:
    """The beginning of the file, from its header on."""
    head = file.read(HEADER_BYTES).removeprefix(_BYTE_ORDER_MARK)
    while head and not head.strip():
        head = file.read(HEADER_BYTES)
    blank = _BLANK_LINES.match(head)
    if blank is not None:
        return head[blank.end() :]
    return head


def _separator(head: bytes) -> str:
    """By which the header has the most names; of several that by which the first record fits it."""
    found = {}
    for separator in SEPARATORS:
        end = _first_end(head, separator)
        header = _Scan(separator, NONE)
        header.places(head[:end].rstrip(_LINE_ENDS))
        found[separator] = header.fields, _fits(head[end:], separator, header.fields)
    return max(SEPARATORS, key=lambda separator: found[separator])


def _first_end(data: bytes, separator: str) -> int:
    """Where the first record ends; one that does not is all that there is."""
    # Most records are short, and of a long beginning few bytes are looked at.
    for size in (1 << 10, len(data)):
        ends = _records(data[:size], separator)
        if ends.size:
            return int(ends[0, 1])
    return len(data)


def _records(data: bytes, separator: str) -> Places:
    """Where records start and end, but for a last one without an end."""
    # No record has so few fields, so all of them are told.
    return _Scan(separator, NONE).places(data)[1]


def _fits(data: bytes, separator: str, width: int) -> bool:
    """Whether the first record has so many fields."""
    record = data.lstrip(_LINE_ENDS)
    record = record[: _first_end(record, separator)]
    if not record:
        return False
    # The last one of a file may have no end.
    end, misfits = _Scan(separator, width).places(record + b"\n")
    return end != NONE and not misfits.size


def _names(record: str, separator: str) -> list[str]:
    """The fields of a header."""
    lines = csv.reader(io.StringIO(record, newline=""), delimiter=separator)
    try:
        return next(lines, [])
    # A name is too long for it.
    except csv.Error as error:
        raise BadCsv(f"its header cannot be read: {error}") from error


def _check(names: Sequence[str]) -> None:
    if not any(names):
        raise BadCsv("it has no header")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadCsv(f"two of its columns are called {twice!r}")


class _Scan:
    """A file as it is looked at, part after part."""

    def __init__(self, separator: str, width: int) -> None:
        self._separator = ord(separator)
        self._width = width
        self._state = np.array([LINE, 0])

    def places(self, part: bytes, start: int = 0) -> tuple[int, Places]:
        """Where the last record of a part ends, and from where to where others than of the width
        go; the first record starts at `start`."""
        data = np.frombuffer(part, np.uint8)
        # A record has a byte at least, and an end.
        misfits = np.empty((data.size // 2 + 2, 2), np.int64)
        end, found = scan(data, self._separator, self._width, start, self._state, misfits)
        return end, misfits[:found]

    @property
    def fields(self) -> int:
        """How many a record has that ends here, at the end of what there is; a blank line none."""
        where, fields = self._state.tolist()
        # The last one is counted where its line ends.
        if where not in (LINE, RETURNED):
            fields += 1
        return int(fields)

    @property
    def is_misfit(self) -> bool:
        """Whether a record that ends here is another than of the width."""
        return self.fields not in (0, self._width)


def _parts(rest: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """What was read already, and what comes after it."""
    for start in range(0, len(rest), BLOCK_BYTES):
        yield rest[start : start + BLOCK_BYTES]
    while read := file.read(BLOCK_BYTES):
        yield read


def _blocks(parts: Iterable[bytes], separator: str, width: int) -> Iterator[tuple[bytes, Places]]:
    """Whole records, and where those that have not so many fields start and end."""
    scanned = _Scan(separator, width)
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        end, misfits = scanned.places(part, -size)
        if end == NONE:
            waiting.append(part)
            size += len(part)
            if size > RECORD_BYTES:
                raise BadCsv(
                    f"a record has more than {RECORD_BYTES:,} bytes: a quote may not be closed"
                )
            continue
        yield b"".join((*waiting, part[:end])), misfits + size
        waiting = [part[end:]]
        size = len(part) - end
    if size:
        misfits = np.array([[0, size]] * scanned.is_misfit, np.int64).reshape(-1, 2)
        yield b"".join(waiting), misfits


def _cut(block: bytes, misfits: Places) -> tuple[bytes, list[bytes]]:
    """What is left of a block without some of its records, and these, without their ends."""
    kept = []
    refused = []
    at = 0
    for start, end in misfits.tolist():
        kept.append(block[at:start])
        refused.append(block[start:end].removesuffix(b"\n").removesuffix(b"\r"))
        at = end
    kept.append(block[at:])
    return b"".join(kept), refused


def _parsed(block: bytes, names: Sequence[str], separator: str) -> pa.Table:
    # pyarrow takes nothing at all for an error.
    if not block:
        block = b"\n"
    read = pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(block) + 1)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pa.csv.read_csv(pa.BufferReader(block), read, parse, convert)
