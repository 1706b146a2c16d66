"""What a sample proves becomes a schema, and what it does not prove stays a remark."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.datafiles.files import DataError
from freshet.samples.places import proposed
from freshet.samples.proposal import Proposal
from freshet.samples.sample import of_files
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.schema import EventSchema

MANY = 100


def csv(folder: Path, **columns: Sequence[str]) -> Proposal:
    """Columns as they are written."""
    rows = zip(*columns.values())
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    (folder / "things.csv").write_text("\n".join(lines) + "\n")
    return proposed(of_files(str(folder / "things.csv")), "", 10**6)[0]


def json_lines(folder: Path, rows: Sequence[Any]) -> Proposal:
    (folder / "things.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return proposed(of_files(str(folder / "things.jsonl")), "", 10**6)[0]


def parquet(folder: Path, **columns: pl.Series) -> Proposal:
    pl.DataFrame(columns).write_parquet(folder / "things.parquet")
    return proposed(of_files(str(folder / "things.parquet")), "", 10**6)[0]


def types(proposal: Proposal) -> dict[str, Any]:
    return {field.name: field.avro["type"] for field in proposal.fields}


def doubts(proposal: Proposal) -> dict[str, tuple[str, ...]]:
    return {field.name: field.doubts for field in proposal.fields if field.doubts}


def millis(name: str = "timestamp-millis") -> dict[str, str]:
    return {"type": "long", "logicalType": name}


CSV_COLUMNS: dict[str, tuple[list[str], Any]] = {
    "whole numbers": (["1", "-2", "30"], "long"),
    "numbers": (["1", "2.5", "-3e4"], "double"),
    "all of 64 bits": (["9223372036854775807", "-9223372036854775808", "0"], "long"),
    "one bit more": (["9223372036854775808", "1", "2"], "double"),
    "leading zeros": (["007", "012", "100"], "string"),
    "a plus before": (["+49", "+33", "+1"], "string"),
    "true and false": (["true", "False", "TRUE"], "boolean"),
    "yes and no": (["yes", "no", "yes"], "string"),
    "zero and one": (["0", "1", "1"], "long"),
    "what R calls missing": (["1", "NA", "3"], ["null", "long"]),
    "nothing between two commas": (["1", "", "3"], ["null", "long"]),
    "texts among numbers": (["1", "b", "c"], "string"),
    "uuids": (
        ["6fa459ea-ee8a-3ca4-894e-db77e160355e", "6FA459EA-EE8A-3CA4-894E-DB77E160355F"],
        {"type": "string", "logicalType": "uuid"},
    ),
    "not quite uuids": (["6fa459eaee8a3ca4894edb77e160355e", "x"], "string"),
}


@pytest.mark.parametrize("what", CSV_COLUMNS)
def test_texts_of_csv_get_the_type_that_all_of_them_have(what: str, tmp_path: Path) -> None:
    values, expected = CSV_COLUMNS[what]
    assert types(csv(tmp_path, v=values, w=["1"] * len(values)))["v"] == expected


TIMES: dict[str, tuple[list[Any], Any, str | None, bool]] = {
    "with a zone": (["2013-01-31T05:15:00Z", "2013-01-31 05:15:00+02:00"], "string", "text", True),
    "without": (["2013-01-31T05:15:00", "2013-01-31 05:15"], "string", "text", False),
    "some with a zone": (["2013-01-31T05:15:00Z", "2013-01-31 05:15"], "string", "text", False),
    "dates": (["2013-01-31", "2013-02-01"], "string", "text", False),
    "seconds": ([1_359_609_300, 1_359_609_301], "long", "s", True),
    "milliseconds": ([1_359_609_300_000, 1_359_609_300_001], millis(), "ms", True),
    "microseconds": ([1_359_609_300_000_000] * 2, millis("timestamp-micros"), "us", True),
    "nanoseconds": ([1_359_609_300_000_000_000] * 2, millis("timestamp-nanos"), "ns", True),
    "seconds with fractions": ([1_359_609_300.25, 1_359_609_301.5], "double", "s", True),
    "seconds of 1970": ([1, 2], "long", None, True),
    "of a year beyond": ([4_102_444_801, 1_359_609_300], "long", None, True),
}


@pytest.mark.parametrize("what", TIMES)
def test_times_are_told_by_form_and_by_year(what: str, tmp_path: Path) -> None:
    values, type_, unit, zoned = TIMES[what]
    (found,) = json_lines(tmp_path, [{"sent_at": value} for value in values]).fields
    assert (found.avro["type"], found.unit, found.zoned) == (type_, unit, zoned)


def test_a_number_that_is_called_no_time_keeps_to_its_type(tmp_path: Path) -> None:
    """Snowflake ids lie among the nanoseconds of these years."""
    found = json_lines(tmp_path, [{"tweet": 1_359_609_300_000_000_000 + i} for i in range(9)])
    assert types(found) == {"tweet": "long"}


def test_times_in_another_form_are_told(tmp_path: Path) -> None:
    found = csv(tmp_path, date=["31/01/2013", "01/02/2013"], day=["20130131", "20130201"])
    assert "not written as ISO 8601" in doubts(found)["date"][0]
    assert "YYYYMMDD" in doubts(found)["day"][0]


def test_types_of_parquet_are_those_of_its_columns(tmp_path: Path) -> None:
    moments = [datetime(2013, 1, 31, 5), datetime(2013, 1, 31, 6)]
    found = parquet(
        tmp_path,
        small=pl.Series([1, 2], dtype=pl.Int16),
        large=pl.Series([1, 2], dtype=pl.Int64),
        single=pl.Series([1.5, None], dtype=pl.Float32),
        exact=pl.Series([Decimal("1.50"), Decimal("2.25")]),
        local=pl.Series(moments, dtype=pl.Datetime("us")),
        zoned=pl.Series([m.replace(tzinfo=UTC) for m in moments], dtype=pl.Datetime("ns", "UTC")),
        on=pl.Series([date(2013, 1, 31), date(2013, 2, 1)]),
        kind=pl.Series(["a", "b"], dtype=pl.Categorical),
    )
    assert types(found) == {
        "small": "int",
        "large": "long",
        "single": ["null", "float"],
        "exact": "double",
        "local": millis("local-timestamp-micros"),
        "zoned": millis("timestamp-nanos"),
        "on": {"type": "int", "logicalType": "date"},
        "kind": "string",
    }
    assert doubts(found) == {"exact": ("holds decimals: a double rounds them",)}


def test_of_two_kinds_the_commoner_rules_and_the_other_is_told_with_its_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"n": i, "flag": True} for i in range(MANY)]
    rows[16]["n"] = "many"
    rows[40]["flag"] = 1
    found = json_lines(tmp_path, rows)
    assert types(found) == {"n": "long", "flag": "boolean"}
    assert doubts(found) == {
        "n": ("1 row holds texts, first row 17 ('many'): dead letters, as wrong_type",),
        "flag": ("1 row holds numbers, first row 41 (1): dead letters, as wrong_type",),
    }


def test_a_slip_in_a_csv_makes_no_column_of_texts_but_more_of_them_do(tmp_path: Path) -> None:
    numbers = [str(i) for i in range(MANY)]
    slip = csv(tmp_path, n=["?", *numbers])
    assert types(slip) == {"n": "long"}
    assert "first row 1 ('?')" in doubts(slip)["n"][0]
    many = csv(tmp_path, n=[*"abcdefghi", *numbers])
    assert types(many) == {"n": "string"}
    assert doubts(many)["n"] == ("is mostly numbers, but row 1 says 'a': so texts",)


def test_a_column_of_texts_keeps_what_says_NA(tmp_path: Path) -> None:
    found = csv(tmp_path, land=["NA", "DE", "FR"] * MANY)
    assert types(found) == {"land": "string"}
    assert "domain" not in found.fields[0].avro
    assert "may stand for no value" in doubts(found)["land"][0]


def test_what_some_rows_lack_may_be_null(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": None}, {"a": 2, "c": "x"}, {"a": 3, "b": 1.5}]
    found = json_lines(tmp_path, rows)
    assert types(found) == {"a": "long", "b": ["null", "double"], "c": ["null", "string"]}
    said = {field.name: field.avro["doc"] for field in found.fields}
    assert said["a"] == "Present in 100 % of 3 rows."
    assert said["b"] == said["c"] == "Present in 33.33 % of 3 rows."


@pytest.mark.parametrize(
    ("words", "proposed_domain"),
    [
        (["b", "a"] * 5, ["a", "b"]),
        (["b", "a"] * 5 + ["c"] * 4, None),  # one that was seen too seldom
        (["a"] * MANY, None),  # a constant
        ([str(i) + "x" for i in range(32)] * 5, sorted(str(i) + "x" for i in range(32))),
        ([str(i) + "x" for i in range(33)] * 5, None),
        (["b" * 64, "a"] * 5, ["a", "b" * 64]),
        (["b" * 65, "a"] * 5, None),  # a long text is no word
    ],
)
def test_a_domain_needs_few_words_that_were_seen_often(
    words: list[str], proposed_domain: list[str] | None, tmp_path: Path
) -> None:
    found = csv(tmp_path, word=words)
    assert found.fields[0].avro.get("domain") == proposed_domain


def test_a_range_is_proposed_where_the_name_bounds_it_and_never_by_what_was_seen(
    tmp_path: Path,
) -> None:
    rows = [{"home_lat": 52.5, "lon": 200.0, "price": 3.0, "hour": i} for i in range(5)]
    ranges = {field.name: field.avro.get("range") for field in json_lines(tmp_path, rows).fields}
    assert ranges == {"home_lat": [-90, 90], "lon": None, "price": None, "hour": [0, 23]}


def test_names_that_are_none_get_one_and_keep_the_column_as_alias(tmp_path: Path) -> None:
    rows = [{"Price (EUR)": 1, "Price [EUR]": 2, "a.b": 3, "größe": 4, "7": 5, "价": 6}]
    found = json_lines(tmp_path, rows)
    aliases = {field.name: field.avro.get("aliases") for field in found.fields}
    assert aliases == {
        "Price_EUR": ["Price (EUR)"],
        "Price_EUR_2": ["Price [EUR]"],
        "a_b": ["a.b"],
        "grosse": ["größe"],
        "_7": ["7"],
        "column": ["价"],
    }


def test_a_name_that_is_one_is_kept_by_its_own_column(tmp_path: Path) -> None:
    found = json_lines(tmp_path, [{"a b": 1, "a_b": 2}])
    assert [(field.column, field.name) for field in found.fields] == [
        ("a b", "a_b_2"),
        ("a_b", "a_b"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "a;b;a\n1;2;3\n", "two of its columns are called 'a'"),
        ("a.csv", "1,2.5\n2,3.5\n", "has a first row of numbers (1, 2.5)"),
        ("a.json", '[{"a": 1}]\n', "is JSON, but not an object a line"),
        ("a.json", '{\n "a": 1\n}\n', "is JSON, but not an object a line"),
        ("a.json", '{"a": 1e400}\n', "of '{\"a\": 1e400}': Number out of range"),
        ("a.json", '{"a": NaN}\n', "JSON is malformed: invalid character"),
        ("a.json", '{"a": 1},\n', "JSON is malformed: trailing characters"),
        ("a.json", '{"a": "\\ud800"}\n', "it has half of a surrogate pair"),
        ("a.csv", "a,b,a\n1,2,3\n", "two of its columns are called 'a'"),
    ],
)
def test_what_is_not_what_it_seems_is_told(name: str, text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        proposed(of_files(str(tmp_path / name)), "", 100)
    assert why in str(error.value)


def test_texts_of_another_encoding_are_told(tmp_path: Path) -> None:
    """Whole columns of them are left out; single ones are what intake would set aside."""
    rows = "M\u00fcnchen,Ulm\nK\u00f6ln,Ulm\n" * 30 + "Ulm,K\u00f6ln\n"
    (tmp_path / "a.csv").write_bytes(("city,to\n" + rows).encode("latin-1"))
    found, _ = proposed(of_files(str(tmp_path / "a.csv")), "", 100)
    assert found.left_out == {
        "city": "holds texts that are not UTF-8: iconv -t utf-8 makes them that"
    }
    assert types(found) == {"to": "string"}
    assert "1 row holds bytes, first row 61" in doubts(found)["to"][0]
    assert doubts(found)["to"][0].endswith("dead letters, as undecodable")
    json.dumps(found.schema, ensure_ascii=False).encode()
    (tmp_path / "b.csv").write_bytes("gr\u00f6\u00dfe\n1\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        proposed(of_files(str(tmp_path / "b.csv")), "", 100)


def test_years_that_no_calendar_has_are_one_error(tmp_path: Path) -> None:
    far = pa.table({"at": pa.array([2**60], pa.timestamp("ms")), "n": [1]})
    pa.parquet.write_table(far, tmp_path / "far.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        proposed(of_files(str(tmp_path / "far.parquet")), "", 100)


def test_an_interval_is_left_out(tmp_path: Path) -> None:
    found = parquet(tmp_path, n=pl.Series([1]), took=pl.Series([timedelta(seconds=1)]))
    assert found.left_out == {"took": "holds values of another type, and no field of an event can"}


def test_nothing_is_left_out_without_a_word(tmp_path: Path) -> None:
    rows = [{"id": 1, "tags": [], "geo": {"lat": None}, "none": None}]
    found = json_lines(tmp_path, rows)
    assert found.left_out == {
        "tags": "holds empty lists, so nothing tells their type",
        "geo": "holds objects without a field of a known type",
        "none": "no row has a value, so nothing tells its type",
    }


def test_nested_values_become_records_and_arrays(tmp_path: Path) -> None:
    """The schema is one that Avro's own library takes, and that the rows are values of."""
    rows = [
        {"id": 1, "geo": {"lat": 1.5, "at": {"lon": {"x": 2}}}, "tags": ["a"], "legs": [{"n": 1}]},
        {
            "id": 2,
            "geo": {"lat": None, "at": {"lon": {"x": 3}}},
            "tags": [],
            "legs": [{"n": 2}, {}],
        },
        {"id": 3, "geo": {"lat": None, "at": {"lon": {"x": 3}}}, "tags": [], "legs": []},
    ]
    for row in rows:
        # Records of one name within others are told apart.
        row["other"] = {"at": {"lon": {"x": "text"}}}
    found = json_lines(tmp_path, rows)
    parsed = fastavro.parse_schema(found.schema)
    assert found.left_out == {}
    for row in rows:
        fastavro.schemaless_writer(io.BytesIO(), parsed, row)
    assert types(found)["tags"] == {"type": "array", "items": "string"}
    doubts = {field.name: field.doubts for field in found.fields}
    assert doubts["tags"] == ()
    assert doubts["legs"] == ("holds records: with explode= each is an event of its own",)


