"""Files of data are given to topics by their names, and read a piece at a time."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from freshet.datafiles.files import DataError, Lines, Rows, Table, data_files, rows_of
from freshet.schemas.errors import DefinitionError
from tests.toy_app import toy_app

APP = toy_app()
TORN = gzip.compress(b"[1]" * 99, mtime=0)[:20]


def touched(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).write_bytes(b"")
    return [str(folder / name) for name in names]


def read(path: Path) -> list[Rows]:
    (file,) = data_files(APP, [f"orders={path}"])
    return list(rows_of(file))


def test_a_file_is_for_the_topic_that_is_named_or_that_its_name_begins_with(tmp_path: Path) -> None:
    touched(
        tmp_path, "orders.csv", "payments-2013.parquet", "payments.jsonl.gz", "b=1.csv", "a.csv"
    )
    given = [str(tmp_path / "orders.csv"), f"{tmp_path}/payments*", f"orders={tmp_path}/[ab]*.csv"]
    found = [(file.topic, file.path.name, file.format) for file in data_files(APP, given)]
    assert found == [
        ("orders", "orders.csv", "CSV"),
        ("payments", "payments-2013.parquet", "Parquet"),
        ("payments", "payments.jsonl.gz", "JSON lines"),
        ("orders", "a.csv", "CSV"),
        ("orders", "b=1.csv", "CSV"),
    ]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            "old.csv",
            "old.csv: may be for any of the topics orders, payments. Say for which: orders=",
        ),
        ("refunds=old.csv", "topic 'refunds': is not in the app. Its topics are orders, payments"),
    ],
)
def test_a_file_of_no_clear_topic_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    touched(tmp_path, "old.csv")
    with pytest.raises(DefinitionError, match=why):
        data_files(APP, [given])


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("gone.csv", None, "is not there"),
        ("orders.xlsx", b"", "says no format that is read"),
        ("orders.parquet.gz", b"", "says no format that is read"),
        ("orders.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("orders.csv", b"", "cannot be read as CSV"),
        ("orders.csv.gz", b"not gzip", "cannot be read as CSV"),
        ("orders.jsonl.gz", TORN, "cannot be read as JSON lines"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error_that_names_it(
    tmp_path: Path, name: str, body: bytes | None, why: str
) -> None:
    path = tmp_path / name
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(DataError, match=why) as error:
        read(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_csv_is_text_whatever_its_columns_look_like(tmp_path: Path, suffix: str) -> None:
    body = b'id,n,note\n007,1,"a, b"\n8,,""\n9,x,"two\nlines"\n'
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(gzip.compress(body) if suffix else body)
    (table,) = read(path)
    assert isinstance(table, Table)
    assert {name: column.to_pylist() for name, column in table.columns.items()} == {
        "id": [b"007", b"8", b"9"],
        "n": [b"1", None, b"x"],
        "note": [b"a, b", b"", b"two\nlines"],
    }


def test_a_line_of_csv_with_a_field_too_many_is_handed_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,n\n1,2\n3,4,5\n6,7\n")
    table, lines = read(path)
    assert isinstance(table, Table)
    assert isinstance(lines, Lines)
    assert table.columns["id"].to_pylist() == [b"1", b"6"]
    assert lines.rows == [b"3,4,5"]


def test_lines_that_are_no_objects_are_handed_on_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"n": 9007199254740993}\n\n[1]\n{"n":\n\xff\n')
    (lines,) = read(path)
    assert isinstance(lines, Lines)
    assert lines.rows == [{"n": 9007199254740993}, b"[1]", b'{"n":', b"\xff"]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [2**60 + 1, None], "x": [0.5, 1.5]})
    frame.write_parquet(tmp_path / "a.parquet")
    (table,) = read(tmp_path / "a.parquet")
    assert isinstance(table, Table)
    assert table.columns["id"].to_pylist() == [2**60 + 1, None]


@pytest.mark.parametrize("name", ["orders.tsv", "orders.TSV"])
def test_a_file_that_is_called_so_is_separated_by_tabs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a,b,c\td;e\n1,2,3\t4;5\n")
    (table,) = read(tmp_path / name)
    assert isinstance(table, Table)
    assert {name: column.to_pylist() for name, column in table.columns.items()} == {
        "a,b,c": [b"1,2,3"],
        "d;e": [b"4;5"],
    }
