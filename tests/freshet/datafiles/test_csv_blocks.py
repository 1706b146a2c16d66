"""CSV in blocks, held to Python's own reader of it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
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
    with pytest.raises(BadCsv, match="is a quote not closed"):
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
