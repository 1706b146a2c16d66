"""Small files of a day become large ones: a pure function of the files that are named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from freshet.streams.archive.layout import ArchivedFile
from freshet.streams.archive.parquet_files import FACTS, Bytes, facts_of, groups_of, writer_of
from freshet.streams.archive.parquet_files import ROWS_PER_GROUP as ENOUGH

LARGE = 64 << 20  # bytes that no joined file exceeds
# Whoever reads such a file gains nothing by a larger one, which would cost as much as to write both
# once more: what comes fast is written once.
LARGE_ENOUGH = 8 << 20
FAN = 8  # so many neighbours of about one size are joined while their day goes on
_SMALLEST = 1 << 16


def run_to_join(files: Sequence[ArchivedFile]) -> slice | None:
    """Which of a partition's files, by position, are to be joined next; None: none are.

    Of a day that is over all that fit into one file; of the last one `FAN` neighbours of one order
    of size, so that no record is written more often than there are orders.
    """
    last_day = max((file.day for file in files), default=0)
    first = 0
    while first < len(files):
        after = _end_of_run(
            files,
            first,
            files[first].day == last_day,
        )
        if after - first > 1:
            return slice(first, after)
        first += 1
    return None


def _end_of_run(files: Sequence[ArchivedFile], first: int, goes_on: bool) -> int:
    """Where a run that begins at `first` ends; at `first` + 1 if there is none."""
    size = 0
    after = first
    while after < len(files) and _belongs(files[first], files[after], goes_on):
        size += files[after].size
        if size > LARGE or (goes_on and after - first == FAN):
            break
        after += 1
    if goes_on and after - first < FAN:
        return first + 1
    return max(after, first + 1)


def _belongs(first: ArchivedFile, other: ArchivedFile, goes_on: bool) -> bool:
    if max(first.size, other.size) >= LARGE_ENOUGH:
        return False
    if (first.day, first.shape) != (other.day, other.shape):
        return False
    return not goes_on or _order(first) == _order(other)


def _order(file: ArchivedFile) -> int:
    """How often `FAN` of the smallest make it up."""
    order = 0
    most = _SMALLEST
    while file.size > most:
        most *= FAN
        order += 1
    return order


def joined(parts: Iterable[Bytes]) -> memoryview:
    """Files of one shape, in order of position, as one. Of each but one group of rows at a time is
    in memory."""
    sink = pa.BufferOutputStream()
    writer = None
    held: list[pa.Table] = []
    first: dict[str, object] = {}
    last: dict[str, object] = {}
    records = 0
    # What stands in a file's metadata is only known once all are read: it is added last.
    for data in parts:
        for table in groups_of(data):
            last = facts_of(table.schema)
            first = first or last
            table = table.replace_schema_metadata(_shared(table.schema))
            writer = writer or writer_of(table, sink)
            held.append(table)
            if sum(one.num_rows for one in held) >= ENOUGH:
                writer.write_table(pa.concat_tables(held), ENOUGH)
                held = []
        records += int(str(last["records"]))
    assert writer is not None
    if held:
        writer.write_table(pa.concat_tables(held), ENOUGH)
    facts = {**first, "after": last["after"], "records": records}
    writer.add_key_value_metadata({FACTS: json.dumps(facts).encode()})
    writer.close()
    return memoryview(sink.getvalue())


def _shared(schema: pa.Schema) -> dict[bytes, bytes]:
    return {key: value for key, value in (schema.metadata or {}).items() if key != FACTS}
