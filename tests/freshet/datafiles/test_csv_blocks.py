"""CSV in blocks, held to Python's own reader of it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freshet.datafiles import csv_blocks
from freshet.datafiles.csv_blocks import SEPARATORS, BadCsv, tables

TEXTS = st.text(st.sampled_from("ab,;\t|\"'\n\r é"), max_size=6)
NAMES = st.lists(st.sampled_from("abcde"), min_size=2, max_size=4, unique=True)


def rows_of(data: bytes) -> list[tuple[bytes | None, ...]]:
    found: list[tuple[bytes | None, ...]] = []
    for table, refused in tables(io.BytesIO(data)):
        assert not refused
        columns = [column.to_pylist() for column in table.columns]
        found += zip(*columns)
    return found


@given(
    names=NAMES,
    data=st.data(),
    separator=st.sampled_from(SEPARATORS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    block=st.integers(1, 40),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_any_block_gives_the_records_that_python_reads(
    names: list[str], data: st.DataObject, separator: str, end: str, block: int, mark: str
) -> None:
    rows = data.draw(
        st.lists(st.lists(TEXTS, min_size=len(names), max_size=len(names)), max_size=8)
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    writer.writerows(rows)
    body = (mark + text.getvalue()).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        found = rows_of(body)
    assert found == [tuple(cell.encode() for cell in row) for row in rows]


def in_blocks(
    data: bytes, block: int, separator: str = ""
) -> tuple[list[tuple[bytes, ...]], list[bytes]]:
    """The records that fit and those that do not; what is null is empty."""
    fitting: list[tuple[bytes, ...]] = []
    misfits: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        for table, refused in tables(io.BytesIO(data), separator):
            columns = [column.to_pylist() for column in table.columns]
            fitting += [tuple(cell or b"" for cell in row) for row in zip(*columns)]
            misfits += refused
    return fitting, misfits


def by_pyarrow(body: bytes) -> tuple[list[tuple[bytes, ...]], list[bytes]]:
    """All of two columns `a` and `b` at once, as pyarrow reads them and tells of the others."""
    misfits: list[bytes] = []

    def set_aside(row: Any) -> str:
        misfits.append(row.text.encode())
        return "skip"

    read = pyarrow.csv.read_csv(
        io.BytesIO(body),
        pyarrow.csv.ReadOptions(use_threads=False, column_names=["a", "b"]),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
        pyarrow.csv.ConvertOptions(column_types={"a": pa.binary(), "b": pa.binary()}),
    )
    return [(row["a"], row["b"]) for row in read.to_pylist()], misfits


ANYTHING = st.text(st.sampled_from('ab,;"\n\r é'), max_size=40)
WRITTEN = st.sampled_from(
    ['6" x', "a", '"a\nb"', '"q,""t"', '""', '"', 'x"y"z', '"x"y', '"x"y"z', "", "é", " "]
)
RECORDS = st.lists(st.lists(WRITTEN, min_size=1, max_size=3).map(",".join), max_size=12)


@given(
    body=st.one_of(
        ANYTHING,
        st.builds(str.join, st.sampled_from(["\n", "\r\n", "\r"]), RECORDS),
    ),
    block=st.integers(1, 40),
)
@example(body='6" pipe,1\n"of two\nlines",2\n"q, t",3\n', block=64)
@example(body="\r", block=1)
def test_a_quote_within_a_field_is_one_to_every_reader(body: str, block: int) -> None:
    found = in_blocks(b"a,b\n" + body.encode(), block)
    # pyarrow takes nothing for an error.
    assert found == by_pyarrow((body or "\n").encode())
    rows = [row for row in csv.reader(io.StringIO(body, newline="")) if row]
    assert found[0] == [tuple(cell.encode() for cell in row) for row in rows if len(row) == 2]
    assert len(found[1]) == sum(len(row) != 2 for row in rows)


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
def test_a_record_that_does_not_fit_is_handed_on_whatever_its_bytes_are(block: int) -> None:
    found = in_blocks(b"a,b\n1,2\n\xe9,2,3\n\xe9,4\n\xff", block)
    assert found == ([(b"1", b"2"), (b"\xe9", b"4")], [b"\xe9,2,3", b"\xff"])


@pytest.mark.parametrize("blank", [b"\n", b"\r\n\r\n", b"\r", b"  \n\t\n", b"\n" * 3_000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_blank_lines_before_the_header_are_passed_over(
    blank: bytes, mark: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "HEADER_BYTES", 2_000)
    (table, refused), *more = tables(io.BytesIO(mark + blank + b"a,b\n\n1,2\n"))
    assert (table.to_pylist(), refused, more) == ([{"a": b"1", "b": b"2"}], [], [])


SEPARATED: dict[str, tuple[bytes, str, tuple[bytes, ...]]] = {
    "a comma in a name, and decimal ones": (
        b"id;price (EUR, net)\n1;2,50\n",
        ";",
        (b"1", b"2,50"),
    ),
    "a comma in a name": (b"name, first\tage\nBob\t3\n", "\t", (b"Bob", b"3")),
    "a semicolon in a name": (b"a;b,c\n1,2\n", ",", (b"1", b"2")),
    "blank lines after the header": (b"a;b,c\n\r\n\n1,2", ",", (b"1", b"2")),
    "a quote that only one closes": (b'a,"6 inch;b\n1;2\n', ";", (b"1", b"2")),
    "one column of texts": (b"text\nso, it is\n", "\t", (b"so, it is",)),
    "more names": (b"a;b;c,d\n1,2\n1;2;3\n", ";", (b"1", b"2", b"3")),
    "a first record that is cut": (b"a;b,c\n1;" + b"2" * 3_000, ";", (b"1", b"2" * 3_000)),
}


@pytest.mark.parametrize("what", SEPARATED)
def test_the_first_record_tells_the_separator_where_the_header_does_not(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "HEADER_BYTES", 2_000)
    data, separator, first = SEPARATED[what]
    assert in_blocks(data, 1 << 20)[0] == [first]
    assert in_blocks(data, 1 << 20, separator)[0] == [first]


def test_a_header_without_an_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "HEADER_BYTES", 2_000)
    with pytest.raises(
        BadCsv, match="its header has more than 2,000 bytes: a quote may not be closed"
    ):
        rows_of(b'"a,b\n' + b"3,4\n" * 1_000)


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_records_that_do_not_fit_are_set_aside_in_their_place(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block)
    read = list(tables(io.BytesIO(b"id;n\n1;2\n3;4;5\n6;\n\n7\n8;9")))
    rows = [row for table, _ in read for row in table.to_pylist()]
    assert [row["id"] for row in rows] == [b"1", b"6", b"8"]
    assert [row["n"] for row in rows] == [b"2", None, b"9"]
    assert [line for _, refused in read for line in refused] == [b"3;4;5", b"7"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"a,b,a\n1,2,3\n", "two of its columns are called 'a'"),
    ],
)
def test_a_header_that_is_none_is_told(data: bytes, why: str) -> None:
    with pytest.raises(BadCsv, match=why):
        rows_of(data)


def test_a_quote_that_is_not_closed_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(csv_blocks, "RECORD_BYTES", 10_000)
    with pytest.raises(BadCsv, match="a quote may not be closed"):
        rows_of(b'a,b\n1,"2\n' + b"3,4\n" * 100_000)


def test_reading_a_part_leaves_nothing_that_could_abort_the_process(tmp_path: Path) -> None:
    """As a sample does, which needs the first rows of a long file only."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n3,4,5\n" * 500_000)
    code = (
        "import sys; from freshet.datafiles.csv_blocks import tables\n"
        "with open(sys.argv[1], 'rb') as file: print(next(tables(file))[0].num_rows > 0)"
    )
    for _ in range(3):
        done = _run([sys.executable, "-c", code, str(path)])
        assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
