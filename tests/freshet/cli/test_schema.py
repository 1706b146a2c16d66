"""`freshet schema` as it is called: what goes where, and with which status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.schemas.errors import FreshetError
from freshet.schemas.events.schema import EventSchema
from freshet.streams.sqlite.log import SqliteLog

ROWS = [
    {"id": f"o{i}", "at": f"2024-05-01T{i // 60:02d}:{i % 60:02d}:00Z", "n": i, "shop": "ab"[i % 2]}
    for i in range(120)
]
APP = """
import freshet as fr
orders = fr.Topic("orders", schema="orders.avsc", event_id="id", event_time="at")
inline = fr.Topic("inline", {"type": "record", "name": "i", "fields": [{"name": "id", "type": "int"}]},
                  event_id="id", event_time=None)
app = fr.App("shop", topics=[orders, inline])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "orders.jsonl", ROWS)
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


def called(*command: str) -> Result:
    return CliRunner().invoke(cli, ["schema", *command])


def refused(*command: str) -> str:
    error = called(*command).exception
    assert isinstance(error, FreshetError)
    return str(error)


def test_the_schema_is_on_standard_output_and_the_reasons_are_not() -> None:
    done = called("infer", "orders.jsonl")
    assert done.exit_code == 0
    schema = EventSchema.parse(done.stdout, "orders")
    assert [(field.name, field.type) for field in schema.fields] == [
        ("id", "string"),
        ("at", "string"),
        ("n", "long"),
        ("shop", "string"),
    ]
    told = done.stderr
    assert "orders.jsonl: 120 rows, 4 fields" in told
    assert "event_id    id" in told
    assert "event_time  at (ISO 8601, in order)" in told
    assert "keys        shop (2 values, 60 rows each)" in told


def test_a_schema_goes_into_a_new_file_only(folder: Path) -> None:
    assert called("infer", "orders.jsonl", "--out", "orders.avsc").exit_code == 0
    assert EventSchema.load(folder / "orders.avsc").name == "orders"
    assert "is there already" in refused("infer", "orders.jsonl", "--out", "orders.avsc")


def test_only_so_many_rows_are_looked_at() -> None:
    assert "orders.jsonl: 7 rows" in called("infer", "orders.jsonl", "--rows", "7").stderr


def test_a_sample_is_compared_with_a_topic_and_its_file_is_brought_up_to_date(
    folder: Path,
) -> None:
    called("infer", "orders.jsonl", "--out", "orders.avsc")
    assert called("check", "app.py", "orders", "orders.jsonl").exit_code == 0
    write(folder / "new.jsonl", [*ROWS, {**ROWS[0], "n": 1.5, "shop": "c", "tip": 2}])
    found = called("check", "app.py", "orders", "new.jsonl", "--json")
    assert found.exit_code == 2
    told = json.loads(found.stdout)["anomalies"]
    assert [(one["anomaly"], one["field"], one["first_row"]) for one in told] == [
        ("wrong_type", "n", 121),
        ("out_of_domain", "shop", 121),
        ("new_column", "tip", 121),
    ]
    assert told[1]["tfdv"] == "ENUM_TYPE_UNEXPECTED_STRING_VALUES"
    applied = called("check", "app.py", "orders", "new.jsonl", "--apply")
    assert applied.exit_code == 2
    assert "wrote version 2 (schema_id 2)" in applied.stderr
    assert called("check", "--schema", "orders.avsc", "new.jsonl").exit_code == 0
    # What was written under the first version is read by the second.
    assert EventSchema.load(folder / "orders.avsc")["n"].type == "double"


def test_an_id_that_is_missing_is_no_fault_of_the_schema(folder: Path) -> None:
    called("infer", "orders.jsonl", "--out", "orders.avsc")
    write(folder / "new.jsonl", [{**ROWS[0], "id": None}])
    found = called("check", "app.py", "orders", "new.jsonl")
    assert "whoever writes these rows has to mend them" in found.stdout


def test_a_schema_in_the_app_s_own_file_is_left_to_its_owner(folder: Path) -> None:
    called("infer", "orders.jsonl", "--out", "orders.avsc")
    write(folder / "new.jsonl", [{"id": None}])
    told = refused("check", "app.py", "inline", "new.jsonl", "--apply")
    assert "is written in the app's own file" in told


def test_a_json_schema_is_compared_with_and_left_to_its_owner(folder: Path) -> None:
    properties = {"id": {"type": "string"}, "n": {"type": "integer", "maximum": 5}}
    schema = json.dumps({"type": "object", "properties": properties})
    (folder / "order.json").write_text(schema)
    found = called("check", "--schema", "order.json", "orders.jsonl", "--json")
    told = [(one["anomaly"], one["field"]) for one in json.loads(found.stdout)["anomalies"]]
    assert told == [("out_of_range", "n"), ("new_column", "at"), ("new_column", "shop")]
    assert "is a JSON Schema" in refused(
        "check", "--schema", "order.json", "orders.jsonl", "--apply"
    )
    assert (folder / "order.json").read_text() == schema


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["infer"], "sample: is not said"),
        (["infer", "orders.jsonl", "--topic", "x"], "is orders.jsonl, and --topic x"),
        (["infer", "none.csv"], "file none.csv: is not there"),
        (["infer", "app.py"], "has a name that says no format"),
        (["infer", "--topic", "orders"], "log .freshet/run/log: is not there"),
        (["check", "orders.jsonl"], "does not name one schema and one sample"),
        (["check", "--schema", "x.avsc"], "does not name one schema and one sample"),
        (["check", "--schema", "x.avsc", "orders.jsonl"], "x.avsc: cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(command: list[str], why: str) -> None:
    assert why in refused(*command)


def test_the_newest_records_of_a_topic_are_a_sample(folder: Path) -> None:
    log = SqliteLog(folder / ".freshet" / "run" / "log")
    log.ensure("orders.v1", 2)
    writer = log.writer()
    for at, row in enumerate(ROWS):
        writer.append("orders.v1", at % 2, [json.dumps(row).encode()], at)
    writer.append("orders.v1", 0, [b"torn"], 120)
    writer.flush()
    writer.close()
    log.close()
    done = called("infer", "--topic", "orders.v1", "--last", "20")
    assert "orders.v1: 19 rows, 4 fields" in done.stderr
    assert "no rows     1, such as 'torn'" in done.stderr
    assert EventSchema.parse(done.stdout, "o").name == "orders_v1"
    (folder / "schema.avsc").write_text(done.stdout)
    beside = called("check", "--schema", "schema.avsc", "--topic", "orders.v1", "--last", "20")
    assert "no_event" in beside.stdout
    assert beside.exit_code == 2


def test_records_that_do_not_name_their_fields_are_no_sample(folder: Path) -> None:
    log = SqliteLog(folder / ".freshet" / "run" / "log")
    log.ensure("framed", 1)
    writer = log.writer()
    writer.append("framed", 0, [b"\0\0\0\0\1ab"], 1)
    writer.flush()
    writer.close()
    log.close()
    assert "holds Avro in Confluent's wire format" in refused("infer", "--topic", "framed")


def test_what_the_data_say_is_no_command_to_the_terminal(folder: Path) -> None:
    write(folder / "evil.jsonl", [{"a\x1b[2J": "\x1b]0;x\x07"}] * 2)
    done = called("infer", "evil.jsonl")
    assert "\x1b" not in done.stderr + done.stdout