@pytest.mark.parametrize(
    "row",
    [
        {"a": {"x": {"y": 1}}, "a_x": {"y": "s"}},
        {"a_x": {"y": "s"}, "a": {"x": {"y": 1}}, "a.x": {"y": True}},
        {"a": [{"item": {"y": 1}}], "a_item": {"item": {"y": "s"}}},
        {"things": {"y": 1}, "things_record": {"y": {"z": 1}}},
    ],
)
def test_records_whose_paths_give_one_name_are_told_apart(
    row: dict[str, Any], tmp_path: Path
) -> None:
    found = json_lines(tmp_path, [row])
    event = {field.name: row[field.column] for field in found.fields}
    fastavro.schemaless_writer(io.BytesIO(), fastavro.parse_schema(found.schema), event)
    EventSchema.parse(found.schema, "things")


def test_a_record_is_not_called_as_the_events_are(tmp_path: Path) -> None:
    (tmp_path / "a_record.jsonl").write_text('{"a": {"y": 1}}\n')
    found, _ = proposed(of_files(str(tmp_path / "a_record.jsonl")), "", 10)
    assert found.schema["fields"][0]["type"]["name"] == "a_record_2"


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.binary(2)])
def test_bytes_that_are_no_text_are_bytes(type_: pa.DataType, tmp_path: Path) -> None:
    """Some of them could be one, which the field they are of is not told by."""
    values = pa.array([b"\xff\xfe", b"ab", b"cd"], type_)
    pa.parquet.write_table(pa.table({"v": values, "w": [[b"\xff"]] * 3}), tmp_path / "a.parquet")
    found, roles = proposed(of_files(str(tmp_path / "a.parquet")), "", 10)
    assert types(found) == {"v": "bytes", "w": {"type": "array", "items": "bytes"}}
    assert not doubts(found)
    assert roles.event_id is None


