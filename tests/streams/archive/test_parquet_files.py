"""Files of Parquet: pieces come back as they were given, and columns are packed as their values
are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from freshet.streams.archive.parquet_files import Draft, facts_of, file_of, table_of

ROWS = 4_000
FACTS = {"first": 3, "after": 9}


def piece(first: int) -> pa.Table:
    numbers = range(first, first + ROWS)
    return pa.table(
        {
            "offset": pa.array(numbers, pa.int64()),
            "value": pa.array([b"%d" % (at * 7919) for at in numbers], pa.binary()),
            "id": pa.array([f"{at * 7919:016x}" for at in numbers]),
            "name": pa.array([str(at * 7919) for at in numbers]),
            "gate": pa.array([["north", None, "south"][at % 3] for at in numbers]),
            "note": pa.array([["a" * 200, "b" * 200][at % 2] for at in numbers]),
            "count": pa.array([at * 7919 % 100_000 for at in numbers], pa.int32()),
            "nothing": pa.nulls(ROWS, pa.string()),
            "list": pa.array([[{"x": 1.5, "y": ["t"] * 3}]] * ROWS),
        }
    )


def made() -> memoryview:
    draft = Draft()
    draft.add(piece(0))
    draft.add(piece(ROWS))
    assert draft.rows == 2 * ROWS
    assert draft.schema == piece(0).schema
    return draft.finished(FACTS)


def columns() -> dict[str, Any]:
    """Of the first group of rows."""
    group = file_of(made()).metadata.row_group(0)
    assert group.num_rows == ROWS
    found = [group.column(at) for at in range(group.num_columns)]
    return {column.path_in_schema: column for column in found}


def test_pieces_come_back_as_they_were_given_with_the_facts_of_their_file() -> None:
    table = table_of(made())
    assert table.equals(pa.concat_tables([piece(0), piece(ROWS)]))
    assert facts_of(table.schema) == FACTS


def test_what_repeats_and_is_short_is_packed_by_a_dictionary_alone() -> None:
    found = columns()
    of_dictionaries = {
        name: column.compression
        for name, column in found.items()
        if "RLE_DICTIONARY" in column.encodings
    }
    assert of_dictionaries["gate"] == "UNCOMPRESSED"
    assert of_dictionaries["nothing"] == "UNCOMPRESSED"
    assert of_dictionaries["note"] == "ZSTD"
    assert of_dictionaries.keys() == {"gate", "nothing", "note"}


def test_all_else_is_compressed_also_what_lies_within_lists() -> None:
    found = columns()
    assert {"list.list.element.x", "list.list.element.y.list.element"} <= found.keys()
    others = found.keys() - {"gate", "nothing"}
    assert {found[name].compression for name in others} == {"ZSTD"}


def test_lengths_of_ids_and_differences_of_whole_numbers_stand_apart() -> None:
    found = columns()
    assert "DELTA_LENGTH_BYTE_ARRAY" in found["id"].encodings
    assert "PLAIN" in found["name"].encodings
    assert "DELTA_BINARY_PACKED" in found["offset"].encodings
    assert "DELTA_BINARY_PACKED" in found["count"].encodings


def test_what_files_are_looked_for_by_alone_has_a_least_and_a_greatest_value() -> None:
    found = columns()
    assert found["offset"].statistics.min == 0
    assert found["offset"].statistics.max == ROWS - 1
    assert found["count"].statistics is None
