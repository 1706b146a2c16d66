"""CSV, a block of whole records at a time. Source: RFC 4180; separators other than the comma are
told by the header.

Each block is parsed by itself. pyarrow's own reader of streams reads ahead in a thread of its own,
and may let go there of the Python function that is told of bad rows: at the end of the process,
where no thread gets hold of Python any more, that aborts it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv

BLOCK_BYTES = 1 << 20
# A record is hardly longer: it is a quote that is not closed.
RECORD_BYTES = 64 << 20
# The usual one first: it is taken where two find as many names.
SEPARATORS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTE = ord('"')
_LINE_FEED = ord("\n")
_RETURN = ord("\r")


class BadCsv(ValueError):
    """What is no CSV with a header; the text says why."""


def tables(file: IO[bytes]) -> Iterator[tuple[pa.Table, list[bytes]]]:
    """Records as columns of binary values, each as it is written, some thousand at a time, with the
    records between them that have not as many fields as the header. Nothing between two separators
    is null; `""` is a text.

    Raises:
        BadCsv: there is no header, two columns have one name, or a quote is not closed.
        UnicodeDecodeError: the header is no UTF-8.
        pa.ArrowInvalid: a block is no CSV.
    """
    blocks = _blocks(file)
    first = next(blocks, b"").removeprefix(_BYTE_ORDER_MARK)
    end = int(_record_ends(first)[:1].sum()) or len(first)
    names, separator = _header(first[:end])
    for block in _chained(first[end:], blocks):
        yield _parsed(block, names, separator)


def _chained(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first.strip():
        yield first
    yield from others


def _header(record: bytes) -> tuple[list[str], str]:
    """The names of the columns, and what stands between them."""
    text = record.decode()
    found = [(_fields(text, separator), separator) for separator in SEPARATORS]
    names, separator = max(found, key=lambda one: len(one[0]))
    if not any(names):
        raise BadCsv("it has no header")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadCsv(f"two of its columns are called {twice!r}")
    return names, separator


def _fields(text: str, separator: str) -> list[str]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return next(lines, [])


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The file, cut where records end."""
    rest = b""
    while read := file.read(BLOCK_BYTES):
        block = rest + read
        ends = _record_ends(block)
        if not ends.size:
            if len(block) > RECORD_BYTES:
                raise BadCsv(f"a record has more than {RECORD_BYTES} bytes: is a quote not closed?")
            rest = block
            continue
        yield block[: ends[-1]]
        rest = block[ends[-1] :]
    if rest:
        yield rest


def _record_ends(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Where records end, int64 `[n]`: after the ends of lines that are in no quotes."""
    data = np.frombuffer(block, np.uint8)
    after = np.zeros_like(data)
    after[:-1] = data[1:]
    # A line may end with a return alone; one at the end of the block may have more to come.
    is_end = (data == _LINE_FEED) | ((data == _RETURN) & (after != _LINE_FEED))
    if data.size:
        is_end[-1] &= data[-1] != _RETURN
    # A quote within quotes is written twice, so within them the number of quotes is odd.
    is_quoted = np.cumsum(data == _QUOTE) % 2 == 1
    return np.flatnonzero(is_end & ~is_quoted) + 1


def _parsed(block: bytes, names: Sequence[str], separator: str) -> tuple[pa.Table, list[bytes]]:
    refused: list[bytes] = []

    def set_aside(row: object) -> str:
        refused.append(str(row.text).encode())  # type: ignore[attr-defined]
        return "skip"

    # In one thread refused records are told in their order.
    read = pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(block) + 1)
    parse = pa.csv.ParseOptions(
        delimiter=separator, invalid_row_handler=set_aside, newlines_in_values=True
    )
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = pa.csv.read_csv(pa.BufferReader(block), read, parse, convert)
    return table, refused