def test_bytes_that_are_texts_are_texts(tmp_path: Path) -> None:
    """As who writes Parquet without saying what its bytes are means them."""
    for type_ in (pa.binary(), pa.large_binary()):
        pa.parquet.write_table(pa.table({"v": pa.array([b"a"], type_)}), tmp_path / "a.parquet")
        assert types(proposed(of_files(str(tmp_path / "a.parquet")), "", 10)[0]) == {"v": "string"}


def test_an_id_may_be_long(tmp_path: Path) -> None:
    rows = [{"hash": f"{i:0128x}"} for i in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, roles = proposed(of_files(str(tmp_path / "a.jsonl")), "", 10)
    assert roles.event_id is not None


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["2013-01-31", "NA", "", "6fa459ea-ee8a-3ca4-894e-db77e160355e"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2),
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b c", "b_c", "é", "2"]), VALUES), min_size=1, max_size=12
)


@given(ROWS)
def test_whatever_the_rows_are_the_proposal_is_a_schema_that_counts_them_right(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    try:
        found = json_lines(tmp_path_factory.mktemp("rows"), rows)
    except DefinitionError:  # no row tells anything
        return
    EventSchema.parse(found.schema, "things")
    for field in found.fields:
        values = [row.get(field.column) for row in rows]
        assert field.profile.present == sum(value is not None for value in values)
        assert field.profile.rows == len(rows)
        may_be_null = isinstance(field.avro["type"], list)
        assert may_be_null == any(value is None for value in values)
