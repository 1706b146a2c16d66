"""A sample is judged as intake judges its events, and what is told of it is where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.anomalies.compare import Anomaly, compare
from freshet.datafiles.files import Lines, parsed
from freshet.samples.places import proposed
from freshet.samples.sample import Sample, of_files
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import REASONS, decode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import resolved
from freshet.schemas.events.validation import timed

SCHEMA = EventSchema.parse(
    {
        "type": "record",
        "name": "things",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "string"},
            {"name": "n", "type": ["null", "int"], "range": [0, 10], "aliases": ["count"]},
            {"name": "x", "type": ["null", "double"], "required": True},
            {"name": "word", "type": "string", "domain": ["a", "b"], "default": "a"},
            {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["A", "B"]}},
            {"name": "ref", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
            {"name": "yes", "type": ["null", "boolean"]},
        ],
    },
    "things",
)
WHEN = resolved(fr.time("at"), SCHEMA["at"], "topic things")
UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
GOOD = {"id": "1", "at": "2013-01-31", "n": 1, "x": 1.5, "word": "a", "kind": "A", "ref": UUID}
NOW = 1_795_890_000_000


def of_records(records: list[bytes]) -> Sample:
    return Sample("things", [[Lines([parsed(record) for record in records])]], of_log=True)


def found(rows: list[Any]) -> dict[tuple[str, str], Anomaly]:
    sample = of_records([json.dumps(row).encode() for row in rows])
    told = compare(sample, 10**6, SCHEMA, WHEN)
    return {(anomaly.field, anomaly.kind): anomaly for anomaly in told.anomalies}


ONE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a null": ({"id": None}, "id", "missing_values"),
    "a null that is allowed, but required": ({"x": None}, "x", "missing_values"),
    "a text for a number": ({"n": "1"}, "n", "wrong_type"),
    "a number for a text": ({"id": 1}, "id", "wrong_type"),
    "true for a number": ({"n": True}, "n", "wrong_type"),
    "more than 32 bits": ({"n": 2**31}, "n", "wrong_type"),
    "out of its range": ({"n": 11}, "n", "out_of_range"),
    "a number beyond all doubles": ({"x": 10**400}, "x", "wrong_type"),
    "another word": ({"word": "c"}, "word", "out_of_domain"),
    "another symbol": ({"kind": "C"}, "kind", "out_of_domain"),
    "no uuid": ({"ref": "x"}, "ref", "bad_uuid"),
    "no time": ({"at": "soon"}, "at", "bad_time"),
    "a time before 1900": ({"at": "1899-12-31"}, "at", "bad_time"),
    "one for true": ({"yes": 1}, "yes", "wrong_type"),
    "a new column": ({"more": 1}, "more", "new_column"),
}


@pytest.mark.parametrize("what", ONE)
def test_a_row_with_one_fault_is_told_with_its_place(what: str) -> None:
    change, field, kind = ONE[what]
    anomalies = found([GOOD, {**GOOD, **change}, GOOD, {**GOOD, **change}])
    assert list(anomalies) == [(field, kind)]
    assert (anomalies[field, kind].rows, anomalies[field, kind].first_row) == (2, 2)


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {**GOOD, "n": None, "ref": None},
        {name: value for name, value in GOOD.items() if name not in ("n", "word", "ref")},
        {**{name: value for name, value in GOOD.items() if name != "n"}, "count": 3},
    ],
)
def test_what_the_schema_allows_is_none(row: dict[str, Any]) -> None:
    assert not found([row])


def test_a_column_that_is_not_there_at_all_is_another_thing_than_gaps() -> None:
    rows = [{name: value for name, value in GOOD.items() if name != "id"} for _ in range(3)]
    assert list(found(rows)) == [("id", "missing_column")]
    assert list(found([*rows, GOOD])) == [("id", "missing_values")]


def test_a_text_of_another_encoding_is_none(tmp_path: Path) -> None:
    text = "id,at,x,word,kind\nK\u00f6ln,2013-01-31,1,a,A\n"
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    (anomaly,) = compare(of_files(str(tmp_path / "a.csv")), 9, SCHEMA, WHEN).anomalies
    assert (anomaly.field, anomaly.kind) == ("id", "wrong_type")


def test_a_column_that_a_file_lacks_is_told_where_each_event_needs_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,word,kind\n1,2013-01-31,a,A\n")
    (anomaly,) = compare(of_files(str(tmp_path / "a.csv")), 9, SCHEMA, WHEN).anomalies
    assert (anomaly.field, anomaly.kind) == ("x", "missing_column")


def test_rows_that_are_none_are_counted_and_lack_nothing() -> None:
    sample = of_records([json.dumps(GOOD).encode(), b"[1]", b"no json"])
    (anomaly,) = compare(sample, 100, SCHEMA, WHEN).anomalies
    assert (anomaly.kind, anomaly.rows, anomaly.first_row) == ("no_event", 2, 2)


def test_a_column_that_no_field_could_hold_is_passed_over_in_so_many_words() -> None:
    told = compare(of_records([json.dumps({**GOOD, "tags": []}).encode()]), 9, SCHEMA, WHEN)
    assert not told.anomalies
    assert told.passed_over == {"tags": "holds empty lists, so nothing tells their type"}


def test_files_are_judged_as_their_replay_makes_their_values(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_text(
        "id,at,n,x,word,kind,ref,yes\n1,2013-01-31,NA,1,a,A,,1\n2,2013-02-01,x,2,b,B,,0\n"
    )
    (anomaly,) = compare(of_files(str(path)), 100, SCHEMA, WHEN).anomalies
    assert (anomaly.field, anomaly.kind, anomaly.examples) == ("n", "wrong_type", ["x"])


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["1", "", None, 1, 1.5, True]),
    "at": st.sampled_from(["2013-01-31", "1850-01-01", "x", 7, None, "2013-01-31T05:15:00Z"]),
    "n": st.sampled_from([0, 10, 11, -1, 2**31, 1.0, "1", None, False]),
    "x": st.sampled_from([0, 1.5, 10**400, "x", None, True]),
    "word": st.sampled_from(["a", "b", "c", 1, None]),
    "kind": st.sampled_from(["A", "B", "C", 1, None]),
    "ref": st.sampled_from([UUID, UUID.upper(), "x", UUID[:-1], 1, None]),
    "yes": st.sampled_from([True, False, 0, 1, "true", None]),
}


@given(st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=6))
def test_a_row_has_an_anomaly_just_where_intake_sets_it_aside(rows: list[dict[str, Any]]) -> None:
    """Decoding and validation, which intake is made of, against the judgement of each value."""
    records = [json.dumps(row).encode() for row in rows]
    data = np.frombuffer(b"".join(records), np.uint8)
    ends = np.cumsum([len(record) for record in records]).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    columns = decode(data, starts, ends, EventCodec(SCHEMA))
    timed(columns, WHEN, np.full(len(rows), NOW), 10**9)
    set_aside = [REASONS[reason] for reason in columns.reason]
    for row, reason in zip(rows, set_aside):
        kinds = [kind for _, kind in found([row])]
        assert bool(kinds) == (reason != "ok"), (row, reason, kinds)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b c", "d"]),
        st.one_of(st.none(), st.integers(), st.text("xy", max_size=2), st.booleans()),
        min_size=1,
    ),
    min_size=2,
    max_size=30,
)


@given(ROWS)
def test_a_sample_beside_its_own_proposal_has_no_anomaly_that_was_not_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "things.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    try:
        proposal, _ = proposed(of_files(str(path)), "", 100)
    except DefinitionError:  # no row tells anything
        return
    schema = EventSchema.parse(proposal.schema, "things")
    doubted = {field.name for field in proposal.fields if field.doubts}
    for anomaly in compare(of_files(str(path)), 100, schema, None).anomalies:
        assert (anomaly.kind, anomaly.field in doubted) == ("wrong_type", True)
