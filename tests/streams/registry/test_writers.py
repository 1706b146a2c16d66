"""What a topic's records were written by: asked once, kept first, and the same ever after."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import CheckpointError, RegistryError, SchemaError
from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.decode import decode, encode, unknown_ids
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Registered, RegistryClient
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.contract import Batch
from freshet.streams.outages import Outages
from freshet.streams.registry import asking as asking_module
from freshet.streams.registry import kept
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.writers import Writers, kept_writers
from tests.serving.registry.served import served

FIELDS = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
X = {"name": "x", "type": ["null", "double"], "default": None}
NOBODY = "http://127.0.0.1:9"


def avro(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "r", **more, "fields": [*FIELDS, *fields]}


def topic(*fields: dict[str, Any], **more: Any) -> Topic:
    return Topic("t", avro(*fields, **more), "id", "at", registry="t-value")


def batch(*values: bytes) -> Batch:
    ends = np.cumsum([len(value) for value in values])
    starts = ends - np.array([len(value) for value in values])
    offsets = np.arange(len(values))
    return Batch("t", 0, np.frombuffer(b"".join(values), np.uint8), starts, ends, offsets, offsets)


def written(schema_id: int, schema: dict[str, Any], **event: Any) -> bytes:
    parsed_schema = EventSchema.parse({**schema, "schema_id": schema_id}, "w")
    return encode(parsed_schema, [{"id": "a", "at": 1, **event}])[0]


def reasons(writers: Writers, given: Batch) -> list[str]:
    columns = decode(given.data, given.start, given.end, writers.codec)
    return [REASONS[reason] for reason in columns.reason]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking_module, "GRACE_SECONDS", 0.01)
    monkeypatch.setattr(asking_module, "PAUSES_SECONDS", (0.01,))


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    """Of a registry that has a schema (1), a newer one (2), and one that no topic here can read
    (3)."""
    with served(tmp_path / "registry") as url:
        with closing(RegistryClient(parsed(url))) as client:
            client.register("t-value", Registered(json.dumps(avro())))
            client.register("t-value", Registered(json.dumps(avro(X))))
            other = avro({**X, "type": "string", "default": ""})
            client.register("other", Registered(json.dumps(other)))
        with closing(Asking(parsed(url))) as made:
            yield made


def test_what_is_asked_once_is_known_to_all_ever_after(asking: Asking, tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    met = batch(
        written(1, avro()),
        written(2, avro(X), x=2.0),
        written(3, avro({**X, "type": "string", "default": ""}), x="?"),
        written(9, avro()),
        b"\0\0",
        b"\0\xff\0\0\0x",
        b"\0\0\0\0\0",
        json.dumps({"id": "j", "at": 1}).encode(),
    )
    expected = ["ok", "ok", "unreadable_schema", "unknown_type", "undecodable"]
    expected += ["unknown_type", "unknown_type", "ok"]
    one = Writers(topic(X), "log", url, asking, Outages())
    one.prepare(met)
    assert reasons(one, met) == expected
    # Another process, or a later start, where there is no registry at all.
    with closing(Asking(parsed(NOBODY))) as nobody:
        other = Writers(topic(X), "log", url, nobody, Outages())
        other.prepare(met)
        assert reasons(other, met) == expected
    found = kept_writers(url, "log", topic(X))
    assert (sorted(found.readable), sorted(found.unreadable)) == ([1, 2], [3])
    rows = np.array([2, 3, 4])
    details = other.details(met, rows, [expected[row] for row in rows.tolist()])
    assert details[0] is not None
    assert details[0].startswith("schema 3 (subject t-value): topic t (version 1 of its schema) ")
    assert "'x' is string for writers and double for readers" in details[0]
    assert details[1:] == [
        "the registry knows no schema 9 (asked for subject t-value of topic t)",
        None,
    ]


def test_an_id_that_was_unknown_once_stays_so(asking: Asking, tmp_path: Path) -> None:
    url = str(tmp_path)
    kept.keep(url, "log", {}, [1])
    writers = Writers(topic(X), "log", url, asking, Outages())
    met = batch(written(1, avro()))
    writers.prepare(met)
    assert reasons(writers, met) == ["unknown_type"]


def test_nothing_is_kept_while_the_registry_is_away(tmp_path: Path) -> None:
    with closing(Asking(parsed(NOBODY))) as nobody:
        writers = Writers(topic(X), "log", str(tmp_path), nobody, Outages())
        for _ in range(3):
            with pytest.raises(RegistryError, match="cannot be reached"):
                writers.prepare(batch(written(1, avro())))
        # JSON needs nobody, nor does what no registry could have given.
        writers.prepare(batch(b'{"id": "j", "at": 1}', b"\0\xff\xff\xff\xfe"))
    assert list(tmp_path.rglob("*.json")) == []


def test_its_own_id_means_what_the_registry_says(asking: Asking, tmp_path: Path) -> None:
    met = batch(written(2, avro(X), x=2.0))
    own = Writers(topic(X, schema_id=2), "log", str(tmp_path), asking, Outages())
    own.prepare(met)
    assert reasons(own, met) == ["ok"]
    wrong = topic({**X, "type": "double", "default": 0.0}, schema_id=2)
    with pytest.raises(SchemaError, match="says schema_id 2, which is another schema in the"):
        Writers(wrong, "log", str(tmp_path), asking, Outages())


def test_a_registry_that_was_set_up_anew_is_found_out(asking: Asking, tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    met = batch(written(1, avro()))
    Writers(topic(X), "log", url, asking, Outages()).prepare(met)
    with served(tmp_path / "anew") as other, closing(RegistryClient(parsed(other))) as client:
        client.register("t-value", Registered(json.dumps(avro({**X, "type": ["null", "long"]}))))
        with closing(Asking(parsed(other))) as asked:
            writers = Writers(topic(X), "log", url, asked, Outages())
            with pytest.raises(SchemaError, match="is another one in the registry"):
                until(lambda: writers.prepare(met))


VALUES = [
    written(1, avro()),
    written(2, avro(X), x=2.0),
    written(3, avro({**X, "type": "string", "default": ""}), x="?"),
    written(9, avro()),
    b"\0\0",
    b'{"id": "j", "at": 1}',
]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from(range(len(VALUES))), min_size=1, max_size=12),
    st.lists(st.integers(1, 4), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_neither_batches_nor_restarts_change_what_becomes_of_a_record(
    asking: Asking, which: list[int], sizes: list[int], restarts: list[bool]
) -> None:
    values = [VALUES[i] for i in which]
    of_each = ["ok", "ok", "unreadable_schema", "unknown_type", "undecodable", "ok"]
    with TemporaryDirectory() as url:
        writers = Writers(topic(X), "log", url, asking, Outages())
        found = []
        for size, restarted in zip(sizes, restarts):
            given_now, values = values[:size], values[size:]
            if not given_now:
                break
            if restarted:
                writers = Writers(topic(X), "log", url, asking, Outages())
            writers.prepare(batch(*given_now))
            found += reasons(writers, batch(*given_now))
    assert found == [of_each[i] for i in which]


def until(does: Callable[[], None]) -> None:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        does()


def test_the_same_registry_is_looked_at_and_nothing_follows(asking: Asking, tmp_path: Path) -> None:
    met = batch(written(1, avro()), written(2, avro(X), x=None))
    Writers(topic(X), "log", str(tmp_path), asking, Outages()).prepare(met)
    again = Writers(topic(X), "log", str(tmp_path), asking, Outages())
    deadline = time.monotonic() + 20.0
    while asking._kept:
        assert time.monotonic() < deadline
        again.prepare(met)
    assert reasons(again, met) == ["ok", "ok"]


def test_a_torn_file_is_told(tmp_path: Path) -> None:
    kept.keep(str(tmp_path), "log", {7: {"schema_id": 7}}, [])
    (tmp_path / "registered" / "log" / "7.json").write_text("{")
    with pytest.raises(CheckpointError, match="is torn: it is no JSON"):
        kept.schemas(str(tmp_path), "log")


def test_unknown_ids_are_those_that_a_plain_loop_finds() -> None:
    random = np.random.default_rng(7)
    heads = [b"\0" + struct.pack(">I", int(i)) for i in random.integers(0, 9, 200)]
    values = [*heads, b"", b"\0\0\0\0", b"{}", b"\1\0\0\0\5", struct.pack(">BI", 0, 1 << 31)]
    random.shuffle(values)
    known = np.array([1, 4, 5])
    expected = {
        int.from_bytes(value[1:5], "big") for value in values if len(value) >= 5 and value[0] == 0
    } - {1, 4, 5}
    met = batch(*values)
    assert unknown_ids(met.data, met.start, met.end, known) == sorted(expected)
